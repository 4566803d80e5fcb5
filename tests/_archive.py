"""Archives that the tests make: a demo's frames, trees of them, the command and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

ROOT = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=2)
def demo(count: int, seed: int = 5, fps: float = 200.0) -> np.ndarray:
    """(count, 360, 480) uint8."""
    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(), seed, (480, 360), fps)
    renderer.prepare()
    frames = np.empty((count, 360, 480), np.uint8)
    for number in range(count):
        renderer.render(number, frames[number])
    return frames


def command(data: Path, out: Path, *more: str) -> list[str]:
    named = ["--dataset", "folder", "--data", str(data), "--out", str(out)]
    return [sys.executable, "-m", "offline.spot", *named, *more]


def spot(data: Path, out: Path, *more: str) -> tuple[int, str]:
    """Exit code and standard error."""
    done = subprocess.run(command(data, out, *more), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def index(out: Path) -> dict[str, dict[str, Any]]:
    """The rows by path."""
    rows = pyarrow.parquet.read_table(out / "index.parquet").to_pylist()
    found = {row["path"]: row for row in rows}
    assert len(found) == len(rows), "a recording stands in two rows"
    return found


def states(out: Path) -> dict[str, str]:
    return {path: row["state"] for path, row in index(out).items()}


def files(out: Path) -> dict[str, int]:
    """Everything below `out`, and when it was written."""
    return {str(file.relative_to(out)): os.stat(file).st_mtime_ns for file in out.rglob("*") if file.is_file()}
