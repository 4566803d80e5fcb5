"""One seed of one model over a set of folds, whatever trains it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.files import write_bytes, write_npz
from offline.training import pooled_flow, sequential, shallow
from offline.training.batches import Recipe
from offline.zoo import Entry
from realtime.errors import DatasetError, UserError
from realtime.recognition.bundle import quiet_tensorflow

CODE_VERSION = 1
"""Of all that training computes (splits, batches, networks, machines): raise it when the same command would give
other numbers, or checkpoints another content. State of another version is not used.
"""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to train."""

    entry: Entry
    recipe: Recipe
    source: MapSet | None = None
    """Pre-train on these first."""
    frozen: float = 0.0
    """Share of the layers that fine-tuning leaves alone."""
    variant: str = "nested"
    """Of pooled flow: see `offline.training.pooled_flow.CHOICES`."""

    @property
    def selection(self) -> str:
        """What a run of this job chooses, and where: for ``results.json``."""
        nested = self.entry.pooled and self.variant == "nested"
        return "nested: inner folds of the training subjects" if nested else "none"


class Fitted(msgspec.Struct, frozen=True):
    """Result of one seed."""

    scores: NDArray[np.float32]
    """(n, 3) by the fold that held each clip out; NaN: none did."""
    curves: NDArray[np.float32] | None = None
    """(epochs, n, 3) the same after each epoch."""
    losses: NDArray[np.float32] | None = None
    """(epochs,) mean training loss over the folds (fusion: of its networks); None: nothing is trained in epochs."""
    chosen: NDArray[np.str_] | None = None
    """(folds + 1,) variant that each fold chose, the last one on everything; None: nothing to choose."""
    seconds: float = 0.0
    """All runs that worked on this seed together."""


def units(job: Job, folds: int) -> int:
    """Steps of the progress bar in one seed."""
    epochs = job.recipe.epochs * job.recipe.members
    return {"all-folds": epochs, "fusion": epochs + folds}.get(job.entry.trainer, folds)


def fit(
    job: Job,
    data: MapSet,
    held_out: NDArray[np.bool_],
    seed: int,
    state: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Fitted:
    """Train one seed for all rows of `held_out` (folds, n), and on everything, which is kept for `network`.

    state: folder for checkpoints; a finished seed is read back from there, an interrupted one goes on.
    """
    check_possible(job.entry, job.recipe, job.source is not None)
    done = state / f"seed-{seed}.npz"
    if done.exists():
        progress(units(job, len(held_out) + 1))
        return _read(done)
    everything = np.vstack([held_out, np.zeros((1, len(data)), bool)])
    trainer = {"all-folds": _fit_all_folds, "keras": _fit_keras, "pooled-flow": _fit_pooled, "fusion": _fit_fusion}
    clock = _Clock(state / f"seed-{seed}.seconds")

    def tick(done: int) -> None:
        clock.note()
        progress(done)

    fitted = trainer[job.entry.trainer](_Task(job, data, everything, seed, state, tick))
    fitted = msgspec.structs.replace(fitted, seconds=clock.note())
    arrays = {name: getattr(fitted, name) for name in fitted.__struct_fields__}
    write_npz(done, **{name: value for name, value in arrays.items() if value is not None})
    return fitted


class _Task(msgspec.Struct, frozen=True):
    """What a trainer is given: one seed, all folds."""

    job: Job
    data: MapSet
    held_out: NDArray[np.bool_]
    """(folds, n); the last row holds nobody out."""
    seed: int
    state: Path
    progress: Callable[[int], None]


class _Clock:
    """Seconds spent on a seed, kept in a file so that a resumed run adds to them."""

    def __init__(self, file: Path) -> None:
        self._file, self._begun = file, time.perf_counter()
        self._before = float(file.read_text()) if file.exists() else 0.0

    def note(self) -> float:
        seconds = self._before + time.perf_counter() - self._begun
        write_bytes(self._file, f"{seconds:.3f}".encode())
        return seconds


def _read(file: Path) -> Fitted:
    with np.load(file) as saved:
        arrays = {name: saved[name] for name in saved.files if name != "seconds"}
        return Fitted(**arrays, seconds=float(saved["seconds"]))


def parameters(job: Job, fitted: Fitted) -> int:
    """Numbers that were learnt for the network that is served."""
    networks = 0 if job.entry.network is None else job.entry.network * job.recipe.members
    return networks + (0 if fitted.chosen is None else pooled_flow.parameters(str(fitted.chosen[-1])))


def check_possible(entry: Entry, recipe: Recipe, pretrained: bool) -> None:
    """Refuse what the model's trainer can't do."""
    if pretrained and entry.pooled:
        raise UserError(f"{entry.name}: its linear machines have no weights to pre-train; leave out --pretrain")
    if recipe.members > 1 and entry.trainer == "keras":
        raise UserError(f"{entry.name} is trained fold by fold, as one network: leave out members")


def check_source(data: MapSet, source: MapSet) -> None:
    """A person of the target must not be in the source: pre-training would have seen the test subject."""
    shared = sorted(set(data.person) & set(source.person))
    if shared:
        raise DatasetError(f"pre-training data hold subject {shared[0]}, who is to be tested: use others")


def _fit_all_folds(task: _Task) -> Fitted:
    job, data, recipe = task.job, task.data, task.job.recipe
    results = []
    for number, own in enumerate(recipe.member_seeds(task.seed)):
        start, trainable = shallow.initial(job.entry.streams, own), None
        if job.source is not None:
            nobody = np.zeros((1, len(job.source)), bool)
            trained = shallow.train_folds(job.source.maps, job.source.label, nobody, recipe, start, own)
            start = shallow.Weights(trained.weights.rows[0], trained.weights.moving[0])
            trainable = shallow.frozen_mask(job.entry.streams, job.frozen)
        before = number * recipe.epochs
        one = shallow.train_folds(
            data.maps, data.label, task.held_out, recipe, start, own,
            trainable=trainable, checkpoint=task.state / f"seed-{task.seed}.{number}.part.npz",
            on_epoch=lambda epoch, before=before: task.progress(before + epoch),  # type: ignore[misc]
        )  # fmt: skip
        results.append(one)
        task.progress(before + recipe.epochs)
    rows, moving = (np.stack([getattr(one.weights, name)[-1] for one in results]) for name in ("rows", "moving"))
    write_npz(task.state / f"network-{task.seed}.npz", rows=rows, moving=moving)
    curves = shallow.averaged(np.stack([one.scores for one in results]))
    return Fitted(curves[-1], curves, np.mean([one.losses for one in results], axis=(0, 2)))


def _fit_keras(task: _Task) -> Fitted:
    with quiet_tensorflow():
        import keras

    job, data, seed, start = task.job, task.data, task.seed, None
    if job.source is not None:
        nobody = np.zeros((1, len(job.source)), bool)
        *_, model = sequential.train_folds(_builder(job), job.source.maps, job.source.label, nobody, job.recipe, seed)
        start = [v.numpy() for v in model.variables]
        keras.backend.clear_session()
    scores, losses, model = sequential.train_folds(
        _builder(job), data.maps, data.label, task.held_out, job.recipe, seed,
        start=start, frozen=job.frozen, checkpoint=task.state / f"seed-{seed}.part.npz", on_fold=task.progress,
    )  # fmt: skip
    write_npz(task.state / f"network-{seed}.npz", **{f"v{i}": v.numpy() for i, v in enumerate(model.variables)})
    return Fitted(scores, losses=losses)


def _fit_pooled(task: _Task) -> Fitted:
    # nothing random in it: seeds with the same folds share the work
    data = task.data
    key = hashlib.sha256(np.packbits(task.held_out).tobytes()).hexdigest()[:8]
    done = task.state / f"machines-{key}.npz"
    if not done.exists():
        result = pooled_flow.train_folds(
            data.maps, data.label, task.held_out, data.person, task.job.variant,
            checkpoint=task.state / f"pooled-{key}.part.npz", on_fold=task.progress,
        )  # fmt: skip
        arrays = {f"w{i}": m.weights for i, m in enumerate(result.machines)}
        arrays |= {f"b{i}": m.bias for i, m in enumerate(result.machines)}
        write_npz(done, scores=result.scores, chosen=np.array(result.chosen), **arrays)
    task.progress(len(task.held_out))
    with np.load(done) as saved:
        return Fitted(saved["scores"], chosen=saved["chosen"])


def _fit_fusion(task: _Task) -> Fitted:
    """Half the probabilities of the linear machines, half those of the networks together."""
    flow, before = _fit_pooled(task), len(task.held_out)
    networks = _fit_all_folds(msgspec.structs.replace(task, progress=lambda done: task.progress(before + done)))
    scores = np.float32(0.5) * (flow.scores + networks.scores)
    return Fitted(scores, losses=networks.losses, chosen=flow.chosen)


def _builder(job: Job) -> Callable[[float], Any]:
    if job.entry.build is None:
        raise UserError(f"{job.entry.name} is not a Keras network")
    return job.entry.build
