"""The whole program on recordings: one played live whose capture process is killed, a session with holes."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from _recordings import write_video
from _session import Run, assert_balanced, left_behind

from realtime.session.write import Recorder
from realtime.types import SourceInfo

COUNT, FPS = 600, 40.0


def number_in(picture: np.ndarray) -> int:
    """The number that ``numbered`` has painted: 12 bits, a bar each."""
    bars = picture[60, 10::20][:12] > 128
    return int(sum(1 << bit for bit, on in enumerate(bars) if on))


def numbered(count: int) -> np.ndarray:
    """(count, 120, 240) uint8, each picture tells its number."""
    bits = np.arange(count)[:, None] >> np.arange(12) & 1
    return np.repeat(np.repeat((bits * 255).astype(np.uint8)[:, None], 120, 1), 20, 2)


def test_a_session_is_analysed_with_its_own_numbers_and_times(tmp_path: Path) -> None:
    """Granted 100 fps, delivering 50, with holes: these are the gaps, and time is the camera's."""
    numbers = [n for n in range(200) if not 40 <= n < 60 and n != 150]
    info = SourceInfo(source="0", kind="camera", width=240, height=120, fps=100.0)
    recorder = Recorder(str(tmp_path), "session", info, 100.0, "raw")
    for n in numbers:
        recorder.write(numbered(200)[n], n, 10**12 + 20_000_000 * n, 0)
    recorder.close()
    run = Run(tmp_path, "--camera", str(tmp_path / "session"), "--duration", "3.5")
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    gaps = [(gap["first"], gap["last"], gap["cause"]) for gap in run.of_type("gap")]
    assert gaps == [(40, 59, "camera"), (150, 150, "camera")]
    assert summary["frames_captured"] == 175, "3.5 s of the camera's time at the 50 fps that it delivered"
    assert summary["ended"] == "--duration"


def test_a_live_recording_goes_on_where_it_was(tmp_path: Path) -> None:
    """Its capture process is killed: what was due meanwhile is a gap, and numbers stay those of the file."""
    clip = write_video(tmp_path / "clip.avi", numbered(COUNT), "MJPG", FPS)
    kept = tmp_path / "kept"
    run = Run(tmp_path, "--camera", str(clip), "--live", "--record", str(kept))
    run.wait_for(lambda lines: any(line["type"] == "session" for line in lines))
    time.sleep(1.0)
    run.stage("capture").kill()
    run.wait_for(lambda lines: any(line.get("what") == "stage back" for line in lines))
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert (summary["ended"], summary["restarts"]) == ("end of source", 1)
    assert summary["frames_captured"] == COUNT
    (gap,) = [line for line in run.of_type("gap") if line["cause"] == "reconnect"]
    assert gap["first"] > 0
    (folder,) = kept.iterdir()
    rows = np.loadtxt(folder / "frames.csv", np.int64, delimiter=",", skiprows=1)
    video = cv2.VideoCapture(str(folder / "frames.mkv"))
    seen = [number_in(video.read()[1][..., 0]) for _ in rows]
    assert seen == rows[:, 0].tolist()
    assert max(seen) > gap["last"], "it went on after the gap"
    steps = np.diff(rows[:, 1]) / np.diff(rows[:, 0])
    assert np.abs(steps - 1e9 / FPS).max() < 1000, "times are those of the file, before and after"
    assert left_behind(run.child.pid) == []
