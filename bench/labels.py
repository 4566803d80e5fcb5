"""From frames to labels: what the live pipeline calls movements whose class is known.

    python bench/labels.py [--sets tuning-2.0px,heldout-others] [--models laenet-composite] [--json FILE]
    python bench/labels.py --real-motion [--split heldout] [--heads still,living] [--clips N] [--maps COMPOSITE.npz]

The first on the generated clips' action units, the second on published maps that are put back on portraits, labelled by
models that never saw the subject (they are trained once, which takes some minutes). Settings are chosen on ``--split
tuning``, half of the subjects and one portrait; figures stand for the other half.

Spotter, crops, flow, feature map and model as in the live pipeline. The class of an action unit is a convention (AU12
smile: positive; AU1+2 raised brows: surprise; all others, and one-sided AU12: negative): what the models learnt is
people's films, so this shows how the parts fit together, and which movements the classes can't tell apart.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _clip_store as store
import _public_maps as public
import clips
from _fold_models import FOLDS, FoldModels
from _harness import ROOT, machine, write_json
from _real_motion import HEADS, PX, exact_stages, live_stages, scenes
from _real_motion_score import ITSELF, rows, table

from offline.datasets.frames import recut
from offline.evaluation.megc import hits
from realtime.recognition import bundle
from realtime.types import SpotEvent
from realtime.vision.features import FeatureSpec, feature_map
from realtime.vision.flow import TvL1Params
from realtime.vision.spotting.face_meter import FaceMeter

Labels = dict[str, Counter[str]]
"""By action unit and its class."""
RESULTS = ROOT / "bench" / "results"
EACH_CLASS = 20
"""Maps of each class of each set in a half of the subjects, where it has so many: a set's surprise is rarer."""
SHIPPED = FeatureSpec()
PAPERS = FeatureSpec(
    frame="landmarks",
    eye_mask=True,
    average_s=0.0125,
    registration="full",
    turn=False,
    detail_px=0.0,
    flow=TvL1Params.live(),
)
"""Crop, mask, means, registration and flow as they were in 0.2.0."""
BEFORE_THE_CAMERA = {"paper's crop": PAPERS, "as shipped": SHIPPED}
LIVE = {
    "as in 0.2.0": PAPERS,
    "0.2.0, eyes' crop, no mask": replace(PAPERS, frame="eyes", eye_mask=False),
    "light left in": replace(SHIPPED, detail_px=0.0, flow=TvL1Params.live()),
    "all motion out": replace(SHIPPED, registration="full"),
    "translation, dead zone": replace(SHIPPED, registration="translation"),
    "turn left in": replace(SHIPPED, turn=False),
    "no mean": replace(SHIPPED, average_s=0.0),
    "eye mask": replace(SHIPPED, eye_mask=True),
    "as shipped": SHIPPED,
}
"""What the crops of the live stages are cut by."""
AS_PUBLISHED = (ITSELF, "true field, as shipped", "exact frames, as shipped", "live, as shipped")
"""Stages that are held against SAMM's maps in their own frame too, with models that learnt from those."""


def label_clip(clip: clips.ClipSpec, models: dict[str, bundle.Bundle], found: dict[str, Labels]) -> None:
    """Spot one clip and add what each model calls each movement that was hit to its action unit's labels."""
    meter = FaceMeter(fps=clip.fps)
    events: list[tuple[SpotEvent, dict[str, str]]] = []
    try:
        for number, frame in enumerate(clip.frames()):
            for event in meter.process(frame, number, round(number * 1e9 / clip.fps))[1]:
                cut, called = meter.crops(event), {}
                for name, model in models.items():
                    called[name] = model.label(model.predict(feature_map(*cut, model.feature_spec)[None])[0])
                events.append((event, called))
    finally:
        meter.close()
    truth = clip.truth()
    pairs = hits([(e.onset, e.offset) for e, _ in events], [(e.onset, e.offset) for e in truth])
    for j, i in pairs:
        for name, label in events[j][1].items():
            found[name][f"{truth[i].au} ({truth[i].label})"][label] += 1


def real_motion(options: argparse.Namespace) -> None:
    """Published maps on portraits."""
    data = public.load(options.maps)
    cut = recut(data)
    published, models = (FoldModels(one, store.folder().parent / "real-motion") for one in (data, cut))
    found: dict[str, object] = {}
    for head in options.heads.split(","):
        made = scenes(data, options.split, head, EACH_CLASS, options.clips)
        for number, scene in enumerate(made, 1):
            exact_stages(scene, BEFORE_THE_CAMERA)
            live_stages(scene, LIVE)
            print(f"{head} head: {number}/{len(made)} scenes", file=sys.stderr, flush=True)
        shown = [one for scene in made for one in scene.shown]
        spotted = sum(one.score > 0 for one in shown)
        lines = rows(shown, cut, models)
        for row in rows(shown, data, published, AS_PUBLISHED):
            lines.append(row | {"stage": f"{row['stage']}; SAMM's maps as published"})
        found[head] = {"maps": len(shown), "spotted": spotted, "rows": lines}
        title = f"{options.split} subjects, {head} head: {spotted} of {len(shown)} maps spotted"
        Console().print(table(lines, title))
    specs = {name: spec.digest() for name, spec in LIVE.items()}
    settings = {"split": options.split, "folds": FOLDS, "px": PX, "specs": specs}
    write_json(options.json or RESULTS / "labels_real_motion.json", settings | {"heads": found, "machine": machine()})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", default="tuning-2.0px,heldout-2.0px,tuning-others,heldout-others")
    parser.add_argument("--models", default="laenet-composite,fusion-composite")
    parser.add_argument("--real-motion", action="store_true", help="published maps put on portraits")
    parser.add_argument("--split", choices=public.SPLITS, default="heldout", help="whose maps")
    parser.add_argument("--heads", default="still,living", help=f"of {', '.join(HEADS)}")
    parser.add_argument("--clips", type=int, help="only so many maps")
    parser.add_argument("--maps", type=Path, default=public.COMPOSITE, help="the composite's .npz")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.real_motion:
        real_motion(options)
        return
    models = {name: bundle.load(name) for name in options.models.split(",")}
    results: dict[str, dict[str, Labels]] = {}
    for name in options.sets.split(","):
        results[name] = {model: defaultdict(Counter) for model in models}
        for clip in clips.clip_set(name):
            label_clip(clip, models, results[name])
        for model, units in results[name].items():
            columns = [*models[model].labels, "uncertain"]
            table = Table("action unit", *columns, title=f"{name}: labels by {model}")
            for unit, counts in sorted(units.items()):
                table.add_row(unit, *(str(counts[label]) for label in columns))
            Console().print(table)
    write_json(options.json or RESULTS / "labels.json", {"sets": results, "machine": machine()})


if __name__ == "__main__":
    main()
