"""A recording under real faults: a disk that fails or fills, a recorder that is killed or stopped. Real processes."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from _recordings import read_all
from _session import Run, assert_balanced, left_behind

from realtime.session.read import HEADER, readable
from realtime.session.write import Recorder
from realtime.types import SourceInfo

SIZE = (320, 240)
FRAME = SIZE[0] * SIZE[1]


def start(folder: Path, kept: Path, *options: str) -> Run:
    size = f"{SIZE[0]}x{SIZE[1]}"
    return Run(folder, "--camera", "demo:5", "--fps", "100", "--size", size, "--record", str(kept), *options)


def running(lines: list[dict[str, Any]]) -> bool:
    return any(line["type"] == "session" for line in lines)


def has(what: str, count: int = 1) -> Any:
    return lambda lines: sum(line.get("what") == what for line in lines) >= count


def check(run: Run, kept: Path, code: int) -> tuple[dict[str, Any], np.ndarray]:
    """What is said is what is there: the summary, the files, and what a replay gets."""
    left, errors = run.end()
    assert left == code, errors
    summary = assert_balanced(run.lines())
    said = summary["recording"]
    (folder,) = kept.iterdir()
    _, stamps, pictures, notices = read_all(folder)
    assert said["frames"] == said["readable"] == len(stamps) == readable(folder)
    assert [what for what, _ in notices] == []
    numbers = np.array([stamp.number for stamp in stamps])
    assert (np.diff(numbers) > 0).all()
    assert len(pictures) == len(numbers)
    assert left_behind(run.child.pid) == []
    assert ("recording has" in errors or "runtime.restarts" in errors) == (code == 1)
    return summary, numbers


def test_a_disk_that_fails_for_a_while_is_told_and_what_is_there_is_whole(tmp_path: Path) -> None:
    """The kernel refuses to let the files grow, then lets them again (a quota that is raised)."""
    kept = tmp_path / "kept"
    run = start(tmp_path, kept)
    run.wait_for(running)
    time.sleep(1.0)
    recorder = run.stage("record")
    recorder.rlimit(resource.RLIMIT_FSIZE, (30 * FRAME, resource.RLIM_INFINITY))
    run.wait_for(has("recording interrupted"))
    time.sleep(1.0)
    recorder.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run.wait_for(has("recording goes on"))
    time.sleep(1.0)
    run.signal(signal.SIGINT)
    summary, numbers = check(run, kept, code=1)
    assert np.diff(numbers).max() > 50, "a hole while it failed, and it went on"
    assert summary["recording"]["dropped"] > 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_is_full_at_the_start_is_told_at_once_and_used_when_it_has_room(
    small_disk: Path, tmp_path: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(60 << 20))
    run = start(tmp_path, small_disk / "kept")
    run.wait_for(has("disk full"))
    run.wait_for(running)
    time.sleep(0.5)
    filler.unlink()
    run.wait_for(has("disk has space again"))
    time.sleep(1.0)
    run.signal(signal.SIGINT)
    _, numbers = check(run, small_disk / "kept", code=1)
    assert numbers[0] > 0
    assert len(numbers) > 20


@pytest.mark.parametrize("form", ["raw", "ffv1"])
def test_a_killed_recorder_goes_on_in_the_same_session(form: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run = start(tmp_path, kept, "--set", f"output.record_format={form}")
    run.wait_for(running)
    time.sleep(1.0)
    run.stage("record").kill()
    run.wait_for(has("stage back"))
    time.sleep(1.0)
    run.signal(signal.SIGINT)
    summary, numbers = check(run, kept, code=0)
    assert summary["restarts"] == 1
    never_came = summary["frames_dropped"]["camera"]
    assert summary["recording"]["dropped"] == summary["frames_captured"] - never_came - len(numbers)
    assert numbers[-1] == summary["frames_captured"] - 1, "it went on to the end"
    assert [gap for gap in run.of_type("gap") if gap["cause"] == "reconnect"] == []


def test_a_recorder_that_dies_again_and_again_is_told_and_the_session_goes_on(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run = start(tmp_path, kept, "--set", "runtime.restarts=0")
    run.wait_for(running)
    time.sleep(0.5)
    run.stage("record").kill()
    run.wait_for(has("recording ended"))
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    summary, numbers = check(run, kept, code=1)
    assert 0 < len(numbers) < summary["frames_captured"]


@pytest.mark.parametrize("stage", ["spot", "motion", "classify"])
def test_a_recording_goes_on_when_the_analysis_is_out_of_restarts(stage: str, tmp_path: Path) -> None:
    """Loudly, with an exit code at the end, and every frame accounted for."""
    kept = tmp_path / "kept"
    run = start(tmp_path, kept, "--set", "runtime.restarts=0")
    run.wait_for(running)
    time.sleep(0.5)
    run.stage(stage).kill()
    run.wait_for(has("analysis lost"))
    time.sleep(1.5)
    run.signal(signal.SIGINT)
    summary, numbers = check(run, kept, code=1)
    assert summary["ended"] == "SIGINT"
    assert numbers[-1] == summary["frames_captured"] - 1, "recorded to the end"
    assert summary["recording"]["dropped"] == 0


def test_a_stopped_recorder_is_told_within_two_seconds(tmp_path: Path) -> None:
    run = start(tmp_path, tmp_path / "kept")
    run.wait_for(running)
    recorder: psutil.Process = run.stage("record")
    recorder.suspend()
    run.wait_for(has("recording stalls"), timeout_s=4.0)
    recorder.resume()
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    check(run, tmp_path / "kept", code=0)


def test_a_session_folder_cut_off_anywhere_replays(tmp_path: Path) -> None:
    """Each length of the video, of the table: whole frames, the right pictures, and one line where there is none."""
    info = SourceInfo(source="0", kind="camera", width=16, height=12, fps=50.0)
    frames = np.random.default_rng(1).integers(0, 256, (6, 12, 16), np.uint8)
    recorder = Recorder(str(tmp_path), "one", info, 50.0, "raw")
    for number, frame in enumerate(frames):
        recorder.write(frame, number, 10**12 + number * 20_000_000, 0)
    video, table = tmp_path / "one" / "frames.mkv", tmp_path / "one" / "frames.csv"
    whole, rows = video.read_bytes(), table.read_bytes()
    assert rows.count(b"\n") == 7, "a kill at any moment leaves a row for each frame"
    recorder.close()
    begin = len(whole) - 6 * (16 * 12 + 35)
    for length in range(begin + 227, len(whole) + 1, 13):
        video.write_bytes(whole[:length])
        count = (length - begin) // 227
        assert readable(tmp_path / "one") == count
        _, stamps, pictures, _ = read_all(tmp_path / "one")
        assert [stamp.number for stamp in stamps] == list(range(count))
        np.testing.assert_array_equal(pictures, frames[:count])
        again = Recorder(str(tmp_path), "one", info, 50.0, "raw")
        assert again.written == count
        again.write(frames[0], 40, 10**12 + 40 * 20_000_000, 0)
        assert again.close() == count + 1
        assert [stamp.number for stamp in read_all(tmp_path / "one")[1]] == [*range(count), 40]
        table.write_bytes(rows)
    video.write_bytes(whole)
    for length in range(len(HEADER) + 1, len(rows), 7):
        table.write_bytes(rows[:length])
        _, stamps, _, _ = read_all(tmp_path / "one")
        assert [stamp.number for stamp in stamps] == list(range(6))
