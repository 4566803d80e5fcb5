"""From frames to labels on generated clips: which class each action unit's movement gets.

    python bench/labels.py [--sets tuning-2.0px,heldout-2.0px] [--model laenet-composite] [--json FILE]

Spotter, crops, flow, feature map and model as in the live pipeline. The class of an action unit is a convention (AU12
smile: positive; AU1+2 raised brows: surprise; AU4, AU9, AU15 and one-sided AU12: negative): what the model learnt is
people's films, so this shows how the parts fit together, not how right the model is.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import clips
from _harness import ROOT, machine, write_json

from offline.evaluation.megc import hits
from realtime.recognition import bundle
from realtime.types import SpotEvent
from realtime.vision.features import feature_map
from realtime.vision.spotting.face_meter import FaceMeter

Labels = dict[str, Counter[str]]


def label_clip(clip: clips.ClipSpec, model: bundle.Bundle, found: Labels) -> None:
    """Spot one clip and add the label of each movement that was hit to its action unit's."""
    meter = FaceMeter(fps=clip.fps)
    events: list[tuple[SpotEvent, str]] = []
    try:
        for number, frame in enumerate(clip.frames()):
            for event in meter.process(frame, number, round(number * 1e9 / clip.fps))[1]:
                scores = model.predict(feature_map(*meter.crops(event), model.feature_spec)[None])[0]
                best = int(scores.argmax())
                events.append((event, model.labels[best] if scores[best] >= model.threshold else "uncertain"))
    finally:
        meter.close()
    truth = clip.truth()
    pairs = hits([(e.onset, e.offset) for e, _ in events], [(e.onset, e.offset) for e in truth])
    for j, i in pairs:
        found[f"{truth[i].au} ({truth[i].label})"][events[j][1]] += 1


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", default="tuning-2.0px,heldout-2.0px")
    parser.add_argument("--model", default="laenet-composite")
    parser.add_argument("--json", default=str(ROOT / "bench" / "results" / "labels.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = bundle.load(options.model)
    results: dict[str, Labels] = {}
    for name in options.sets.split(","):
        results[name] = defaultdict(Counter)
        for clip in clips.clip_set(name):
            label_clip(clip, model, results[name])
        columns = [*model.labels, "uncertain"]
        table = Table("action unit", *columns, title=f"{name}: labels by {options.model}")
        for unit, counts in sorted(results[name].items()):
            table.add_row(unit, *(str(counts[label]) for label in columns))
        Console().print(table)
    write_json(options.json, {"model": options.model, "sets": results, "machine": machine()})


if __name__ == "__main__":
    main()
