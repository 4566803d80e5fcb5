"""Train any Keras model of the zoo, fold by fold, on the batches of `offline.training.batches`.

The reference of the fold-parallel trainer, and what runs networks that are too large for it. One compiled
step serves every fold: weights and optimiser are reset, not rebuilt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.files import write_npz
from offline.training.batches import (
    Mirror,
    NetworkRecipe,
    Recipe,
    class_weights,
    epoch_batches,
    learning_rate,
    steps_per_epoch,
)
from realtime.recognition.bundle import quiet_tensorflow

Float32 = NDArray[np.float32]
CHUNK = 32
"""Samples that are predicted at a time."""


def limit_threads(threads: int | None = None) -> None:
    """Keep TensorFlow to a number of threads: as said, as TF_NUM_INTRAOP_THREADS says, or one a core; to be called
    before its first operation.
    """
    import tensorflow as tf

    threads = threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or len(os.sched_getaffinity(0))
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has already run: it keeps what it has
        return


Loss = Callable[[Any, Any], Any]
"""(targets (n, classes), each row times its weight; logits (n, classes)) → mean loss."""


def cross_entropy(targets: Any, logits: Any) -> Any:
    import tensorflow as tf

    return -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=-1))


def optimizer_of(recipe: Recipe | None) -> Any:
    """Keras optimiser; its rate is set at each step."""
    import keras

    kind = recipe.optimizer if isinstance(recipe, NetworkRecipe) else "adam"
    if kind == "sgdm":
        return keras.optimizers.SGD(1e-3, momentum=0.9)
    return keras.optimizers.Adamax(1e-3) if kind == "adamax" else keras.optimizers.Adam(1e-3)


class Stepper:
    """A Keras model, its optimiser, and one compiled training step over masked batches."""

    def __init__(self, model: Any, seed: int, recipe: Recipe | None = None, loss: Loss = cross_entropy) -> None:
        """recipe: of the optimiser; None: Adam."""
        import tensorflow as tf

        self.model, self.seed, self.loss = model, seed, loss
        self.shape, self.classes = tuple(model.input_shape[1:]), int(model.output_shape[-1])
        self.optimizer = optimizer_of(recipe)
        self.optimizer.build(self.learnt())
        self._start = [v.numpy() for v in model.variables]

        # not by XLA: it would compile again for each number of samples that a fold leaves in a batch
        self.signature = [
            tf.TensorSpec((None, *self.shape), tf.float32), tf.TensorSpec((None, self.classes), tf.float32)
        ]  # fmt: skip
        self._step = self.compiled()
        self._predict = tf.function(
            lambda maps: tf.nn.softmax(model(maps, training=False)), input_signature=self.signature[:1]
        )

    def learnt(self) -> list[Any]:
        """Variables that the steps change."""
        return list(self.model.trainable_variables)

    def compiled(self) -> Any:
        """The compiled step: images, targets → loss."""
        import tensorflow as tf

        def step(images: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = self.loss(targets, self.model(images, training=True))
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            return loss

        return tf.function(step, input_signature=self.signature)

    def predict(self, maps: NDArray[Any]) -> Any:
        """(n, *shape) → (n, classes) probabilities, some at a time: large networks fill the memory."""
        import tensorflow as tf

        parts = [self._predict(np.asarray(maps[at : at + CHUNK], np.float32)) for at in range(0, len(maps), CHUNK)]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)

    def one(self, images: Float32, targets: Float32, step: int, steps: int) -> float:
        """Step `step` of `steps`: its loss."""
        return float(self._step(images, targets))

    def reset(self, start: list[Float32] | None = None) -> None:
        """Back to the start: the weights it was built with, or `start`."""
        for variable, value in zip(self.model.variables, start or self._start, strict=True):
            variable.assign(value)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def train(
        self,
        maps: NDArray[Any],
        labels: NDArray[np.int64],
        held: NDArray[np.bool_],
        recipe: Recipe,
        mirrored: Mirror | None = None,
    ) -> Float32:
        """One fold: all epochs over the batches, without the samples of `held`. Returns (epochs,) mean losses."""
        weights = class_weights(labels[~held], recipe.class_weight, self.classes)
        steps = steps_per_epoch(len(maps), recipe)
        means = np.zeros(recipe.epochs, np.float32)
        for epoch in range(recipe.epochs):
            losses = []
            batches = epoch_batches(maps, labels, recipe, self.seed, epoch, classes=self.classes, mirrored=mirrored)
            for step, batch in enumerate(batches):
                own = ~(held[batch.first] | held[batch.second])
                if not own.any():
                    continue
                now, last = epoch * steps + step, steps * recipe.epochs
                self.optimizer.learning_rate.assign(learning_rate(recipe, now, last))
                losses.append(self.one(batch.images[own], batch.targets[own] * weights, now, last))
            means[epoch] = np.mean(losses)
        return means


def train_folds(
    build: Callable[[float], Any],
    maps: Float32,
    labels: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    recipe: Recipe,
    seed: int,
    *,
    start: list[Float32] | None = None,
    frozen: float = 0.0,
    checkpoint: Path | None = None,
    on_fold: Callable[[int], None] | None = None,
    mirrored: Mirror | None = None,
    stepper_of: Callable[[Any, int], Stepper] | None = None,
) -> tuple[Float32, Float32, Any]:
    """Train a network for each row of `held_out` (folds, n), one after the other.

    Returns (n, classes) probabilities by the fold that held each clip out, (epochs,) mean training loss over the
    folds, and the Keras model of the last fold. The last fold is trained even when it was resumed past.
    """
    with quiet_tensorflow():
        import keras

        limit_threads()
    keras.utils.set_random_seed(seed)
    model = build(recipe.dropout)
    freeze(model, frozen)
    stepper = stepper_of(model, seed) if stepper_of else Stepper(model, seed, recipe)
    scores, losses, first = _begun(checkpoint, len(maps), len(held_out), recipe.epochs, stepper.classes)
    for fold in range(first, len(held_out)):
        held = held_out[fold]
        # dropout draws from Keras' own generators: seeded by fold, so that a resumed run repeats the whole one
        keras.utils.set_random_seed(seed * 1000 + fold)
        _reseed(model, seed * 1000 + fold)
        stepper.reset(start)
        losses[fold] = stepper.train(maps, labels, held, recipe, mirrored)
        if held.any():
            scores[held] = np.asarray(stepper.predict(maps[held]))
        if checkpoint is not None:
            write_npz(checkpoint, scores=scores, losses=losses, folds=fold + 1)
        if on_fold is not None:
            on_fold(fold + 1)
    return scores, losses.mean(0), model


def _begun(
    checkpoint: Path | None, clips: int, folds: int, epochs: int, classes: int = 3
) -> tuple[Float32, Float32, int]:
    """Scores and losses so far, and the fold to go on with."""
    if checkpoint is None or not checkpoint.exists():
        return np.full((clips, classes), np.nan, np.float32), np.full((folds, epochs), np.nan, np.float32), 0
    with np.load(checkpoint) as saved:
        return saved["scores"], saved["losses"], min(int(saved["folds"]), folds - 1)


def freeze(model: Any, share: float) -> None:
    """Freeze the first share of the layers that hold weights (the six-CNN paper: none, 20 %, 50 %)."""
    if share <= 0:
        return
    layers = [layer for layer in model.layers if layer.trainable_variables]
    for layer in layers[: int(share * len(layers))]:
        layer.trainable = False


def _reseed(model: Any, seed: int) -> None:
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(np.array([seed, number], generator.state.numpy().dtype))
