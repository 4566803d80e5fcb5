"""Is the stated sensitivity where movements begin to be missed?

    python bench/check.py [--fps 200] [--noise 1.4,4,8] [--units AU1+2,AU12] [--split tuning|heldout]
                          [--json bench/results/check.json]

For each sensor noise and action unit: the sensitivity that the meter states at rest (``merealtime check`` shows the
same), and F1 (IoU ≥ 0.5, MEGC) over movements whose size is stepped about it. A movement's size is that of its
strongest region, in the meter's own px, scaled from a large one without noise. Where F1 falls under 0.9 must be within
25 % of what was stated. Only the tuning seeds were looked at.

The face does not blink: a movement beneath a blink is missed whatever its size, which says nothing of the noise. (With
blinks F1 stood at 0.78 to 0.92 from 1.2 times the stated size on, on seeds that judge nothing; without, at 1. What
blinks cost is in ``bench/spotting.py``.)
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import ROOT, machine, write_json

from offline.evaluation.megc import hits
from realtime.config import SpotSettings
from realtime.synthesis import Portrait, SynthesisSettings, generate_clip
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.spotting.face_meter import FaceMeter

STEPS = (0.6, 0.75, 0.9, 1.05, 1.2, 1.4, 1.7)
"""Sizes of the movements, in stated sensitivities."""
FIRST_S = 4.0
"""Before the first movement: the noise is learnt."""
SEEDS = {"tuning": 9100, "heldout": 9500}
WITHIN = 0.25


@dataclass
class Seen:
    """One clip through the meter."""

    truth: list[tuple[int, int]]
    events: list[SpotEvent]
    stated: dict[str, float]
    """Before the first movement, px."""


def watch(settings: SynthesisSettings, seed: int, fps: float, seconds: float) -> Seen:
    """Generate and measure a clip, frame by frame."""
    frames, made = generate_clip(Portrait.packaged(), seed, seconds, fps, settings)
    meter = FaceMeter(SpotSettings(), fps, FaceMesh())
    events: list[SpotEvent] = []
    stated: dict[str, float] = {}
    try:
        for number, frame in enumerate(frames):
            events += meter.process(frame, number, round(number * 1e9 / fps))[1]
            if number == round((FIRST_S - 0.2) * fps):
                stated = meter.sensitivity_px()
        events += meter.flush()
    finally:
        meter.close()
    return Seen([(event.onset, event.offset) for event in made], events, stated)


def settings_for(unit: str, amplitude: float, noise: float, **other: object) -> SynthesisSettings:
    """Movements of one size, a little more than a second apart."""
    changes = {
        "action_units": [unit],
        "amplitude_px": (amplitude, amplitude),
        "first_event_s": FIRST_S,
        "event_gap_s": (1.0, 1.6),
        "noise_grey": noise,
        "blinks": False,
        **other,
    }
    return SynthesisSettings(**changes)  # type: ignore[arg-type]


def sizes_of(unit: str, fps: float, seed: int) -> dict[str, float]:
    """Per region the px that the meter sees for each px of amplitude: median over large movements without noise."""
    clean = SynthesisSettings.clean(
        action_units=[unit], amplitude_px=(2.0, 2.0), first_event_s=FIRST_S, event_gap_s=(1.0, 1.6)
    )
    seen = watch(clean, seed, fps, 20.0)
    return {name: float(np.median([e.rois[name] for e in seen.events])) / 2.0 for name in seen.events[0].rois}


def falls_under(sizes: list[float], f1: list[float], level: float = 0.9) -> float | None:
    """The size at which F1 falls under the level, going down, between the steps linearly; None if it never does."""
    for k in range(len(sizes) - 1, 0, -1):
        if f1[k] >= level > f1[k - 1]:
            share = (level - f1[k - 1]) / (f1[k] - f1[k - 1])
            return sizes[k - 1] + share * (sizes[k] - sizes[k - 1])
    return None


def measure(unit: str, noise: float, fps: float, seed: int, clip_s: float, clips: int) -> dict[str, object]:
    """One row: stated, and where F1 falls."""
    sizes = sizes_of(unit, fps, seed)
    at_rest = watch(settings_for(unit, 0.01, noise, events=False), seed + 1, fps, FIRST_S)
    gain, region = max((sizes[name] / px, name) for name, px in at_rest.stated.items())
    stated = at_rest.stated[region]
    steps: list[tuple[float, float]] = []
    told: list[float] = []
    for step in track(STEPS, description=f"{unit}, noise {noise:g}", transient=True):
        pairs = marked = found = 0
        for k in range(clips):
            seen = watch(settings_for(unit, step / gain, noise), seed + 10 + k, fps, clip_s)
            told.append(seen.stated.get(region, stated))
            pairs += len(hits([(e.onset, e.offset) for e in seen.events], seen.truth))
            marked, found = marked + len(seen.truth), found + len(seen.events)
        steps.append((step * stated, 2 * pairs / max(1, marked + found)))
    stated = float(np.median(told))
    falls = falls_under([size for size, _ in steps], [f1 for _, f1 in steps])
    return {
        "unit": unit,
        "noise_grey": noise,
        "region": region,
        "movements": marked,
        "px_per_amplitude": sizes[region],
        "stated_px": stated,
        "f1_falls_px": falls,
        "ratio": None if falls is None else falls / stated,
        "steps": [{"px": size, "f1": f1} for size, f1 in steps],
    }


def main() -> int:
    """Command line; exit code 1 where a stated sensitivity is not within the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--noise", default="1.4,4,8")
    parser.add_argument("--units", default="AU1+2,AU12")
    parser.add_argument("--split", choices=tuple(SEEDS), default="heldout")
    parser.add_argument("--clips", type=int, default=2, help="of each step")
    parser.add_argument("--clip-s", type=float, default=24.0)
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "check.json")
    arguments = parser.parse_args()
    rows = [
        measure(unit, float(noise), arguments.fps, SEEDS[arguments.split], arguments.clip_s, arguments.clips)
        for noise in arguments.noise.split(",")
        for unit in arguments.units.split(",")
    ]
    table = Table(title=f"Stated sensitivity against F1 < 0.9, {arguments.split} seeds, {arguments.fps:g} fps")
    for head in ("noise", "unit", "region", "stated px", "F1 < 0.9 at px", "ratio"):
        table.add_column(head, justify="right")
    for row in rows:
        cells = (row["stated_px"], row["f1_falls_px"], row["ratio"])
        texts = ["–" if value is None else f"{value:.2f}" for value in cells]
        table.add_row(f"{row['noise_grey']:g}", str(row["unit"]), str(row["region"]), *texts)
    Console(width=110).print(table)
    settings = {name: value for name, value in vars(arguments).items() if name != "json"}
    write_json(arguments.json, {"machine": machine(), "settings": settings, "within": WITHIN, "rows": rows})
    ratios = [row["ratio"] for row in rows]
    return int(any(not isinstance(ratio, float) or abs(ratio - 1.0) > WITHIN for ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
