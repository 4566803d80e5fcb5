"""Micro- and macro-expressions trained side by side, and a domain classifier behind a reversed gradient (Ganin 2016).

What the layer "parts" gives must tell the classes of both apart and not which of both it is. Without a source
(``--pretrain``) it is an ordinary network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.training import sequential
from offline.training.batches import NetworkRecipe, class_weights
from offline.training.networks import Network
from offline.training.protocol import Task
from realtime.errors import UserError

WIDTH = 128
"""Of the domain classifier's hidden layer."""


@dataclass(frozen=True)
class Adversarial(Network):
    """``--pretrain`` names the macro-expressions; they are trained on all the way, not first."""

    name = "keras, adversarial"

    def before(self, task: Task) -> list[Any] | None:
        if task.job.frozen and task.job.source is not None:
            raise UserError("nmer: macro-expressions are trained beside, not first: there is nothing to --freeze")
        return None

    def stepper(self, task: Task) -> Callable[[Any, int], sequential.Stepper]:
        source, recipe = task.job.source, task.job.recipe
        if source is None:
            return super().stepper(task)
        return lambda model, seed: AdversarialStepper(model, seed, recipe, source)


class AdversarialStepper(sequential.Stepper):
    """Each step sees as many macro-expressions as micro-expressions."""

    def __init__(self, model: Any, seed: int, recipe: NetworkRecipe, source: MapSet) -> None:
        import keras

        self.source, self._parts = source, model.get_layer("parts").output
        self.both = keras.Model(model.input, [self._parts, model.output])
        self.critic = keras.Sequential(
            [keras.Input((int(self._parts.shape[-1]),)), keras.layers.Dense(WIDTH, activation="relu"),
             keras.layers.Dense(1)], name="domain",
        )  # fmt: skip
        self._critic_start = [v.numpy() for v in self.critic.variables]
        weights = class_weights(source.label, recipe.class_weight, int(model.output_shape[-1]))
        self._targets = np.eye(int(model.output_shape[-1]), dtype=np.float32)[source.label] * weights
        super().__init__(model, seed, recipe)

    def learnt(self) -> list[Any]:
        return [*self.model.trainable_variables, *self.critic.trainable_variables]

    def compiled(self) -> Any:
        import tensorflow as tf

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def reversed_by(x: Any, strength: Any) -> Any:
            return tf.identity(x), lambda gradient: (-strength * gradient, None)

        def step(images: Any, targets: Any, more: Any, more_targets: Any, strength: Any) -> Any:
            variables, micro = self.learnt(), tf.shape(images)[0]
            with tf.GradientTape() as tape:
                parts, logits = self.both(tf.concat([images, more], 0), training=True)
                loss = self.loss(targets, logits[:micro]) + self.loss(more_targets, logits[micro:])
                domain = self.critic(reversed_by(parts, strength), training=True)
                truth = tf.concat([tf.zeros((micro, 1)), tf.ones((tf.shape(more)[0], 1))], 0)
                loss += tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, domain))
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        return tf.function(step, input_signature=[*self.signature, *self.signature, tf.TensorSpec((), tf.float32)])

    def one(self, images: NDArray[Any], targets: NDArray[Any], step: int, steps: int) -> float:
        random = np.random.default_rng([self.seed, step, 2019])
        own = random.integers(len(self.source), size=len(images))
        strength = np.float32(2 / (1 + np.exp(-10 * step / max(1, steps))) - 1)  # Ganin's schedule
        maps = np.asarray(self.source.maps[own], np.float32)
        return float(self._step(images, targets, maps, self._targets[own], strength))

    def reset(self, start: list[Any] | None = None) -> None:
        super().reset(start)
        for variable, value in zip(self.critic.variables, self._critic_start, strict=True):
            variable.assign(value)
