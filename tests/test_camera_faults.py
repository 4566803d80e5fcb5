"""The whole program on an emulated camera that goes away for good, counts wildly, or has another clock."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from _session import Run, assert_balanced, left_behind
from fakev4l2 import FakeCamera, build

FPS = 100


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fakev4l2"))


@pytest.fixture
def camera(library: Path, tmp_path: Path) -> FakeCamera:
    made = FakeCamera(tmp_path, library)
    made.serve(np.random.default_rng(0).integers(0, 256, (97, 120, 160), np.uint8), FPS=FPS)
    return made


def start(camera: FakeCamera, *options: str) -> Run:
    environment = {name: text for name, text in camera.environment.items() if os.environ.get(name) != text}
    return Run(camera.folder, "--camera", "0", "--fps", str(FPS), "--size", "160x120", *options, **environment)


def begun(lines: list[dict]) -> bool:
    return any(line["type"] == "session" for line in lines)


def has(run: Run, what: str) -> None:
    run.wait_for(lambda lines: any(line.get("what") == what for line in lines))


def test_time_without_a_camera_at_the_end_is_a_gap(camera: FakeCamera) -> None:
    run = start(camera, "--duration", "4")
    run.wait_for(begun)
    camera.control.put("unplugged", 1)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["ended"] == "--duration"
    assert abs(summary["frames_captured"] - 4 * FPS) <= 0.1 * FPS, "frames that there should have been"
    assert summary["frames_dropped"]["reconnect"] > FPS
    assert left_behind(run.child.pid) == []


def test_one_wild_count_of_the_driver_makes_no_phantom_frames(camera: FakeCamera) -> None:
    run = start(camera)
    run.wait_for(begun)
    camera.control.put("seq_wild", 3372)
    has(run, "camera sequence")
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["frames_captured"] < (summary["seconds"] + 1) * FPS
    assert summary["frames_dropped"]["camera"] < FPS


def test_a_camera_that_comes_back_with_another_clock_loses_the_frames_that_it_lost(camera: FakeCamera) -> None:
    """The driver's clock falls back by 0.8 s while the camera is away for longer than that."""
    run = start(camera)
    run.wait_for(begun)
    camera.control.put("unplugged", 1)
    has(run, "camera gone")
    gone = time.monotonic()
    time.sleep(1.2)
    camera.control.put("ts_jump_ms", -800)
    camera.control.put("unplugged", 0)
    has(run, "camera back")
    away_s = time.monotonic() - gone
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    lost = sum(gap["count"] for gap in run.of_type("gap") if gap["cause"] == "reconnect")
    assert 1.2 * FPS - 5 <= lost <= (away_s + 0.5) * FPS
    assert abs(summary["frames_captured"] - summary["seconds"] * FPS) < 0.3 * FPS


def count_of(run: Run, what: str) -> int:
    return sum(line.get("what") == what for line in run.lines())


def finish(run: Run) -> dict:
    """Ctrl-C: everything adds up, and nothing is left."""
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert (code, errors) == (0, "")
    summary = assert_balanced(run.lines())
    assert summary["ended"] == "SIGINT"
    assert left_behind(run.child.pid) == []
    return summary


def test_a_capture_process_that_comes_back_without_a_camera_waits_for_it(camera: FakeCamera) -> None:
    run = start(camera)
    run.wait_for(begun)
    camera.control.put("unplugged", 1)
    run.stage("capture").kill()
    has(run, "camera gone")
    began = time.monotonic()
    time.sleep(1.0)
    camera.control.put("unplugged", 0)
    has(run, "camera back")
    away_s = time.monotonic() - began
    time.sleep(0.5)
    summary = finish(run)
    lost = sum(gap["count"] for gap in run.of_type("gap") if gap["cause"] == "reconnect")
    assert FPS <= lost <= (away_s + 20) * FPS
    assert abs(summary["frames_captured"] - summary["seconds"] * FPS) < 0.3 * FPS
    assert summary["restarts"] == 1


def test_a_camera_that_stalls_is_told_and_one_that_is_stopped_is_replaced(camera: FakeCamera) -> None:
    """The stall is the camera's, and waited for. A capture process that is stopped stands in the way of live frames."""
    run = start(camera, "--set", "runtime.spare=false")
    run.wait_for(begun)
    camera.control.put("stall_ms", 1200)
    has(run, "camera goes on")
    details = [line["detail"] for line in run.of_type("notice") if line["what"].startswith("camera")]
    assert details[0].startswith("capture: no frame for")
    assert details[1].startswith("capture: was silent for")
    run.stage("capture").suspend()
    has(run, "stage stalls")
    has(run, "stage hangs")
    has(run, "stage back")
    run.stage("motion").suspend()
    run.wait_for(lambda lines: sum(line.get("what") == "stage stalls" for line in lines) == 2)
    time.sleep(1.5)  # no frame waits for it: it is waited for
    run.stage("motion").resume()
    has(run, "stage goes on")
    summary = finish(run)
    assert summary["restarts"] == 1
    assert count_of(run, "stage hangs") == 1
    assert summary["stages"]["capture"]["stalls"] >= 2
    assert summary["stages"]["motion"]["stalls"] == 1
