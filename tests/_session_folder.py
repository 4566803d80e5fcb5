"""Session folders as ``--record`` leaves them, made of a short lossless recording of the demo."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from _recordings import read_all

from realtime.session.pictures import Pictures
from realtime.session.write import Recorder
from realtime.types import SourceInfo

ROOT = Path(__file__).resolve().parents[1]


def record_session(folder: Path, clip: str) -> Path:
    """Log and curves by a session; every frame of the clip by hand, as a recorder that loses none would have it."""
    words = ["--camera", clip, "--fps", "200", "--record", str(folder), "--record-frames", "none", "--view", "none"]
    subprocess.run([sys.executable, "-m", "realtime", *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (session,) = folder.iterdir()
    _, stamps, frames, _ = read_all(clip, fps=200.0)
    info = SourceInfo(source=clip, kind="recording", width=frames.shape[2], height=frames.shape[1], fps=200.0)
    recorder = Recorder(str(folder), session.name, info, 200.0, "raw")
    for stamp, frame in zip(stamps, frames, strict=True):
        recorder.write(frame, stamp.number, stamp.t_ns, stamp.t_ns)
    recorder.close()
    return session


def events_of(session: Path) -> list[dict[str, Any]]:
    """Its events, as they were logged."""
    lines = map(json.loads, (session / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["type"] == "event"]


def without_frames(session: Path, into: Path) -> Path:
    """A copy without any frame."""
    shutil.copytree(session, into, ignore=shutil.ignore_patterns("frames.*"))
    return into


def with_clips_only(session: Path, into: Path) -> Path:
    """A copy with clips of its events in place of the frames."""
    without_frames(session, into)
    pictures = Pictures(session / "frames.mkv")
    height, width = pictures.picture(int(pictures.frames[0, 0])).shape  # type: ignore[union-attr]
    info = SourceInfo(source="clip", kind="recording", width=width, height=height, fps=200.0)
    for event in events_of(session):
        recorder = Recorder(str(into / "clips"), "part", info, 200.0, "raw")
        for number, t_ns in pictures.frames.tolist():
            gray = pictures.picture(number)
            if event["onset"] - 40 <= number <= event["offset"] + 40 and gray is not None:
                recorder.write(gray, number, t_ns, t_ns)
        recorder.close()
        for kind in ("mkv", "csv"):
            (into / "clips" / "part" / f"frames.{kind}").rename(into / "clips" / f"event-{event['id']}.{kind}")
        shutil.rmtree(into / "clips" / "part")
    pictures.close()
    return into
