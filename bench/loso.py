"""Whole LOSO of LAENet on the composite: all folds at once against fold by fold.

``python bench/loso.py [--data FILE.npz] [--folds N] [--seeds N] [--json FILE]``. Fold by fold is measured twice: in
Keras as a user would write it (`Model.fit`, a new model each fold), and by `offline.training.sequential`, whose one
compiled step serves every fold. Both are timed on N folds spread over the subjects and scaled to all (said in
the output); all folds at once are timed whole, with the numbers that the run gives. They are run in turns,
because the machine's speed is not constant.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench._harness import machine, write_json
from offline.commands import cli
from offline.datasets.flowmaps import MapSet, load
from offline.evaluation import metrics
from offline.evaluation.splits import loso
from offline.training import shallow
from offline.training.batches import Recipe, augment, class_weights
from offline.zoo import laenet
from realtime.errors import ConfigError
from realtime.recognition.bundle import quiet_tensorflow

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


def compiled_folds(data: MapSet) -> Callable[[np.ndarray, Recipe], float]:
    """Seconds to train one fold by `offline.training.sequential`, its step compiled beforehand."""
    from offline.training.sequential import Stepper, limit_threads

    with quiet_tensorflow():
        limit_threads()
    stepper = Stepper(laenet.build(Recipe().dropout), seed=0)

    def fold(held: np.ndarray, recipe: Recipe) -> float:
        begun = time.perf_counter()
        stepper.reset()
        stepper.train(data.maps, data.label, held, recipe)
        stepper.predict(data.maps[held])
        return time.perf_counter() - begun

    return fold


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
    if min(options.folds, options.seeds) < 1:
        raise ConfigError(f"--folds {options.folds}, --seeds {options.seeds}: at least 1 each")
    data, recipe = load(options.data), Recipe()
    held_out = np.stack([fold.held_out() for fold in loso(data.person)])
    chosen = np.linspace(0, len(held_out) - 1, options.folds).round().astype(int)

    begun = time.perf_counter()
    batched(data, held_out, Recipe(epochs=1), 0)  # compiles, or reads numba's cache
    compile_s = time.perf_counter() - begun
    compiled_fold = compiled_folds(data)  # imports TensorFlow
    short = Recipe(epochs=1, warmup_steps=2)
    keras_fold(data, held_out[0], short, 0)
    keras_s, compiled_s, at_once = [], [], []
    for turn in range(max(options.seeds, len(chosen))):
        if turn < len(chosen):
            keras_s.append(keras_fold(data, held_out[chosen[turn]], recipe, 0))
            compiled_fold(held_out[chosen[turn]], short)
            compiled_s.append(compiled_fold(held_out[chosen[turn]], recipe))
        if turn < options.seeds:
            at_once.append(batched(data, held_out, recipe, turn))
    report(options, data, len(held_out), keras_s, compiled_s, at_once, compile_s)


def report(
    options: argparse.Namespace,
    data: MapSet,
    folds: int,
    keras_s: list[float],
    compiled_s: list[float],
    at_once: list[tuple[float, dict[str, float]]],
    compile_s: float,
) -> None:
    seed_s = float(np.median([s for s, _ in at_once]))
    keras_seed_s, compiled_seed_s = (float(np.median(times)) * folds for times in (keras_s, compiled_s))
    found = {name: float(np.mean([m[name] for _, m in at_once])) for name in metrics.NAMES}
    result = {
        "clips": len(data),
        "folds": folds,
        "seeds": options.seeds,
        "batched_s_per_seed": {"median": seed_s, "all": [round(s, 3) for s, _ in at_once]},
        "batched_s_all_seeds": sum(s for s, _ in at_once),
        "first_epoch_with_compilation_s": compile_s,
        "keras_s_per_fold": {"median": keras_seed_s / folds, "all": [round(s, 3) for s in keras_s]},
        "keras_s_per_seed_extrapolated": keras_seed_s,
        "compiled_s_per_fold": {"median": compiled_seed_s / folds, "all": [round(s, 3) for s in compiled_s]},
        "compiled_s_per_seed_extrapolated": compiled_seed_s,
        "folds_measured": len(keras_s),
        "times_faster_than_keras": keras_seed_s / seed_s,
        "times_faster_than_compiled": compiled_seed_s / seed_s,
        "metrics_mean": found,
        "machine": machine(),
    }
    write_json(options.json, result)
    table = Table("", "a fold, s", "a seed, s", "times", title=f"LAENet, {folds} folds, {len(data)} clips, 40 epochs")
    for name, whole in (("fold by fold, Keras", keras_seed_s), ("fold by fold, one compiled step", compiled_seed_s)):
        table.add_row(f"{name} *", f"{whole / folds:.2f}", f"{whole:.0f}", f"{whole / seed_s:.0f}")
    table.add_row("all folds at once", "", f"{seed_s:.2f}", "1")
    table.add_row(f"  {options.seeds} seeds", "", f"{result['batched_s_all_seeds']:.1f}", "")
    table.caption = f"* extrapolated from {len(keras_s)} folds"
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(cli.run(main))
