"""A session folder as ``--record`` leaves it, made of a short lossless recording of the demo."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from realtime.config import SpotSettings
from realtime.session.pictures import Pictures
from realtime.session.write import Recorder
from realtime.types import SourceInfo
from realtime.vision.face.regions import ROI_NAMES
from realtime.vision.spotting.face_meter import FaceMeter

ROOT = Path(__file__).resolve().parents[1]


def make_session(folder: Path, clip: str) -> Path:
    """Analysed and recorded without loss: frames, log, curves."""
    log = folder / "e.jsonl"
    words = ["--camera", clip, "--fps", "200", "--record", str(folder / "rec"), "--events", str(log), "--view", "none"]
    subprocess.run([sys.executable, "-m", "realtime", *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (session,) = (folder / "rec").iterdir()
    if not (session / "events.jsonl").exists():
        shutil.move(log, session / "events.jsonl")
    if not (session / "curves.parquet").exists():
        write_curves(session)
    return session


def write_curves(session: Path) -> None:
    """``curves.parquet``, measured again from the frames."""
    import pyarrow as pa
    from pyarrow import parquet

    pictures, meter, rows = Pictures(session / "frames.mkv"), FaceMeter(SpotSettings(), 200.0), []
    for number, t_ns in pictures.frames.tolist():
        gray = pictures.picture(number)
        assert gray is not None
        measured, _ = meter.process(gray, number, t_ns)
        assert measured is not None
        rows.append((number, t_ns, measured.face, measured.difference))
    meter.close()
    pictures.close()
    numbers, times, found, values = zip(*rows, strict=True)
    columns = {"frame": numbers, "t_ns": times, "face": np.zeros(len(rows), np.int64), "found": found}
    columns |= dict(zip(ROI_NAMES, np.array(values).T, strict=True))
    parquet.write_table(pa.table(columns), session / "curves.parquet")


def write_clips(session: Path, into: Path) -> Path:
    """The same session, recorded with clips around its events only."""
    (into / "clips").mkdir(parents=True)
    shutil.copy(session / "events.jsonl", into / "events.jsonl")
    pictures = Pictures(session / "frames.mkv")
    for line in map(json.loads, (session / "events.jsonl").read_text().splitlines()):
        if line["type"] != "event":
            continue
        info = SourceInfo(source="clip", kind="recording", width=480, height=360, fps=200.0)
        recorder = Recorder(str(into / "clips"), f"event-{line['id']}", info, 200.0, "raw")
        for number, t_ns in pictures.frames.tolist():
            gray = pictures.picture(number)
            if line["onset"] - 40 <= number <= line["offset"] + 40 and gray is not None:
                recorder.write(gray, number, t_ns, t_ns)
        recorder.close()
        for name, kind in (("frames.mkv", "mkv"), ("frames.csv", "csv")):
            shutil.move(recorder.folder / name, into / "clips" / f"event-{line['id']}.{kind}")
        shutil.rmtree(recorder.folder)
    pictures.close()
    return into
