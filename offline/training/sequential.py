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
from offline.training.batches import Recipe, class_weights, epoch_batches, learning_rate, steps_per_epoch
from realtime.recognition.bundle import quiet_tensorflow

Float32 = NDArray[np.float32]


def limit_threads(threads: int | None = None) -> None:
    """Keep TensorFlow to a number of threads; to be called before its first operation."""
    import tensorflow as tf

    threads = threads or len(os.sched_getaffinity(0))
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has already run: it keeps what it has
        return


class Stepper:
    """A Keras model, Adam, and one compiled training step over masked batches."""

    def __init__(self, model: Any, seed: int) -> None:
        import keras
        import tensorflow as tf

        self.model, self.seed = model, seed
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build(model.trainable_variables)
        self._start = [v.numpy() for v in model.variables]
        self._zero = [v.numpy() for v in self.optimizer.variables]

        def step(images: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                log_p = tf.nn.log_softmax(model(images, training=True))
                loss = -tf.reduce_mean(tf.reduce_sum(targets * log_p, axis=-1))
            gradients = tape.gradient(loss, model.trainable_variables)
            self.optimizer.apply(gradients, model.trainable_variables)
            return loss

        # not by XLA: it would compile again for each number of samples that a fold leaves in a batch
        signature = [tf.TensorSpec((None, 28, 28, 3), tf.float32), tf.TensorSpec((None, 3), tf.float32)]
        self._step = tf.function(step, input_signature=signature)
        self.predict = tf.function(
            lambda maps: tf.nn.softmax(model(maps, training=False)), input_signature=signature[:1]
        )

    def reset(self, start: list[Float32] | None = None) -> None:
        """Back to the start: the weights it was built with, or `start`."""
        for variable, value in zip(self.model.variables, start or self._start, strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self._zero, strict=True):
            variable.assign(value)

    def train(self, maps: Float32, labels: NDArray[np.int64], held: NDArray[np.bool_], recipe: Recipe) -> Float32:
        """One fold: all epochs over the batches, without the samples of `held`. Returns (epochs,) mean losses."""
        weights = class_weights(labels[~held], recipe.class_weight)
        steps = steps_per_epoch(len(maps), recipe)
        means = np.zeros(recipe.epochs, np.float32)
        for epoch in range(recipe.epochs):
            losses = []
            for step, batch in enumerate(epoch_batches(maps, labels, recipe, self.seed, epoch)):
                own = ~(held[batch.first] | held[batch.second])
                if not own.any():
                    continue
                self.optimizer.learning_rate.assign(learning_rate(recipe, epoch * steps + step, steps * recipe.epochs))
                losses.append(float(self._step(batch.images[own], batch.targets[own] * weights)))
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
) -> tuple[Float32, Float32, Any]:
    """Train a network for each row of `held_out` (folds, n), one after the other.

    Returns (n, 3) probabilities by the fold that held each clip out, (epochs,) mean training loss over the
    folds, and the Keras model of the last fold. The last fold is trained even when it was resumed past.
    """
    with quiet_tensorflow():
        import keras

        limit_threads()
    keras.utils.set_random_seed(seed)
    model = build(recipe.dropout)
    freeze(model, frozen)
    stepper = Stepper(model, seed)
    scores, losses, first = _begun(checkpoint, len(maps), len(held_out), recipe.epochs)
    for fold in range(first, len(held_out)):
        held = held_out[fold]
        # dropout draws from Keras' own generators: seeded by fold, so that a resumed run repeats the whole one
        keras.utils.set_random_seed(seed * 1000 + fold)
        _reseed(model, seed * 1000 + fold)
        stepper.reset(start)
        losses[fold] = stepper.train(maps, labels, held, recipe)
        if held.any():
            scores[held] = stepper.predict(maps[held]).numpy()
        if checkpoint is not None:
            write_npz(checkpoint, scores=scores, losses=losses, folds=fold + 1)
        if on_fold is not None:
            on_fold(fold + 1)
    return scores, losses.mean(0), model


def _begun(checkpoint: Path | None, clips: int, folds: int, epochs: int) -> tuple[Float32, Float32, int]:
    """Scores and losses so far, and the fold to go on with."""
    if checkpoint is None or not checkpoint.exists():
        return np.full((clips, 3), np.nan, np.float32), np.full((folds, epochs), np.nan, np.float32), 0
    with np.load(checkpoint) as saved:
        return saved["scores"], saved["losses"], min(int(saved["folds"]), folds - 1)


def freeze(model: Any, share: float) -> None:
    """Freeze the first share of the layers that hold weights (the six-CNN paper: none, 20 %, 50 %)."""
    layers = [layer for layer in model.layers if layer.trainable_variables]
    for layer in layers[: int(share * len(layers))]:
        layer.trainable = False


def _reseed(model: Any, seed: int) -> None:
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(np.array([seed, number], generator.state.numpy().dtype))
