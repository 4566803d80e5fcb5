"""What a frame costs in the spotter when several faces are followed: ``--faces N``.

    python bench/faces.py [--faces 3] [--blocks 15]

Pictures of one size with 1, 2, … generated faces, and for each a meter that follows them all; they take turns, a block
of frames each. Wall-clock time is that of a recording, which waits for the landmark network; CPU time counts its thread
too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._harness import ROOT, machine, summary_ms, write_json
from realtime.config import SpotSettings
from realtime.synthesis import FaceRenderer, Portrait
from realtime.vision.spotting.crowd import Meter, make_meter

FPS = 200.0
BLOCK = 100
"""Frames that a meter takes in its turn: five landmark requests."""
WARM_UPS = 2
"""Blocks that don't count."""
WIDTH = 300
"""px of the picture a face; the face is 145 px wide."""


def pictures(faces: int, width: int) -> list[np.ndarray]:
    """A block of frames (480, width) uint8, with so many faces side by side and nothing beside them."""
    renderers = [FaceRenderer(Portrait.packaged(), seed=seed) for seed in range(faces)]
    frame = np.empty((480, 640), np.uint8)
    frames = [np.full((480, width), 110, np.uint8) for _ in range(BLOCK)]
    for k, renderer in enumerate(renderers):
        left = round(float(renderer.landmarks(0)[:, 0].mean())) - WIDTH // 2
        for number, picture in enumerate(frames):
            renderer.render(number, frame)
            picture[:, k * WIDTH : (k + 1) * WIDTH] = frame[:, left : left + WIDTH]
    return frames


def to_and_fro(frames: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Without end, and without a jump."""
    while True:
        yield from frames
        yield from reversed(frames)


class Case:
    """One meter on its way through the frames."""

    def __init__(self, faces: int, frames: list[np.ndarray]) -> None:
        self.meter: Meter = make_meter(SpotSettings(faces=faces), FPS)
        self.meter.warm_up(*frames[0].shape)
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self._frames = to_and_fro(frames)
        self._number = 0

    def run_block(self) -> None:
        """Take a block of frames; note what a frame cost."""
        wall, cpu = time.perf_counter(), time.process_time()
        for frame in (next(self._frames) for _ in range(BLOCK)):
            seen, _ = self.meter.process(frame, self._number, round(self._number * 1e9 / FPS))
            self._number += 1
        self.wall_ms.append((time.perf_counter() - wall) * 1e3 / BLOCK)
        self.cpu_ms.append((time.process_time() - cpu) * 1e3 / BLOCK)
        assert seen is not None
        self.in_view = sum(one.face for one in seen.each())

    def row(self) -> dict[str, Any]:
        """The result; the first blocks count in the steps alone."""
        spent = self.meter.timings()
        frames = spent.pop("frames")
        return {
            "followed": self.in_view,
            "wall_ms": summary_ms(self.wall_ms[WARM_UPS:]),
            "cpu_ms": summary_ms(self.cpu_ms[WARM_UPS:]),
            "steps_ms": {step: round(ns / 1e6 / frames, 4) for step, ns in spent.items()},
        }


def show(rows: dict[str, dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table("faces", "followed", "wall ms a frame", "p90", "CPU ms a frame", *rows["1"]["steps_ms"])
    for faces, row in rows.items():
        cells = (row["wall_ms"]["median"], row["wall_ms"]["p90"], row["cpu_ms"]["median"], *row["steps_ms"].values())
        table.add_row(faces, str(row["followed"]), *(f"{value:.2f}" for value in cells))
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=3, help="the most")
    parser.add_argument("--blocks", type=int, default=15, help="blocks of 100 frames that each meter takes")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "faces.json")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)  # as in a session
    stamp = machine()
    width = max(640, arguments.faces * WIDTH)
    cases = {str(faces): Case(faces, pictures(faces, width)) for faces in range(1, arguments.faces + 1)}
    for _ in range(arguments.blocks + WARM_UPS):
        for case in cases.values():
            case.run_block()
    rows = {faces: case.row() for faces, case in cases.items()}
    for case in cases.values():
        case.meter.close()
    console = Console(width=120)
    console.print(f"{width}x480, {arguments.blocks} blocks of {BLOCK} frames; steps: mean ms a frame")
    show(rows, console)
    result = {"size": f"{width}x480", "fps": FPS, "faces": rows, "machine": stamp}
    console.print(f"written: {write_json(arguments.json, result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
