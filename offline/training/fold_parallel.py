"""Networks of LAENet's shape, all folds at once (`offline.training.shallow`), one or more members together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from offline.export import litert
from offline.files import write_npz
from offline.training import bundle_start, nested, nested_networks, shallow
from offline.training.bundle_start import Start
from offline.training.grids import ADJUSTMENTS, SPACE, normalised_tf, settings
from offline.training.protocol import Fitted, Job, Task, Trainer
from realtime.errors import UserError


@dataclass(frozen=True)
class FoldParallel(Trainer):
    """Shallow networks; streams: kernels of each."""

    name = "all-folds"
    streams: tuple[int, ...]
    build: Callable[[float], Any]
    """dropout → Keras model of one network: what the trained weights are put into."""
    network: int
    """Trainable parameters of one network; asserted by a test."""

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        """It can do all."""

    def check_weights(self, model: str, weights: str, recipe: Any, frozen: float) -> str:
        """The folder of a bundle of the same network."""
        if weights in ("none", ""):
            return "none"
        if weights in ("keras", "imagenet"):
            offer = "give a bundle of the same network, or leave it out"
            raise UserError(f"{model}: --weights {weights}: Keras has none of it; {offer}")
        return str(bundle_start.read(weights, model, sum(self.streams))[0])

    def start(self, job: Job) -> Start | None:
        """The bundle that it starts from; None: from random numbers."""
        if job.weights == "none":
            return None
        return bundle_start.read(job.weights, job.entry.name, sum(self.streams))[1]

    def settings(self, job: Job) -> dict[str, Any]:
        start = self.start(job)
        return super().settings(job) | ({} if start is None else {"weights": start.name})

    def units(self, recipe: Any, folds: int) -> int:
        return int(recipe.epochs * recipe.members)

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return int(self.network * recipe.members)

    def fit(self, task: Task) -> Fitted:
        recipe, results = task.job.recipe, []
        for number, own in enumerate(recipe.member_seeds(task.seed)):
            results.append(self._member(task, number, own))
            task.progress((number + 1) * recipe.epochs)
        rows, moving = (np.stack([getattr(one.weights, name)[-1] for one in results]) for name in ("rows", "moving"))
        write_npz(task.state / f"network-{task.seed}.npz", rows=rows, moving=moving)
        curves = shallow.averaged(np.stack([one.scores for one in results]))
        return Fitted(curves[-1], curves, np.mean([one.losses for one in results], axis=(0, 2)))

    def _member(self, task: Task, number: int, seed: int) -> shallow.Trained:
        job, data, recipe = task.job, task.data, task.job.recipe
        start, trainable, given = shallow.initial(self.streams, seed), None, self.start(job)
        if given is not None:
            trainable = shallow.frozen_mask(self.streams, job.frozen)
            start = given.for_folds(data.maps, task.held_out)
        if job.source is not None:
            nobody = np.zeros((1, len(job.source)), bool)
            start = start if given is None else given.for_folds(job.source.maps, nobody)
            trained = shallow.train_folds(job.source.maps, job.source.label, nobody, recipe, start, seed)
            start = shallow.Weights(trained.weights.rows[0], trained.weights.moving[0])
            trainable = shallow.frozen_mask(self.streams, job.frozen)
        return shallow.train_folds(
            data.maps, data.label, task.held_out, recipe, start, seed,
            trainable=trainable, checkpoint=task.state / f"seed-{task.seed}.{number}.part.npz",
            on_epoch=lambda epoch: task.progress(number * recipe.epochs + epoch),
        )  # fmt: skip

    def grid(self) -> dict[str, list[Any]]:
        return {"network": [one.name for one in settings()], "adjustment": list(ADJUSTMENTS)}

    def open_keys(self) -> tuple[str, ...]:
        return tuple(SPACE)

    def units_nested(self, recipe: Any, folds: int) -> int:
        return len(settings()) + 2 * int(recipe.members) - 1

    def fit_nested(self, task: Task) -> Fitted:
        tick, data, held = nested.ticker(task), task.data, task.held_out
        found, inner = self.chosen(task, tick)
        by = nested.adjustments(inner, data.label, held)
        shift = np.float32(by[-1]) * nested.log_share(data.label, ~held[-1])
        scores = self.train_chosen(task, found.chosen, shift, tick)
        names = [settings()[int(k)].name for k in found.chosen]
        chosen = [nested.encoded({"network": n, "adjustment": a}) for n, a in zip(names, by, strict=True)]
        scores = nested.held_out_adjusted(scores, data.label, held, by)
        factors = nested.factors(nested.inner_adjusted(inner, data.label, held, by), data.label)
        return Fitted(scores, chosen=np.array(chosen), factors=factors, trained=self.parameters(task.job.recipe))

    def chosen(self, task: Task, tick: Callable[[], None]) -> tuple[nested_networks.Search, Any]:
        """Each fold's setting, and the scores (folds, n, 3) of its members together by inner folds."""
        found = nested_networks.search(task, self.streams, tick)
        return found, nested_networks.together(task, self.streams, found, task.job.recipe.members, tick)

    def train_chosen(self, task: Task, chosen: Any, shift: Any, tick: Callable[[], None]) -> Any:
        """(n, 3) held-out scores of each fold's setting (folds,); what is served loses `shift` (3,) of its logits."""
        scores, members = nested_networks.outer(task, self.streams, chosen, tick)
        rows, moving = (np.stack([getattr(one, name) for one in members]) for name in ("rows", "moving"))
        spread = np.array(settings()[int(chosen[-1])].spread)
        write_npz(task.state / f"network-{task.seed}.npz", rows=rows, moving=moving, spread=spread, shift=shift)
        return scores

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        return litert.to_litert(self.logits(job, state, seed), factor, half=job.recipe.members > 1)

    def logits(self, job: Job, state: Path, seed: int) -> Callable[[Any], Any]:
        """Maps → mean of the members' logits, as one Keras model."""
        from offline.zoo import layers

        with np.load(state / f"network-{seed}.npz") as saved:
            members = [shallow.Weights(*one) for one in zip(saved["rows"], saved["moving"], strict=True)]
            chose = (str(saved["spread"]), saved["shift"]) if job.nested else None
        streams = (len(members) * sum(self.streams),)  # side by side they are one
        model = layers.shallow(streams, 0.0, job.entry.name)
        network = partial(shallow.to_keras(shallow.merged(members), model, streams), training=False)
        if chose is None:
            return network
        spread, shift = chose
        return lambda maps: network(normalised_tf(maps, spread)) - shift  # type: ignore[arg-type]
