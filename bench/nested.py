"""Would the training subjects alone have chosen how laenet-ensemble reads a map? Nested leave-one-subject-out.

``python bench/nested.py [--data FILE.npz] [--members N] [--json FILE]``. `laenet-ensemble` centres the maps
because that won on the composite. Here nobody looks: for each subject the others are split into five inner
folds, ensembles of LAENet that read the maps in either way are judged on those, and the better one (UF1) calls
the subject's clips. The answer is compared, paired over subjects, with single LAENets as they always were.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._harness import machine, write_json
from offline import shallow
from offline.batches import Recipe, Scaling
from offline.cli import progress
from offline.compare import Metric, by_person, paired_test
from offline.datasets.flowmaps import MapSet, load
from offline.metrics import confusion, metrics
from offline.splits import loso
from offline.zoo import laenet

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "composite.npz"
INNER_FOLDS = 5
CANDIDATES: tuple[Scaling, ...] = ("range", "centred")
METRICS: tuple[Metric, ...] = ("uf1", "uar", "acc")
Float32 = NDArray[np.float32]


def inner_folds(data: MapSet, outer: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(outer folds, INNER_FOLDS, n): the training clips that each inner fold tests; no tested subject's."""
    tested = np.zeros((len(outer), INNER_FOLDS, len(data)), bool)
    for fold, held in enumerate(outer):
        _, index = np.unique(data.person[~held], return_inverse=True)
        for k in range(INNER_FOLDS):
            tested[fold, k, np.flatnonzero(~held)[index % INNER_FOLDS == k]] = True
    return tested


def scores_of(
    data: MapSet, outer: NDArray[np.bool_], tested: NDArray[np.bool_], recipe: Recipe, seed: int
) -> tuple[Float32, Float32]:
    """One network everywhere: ((n, 3) by the outer folds, (outer folds, n, 3) by the inner ones; NaN: held out)."""
    hidden = (tested | outer[:, None]).reshape(-1, len(data))
    start = shallow.initial(laenet.STREAMS, seed)
    trained = shallow.train_folds(data.maps, data.label, np.vstack([outer, hidden]), recipe, start, seed).weights
    seen = shallow.patches(data.maps, recipe.scaling)
    ours = np.full((len(data), 3), np.nan, np.float32)
    inner = np.full((len(outer), len(data), 3), np.nan, np.float32)
    for row, (rows, moving) in enumerate(zip(trained.rows, trained.moving, strict=True)):
        network = shallow.Weights(rows, moving)
        if row < len(outer):
            ours[outer[row]] = shallow.probabilities(network, seen[outer[row]])
        else:
            fold, k = divmod(row - len(outer), INNER_FOLDS)
            inner[fold, tested[fold, k]] = shallow.probabilities(network, seen[tested[fold, k]])
    return ours, inner


def choose(label: NDArray[np.int64], inner: dict[Scaling, Float32], fold: int) -> Scaling:
    """Candidate with the highest UF1 over a fold's inner folds; inner: (outer folds, n, 3) each."""
    values = []
    for scores in inner.values():
        known = np.isfinite(scores[fold, :, 0])
        values.append(metrics(confusion(label[known], scores[fold, known].argmax(-1)))["uf1"])
    return list(inner)[int(np.argmax(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Nested choice of laenet-ensemble's scaling.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--members", type=int, default=4, help="networks in each ensemble")
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "nested.json")
    options = parser.parse_args()
    data, console = load(options.data), Console()
    outer = np.stack([fold.held_out() for fold in loso(data.person)])
    tested = inner_folds(data, outer)
    ours: dict[Scaling, Float32] = {}
    inner: dict[Scaling, Float32] = {}
    with progress(Console(stderr=True)) as bar:
        task = bar.add_task("networks", total=len(CANDIDATES) * options.members)
        for scaling in CANDIDATES:
            found = []
            for recipe, seed in Recipe(epochs=options.epochs, members=options.members, scaling=scaling).each(0):
                found.append(scores_of(data, outer, tested, recipe, seed))
                bar.advance(task)
            if scaling == "range":
                single = np.stack([one for one, _ in found])
            ours[scaling] = shallow.averaged(np.stack([one for one, _ in found]))
            inner[scaling] = shallow.averaged(np.stack([one for _, one in found]))
    chosen = [choose(data.label, inner, fold) for fold in range(len(outer))]
    nested = np.full_like(single[0], np.nan)
    for held, scaling in zip(outer, chosen, strict=True):
        nested[held] = ours[scaling][held]
    rows = {"LAENet, single": single} | {f"ensemble, {s}": ours[s][None] for s in CANDIDATES}
    rows["ensemble, chosen in inner folds"] = nested[None]
    report(options, data, rows, Counter(chosen), console)


def report(
    options: argparse.Namespace, data: MapSet, rows: dict[str, Float32], chosen: Counter[Scaling], console: Console
) -> None:
    """rows: (seeds, n, 3) scores; all but the first are tested against the first."""
    counts = {name: by_person(data.person, data.label, scores.argmax(-1)) for name, scores in rows.items()}
    first = counts["LAENet, single"]
    results, table = [], Table("", *(f"{m} (p)" for m in METRICS), title=f"{options.members} networks each")
    for name, own in counts.items():
        tests = [paired_test(own, first, metric) for metric in METRICS]
        results.append({"row": name} | {test.metric: msgspec.to_builtins(test) for test in tests})
        table.add_row(name, *(f"{t.first:.3f}" + ("" if own is first else f" ({t.p_value:.3f})") for t in tests))
    write_json(
        options.json,
        {
            "members": options.members,
            "epochs": options.epochs,
            "inner_folds": INNER_FOLDS,
            "chosen": dict(chosen),
            "rows": results,
            "machine": machine(),
        },
    )
    console.print(table)
    console.print("chosen by " + ", ".join(f"{n} subjects: {scaling}" for scaling, n in chosen.most_common()))


if __name__ == "__main__":
    main()
