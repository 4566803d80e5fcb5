"""``--record-frames`` in whole sessions: a clip of each event and nothing else, no frames; a session that is killed."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from _recordings import read_all
from _session import Run, assert_balanced

from realtime.session.curves import ROWS_FILE, read_curves
from realtime.session.load import load


def test_clips_of_a_recording_are_its_frames_bit_for_bit(clip: str, tmp_path: Path) -> None:
    """Onset, offset and edges are the log's; a clip can be analysed again by itself."""
    kept = tmp_path / "kept"
    options = ("--camera", clip, "--fps", "200", "--record", str(kept), "--record-frames", "events")
    run = Run(tmp_path, *options, "--set", "output.record_before_s=0.3", "--set", "output.record_after_s=0.4")
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    events = run.of_type("event")
    assert events
    (folder,) = kept.iterdir()
    names = {f"event-{event['id']}.{kind}" for event in events for kind in ("mkv", "csv")}
    assert {path.name for path in (folder / "clips").iterdir()} == names
    assert not list(folder.glob("frames.*"))
    _, stamps, pictures, _ = read_all(clip, fps=200.0)
    total = 0
    for event in events:
        _, own, frames, notices = read_all(folder / "clips" / f"event-{event['id']}.mkv")
        first, last = max(0, event["onset"] - 60), min(len(stamps) - 1, event["offset"] + 80)
        assert [stamp.number for stamp in own] == list(range(first, last + 1))
        assert [stamp.t_ns for stamp in own] == [stamps[number].t_ns for number in range(first, last + 1)]
        np.testing.assert_array_equal(frames, pictures[first : last + 1])
        assert notices == []
        total += len(frames)
    said = summary["recording"]
    assert (said["frames"], said["readable"], said["dropped"]) == (total, total, 0)
    rows = read_curves(folder)
    np.testing.assert_array_equal(rows["frame"], np.arange(summary["frames_analysed"]))
    peak = max(events[0]["rois"], key=events[0]["rois"].__getitem__)
    around = rows[peak][events[0]["onset"] : events[0]["offset"] + 1]
    assert np.nanmax(around) > 0.8 * events[0]["rois"][peak], "the curve is the one that the event was found in"


def test_a_killed_session_keeps_all_but_the_last_second(tmp_path: Path) -> None:
    """SIGKILL for the whole session: log, curves and frames are there, and are read as of one that ended."""
    kept = tmp_path / "kept"
    run = Run(tmp_path, "--camera", "demo:5", "--fps", "100", "--size", "320x240", "--record", str(kept))
    run.wait_for(lambda lines: any(line["type"] == "session" for line in lines))
    time.sleep(1.5)
    first, recorder = run.lines()[0], run.stage("record")
    run.child.send_signal(signal.SIGKILL)
    killed_ns = time.monotonic_ns()
    run.child.wait(10)
    recorder.wait(10)  # its parent is gone
    (folder,) = kept.iterdir()
    assert (folder / ROWS_FILE).exists()
    rows = read_curves(folder)
    assert len(rows) > 100
    assert killed_ns - rows["t_ns"][-1] < 1e9
    stamps = read_all(folder)[1]
    assert killed_ns - stamps[-1].t_ns < 1e9
    facts = json.loads((folder / "session.json").read_text())
    assert facts["camera"]["source"] == first["source"]
    assert (facts["first_frame"]["number"], facts["first_frame"]["t_ns"]) == (0, first["first_t_ns"])
    since_s = (first["first_t_ns"] + facts["clock"]["utc_minus_monotonic_ns"]) / 1e9
    assert abs(datetime.fromisoformat(facts["first_frame"]["utc"]).timestamp() - since_s) < 1e-3
    assert load(folder).zero_ns == load(folder / "events.jsonl").zero_ns == first["first_t_ns"]
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[0]) == first


def test_curves_without_a_frame(clip: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = ("--camera", clip, "--frames", "150", "--record", str(kept), "--record-frames", "none")
    run = Run(tmp_path, *options)
    code, errors = run.end()
    assert code == 0, errors
    (folder,) = kept.iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "session.json", "source.json", "events.jsonl", "curves.parquet",
    }  # fmt: skip
    assert len(read_curves(folder)) == 150
    assert run.lines()[-1]["recording"]["frames"] == 0
