"""Linear machines on pooled flow (`offline.training.pooled_flow`), alone and with networks beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from offline.export import litert
from offline.files import write_npz
from offline.training import pooled_flow
from offline.training.fold_parallel import FoldParallel
from offline.training.protocol import Fitted, Job, Task, Trainer
from realtime.errors import UserError
from realtime.recognition.bundle import quiet_tensorflow

_IN_VIEW = "This variant's own leave-one-subject-out figures were in view when it was given a name."


def _refuse_pretraining(model: str, pretrained: bool) -> None:
    if pretrained:
        raise UserError(f"{model}: its linear machines have no weights to pre-train; leave out --pretrain")


@dataclass(frozen=True)
class PooledFlow(Trainer):
    """Nothing random in it: seeds with the same folds share the work."""

    name = "pooled-flow"
    seeded = False
    variants = pooled_flow.CHOICES

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        _refuse_pretraining(model, pretrained)

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return pooled_flow.parameters(chosen or "nested")

    def settings(self, job: Job) -> dict[str, Any]:
        return {"recipe": pooled_flow.recipe(job.variant), "variant": job.variant}

    def depends(self) -> list[Any]:
        return list(pooled_flow.VARIANTS.items())

    def notes(self, job: Job) -> list[str]:
        return [_IN_VIEW] if job.selection == "none" else []

    def fit(self, task: Task) -> Fitted:
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

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        return litert.function_to_litert(self.function(state, factor * pooled_flow.SHARPNESS), half=True)

    def function(self, state: Path, factor: float) -> Any:
        """Maps → probabilities, in TensorFlow."""
        (file,) = state.glob("machines-*.npz")
        with np.load(file) as saved:
            variant = str(saved["chosen"][-1])
            count = len(pooled_flow.descriptors(variant))
            machines = [pooled_flow.Linear(saved[f"w{i}"], saved[f"b{i}"]) for i in range(count)]
        with quiet_tensorflow():
            return pooled_flow.serving_function(machines, variant, factor)


@dataclass(frozen=True)
class Fusion(Trainer):
    """Half the probabilities of the linear machines, half those of the networks together."""

    name = "fusion"
    variants = pooled_flow.CHOICES
    networks: FoldParallel
    flow: PooledFlow = PooledFlow()

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        _refuse_pretraining(model, pretrained)

    def units(self, recipe: Any, folds: int) -> int:
        return self.networks.units(recipe, folds) + self.flow.units(recipe, folds)

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return self.networks.parameters(recipe) + self.flow.parameters(recipe, chosen)

    def settings(self, job: Job) -> dict[str, Any]:
        own = self.flow.settings(job)
        return own | {"recipe": {"networks": msgspec.to_builtins(job.recipe)} | own["recipe"]}

    def depends(self) -> list[Any]:
        return self.flow.depends()

    def notes(self, job: Job) -> list[str]:
        return self.flow.notes(job)

    def fit(self, task: Task) -> Fitted:
        flow, before = self.flow.fit(task), len(task.held_out)
        later = msgspec.structs.replace(task, progress=lambda done: task.progress(before + done))
        networks = self.networks.fit(later)
        scores = np.float32(0.5) * (flow.scores + networks.scores)
        return Fitted(scores, losses=networks.losses, chosen=flow.chosen)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        with quiet_tensorflow():
            import tensorflow as tf

        logits, flow = self.networks.logits(job, state, seed), self.flow.function(state, pooled_flow.SHARPNESS)

        def fused(maps: Any) -> Any:
            mean = (tf.nn.softmax(logits(maps)) + flow(maps)) / 2
            return tf.nn.softmax(factor * tf.math.log(mean + 1e-9))

        return litert.function_to_litert(fused, half=True)
