"""A recording that is played again waits for its recorder too: every frame is kept. Whole sessions, real processes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from _recordings import read_all
from _session import Run, assert_balanced, left_behind
from test_event_clips import FPS, FRAMES, INFO, add, at
from test_event_clips import clip as check_clip

from realtime.session import clips
from realtime.session.clips import ClipRecorder

SMALL_RING = ("--set", "ring.seconds=0.1", "--set", "ring.min_slots=16")
"""Twenty frames: a recorder that is not waited for loses most."""


def play(clip: str, folder: Path, kept: Path, *options: str) -> Run:
    words = ("--camera", clip, "--fps", "200", "--record", str(kept), "--set", "runtime.restart_window_s=600")
    return Run(folder, *words, *SMALL_RING, *options)


def recorder_of(run: Run, frames: int = 1) -> psutil.Process:
    """The recorder, once it has kept so many frames, or, where it keeps clips, is about to look at the first."""
    kept, deadline = run.events.parent / "kept", time.monotonic() + 60
    while True:
        tables = [path.read_bytes().count(b"\n") - 1 for path in kept.glob("*/frames.csv")]
        if any(count >= frames for count in tables) or any(kept.glob("*/clips")):
            return run.stage("record")
        assert run.child.poll() is None, run.child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def slow_down(recorder: psutil.Process) -> None:
    """Stopped and let go again and again: it has a small part of the time that the spotter has."""
    for _ in range(15):
        if recorder.status() == psutil.STATUS_ZOMBIE:
            return
        recorder.suspend()
        time.sleep(0.08)
        recorder.resume()
        time.sleep(0.01)


def check_whole(run: Run, clip: str, kept: Path) -> list[dict[str, Any]]:
    """Each frame of the clip, once, bit for bit."""
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    (folder,) = kept.iterdir()
    _, stamps, pictures, notices = read_all(folder)
    _, own, frames, _ = read_all(clip, fps=200.0)
    assert [stamp.number for stamp in stamps] == list(range(len(own)))
    assert [stamp.t_ns for stamp in stamps] == [stamp.t_ns for stamp in own]
    np.testing.assert_array_equal(pictures, frames)
    assert notices == []
    said = summary["recording"]
    assert (said["frames"], said["readable"], said["dropped"]) == (len(own), len(own), 0)
    assert left_behind(run.child.pid) == []
    return run.of_type("notice")


def test_a_recorder_that_is_slow_is_waited_for(clip: str, tmp_path: Path) -> None:
    run = play(clip, tmp_path, tmp_path / "kept")
    slow_down(recorder_of(run))
    notices = check_whole(run, clip, tmp_path / "kept")
    assert "recording lost frames" not in {notice["what"] for notice in notices}


def test_a_recorder_that_is_killed_is_waited_for(clip: str, tmp_path: Path) -> None:
    """Its successor goes on behind the last frame that is in the file: none is lost, none comes twice."""
    run = play(clip, tmp_path, tmp_path / "kept")
    recorder_of(run, frames=40).kill()
    notices = check_whole(run, clip, tmp_path / "kept")
    assert "stage restarted" in {notice["what"] for notice in notices}


def test_nobody_waits_for_a_recorder_that_is_given_up(clip: str, tmp_path: Path) -> None:
    run = play(clip, tmp_path, tmp_path / "kept", "--set", "runtime.restarts=0")
    recorder_of(run).kill()
    code, errors = run.end()
    assert code == 1
    assert "of 600 frames" in errors
    assert assert_balanced(run.lines())["frames_analysed"] == 600


def test_clips_of_a_slow_recorder_are_whole(clip: str, tmp_path: Path) -> None:
    """The spotter is ahead: an event is known before its frames are read, and no other frame comes into its clip."""
    run = play(clip, tmp_path, tmp_path / "kept", "--record-frames", "events", "--set", "output.record_after_s=0.2")
    slow_down(recorder_of(run))
    code, errors = run.end()
    assert code == 0, errors
    (folder,) = (tmp_path / "kept").iterdir()
    _, stamps, pictures, _ = read_all(clip, fps=200.0)
    events = run.of_type("event")
    assert events
    for event in events:
        _, own, frames, _ = read_all(folder / "clips" / f"event-{event['id']}.mkv")
        first, last = max(0, event["onset"] - 100), min(len(stamps) - 1, event["offset"] + 40)
        assert [stamp.number for stamp in own] == list(range(first, last + 1))
        np.testing.assert_array_equal(frames, pictures[first : last + 1])
    assert run.lines()[-1]["recording"]["dropped"] == 0


def test_an_event_that_is_known_before_its_frames_come(tmp_path: Path) -> None:
    keeper = ClipRecorder(tmp_path, INFO, FPS, "raw", most=300)
    add(keeper, range(20))
    keeper.want(0, at(100), at(150))
    keeper.want(1, at(10), at(30))
    add(keeper, range(20, 200))
    keeper.close()
    check_clip(tmp_path, 0, range(100, 151))
    check_clip(tmp_path, 1, range(10, 31))
    assert keeper.missing == 0


def test_who_can_wait_for_a_disk_that_hangs_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, real = threading.Event(), clips.ClipRecorder._write

    def hanging(self: ClipRecorder, *task: object) -> None:
        go_on.wait()
        real(self, *task)  # type: ignore[arg-type]

    monkeypatch.setattr(clips.ClipRecorder, "_write", hanging)
    keeper = ClipRecorder(tmp_path, INFO, FPS, "raw", most=40, patient=True)
    add(keeper, range(30))
    keeper.want(0, at(0), at(390))
    number = 30
    while not keeper.is_behind:
        add(keeper, range(number, number + 1))
        number += 1
    assert number < 50
    go_on.set()
    for rest in range(number, 391):
        while keeper.is_behind:
            time.sleep(0.001)
        keeper.add(FRAMES[rest].copy(), rest, rest, at(rest), at(rest) + 7)
    assert keeper.close() == 391
    check_clip(tmp_path, 0, range(391))
    assert (keeper.missing, keeper.troubles()) == (0, [])
