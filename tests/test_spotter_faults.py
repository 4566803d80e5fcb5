"""A live spotter that is killed or stopped in the middle of a movement. Real processes."""

from __future__ import annotations

import glob
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from _session import Run, assert_balanced, left_behind

from realtime.ipc.board import Board, Row

FPS = 100


def counters(run: Run) -> Row:
    """The spotter's counters, as a neighbour of the session reads them."""
    (path,) = glob.glob(f"/dev/shm/merealtime-*-{run.child.pid}-*-board")
    return Board.attach(os.path.basename(path)).row("spot")


def wait_until(what: Any, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def open_frames(spot: Row) -> int:
    """So many frames ago the oldest movement that is not over began."""
    return spot.get("next_index") - spot.get("needed_index") - 1 - round(0.5 * FPS)


def has(what: str, stage: str) -> Any:
    return lambda lines: any(line.get("what") == what and line["detail"].startswith(stage) for line in lines)


def spare(run: Run) -> bool:
    try:
        return run.stage("spare").num_threads() > 4  # its networks have threads
    except AssertionError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_movement_under_way_comes_out_once(how: signal.Signals, tmp_path: Path) -> None:
    for attempt in range(4):  # on a loaded machine frames are lost without us: then it says nothing
        truth = tmp_path / f"truth{attempt}.jsonl"
        options = ("--camera", "demo:5", "--fps", str(FPS), "--size", "320x240", "--truth", str(truth))
        run = Run(tmp_path, *options, name=f"run{attempt}")
        run.wait_for(lambda lines: bool(lines))
        spot = counters(run)
        wait_until(lambda r=run: spare(r))
        wait_until(lambda s=spot: open_frames(s) > 8)
        at = spot.get("last_number")
        run.stage("spot").send_signal(how)
        run.wait_for(has("stage back", "spot"))
        wait_until(lambda s=spot, a=at: s.get("last_number") > a + FPS)
        run.signal(signal.SIGINT)
        code, errors = run.end()
        assert (code, errors) == (0, "")
        summary = assert_balanced(run.lines())
        assert summary["restarts"] == 1
        assert left_behind(run.child.pid) == []
        apexes = [json.loads(line)["apex"] for line in truth.read_text().splitlines() if '"apex"' in line]
        (under_way,) = [apex for apex in apexes if at - FPS < apex < at + 0.3 * FPS][-1:]
        if sum(summary["frames_dropped"].values()) == 0:
            break
    assert summary["frames_dropped"] == {"camera": 0, "ring": 0, "spotter": 0, "reconnect": 0}
    near = [event for event in run.of_type("event") if event["onset"] <= under_way <= event["offset"] + 0.1 * FPS]
    assert len(near) == 1
    spans = sorted((event["onset"], event["offset"]) for event in run.of_type("event"))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans)), "nothing told twice"
    if how is signal.SIGSTOP:
        whats = [line["what"] for line in run.of_type("notice") if line["detail"].startswith("spot")]
        assert whats == ["stage stalls", "stage hangs", "stage restarted", "stage back"]
        assert summary["stages"]["spot"]["stalls"] == 1
