"""Linear machines on pooled flow (`offline.training.pooled_flow`), alone and with networks beside them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from offline.evaluation.calibration import tempered
from offline.export import litert
from offline.files import write_npz
from offline.training import nested, pooled_flow
from offline.training.fold_parallel import FoldParallel
from offline.training.grids import ADJUSTMENTS, SHARES, SHARPNESSES, settings
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
        return self.machines(task)[0]

    def machines(self, task: Task) -> tuple[Fitted, Any]:
        """What `fit` gives; with a nested job also the training clips' scores by inner folds, (folds, n, 3)."""
        data, within = task.data, task.job.nested
        key = hashlib.sha256(np.packbits(task.held_out).tobytes()).hexdigest()[:8]
        done = task.state / f"machines-{key}.npz"
        if not done.exists():
            result = pooled_flow.train_folds(
                data.maps, data.label, task.held_out, data.person, task.job.variant,
                checkpoint=task.state / f"pooled-{key}.part.npz", on_fold=task.progress, keep_inner=within,
            )  # fmt: skip
            arrays = {f"w{i}": m.weights for i, m in enumerate(result.machines)}
            arrays |= {f"b{i}": m.bias for i, m in enumerate(result.machines)}
            arrays |= {} if result.inner is None else {"inner": result.inner}
            write_npz(done, scores=result.scores, chosen=np.array(result.chosen), **arrays)
        task.progress(len(task.held_out))
        with np.load(done) as saved:
            return Fitted(saved["scores"], chosen=saved["chosen"]), saved["inner"] if within else None

    def grid(self) -> dict[str, list[Any]]:
        return {"flow": list(pooled_flow.VARIANTS), "adjustment": list(ADJUSTMENTS)}

    def fit_nested(self, task: Task) -> Fitted:
        label, held, (plain, inner) = task.data.label, task.held_out, self.machines(task)
        assert plain.chosen is not None
        by = nested.adjustments(inner, label, held)
        shift = np.float32(by[-1]) * nested.log_share(label, ~held[-1])
        write_npz(task.state / f"nested-{task.seed}.npz", shift=shift)
        chosen = [nested.encoded({"flow": str(f), "adjustment": a}) for f, a in zip(plain.chosen, by, strict=True)]
        scores = nested.held_out_adjusted(plain.scores, label, held, by)
        factors = nested.factors(nested.inner_adjusted(inner, label, held, by), label)
        count = pooled_flow.parameters(str(plain.chosen[-1]))
        return Fitted(scores, chosen=np.array(chosen), factors=factors, trained=count)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        if job.nested:
            with np.load(state / f"nested-{seed}.npz") as saved:
                shift = saved["shift"]
            return _litert(self.function(state, pooled_flow.SHARPNESS), factor, shift)
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


class Join(msgspec.Struct, frozen=True):
    """One way to join machines and networks."""

    share: float
    """Of the machines."""
    sharpness: float
    adjustment: float

    def of(self, flow: Any, networks: Any, shift: Any) -> Any:
        """(n, 3) twice → (n, 3) probabilities; flow: as `pooled_flow` gives them; shift: log of the class shares."""
        sharp = tempered(flow, self.sharpness / pooled_flow.SHARPNESS)
        mixed = (self.share * sharp + (1 - self.share) * networks).astype(np.float32)
        return nested.adjusted(mixed, np.float32(self.adjustment) * shift)


JOINS = tuple(Join(*one) for one in itertools.product(SHARES, SHARPNESSES, ADJUSTMENTS))


def _litert(scores: Callable[[Any], Any], factor: float, shift: Any = 0.0) -> bytes:
    """Maps → probabilities, whose logarithms lose `shift` and are multiplied by `factor`, as a LiteRT file."""
    with quiet_tensorflow():
        import tensorflow as tf
    function = lambda maps: tf.nn.softmax(factor * (tf.math.log(scores(maps) + 1e-9) - shift))  # noqa: E731
    return litert.function_to_litert(function, half=True)


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

    def grid(self) -> dict[str, list[Any]]:
        own: dict[str, list[Any]] = {"share": list(SHARES), "sharpness": list(SHARPNESSES)}
        return self.flow.grid() | self.networks.grid() | own

    def open_keys(self) -> tuple[str, ...]:
        return self.networks.open_keys()

    def units_nested(self, recipe: Any, folds: int) -> int:
        return self.networks.units_nested(recipe, folds) + self.flow.units(recipe, folds)

    def fit_nested(self, task: Task) -> Fitted:
        """Each part's own choice first, then how they are joined, by the inner scores of both."""
        label, held, (flow, within) = task.data.label, task.held_out, self.flow.machines(task)
        assert flow.chosen is not None
        tick = nested.ticker(task, len(held))
        found, inner = self.networks.chosen(task, tick)
        nothing = np.zeros(3, np.float32)
        networks = self.networks.train_chosen(task, found.chosen, nothing, tick)
        scores, joins, joined = np.full_like(flow.scores, np.nan), [], []
        for fold, own in enumerate(held):
            shift = nested.log_share(label, ~own)
            options = np.stack([join.of(within[fold], inner[fold], shift) for join in JOINS])
            best = nested.best(options, label)
            joins.append(JOINS[best])
            joined.append(options[best])
            scores[own] = joins[-1].of(flow.scores[own], networks[own], shift)
        last = joins[-1]
        write_npz(
            task.state / f"nested-{task.seed}.npz",
            share=last.share, sharpness=last.sharpness,
            shift=np.float32(last.adjustment) * nested.log_share(label, ~held[-1]),
        )  # fmt: skip
        chosen = [
            nested.encoded({"flow": str(f), "network": settings()[int(k)].name} | msgspec.to_builtins(join))
            for f, k, join in zip(flow.chosen, found.chosen, joins, strict=True)
        ]
        trained = self.parameters(task.job.recipe, str(flow.chosen[-1]))
        factors = nested.factors(np.stack(joined), label)
        return Fitted(scores, chosen=np.array(chosen), factors=factors, trained=trained)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        with quiet_tensorflow():
            import tensorflow as tf

        share, sharpness, shift = 0.5, pooled_flow.SHARPNESS, np.zeros(3, np.float32)
        if job.nested:
            with np.load(state / f"nested-{seed}.npz") as saved:
                share, sharpness, shift = float(saved["share"]), float(saved["sharpness"]), saved["shift"]
        logits, flow = self.networks.logits(job, state, seed), self.flow.function(state, sharpness)
        return _litert(lambda maps: (1 - share) * tf.nn.softmax(logits(maps)) + share * flow(maps), factor, shift)
