"""The whole program on a GigE camera that is not there: the demo's face over loopback, losses, a pulled cable."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from _session import Run, assert_balanced, left_behind
from fakegenicam import LoopbackCamera, aravis_is_here

from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

pytestmark = pytest.mark.skipif(not aravis_is_here(), reason="Aravis is not here: apt install libaravis-0.8-0")
SIZE, FPS, SEED = (480, 360), 100, 2


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[LoopbackCamera]:
    made = LoopbackCamera(tmp_path, "MT8", SIZE, demo=(SEED, FPS))
    yield made
    made.unplug()


def start(folder: Path, *options: str) -> Run:
    return Run(folder, "--camera", "genicam:MT8", "--fps", str(FPS), "--size", "x".join(map(str, SIZE)), *options)


@pytest.mark.slow
def test_the_demo_face_through_a_gige_camera(camera: LoopbackCamera, tmp_path: Path) -> None:
    """Movements are found where the camera showed them, by the times in the log alone; lost frames are exact gaps."""
    run = start(tmp_path, "--duration", "8")
    run.wait_for(lambda lines: bool(lines), timeout_s=150)
    camera.control.put("lose_n", 3)
    code, errors = run.end()
    assert code == 0, errors
    lines = run.lines()
    summary = assert_balanced(lines)
    assert lines[0]["source"] == "genicam:MT8"
    assert lines[0]["fps_granted"] == FPS
    gaps = [gap for gap in run.of_type("gap") if gap["cause"] == "camera"]
    assert any(gap["count"] == camera.control.get("kept_back") == 3 for gap in gaps), gaps
    made_ns = camera.times()
    truth = FaceRenderer(Portrait.packaged(), SynthesisSettings(macro_share=0.15), SEED, SIZE, FPS).schedule
    shown = truth.events_until(len(made_ns))
    found = run.of_type("event")
    kept_up = summary["frames_analysed"] > 0.9 * summary["frames_captured"]
    assert found or not kept_up, "eight seconds hold two movements or so"
    begun: set[int] = {0} if not found else set()
    for event in found:
        onset, offset = (int(np.searchsorted(made_ns, event[f"{part}_t_ns"])) - 1 for part in ("onset", "offset"))
        assert any(onset < true.offset and offset > true.onset for true in shown), (onset, offset)
        begun |= {onset - event["onset"], offset - event["offset"]}
    assert max(begun) - min(begun) <= 2, f"the camera's own count, lost frames and all, to the times' error: {begun}"
    assert left_behind(run.child.pid) == []


@pytest.mark.slow
def test_a_pulled_cable_is_a_gap_and_the_session_goes_on(camera: LoopbackCamera, tmp_path: Path) -> None:
    run = start(tmp_path)
    run.wait_for(lambda lines: bool(lines), timeout_s=150)
    pulled = time.monotonic()
    camera.freeze(True)
    run.wait_for(lambda lines: any(line.get("what") == "camera gone" for line in lines))
    camera.freeze(False)
    run.wait_for(lambda lines: any(line.get("what") == "camera back" for line in lines))
    back_s = time.monotonic() - pulled
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    lost = sum(gap["count"] for gap in run.of_type("gap") if gap["cause"] == "reconnect")
    assert 1.9 * FPS <= lost <= (back_s + 1) * FPS
    numbers = [(gap["first"], gap["last"]) for gap in run.of_type("gap") if gap["cause"] in ("camera", "reconnect")]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(numbers))
    assert abs(summary["frames_captured"] - summary["seconds"] * FPS) < 0.3 * FPS
