"""The whole program on real sources: what it writes, how it ends, what it survives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from _session import ROOT, STAGES, Run, assert_balanced, left_behind
from fakev4l2 import FakeCamera, build

MEDIA = ROOT.parent / "shared" / "media"
TIMES = ("latency_ms",)
QUICK = ("--camera", "demo", "--fps", "60", "--size", "320x240")


def test_lossless_recording_twice_gives_the_same_events(clip: str, tmp_path: Path) -> None:
    runs = [Run(tmp_path, "--camera", clip, name=name) for name in ("first", "second")]  # side by side
    logs = []
    for run in runs:
        code, errors = run.end()
        assert code == 0, errors
        summary = assert_balanced(run.lines())
        assert summary["frames_captured"] == summary["frames_analysed"] == 600
        assert summary["ended"] == "end of source"
        logs.append([{k: v for k, v in e.items() if k not in TIMES} for e in run.of_type("event")])
        assert left_behind(run.child.pid) == []
    assert json.dumps(logs[0]) == json.dumps(logs[1])


_POISON = """
import sys
if sys.orig_argv[-1] == "motion":
    from realtime.vision.features import maps
    whole, calls = maps.feature_map, []
    def feature_map(*given):
        calls.append(1)
        if len(calls) == 3:  # two are the warm-up's
            raise ValueError("a poisoned event")
        return whole(*given)
    maps.feature_map = feature_map
"""


def test_an_event_that_cannot_be_classified_ends_nothing(clip: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_POISON)
    run = Run(tmp_path, "--camera", clip, PYTHONPATH=str(tmp_path))
    code, errors = run.end()
    assert (code, errors) == (0, "")
    lines = run.lines()
    notices = {line["what"]: line["detail"] for line in lines if line["type"] == "notice"}
    assert notices["event not classified"] == "event 0, motion: ValueError: a poisoned event"
    assert not {"stage restarted", "events lost", "drain cut short"} & set(notices)
    assert 0 not in [line["id"] for line in run.of_type("event")]
    assert lines[-1]["restarts"] == 0
    assert lines[-1]["ended"] == "end of source"


@pytest.mark.slow
def test_dense_mode_tells_strain_and_changes_no_event(clip: str, tmp_path: Path) -> None:
    zmq = pytest.importorskip("zmq")
    endpoint = f"ipc://{tmp_path}/publish"
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"tick")
    subscriber.connect(endpoint)
    plain = Run(tmp_path, "--camera", clip, name="plain")
    assert plain.end()[0] == 0
    options = ("--set", "flow.dense=true", "--set", "output.tick_hz=200", "--publish", endpoint)
    dense = Run(tmp_path, "--camera", clip, *options, name="dense")
    code, errors = dense.end()
    assert (code, errors) == (0, "")
    logs = [[{k: v for k, v in e.items() if k not in TIMES} for e in r.of_type("event")] for r in (plain, dense)]
    assert logs[0] == logs[1] != []
    ticks = []
    while subscriber.poll(200):
        ticks.append(json.loads(subscriber.recv_multipart()[1]))
    context.destroy(linger=0)
    measured = [tick for tick in ticks if tick.get("strain")]
    # another process' frame, by another way: it may come before the tick of the same frame
    frames = [tick["dense_frame"] for tick in measured]
    assert frames == sorted(frames)
    assert set(frames) <= set(range(600))
    assert all(set(tick["strain"]) == set(tick["flow"]) == set(tick["difference"]) for tick in measured)
    figures = dense.lines()[-1]["stages"]["motion"]
    assert 0 < figures["dense_frames"] <= figures["dense_frames"] + figures["dense_dropped"] <= 600
    assert left_behind(dense.child.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_the_session_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    run = Run(tmp_path, *QUICK)
    run.wait_for(lambda lines: bool(lines))
    assert {run.stage(name).name()[:15] for name in STAGES} == {f"merealtime-{n}"[:15] for n in STAGES}
    run.signal(number)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["ended"] == number.name
    assert left_behind(run.child.pid) == []


def test_duration_and_record_and_publish(tmp_path: Path) -> None:
    zmq = pytest.importorskip("zmq")
    endpoint = f"ipc://{tmp_path}/publish"
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"")
    subscriber.connect(endpoint)
    folder = tmp_path / "kept"
    options = (*QUICK, "--duration", "1.5")
    run = Run(tmp_path, *options, "--record", str(folder), "--publish", endpoint)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["ended"] == "--duration"
    assert 1.0 < summary["seconds"] <= 1.6
    _check_recording(folder, summary)
    _check_publication(subscriber)
    context.destroy(linger=0)
    assert left_behind(run.child.pid) == []


def _check_recording(folder: Path, summary: dict) -> None:
    (kept,) = folder.iterdir()
    rows = (kept / "frames.csv").read_text().splitlines()
    assert rows[0] == "number,t_ns,captured_ns"
    assert len(rows) - 1 == summary["recording"]["frames"]
    in_ring = summary["frames_captured"] - summary["frames_dropped"]["camera"]
    assert summary["recording"]["frames"] + summary["recording"]["dropped"] == in_ring
    video = cv2.VideoCapture(str(kept / "frames.mkv"))
    read = 0
    while video.grab():
        read += 1
    assert read == summary["recording"]["frames"]


def _check_publication(subscriber) -> None:  # type: ignore[no-untyped-def]
    seen: dict[str, list[int]] = {}
    while subscriber.poll(200):
        topic, body = subscriber.recv_multipart()
        content = json.loads(body)
        assert content["type"] == topic.decode()
        seen.setdefault(content["type"], []).append(content["seq"])
    assert seen["session"] == [0]
    assert seen["summary"] == [0]
    assert seen["tick"] == list(range(seen["tick"][0], seen["tick"][-1] + 1))
    assert len(seen["tick"]) >= 10


@pytest.mark.slow
def test_a_killed_supervisor_leaves_nothing_for_long(tmp_path: Path) -> None:
    run = Run(tmp_path, *QUICK)
    run.wait_for(lambda lines: bool(lines))
    stages = [run.stage(name) for name in STAGES]
    run.signal(signal.SIGKILL)
    run.child.communicate()
    assert psutil.wait_procs(stages, timeout=5)[1] == []
    assert left_behind(run.child.pid) != []
    after = Run(tmp_path, *QUICK, "--frames", "10", name="after")
    assert after.end()[0] == 0
    assert left_behind(run.child.pid) == []
    assert any(notice["what"] == "swept" for notice in after.of_type("notice"))


def test_killed_stages_are_started_again(tmp_path: Path) -> None:
    """One after the other, in one session: each comes back, and the account of frames stays exact."""
    run = Run(tmp_path, *QUICK)
    run.wait_for(lambda lines: bool(lines))
    for stage in STAGES:
        run.stage(stage).kill()
        for what in ("stage restarted", "stage back"):
            run.wait_for(lambda lines, w=what, s=stage: any(_is_notice(line, w, s) for line in lines))
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["restarts"] == len(STAGES)
    assert summary["frames_dropped"]["reconnect"] > 0  # while capture was gone
    assert left_behind(run.child.pid) == []


def _is_notice(line: dict, what: str, stage: str) -> bool:
    return line.get("what") == what and line["detail"].startswith(stage)


@pytest.mark.parametrize("stage", ["spot", pytest.param("capture", marks=pytest.mark.slow)])
def test_a_stage_killed_in_a_lossless_run_costs_no_frame(stage: str, clip: str, tmp_path: Path) -> None:
    longer = str(tmp_path / "longer.mkv")
    _repeat(clip, longer, times=5)
    undisturbed = Run(tmp_path, "--camera", longer, name="undisturbed")
    assert undisturbed.end()[0] == 0
    for attempt in range(5):  # a loaded machine may let the run end before the kill: then try again
        run = Run(tmp_path, "--camera", longer, "--set", "ring.seconds=0.1", name=f"run{attempt}")
        run.wait_for(lambda lines: bool(lines))
        with contextlib.suppress(AssertionError, psutil.Error):
            run.stage(stage).kill()
        code, errors = run.end()
        assert code == 0, errors
        summary = assert_balanced(run.lines())
        if summary["restarts"]:
            break
    assert summary["restarts"] == 1
    assert summary["frames_captured"] == summary["frames_analysed"] == 3000
    logs = [[{k: v for k, v in e.items() if k not in TIMES} for e in r.of_type("event")] for r in (undisturbed, run)]
    assert len(logs[0]) > 3
    assert logs[1] == logs[0]
    assert left_behind(run.child.pid) == []


def _repeat(clip: str, path: str, times: int) -> None:
    fourcc = cv2.VideoWriter.fourcc(*"Y800")
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, 200.0, (480, 360), False)
    for _ in range(times):
        video = cv2.VideoCapture(clip)
        while (read := video.read())[0]:
            writer.write(np.ascontiguousarray(read[1][..., 0]))
    writer.release()


@pytest.mark.slow
def test_a_hanging_stage_is_killed_and_started_again(tmp_path: Path) -> None:
    patience = ("--set", "runtime.heartbeat_timeout_s=2")
    run = Run(tmp_path, *QUICK, *patience)
    run.wait_for(lambda lines: bool(lines))
    run.stage("motion").suspend()
    run.wait_for(lambda lines: any(line.get("what") == "stage hangs" for line in lines))
    run.wait_for(lambda lines: any(line.get("what") == "stage restarted" for line in lines))
    run.signal(signal.SIGTERM)
    assert run.end()[0] == 0
    assert_balanced(run.lines())
    assert left_behind(run.child.pid) == []


@pytest.mark.slow
def test_restarts_are_bounded(tmp_path: Path) -> None:
    options = (*QUICK, "--set", "runtime.restarts=0")
    run = Run(tmp_path, *options)
    run.wait_for(lambda lines: bool(lines))
    run.stage("classify").kill()
    code, errors = run.end()
    assert code == 1
    assert errors.count("\n") == 1
    assert "classify was killed by SIGKILL" in errors
    assert_balanced(run.lines())
    assert left_behind(run.child.pid) == []


@pytest.mark.slow
def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    options = (*QUICK, "--frames", "60")
    run = Run(tmp_path, *options, "--events", "/dev/full")
    code, errors = run.end()
    assert code == 1
    assert "/dev/full: No space left on device" in errors
    assert left_behind(run.child.pid) == []


@pytest.mark.skipif(not (MEDIA / "single_face.mp4").exists(), reason="shared media are not here")
def test_a_real_recording(tmp_path: Path) -> None:
    run = Run(tmp_path, "--camera", str(MEDIA / "single_face.mp4"))
    code, errors = run.end()
    assert code == 0, errors
    assert assert_balanced(run.lines())["frames_analysed"] == 72
    assert any(notice["what"] == "face found" for notice in run.of_type("notice"))


def test_a_video_without_a_face(tmp_path: Path) -> None:
    path = str(tmp_path / "noise.mkv")
    fourcc = cv2.VideoWriter.fourcc(*"Y800")
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, 100.0, (320, 240), False)
    rng = np.random.default_rng(0)
    for _ in range(80):
        writer.write(rng.integers(100, 130, (240, 320), np.uint8))
    writer.release()
    run = Run(tmp_path, "--camera", path)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["frames_analysed"] == 80
    assert summary["events"] == 0
    assert not any(notice["what"] == "face found" for notice in run.of_type("notice"))


def test_standard_output_may_close(clip: str, tmp_path: Path) -> None:
    run = Run(tmp_path, "--camera", clip, "--view", "plain")
    assert run.child.stdout is not None
    os.close(run.child.stdout.fileno())
    run.child.stdout = None
    code, errors = run.end()
    assert (code, errors) == (0, "")
    assert run.lines()[-1]["type"] == "summary"
    assert left_behind(run.child.pid) == []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fakev4l2"))


def test_an_emulated_camera_with_faults(clip: str, library: Path, tmp_path: Path) -> None:
    """Lost frames are gaps with the exact count; an unplugged camera is found again."""
    camera = FakeCamera(tmp_path, library)
    video = cv2.VideoCapture(clip)
    frames = [read[1][..., 0] for read in iter(video.read, (False, None)) if read[0]][:400]
    camera.serve(np.stack(frames), FPS=100)
    environment = {name: camera.environment[name] for name in camera.environment if name not in os.environ}
    run = Run(tmp_path, "--camera", "0", "--fps", "100", "--size", "480x360", **environment)
    run.wait_for(lambda lines: bool(lines))
    camera.control.put("skip_n", 7)
    run.wait_for(lambda lines: any(line["type"] == "gap" for line in lines))
    camera.control.put("unplugged", 1)
    run.wait_for(lambda lines: any(line.get("what") == "camera gone" for line in lines))
    camera.control.put("unplugged", 0)
    run.wait_for(lambda lines: any(line.get("what") == "camera back" for line in lines))
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    first = run.of_type("gap")[0]
    assert (first["count"], first["cause"]) == (7, "camera")
    assert first["last"] - first["first"] == 6
    assert summary["frames_dropped"]["camera"] == 7
    assert summary["frames_dropped"]["reconnect"] > 0
    assert left_behind(run.child.pid) == []


@pytest.mark.slow
def test_a_recording_of_the_emulated_camera_is_bit_identical(clip: str, library: Path, tmp_path: Path) -> None:
    """Camera → ring → recorder at 200 fps: every frame, whole and in its place."""
    camera = FakeCamera(tmp_path, library)
    video = cv2.VideoCapture(clip)
    frames = np.stack([read[1][..., 0] for read in iter(video.read, (False, None)) if read[0]][:397])
    for number, frame in enumerate(frames):
        frame[0, :2] = divmod(number, 256)  # so that each frame says which it is
    camera.serve(frames, FPS=200)
    environment = {name: camera.environment[name] for name in camera.environment if name not in os.environ}
    options = ("--camera", "0", "--fps", "200", "--size", "480x360", "--duration", "5")
    run = Run(tmp_path, *options, "--record", str(tmp_path / "kept"), **environment)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    (kept,) = (tmp_path / "kept").iterdir()
    rows = np.loadtxt(kept / "frames.csv", delimiter=",", skiprows=1, dtype=np.int64)
    assert len(rows) == summary["recording"]["frames"]
    recorded = cv2.VideoCapture(str(kept / "frames.mkv"))
    first = None
    for number in rows[:, 0]:
        whole, picture = recorded.read()
        assert whole
        gray = picture[..., 0]
        shown = int(gray[0, 0]) * 256 + int(gray[0, 1])
        first = (shown - number) % 397 if first is None else first
        assert shown == (first + number) % 397
        np.testing.assert_array_equal(gray, frames[shown])
    assert np.diff(rows[:, 1]).min() > 0
