"""Spotting on generated clips: F1, apex error, false events, delay; by detector and amplitude.

    python bench/spotting.py [--sets tuning-1.5px,heldout-1.5px,…] [--detectors motion,lbp] [--fps 200]
                             [--json bench/results/spotting.json]
    python bench/spotting.py --suite living --split tuning|heldout [--only FACTOR,…] [--jobs 2] [--json …]
                             [--detectors motion,lbp,frame-difference,mdmd]

Without --sets: each amplitude and the distractors, both groups. A hit is a one-to-one match at IoU ≥ 0.5 of inclusive
intervals (MEGC). Only the tuning sets were looked at while the spotter was made.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _living_score
import clips
import living
from _harness import ROOT, machine, write_json

from offline.evaluation.megc import hits
from offline.rivals import RIVALS
from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.spotting.face_meter import FaceMeter

DETECTORS = ("motion", "lbp")
APEX_TOLERANCE_S = 0.015


@dataclass
class Tally:
    """What one detector made of one set."""

    events: int = 0
    hits: int = 0
    found: int = 0
    frames: int = 0
    seconds: float = 0.0
    spent_s: float = 0.0
    apex_error_ms: list[float] = field(default_factory=list)
    delay_ms: list[float] = field(default_factory=list)
    per_clip: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def row(self) -> dict[str, float | int | dict[str, tuple[int, int, int]] | None]:
        """Figures for table and JSON."""
        wrong = self.found - self.hits
        total = self.events + self.found
        errors = np.array(self.apex_error_ms)
        return {
            "events": self.events,
            "hits": self.hits,
            "found": self.found,
            "f1": 2 * self.hits / total if self.events else None,
            "false_per_minute": 60 * wrong / self.seconds,
            "apex_within_15ms": float((errors <= 1000 * APEX_TOLERANCE_S + 1e-6).mean()) if len(errors) else None,
            "apex_error_p50_ms": float(np.median(errors)) if len(errors) else None,
            "apex_error_p90_ms": float(np.percentile(errors, 90)) if len(errors) else None,
            "delay_p50_ms": float(np.median(self.delay_ms)) if self.delay_ms else None,
            "ms_per_frame": 1000 * self.spent_s / max(self.frames, 1),
            "per_clip_events_hits_found": self.per_clip,
        }


def run_clip(clip: clips.ClipSpec, meters: dict[str, FaceMeter], tallies: dict[str, Tally]) -> None:
    """Feed one clip to all detectors, frame by frame, and add up what they found."""
    truth = clip.truth()
    found: dict[str, list[SpotEvent]] = {name: [] for name in meters}
    for number, frame in enumerate(clip.frames()):
        for name, meter in meters.items():
            begun = time.perf_counter()
            _, answer = meter.process(frame, number, round(number * 1e9 / clip.fps))
            tallies[name].spent_s += time.perf_counter() - begun
            found[name] += answer
    for name, meter in meters.items():
        events = found[name] + meter.flush()
        _count(tallies[name], clip, truth, events)


def _count(tally: Tally, clip: clips.ClipSpec, truth: list, events: list[SpotEvent]) -> None:
    pairs = hits([(e.onset, e.offset) for e in events], [(e.onset, e.offset) for e in truth])
    to_ms = 1000.0 / clip.fps
    for j, i in pairs:
        tally.apex_error_ms.append(abs(events[j].apex - truth[i].apex) * to_ms)
        tally.delay_ms.append((events[j].decided - truth[i].offset) * to_ms)
    tally.events += len(truth)
    tally.hits += len(pairs)
    tally.found += len(events)
    tally.frames += clip.count
    tally.seconds += clip.seconds
    tally.per_clip[clip.name] = (len(truth), len(pairs), len(events))


def run_set(name: str, detectors: list[str], fps: float, seconds: float | None) -> dict[str, dict]:
    """All detectors over one set of clips."""
    tallies = {detector: Tally() for detector in detectors}
    for clip in clips.clip_set(name, fps, seconds):
        meters = {d: FaceMeter(SpotSettings(detector=d), fps, FaceMesh()) for d in detectors}  # type: ignore[arg-type]
        try:
            run_clip(clip, meters, tallies)
        finally:
            for meter in meters.values():
                meter.close()
    return {detector: tally.row() for detector, tally in tallies.items()}


def table(results: dict[str, dict[str, dict]]) -> Table:
    """One row a set and detector."""
    out = Table(title="Spotting on generated clips (IoU ≥ 0.5)")
    for head in (
        "set",
        "detector",
        "events",
        "hits",
        "found",
        "F1",
        "false/min",
        "apex ≤ 15 ms",
        "apex p90 ms",
        "delay ms",
        "ms/frame",
    ):
        out.add_column(head, justify="left" if head in ("set", "detector") else "right")
    for name, rows in results.items():
        for detector, row in rows.items():
            cells = [
                row["f1"],
                row["false_per_minute"],
                row["apex_within_15ms"],
                row["apex_error_p90_ms"],
                row["delay_p50_ms"],
                row["ms_per_frame"],
            ]
            shown = ["—" if v is None else f"{v:.{d}f}" for v, d in zip(cells, (3, 2, 3, 1, 0, 2), strict=True)]
            out.add_row(name, detector, str(row["events"]), str(row["hits"]), str(row["found"]), *shown)
    return out


def run_living(options: argparse.Namespace, console: Console) -> None:
    """The living-face suite with each system named, or the default detector."""
    systems = tuple((options.detectors or SpotSettings().detector).split(","))
    known = (*DETECTORS, *RIVALS)
    if unknown := [name for name in systems if name not in known]:
        sys.exit(f"no detector {', '.join(unknown)}: {', '.join(known)}")
    only = options.only.split(",") if options.only else None
    todo = living.suite(options.split, only, Path(options.speech), options.clips)
    path = options.json or ROOT / "bench" / "results" / f"living-{options.split}.json"
    of = {"split": options.split, "speech": Path(options.speech).name, "clips": options.clips}
    stamp = {**of, "generator": living.code_digest()[:12], "machine": machine()}
    results: dict[str, list[_living_score.ClipResult]] = {name: [] for name in systems}
    for answer in _living_score.run(todo, systems, options.jobs):
        for name, result in answer.items():
            results[name].append(result)
        figures = {name: _living_score.rows(own) for name, own in results.items()}
        write_json(path, {**stamp, "systems": figures})  # a long run that is stopped leaves its rows
    for name, rows in figures.items():
        console.print(_living_score.table(rows, f"Living faces, {options.split}, {name} (IoU ≥ 0.5)"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    contents = [c for c in clips.CONTENTS if c not in ("mixed", "macro")]
    parser.add_argument("--sets", default=",".join(f"{g}-{c}" for g in clips.GROUPS for c in contents))
    parser.add_argument("--detectors", help=f"of {','.join(DETECTORS)}; living: of {','.join(RIVALS)} too")
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, help="length of each clip, instead of the set's own")
    parser.add_argument("--json", help="default: bench/results/spotting.json, or living-SPLIT.json")
    parser.add_argument("--suite", choices=("plain", "living"), default="plain")
    parser.add_argument("--split", choices=living.SPLITS, default="tuning", help="living: which half of the suite")
    parser.add_argument("--only", help="living: factors, comma between")
    parser.add_argument("--jobs", type=int, default=1, help="living: clips at a time")
    parser.add_argument("--clips", type=int, default=living.CLIPS, help="living: clips of each factor")
    parser.add_argument(
        "--speech",
        default=str(living.SPEECH_VIDEO),
        help="living: a video of somebody who talks, instead of the suite's",
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=160)
    if options.suite == "living":
        run_living(options, console)
        return
    detectors = (options.detectors or ",".join(DETECTORS)).split(",")
    results: dict[str, dict[str, dict]] = {}
    for name in options.sets.split(","):
        results[name] = run_set(name, detectors, options.fps, options.seconds)
        console.print(table({name: results[name]}))
    console.print(table(results))
    path = options.json or ROOT / "bench" / "results" / "spotting.json"
    write_json(path, {"fps": options.fps, "seconds": options.seconds, "sets": results, "machine": machine()})


if __name__ == "__main__":
    main()
