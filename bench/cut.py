"""Clips as the data sets give them out: cut around one movement. ``python bench/cut.py [--split heldout]``.

The clips ``real-60fps`` and ``real-200fps`` of the living suite, cut around each of their micro-expressions: from so
long before the onset to so long after the offset, each cut as a recording of its own. Found is what overlaps the true
movement with IoU ≥ 0.5 *and* is called micro.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import living
import numpy as np
import numpy.typing as npt
from _clip_store import read
from _harness import ROOT, machine, write_json
from rich.console import Console
from rich.table import Table

from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.spotting.face_meter import FaceMeter

FACTORS = ("real-60fps", "real-200fps")
BEFORE_S = (0.0, 0.05, 0.1, 0.25, 0.5)
AFTER_S = (0.0, 0.3)
IOU = 0.5


def spot(frames: npt.NDArray[np.uint8], first: int, fps: float) -> list[SpotEvent]:
    """Events of a recording (T, H, W) uint8 whose first frame has this number."""
    meter = FaceMeter(SpotSettings(), fps)
    try:
        found: list[SpotEvent] = []
        for number, frame in enumerate(frames, first):
            found += meter.process(frame, number, round(number * 1e9 / fps))[1]
        return found + meter.flush()
    finally:
        meter.close()


def overlap(event: SpotEvent, onset: int, offset: int) -> float:
    """IoU of an event and a true movement."""
    shared = min(event.offset, offset) - max(event.onset, onset)
    return max(0, shared) / (max(event.offset, offset) - min(event.onset, onset))


def of_clip(clip: living.SuiteClip) -> dict[tuple[float, float], list[bool]]:
    """By (before, after), s: of each movement whether it is found."""
    fps, truth = clip.settings.fps, clip.clip().truth.moves
    with clip.kept() as path:
        frames = np.array(list(read(path)))
    found: dict[tuple[float, float], list[bool]] = {}
    for before_s in BEFORE_S:
        for after_s in AFTER_S:
            for move in truth:
                first, last = round(move.onset - before_s * fps), round(move.offset + after_s * fps)
                if move.kind != "micro" or first < 0 or last >= len(frames):
                    continue
                events = spot(frames[first : last + 1], first, fps)
                hit = any(e.kind == "micro" and overlap(e, move.onset, move.offset) >= IOU for e in events)
                found.setdefault((before_s, after_s), []).append(hit)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=living.SPLITS, default="heldout")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "cut.json")
    arguments = parser.parse_args(argv)
    stamp, console = machine(), Console(width=110)
    rows: list[dict[str, Any]] = []
    for factor in FACTORS:
        merged: dict[tuple[float, float], list[bool]] = {}
        for clip in living.suite(arguments.split, [factor]):
            for key, hits in of_clip(clip).items():
                merged.setdefault(key, []).extend(hits)
            console.print(f"{clip.name} done", style="dim")
        rows += [
            {"factor": factor, "before_s": before, "after_s": after, "clips": len(hits), "found": sum(hits)}
            for (before, after), hits in merged.items()
        ]
    show(rows, console)
    result = {"split": arguments.split, "iou": IOU, "rows": rows, "machine": stamp}
    console.print(f"written: {write_json(arguments.json, result)}")
    return 0


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """A line a kind of cut."""
    table = Table("", "before the onset, s", "after the offset, s", "found, called micro", box=None)
    for row in rows:
        table.add_row(row["factor"], f"{row['before_s']:g}", f"{row['after_s']:g}", f"{row['found']} of {row['clips']}")
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
