"""Faint movements: from which strength on does a label say more than a guess?

    python bench/faint.py [--split tuning] [--heads still,living] [--clips N] [--maps COMPOSITE.npz] [--json FILE]

Published maps on portraits as in ``bench/labels.py --real-motion``, but with peaks of 0.05 to 0.45 px on a face 152 px
wide, and a spotter whose thresholds are halved, so that it reports what it would not in a session. Of each movement
that was spotted: how far it stood out of the noise (``spot_score``), how large it was (``magnitude_px``), and whether
models that never saw the subject name it right. ``recognition.least_spot_score`` was chosen on ``--split tuning``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _clip_store as store
import _public_maps as public
from _fold_models import MODELS, FoldModels
from _harness import ROOT, machine, write_json
from _real_motion import HEADS, Shown, alike, live_stages, scenes

from offline.datasets import MapSet
from offline.datasets.frames import recut
from realtime.config import SpotSettings
from realtime.vision.features import FeatureSpec

EACH_CLASS = 20
PX = (0.05, 0.45)
HALVED = SpotSettings(threshold_sigmas=3.0, floor_px=0.08)
"""Then ``spot_score`` is in the same unit, and goes down to 3 instead of 6."""
STAGE = "live, as shipped"
EDGES = (0.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0, np.inf)
"""Of ``spot_score``, for the table."""


def told(shown: list[Shown], data: MapSet, models: FoldModels, head: str) -> list[dict[str, Any]]:
    """A row for each map. data: what the models have learnt from; right: the share of the model's seeds."""
    spotted = [one for one in shown if one.score > 0]
    people = [str(data.person[one.number]) for one in spotted]
    each = models.predict(np.stack([one.stages[STAGE] for one in spotted]), people)
    label = data.label[[one.number for one in spotted]]
    scores = {name: each[name].mean(0) for name in MODELS}
    right = {name: (each[name].argmax(2) == label).mean(0) for name in MODELS}
    found = [
        {
            "head": head,
            "px": round(one.px, 3),
            "spot_score": round(one.score, 3),
            "magnitude_px": one.magnitude_px,
            "alike": [round(value, 3) for value in alike(data.maps[one.number], one.stages[STAGE])],
            "label": int(data.label[one.number]),
            "scores": {name: [round(float(v), 4) for v in scores[name][k]] for name in MODELS},
            "right": {name: round(float(right[name][k]), 2) for name in MODELS},
        }
        for k, one in enumerate(spotted)
    ]
    return found + [{"head": head, "px": round(one.px, 3), "spot_score": 0.0} for one in shown if one.score <= 0]


def bins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By ``spot_score``: how many were spotted, how like the maps are, what share of labels is right."""
    spotted, found = [row for row in rows if row["spot_score"] > 0], []
    for low, high in itertools.pairwise(EDGES):
        own = [row for row in spotted if low <= row["spot_score"] < high]
        if own:
            mean = {name: round(float(np.mean([row["right"][name] for row in own])), 3) for name in MODELS}
            likeness = [round(float(v), 2) for v in np.mean([row["alike"] for row in own], axis=0)]
            found.append({"from": low, "to": high if high < np.inf else None, "maps": len(own), "right": mean}
                         | {"alike": likeness})  # fmt: skip
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--split", choices=public.SPLITS, default="heldout", help="whose maps")
    parser.add_argument("--heads", default="still,living", help=f"of {', '.join(HEADS)}")
    parser.add_argument("--clips", type=int, help="only so many maps")
    parser.add_argument("--maps", type=Path, default=public.COMPOSITE, help="the composite's .npz")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "faint.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    data = public.load(options.maps)
    cut = recut(data)
    models = FoldModels(cut, store.folder().parent / "real-motion")
    rows: list[dict[str, Any]] = []
    for head in options.heads.split(","):
        made = scenes(data, options.split, head, EACH_CLASS, options.clips, PX)
        for number, scene in enumerate(made, 1):
            live_stages(scene, {"as shipped": FeatureSpec()}, HALVED)
            print(f"{head} head: {number}/{len(made)} scenes", file=sys.stderr, flush=True)
        rows += told([one for scene in made for one in scene.shown], cut, models, head)
    table = Table("spot_score", "maps", *(f"{name} right" for name in MODELS), title=f"{options.split} subjects")
    for one in bins(rows):
        table.add_row(f"{one['from']:g}…", str(one["maps"]), *(f"{one['right'][name]:.2f}" for name in MODELS))
    Console().print(table)
    write_json(options.json, {"split": options.split, "px": PX, "bins": bins(rows), "maps": rows, "machine": machine()})


if __name__ == "__main__":
    main()
