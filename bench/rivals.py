"""Other people's spotters (`offline.rivals`) on generated clips: F1 and false events, by set.

    python bench/rivals.py [--sets tuning-1.5px,tuning-distractors,…] [--fps 200] [--seconds N] [--json FILE]

The clips and the rule of a hit are those of ``bench/spotting.py``, so that the rows may stand beside its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import clips
from _harness import ROOT, machine, write_json

from offline.evaluation.megc import hits
from offline.rivals import RIVALS
from realtime.vision.face.landmarks import FaceMesh


class Drawing:
    """A clip's frames one by one, and the time that drawing them took (it is not the spotter's)."""

    def __init__(self, clip: clips.ClipSpec) -> None:
        self.clip, self.spent_s = clip, 0.0

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        frames = self.clip.frames()
        while True:
            begun = time.perf_counter()
            frame = next(frames, None)
            self.spent_s += time.perf_counter() - begun
            if frame is None:
                return
            yield frame


def run_set(name: str, fps: float, seconds: float | None) -> dict[str, dict[str, float | int | None]]:
    """Every rival over one set of clips; each is given the frames anew, and its own landmarks."""
    rows = {}
    specs = clips.clip_set(name, fps, seconds)
    for rival, spot_clip in RIVALS.items():
        marked = matched = found = 0
        spent_s = 0.0
        for clip in specs:
            drawing, mesh = Drawing(clip), FaceMesh()
            begun = time.perf_counter()
            events = spot_clip(drawing, clip.fps, mesh.detect)
            spent_s += time.perf_counter() - begun - drawing.spent_s
            mesh.close()
            truth = [(e.onset, e.offset) for e in clip.truth()]
            marked, found = marked + len(truth), found + len(events)
            matched += len(hits([one[:2] for one in events], truth))
        total_s = sum(clip.seconds for clip in specs)
        rows[rival] = {
            "events": marked,
            "hits": matched,
            "found": found,
            "f1": 2 * matched / (marked + found) if marked else None,
            "false_per_minute": 60 * (found - matched) / total_s,
            "ms_per_frame": 1000 * spent_s / sum(clip.count for clip in specs),
        }
    return rows


def table(results: dict[str, dict[str, dict[str, float | int | None]]]) -> Table:
    out = Table("set", "rival", "events", "hits", "found", "F1", "false/min", "ms/frame", title="Rivals (IoU ≥ 0.5)")
    for name, rows in results.items():
        for rival, row in rows.items():
            counts = [str(row[key]) for key in ("events", "hits", "found")]
            figures = [row["f1"], row["false_per_minute"], row["ms_per_frame"]]
            out.add_row(name, rival, *counts, *("—" if v is None else f"{v:.2f}" for v in figures))
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", default="tuning-1.5px,tuning-3.0px,tuning-distractors")
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, help="length of each clip, instead of the set's own")
    parser.add_argument("--json", default=str(ROOT / "bench" / "results" / "rivals.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results = {name: run_set(name, options.fps, options.seconds) for name in options.sets.split(",")}
    Console().print(table(results))
    write_json(options.json, {"fps": options.fps, "seconds": options.seconds, "sets": results, "machine": machine()})


if __name__ == "__main__":
    main()
