"""Keras networks that papers describe, fold by fold: any input, any classes, weights to start from, frozen layers.

With weights from a file the first, frozen layers give the same features in every fold and epoch: these are
computed once,
kept beside the checkpoints, and only what comes after them is trained (`offline.training.frozen`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from offline.export import litert
from offline.files import write_npz
from offline.training import camera, frozen, sequential, weights
from offline.training.batches import NetworkRecipe, mirror_of
from offline.training.protocol import Fitted, Job, Task, Trainer
from realtime.errors import UserError
from realtime.recognition.bundle import quiet_tensorflow

HALF_FROM = 1_000_000
"""Networks of so many numbers are served with 16-bit weights."""


@dataclass(frozen=True)
class Network(Trainer):
    """One compiled step, a fold after the other."""

    name = "keras"
    by_fold = True
    build: Callable[..., Any]
    """(shape, classes, dropout, size) → Keras model, (n, *shape) → logits (n, classes)."""
    network: int
    """Trainable parameters with its own input and three classes; asserted by a test."""
    loss: sequential.Loss = sequential.cross_entropy
    cached: str | None = None
    """Its name in keras.applications, where it is one of those."""
    note: str = ""
    """On the number of parameters."""

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        if recipe.members > 1:
            raise UserError(f"{model} is trained fold by fold, as one network: leave out members")

    def check_weights(self, model: str, weights_: str, recipe: Any, frozen: float) -> str:
        return weights.resolve(model, weights_, self.cached)

    def any_classes(self) -> bool:
        return True

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return self.network

    def settings(self, job: Job) -> dict[str, Any]:
        found = {"recipe": msgspec.to_builtins(effective(job))}
        return found | ({} if job.weights == "none" else {"weights": weights.named(Path(job.weights))})

    def notes(self, job: Job) -> list[str]:
        return [] if job.weights == "none" else [f"Started from the weights {weights.named(Path(job.weights))}."]

    def made(self, job: Job, shape: tuple[int, ...], classes: int, start: bool = True) -> Any:
        """The model as training starts from it; start: with the weights put in."""
        recipe: NetworkRecipe = job.recipe
        file = None if job.weights == "none" else Path(job.weights)
        torch = {"torch": True} if self.cached and file and file.suffix not in weights.KERAS_SUFFIXES else {}
        model = self.build(shape, classes=classes, dropout=recipe.dropout, size=recipe.size, **torch)
        if file and start:
            weights.put(model, file)
        return model

    def fit(self, task: Task) -> Fitted:
        with quiet_tensorflow():
            import keras

        keras.backend.clear_session()
        return self._fit_held(task) if holds(task.job) else self._fit_whole(task)

    def stepper(self, task: Task) -> Callable[[Any, int], sequential.Stepper]:
        """How one fold is trained."""
        return lambda model, seed: sequential.Stepper(model, seed, task.job.recipe, self.loss)

    def before(self, task: Task) -> list[Any] | None:
        """Variables to start from: those that the source gave, where there is one."""
        job = task.job
        if job.source is None:
            return None
        build = partial(self._built, job, job.source.maps.shape[1:], len(job.source.labels))
        nobody = np.zeros((1, len(job.source)), bool)
        *_, model = sequential.train_folds(
            build, job.source.maps, job.source.label, nobody, job.recipe, task.seed,
            mirrored=mirror_of(job.source.shown), stepper_of=self.stepper(task),
        )  # fmt: skip
        return [v.numpy() for v in model.variables]

    def _built(self, job: Job, shape: tuple[int, ...], classes: int, dropout: float) -> Any:
        return self.made(job, shape, classes)

    def _fit_whole(self, task: Task) -> Fitted:
        job, data, start = task.job, task.data, self.before(task)
        scores, losses, model = sequential.train_folds(
            partial(self._built, job, data.maps.shape[1:], len(data.labels)), data.maps, data.label, task.held_out,
            job.recipe, task.seed, start=start, frozen=job.frozen, checkpoint=task.state / f"seed-{task.seed}.part.npz",
            on_fold=task.progress, mirrored=mirror_of(data.shown), stepper_of=self.stepper(task),
        )  # fmt: skip
        self._keep(task, model)
        return Fitted(scores, losses=losses, trained=counted(model))

    def _fit_held(self, task: Task) -> Fitted:
        """The same of what follows the frozen layers, on their features."""
        import keras

        job, data, recipe = task.job, task.data, effective(task.job)
        keras.utils.set_random_seed(task.seed)
        whole = self.made(job, data.maps.shape[1:], len(data.labels))
        sequential.freeze(whole, job.frozen)
        parts = frozen.split(whole)
        features = (
            frozen.held(parts.before, data.maps, task.state.parent / "features.npy") if parts.before else data.maps
        )
        scores, losses, _ = sequential.train_folds(
            lambda dropout: parts.after, features, data.label, task.held_out, recipe, task.seed,
            checkpoint=task.state / f"seed-{task.seed}.part.npz", on_fold=task.progress,
            stepper_of=lambda model, seed: sequential.Stepper(model, seed, recipe, self.loss),
        )  # fmt: skip
        self._keep(task, whole)
        return Fitted(scores, losses=losses, trained=counted(whole))

    def _keep(self, task: Task, model: Any) -> None:
        values = {f"v{i}": v.numpy() for i, v in enumerate(model.variables)}
        write_npz(task.state / f"network-{task.seed}.npz", classes=len(task.data.labels), **values)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        file = state / f"network-{seed}.npz"
        with quiet_tensorflow(), np.load(file) as saved:
            model = self.made(job, job.shown.shape, int(saved["classes"]), start=False)
            for i, variable in enumerate(model.variables):
                variable.assign(saved[f"v{i}"])
        half = model.count_params() >= HALF_FROM
        return litert.to_litert(partial(model, training=False), factor, half=half, shape=job.shown.shape)


def holds(job: Job) -> bool:
    """Are the frozen layers' features the same in all folds?"""
    return job.frozen > 0 and job.weights != "none" and job.source is None


def effective(job: Job) -> Any:
    """The recipe as it is used: features that are held are neither mirrored nor shifted nor mixed nor filmed."""
    if not holds(job):
        return job.recipe
    return msgspec.structs.replace(
        job.recipe, mirror=False, shift_px=0, mixup=0.0, **dict.fromkeys(camera.AMOUNTS, 0.0)
    )


def counted(model: Any) -> int:
    """Trainable numbers."""
    return int(sum(int(np.prod(v.shape)) for v in model.trainable_variables))
