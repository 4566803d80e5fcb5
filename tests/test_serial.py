"""A recording in one process tells what ``merealtime --camera FILE --events …`` tells; videos: ``test_archive.py``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from _archive import demo
from _recordings import write_video
from _same_log import told
from _session import Run

from realtime import config, serial
from realtime.errors import MerealtimeError, SourceError
from realtime.sinks.events import EventLog


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    serial.prepare_process()
    return demo(500)


def analysed(source: Path, log: Path, **settings: object) -> serial.Done:
    done = serial.Done()
    overrides = {"source.camera": str(source), **{key.replace("__", "."): value for key, value in settings.items()}}
    serial.analyse(config.load(None, overrides), [EventLog(str(log))], done)
    return done


def in_processes(source: Path, folder: Path, *options: str) -> Path:
    run = Run(folder, "--camera", str(source), *options, name="session")
    code, errors = run.end()
    assert code == 0, errors
    return run.events


@pytest.mark.slow
def test_images_with_holes(frames: np.ndarray, tmp_path: Path) -> None:
    """Unreadable ones are gaps and notices, the rate is the user's, a limit ends it early, two faces are asked for."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, frame in enumerate(frames[:500]):
        cv2.imwrite(str(folder / f"{number}.jpg"), frame)
    for number in (100, 101, 300):
        (folder / f"{number}.jpg").write_bytes(b"no image")
    done = analysed(folder, tmp_path / "serial.jsonl", source__fps=200.0, source__frames=450, spot__faces=2)
    log = told(tmp_path / "serial.jsonl")
    session = told(in_processes(folder, tmp_path, "--fps", "200", "--frames", "450", "--faces", "2"))
    for told_by in (log, session):  # where frames are missing, how many were counted so far depends on when
        del told_by["session"][0]["fps_measured"]
    assert log == session
    assert [(gap["first"], gap["count"]) for gap in log["gap"]] == [(100, 2), (300, 1)]
    assert done.dropped == 3
    assert log["summary"][0]["ended"] == "--frames"


def test_a_recording_that_breaks_off_keeps_its_lines(frames: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, frame in enumerate(frames[:60]):
        cv2.imwrite(str(folder / f"{number}.png"), frame if number < 50 else frame[:200])
    with pytest.raises(SourceError, match=r"50\.png: 480x200"):
        analysed(folder, tmp_path / "serial.jsonl", source__fps=200.0)
    lines = [json.loads(text) for text in (tmp_path / "serial.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines][:1] == ["session"]
    assert lines[-1]["frames_analysed"] == 50
    assert any(line["type"] == "notice" and line["what"] == "failed" for line in lines)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is live"):
        analysed(Path("demo:3"), tmp_path / "serial.jsonl")
    assert not (tmp_path / "serial.jsonl").exists()


def test_a_full_disk_is_a_failure(frames: np.ndarray, tmp_path: Path) -> None:
    class Full(EventLog):
        def line(self, line: object) -> None:
            raise OSError(28, "No space left on device")

    video = write_video(tmp_path / "clip.mkv", frames[:30], "FFV1")
    with pytest.raises(MerealtimeError, match="No space left"):
        serial.analyse(
            config.load(None, {"source.camera": str(video)}), [Full(str(tmp_path / "log.jsonl"))], serial.Done()
        )
