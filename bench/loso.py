"""Whole LOSO of LAENet on the composite: all folds at once against fold by fold in Keras, as a user would write it.

``python bench/loso.py [--data FILE.npz] [--folds N] [--seeds N] [--json FILE]``. Fold by fold is timed on N
folds spread over the subjects and scaled to all (said in the output); all folds at once are timed whole, with
the numbers that the run gives. The two are run in turns, because the machine's speed is not constant.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench._harness import machine, write_json
from offline import cli, metrics, shallow
from offline.batches import Recipe, augment, class_weights
from offline.datasets.flowmaps import MapSet, load
from offline.splits import loso
from offline.zoo import laenet

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "composite.npz"


def keras_fold(data: MapSet, held: np.ndarray, recipe: Recipe, seed: int) -> float:
    """Seconds to train one fold with `Model.fit`: same network, recipe and number of steps."""
    import keras

    begun = time.perf_counter()
    keras.utils.set_random_seed(seed)
    maps, label = data.maps[~held], data.label[~held]
    random = np.random.default_rng(seed)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return -(-len(maps) // recipe.batch)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            own = slice(index * recipe.batch, (index + 1) * recipe.batch)
            return augment(maps[self.order[own]], recipe, random), label[self.order[own]]

        order = random.permutation(len(maps))

        def on_epoch_end(self) -> None:
            self.order = random.permutation(len(maps))

    model = laenet.build(recipe.dropout)
    steps = recipe.epochs * -(-len(maps) // recipe.batch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - recipe.warmup_steps, warmup_target=recipe.learning_rate, warmup_steps=recipe.warmup_steps
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    weights = dict(enumerate(class_weights(label, recipe.class_weight).tolist()))
    model.fit(Batches(), epochs=recipe.epochs, class_weight=weights, verbose=0)
    model.predict(data.maps[held], verbose=0)
    seconds = time.perf_counter() - begun
    keras.backend.clear_session()
    return seconds


def batched(data: MapSet, held_out: np.ndarray, recipe: Recipe, seed: int) -> tuple[float, dict[str, float]]:
    """Seconds for all folds of one seed, and the metrics they give."""
    begun = time.perf_counter()
    start = shallow.initial(laenet.STREAMS, seed)
    result = shallow.train_folds(data.maps, data.label, held_out, recipe, start, seed)
    seconds = time.perf_counter() - begun
    return seconds, metrics.metrics(metrics.confusion(data.label, result.scores[-1].argmax(-1)))


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="bench/loso.py", description="Whole LOSO: all folds at once against fold by fold.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folds", type=int, default=5, help="folds timed one by one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "loso.json")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    data, recipe = load(options.data), Recipe()
    held_out = np.stack([fold.held_out() for fold in loso(data.person)])
    chosen = np.linspace(0, len(held_out) - 1, options.folds).round().astype(int)

    begun = time.perf_counter()
    batched(data, held_out, Recipe(epochs=1), 0)  # compiles, or reads numba's cache
    compile_s = time.perf_counter() - begun
    keras_fold(data, held_out[0], Recipe(epochs=1, warmup_steps=2), 0)  # imports TensorFlow
    one_by_one, at_once = [], []
    for turn in range(max(options.seeds, len(chosen))):
        if turn < len(chosen):
            one_by_one.append(keras_fold(data, held_out[chosen[turn]], recipe, 0))
        if turn < options.seeds:
            at_once.append(batched(data, held_out, recipe, turn))
    report(options, data, len(held_out), one_by_one, at_once, compile_s)


def report(
    options: argparse.Namespace,
    data: MapSet,
    folds: int,
    one_by_one: list[float],
    at_once: list[tuple[float, dict[str, float]]],
    compile_s: float,
) -> None:
    fold_s, seed_s = float(np.median(one_by_one)), float(np.median([s for s, _ in at_once]))
    sequential_s = fold_s * folds
    found = {name: float(np.mean([m[name] for _, m in at_once])) for name in metrics.NAMES}
    result = {
        "clips": len(data),
        "folds": folds,
        "seeds": options.seeds,
        "batched_s_per_seed": {"median": seed_s, "all": [round(s, 3) for s, _ in at_once]},
        "batched_s_all_seeds": sum(s for s, _ in at_once),
        "first_epoch_with_compilation_s": compile_s,
        "keras_s_per_fold": {"median": fold_s, "all": [round(s, 3) for s in one_by_one]},
        "keras_s_per_seed_extrapolated": sequential_s,
        "keras_folds_measured": len(one_by_one),
        "times_faster": sequential_s / seed_s,
        "metrics_mean": found,
        "machine": machine(),
    }
    write_json(options.json, result)
    table = Table("", "seconds", title=f"LAENet, {folds} folds, {len(data)} clips, 40 epochs")
    table.add_row("fold by fold, Keras: one fold (median)", f"{fold_s:.2f}")
    table.add_row(f"  all {folds} folds (extrapolated from {len(one_by_one)})", f"{sequential_s:.0f}")
    table.add_row("all folds at once: one seed (median)", f"{seed_s:.2f}")
    table.add_row(f"  {options.seeds} seeds", f"{result['batched_s_all_seeds']:.1f}")
    table.add_row("times faster", f"{result['times_faster']:.0f}")
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(cli.run(main))
