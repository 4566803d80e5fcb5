"""Any Keras network, fold by fold (`offline.training.sequential`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from offline.export import litert
from offline.files import write_npz
from offline.training import sequential
from offline.training.protocol import Fitted, Job, Task, Trainer
from realtime.errors import UserError
from realtime.recognition.bundle import quiet_tensorflow


@dataclass(frozen=True)
class KerasFolds(Trainer):
    """One compiled step, a fold after the other."""

    name = "keras"
    by_fold = True
    build: Callable[[float], Any]
    """dropout → Keras model, maps (n, 28, 28, 3) 0..255 → logits (n, 3)."""
    network: int
    """Trainable parameters; asserted by a test."""

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        if recipe.members > 1:
            raise UserError(f"{model} is trained fold by fold, as one network: leave out members")

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return self.network

    def fit(self, task: Task) -> Fitted:
        with quiet_tensorflow():
            import keras

        job, data, seed, start = task.job, task.data, task.seed, None
        if job.source is not None:
            nobody = np.zeros((1, len(job.source)), bool)
            *_, model = sequential.train_folds(
                self.build, job.source.maps, job.source.label, nobody, job.recipe, seed
            )  # fmt: skip
            start = [v.numpy() for v in model.variables]
            keras.backend.clear_session()
        scores, losses, model = sequential.train_folds(
            self.build, data.maps, data.label, task.held_out, job.recipe, seed,
            start=start, frozen=job.frozen, checkpoint=task.state / f"seed-{seed}.part.npz", on_fold=task.progress,
        )  # fmt: skip
        write_npz(task.state / f"network-{seed}.npz", **{f"v{i}": v.numpy() for i, v in enumerate(model.variables)})
        return Fitted(scores, losses=losses)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        with quiet_tensorflow():
            model = self.build(job.recipe.dropout)
        with np.load(state / f"network-{seed}.npz") as saved:
            for i, variable in enumerate(model.variables):
                variable.assign(saved[f"v{i}"])
        return litert.to_litert(partial(model, training=False), factor)
