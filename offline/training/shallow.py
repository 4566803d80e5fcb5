"""Train LAENet-shaped networks for all folds at once, and run them.

All folds of a seed share one stream of augmented batches (`offline.training.batches`), one start and one dropout mask
a step; a fold differs only in which samples count: those of its held-out subject, or mixed with it, are left
out of its loss, its class weights and its batch statistics. The arithmetic is in `offline.training.shallow_cpu`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.files import write_npz
from offline.training.batches import Recipe, class_weights, epoch_batches, learning_rate, rescaled, steps_per_epoch

Float32 = NDArray[np.float32]
CHECKPOINT_EPOCHS = 10


class Weights(msgspec.Struct, frozen=True):
    """Parameters of one or more shallow networks; the leading axes `...` are folds."""

    rows: Float32
    """(..., 108, kernels): see `offline.training.shallow_cpu`."""
    moving: Float32
    """(..., 2, kernels): batch norm's mean and variance."""


class Trained(msgspec.Struct, frozen=True):
    """What training all folds gives."""

    weights: Weights
    scores: Float32
    """(epochs, n, 3) probabilities of each clip by the fold that held it out, after each epoch; NaN: never
    held out.
    """
    losses: Float32
    """(epochs, folds) mean training loss."""


def initial(streams: tuple[int, ...], seed: int) -> Weights:
    """Start of one network: uniform within ±1/√inputs, as in STSTNet's published (PyTorch) code."""
    random = np.random.default_rng([seed, 2**32 - 1])
    kernels = sum(streams)
    rows = np.zeros((108, kernels), np.float32)
    rows[:28] = random.uniform(-1, 1, (28, kernels)) / np.sqrt(27)
    rows[28] = 1.0
    rows[30:105] = random.uniform(-1, 1, (75, kernels)) / np.sqrt(25 * kernels)
    rows[105:108] = random.uniform(-1, 1, (3, 1)) / np.sqrt(25 * kernels)
    return Weights(rows, np.stack([np.zeros(kernels), np.ones(kernels)]).astype(np.float32))


def frozen_mask(streams: tuple[int, ...], share: float) -> Float32:
    """(108, kernels): 0 for what fine-tuning leaves alone, the first share of the network's layers.

    Layers in Keras' order: each stream's convolution, each stream's batch norm, the dense one.
    """
    kernels, at = sum(streams), 0
    mask = np.ones((108, kernels), np.float32)
    layers = []
    for own in streams:
        layers.append((slice(0, 28), slice(at, at + own)))
        at += own
    layers += [(slice(28, 30), columns) for _, columns in layers]
    layers.append((slice(30, 108), slice(0, kernels)))
    for rows, columns in layers[: int(share * len(layers))]:
        mask[rows, columns] = 0
    return mask


def train_folds(
    maps: Float32,
    labels: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    recipe: Recipe,
    start: Weights,
    seed: int,
    *,
    trainable: Float32 | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
    curves: bool = True,
) -> Trained:
    """Train one network for each row of `held_out`.

    maps: (n, 28, 28, 3) float32, 0..255; labels: (n,) 0..2; held_out: (folds, n) bool, clips a fold must not
    see (none: a network trained on everything); start: one network, or one for each fold; trainable:
    (108, kernels), 0 where frozen. checkpoint: file to continue from and to save to every few epochs; the result is
    the same as without. curves: False: the scores are left NaN, where only the weights are wanted.
    """
    run = _Run(maps, labels, held_out, recipe, start, seed, trainable)
    run.curves = curves
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint)
    while run.epoch < recipe.epochs:
        run.advance()
        if checkpoint is not None and (run.epoch % CHECKPOINT_EPOCHS == 0 or run.epoch == recipe.epochs):
            run.save(checkpoint)
        if on_epoch is not None:
            on_epoch(run.epoch)
    return Trained(run.weights(), run.scores, run.losses)


class _Run:
    """Mutable state of one `train_folds`."""

    def __init__(
        self,
        maps: Float32,
        labels: NDArray[np.int64],
        held_out: NDArray[np.bool_],
        recipe: Recipe,
        start: Weights,
        seed: int,
        trainable: Float32 | None,
    ) -> None:
        from numba import get_num_threads

        from offline.training.shallow_cpu import LANES, scratch_for

        self.maps, self.labels, self.held_out, self.recipe, self.seed = maps, labels, held_out, recipe, seed
        self.kernels = start.rows.shape[-1]
        if not 1 <= self.kernels <= LANES:
            raise ValueError(f"{self.kernels} kernels: the fold-parallel trainer takes 1 to {LANES}")
        self.curves = True
        self.folds = len(held_out)
        self.slots = LANES // self.kernels
        self.groups = -(-self.folds // self.slots)
        self.epoch = 0
        self.patches = patches(maps)
        self.state = np.zeros((3, self.groups, 108, LANES), np.float32)
        self.moving = np.zeros((self.groups, 2, LANES), np.float32)
        used = self.slots * self.kernels
        self.state[0, :, :, :used] = self._packed(start.rows)
        self.moving[:, :, :used] = self._packed(start.moving)
        self.trainable = np.zeros((108, LANES), np.float32)
        self.trainable[:, :used] = 1.0 if trainable is None else np.tile(trainable, (1, self.slots))
        self.scores = np.full((recipe.epochs, len(maps), 3), np.nan, np.float32)
        self.losses = np.full((recipe.epochs, self.folds), np.nan, np.float32)
        self.class_weights = np.zeros((self.groups * self.slots, 3), np.float32)
        for fold, held in enumerate(held_out):
            self.class_weights[fold] = class_weights(labels[~held], recipe.class_weight)
        self.scratch = scratch_for(get_num_threads(), min(recipe.batch, len(maps)))

    def _packed(self, one: Float32) -> Float32:
        """Of one network for all folds, (rows, kernels), or of each fold: the lanes, (groups, rows, used)."""
        every = np.broadcast_to(one, (self.folds, *one.shape[-2:]))
        whole = np.concatenate([every, np.repeat(every[-1:], self.groups * self.slots - self.folds, 0)])
        rows = whole.reshape(self.groups, self.slots, *one.shape[-2:]).transpose(0, 2, 1, 3)
        return rows.reshape(self.groups, one.shape[-2], -1)

    def advance(self) -> None:
        """One epoch, then the held-out scores after it (recorded for the curves; nothing depends on them)."""
        from offline.training.shallow_cpu import train_epoch

        images, sizes, targets, counts, keep = self._epoch_arrays()
        steps = steps_per_epoch(len(self.maps), self.recipe)
        first = self.epoch * steps
        total = steps * self.recipe.epochs
        rates = np.array([learning_rate(self.recipe, first + s, total) for s in range(steps)])
        losses = np.zeros((self.groups, self.slots), np.float32)
        train_epoch(
            images, sizes, targets, counts, keep, rates, first, self.kernels,
            self.state, self.moving, self.trainable, losses, self.scratch,
        )  # fmt: skip
        self.losses[self.epoch] = losses.reshape(-1)[: self.folds] / steps
        trained = self.weights()
        for fold, held in enumerate(self.held_out):
            if self.curves and held.any():
                one = Weights(trained.rows[fold], trained.moving[fold])
                self.scores[self.epoch, held] = probabilities(one, self.patches[held])
        self.epoch += 1

    def _epoch_arrays(self) -> tuple[Float32, NDArray[np.int64], Float32, Float32, Float32]:
        recipe, slots = self.recipe, self.slots
        batches = list(epoch_batches(self.maps, self.labels, recipe, self.seed, self.epoch))
        steps, size = len(batches), min(recipe.batch, len(self.maps))
        images = np.zeros((steps, size, 3, 30, 30), np.float32)
        sizes = np.array([len(batch.images) for batch in batches])
        targets = np.zeros((self.groups * slots, steps, size, 3), np.float32)
        counts = np.zeros((self.groups * slots, steps, size), np.float32)
        keep = np.zeros((steps, size, 100, self.trainable.shape[1]), np.float32)
        used = slots * self.kernels
        for step, batch in enumerate(batches):
            n = len(batch.images)
            images[step, :n, :, 1:-1, 1:-1] = rescaled(batch.images).transpose(0, 3, 1, 2)
            targets[:, step, :n] = batch.targets[None] * self.class_weights[:, None]
            hidden = self.held_out[:, batch.first] | self.held_out[:, batch.second]
            counts[: self.folds, step, :n] = ~hidden
            keep[step, :n, :, :used] = np.tile(dropout_mask(batch.random, n, self.kernels, recipe.dropout), slots)
        shape = (self.groups, slots, steps, size)
        targets = np.ascontiguousarray(targets.reshape(*shape, 3).transpose(0, 2, 3, 1, 4))
        counts = np.ascontiguousarray(counts.reshape(shape).transpose(0, 2, 3, 1))
        return images, sizes, targets, counts, keep

    def weights(self) -> Weights:
        """(folds, 108, kernels) and (folds, 2, kernels)."""
        used = self.slots * self.kernels

        def unpack(lanes: Float32) -> Float32:
            rows = lanes.shape[1]
            folds = lanes[:, :, :used].reshape(self.groups, rows, self.slots, self.kernels)
            return folds.transpose(0, 2, 1, 3).reshape(-1, rows, self.kernels)[: self.folds].copy()

        return Weights(unpack(self.state[0]), unpack(self.moving))

    def save(self, file: Path) -> None:
        write_npz(
            file,
            epoch=self.epoch,
            state=self.state,
            moving=self.moving,
            scores=self.scores,
            losses=self.losses,
        )

    def restore(self, file: Path) -> None:
        with np.load(file) as saved:
            self.epoch = int(saved["epoch"])
            self.state, self.moving = saved["state"], saved["moving"]
            self.scores, self.losses = saved["scores"], saved["losses"]


def dropout_mask(random: int, n: int, kernels: int, rate: float) -> Float32:
    """(n, 100, kernels): 1/(1 − rate) with probability 1 − rate, else 0."""
    kept = np.random.default_rng(random).random((n, 100, kernels), np.float32) >= rate
    return kept.astype(np.float32) / np.float32(1 - rate)


def patches(maps: Float32) -> Float32:
    """3×3 neighbourhoods: (n, 28, 28, 3) 0..255 → (n, 28, 28, 27) [channel, dy, dx], rescaled, 0 outside."""
    padded = np.pad(rescaled(maps), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows.reshape(*maps.shape[:3], 27)


def logits(weights: Weights, neighbourhoods: Float32) -> Float32:
    """One network at work: (n, 28, 28, 27) → (n, 3). Plain numpy, and the reference of the kernels."""
    rows, (mean, variance) = weights.rows, weights.moving
    n, kernels = len(neighbourhoods), rows.shape[1]
    active = np.maximum(neighbourhoods @ rows[:27] + rows[27], 0)
    normal = (active - mean) / np.sqrt(variance + 1e-3) * rows[28] + rows[29]
    bordered = np.pad(normal, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = bordered.reshape(n, 10, 3, 10, 3, kernels).max(axis=(2, 4))
    features = pooled.reshape(n, 5, 2, 5, 2, kernels).mean(axis=(2, 4)).reshape(n, 25 * kernels)
    dense = rows[30:105].reshape(25, 3, kernels).transpose(0, 2, 1).reshape(25 * kernels, 3)
    return features @ dense + rows[105:108, 0]


def probabilities(weights: Weights, neighbourhoods: Float32) -> Float32:
    """(n, 28, 28, 27) → (n, 3), rows sum to 1."""
    raw = logits(weights, neighbourhoods)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def merged(members: list[Weights]) -> Weights:
    """One network, of all the members' kernels, whose logits are the mean of theirs."""
    rows = np.concatenate([one.rows for one in members], axis=-1)
    rows[30:105] /= len(members)
    rows[105:108] = np.mean([one.rows[105:108, :1] for one in members], axis=0)
    return Weights(rows, np.concatenate([one.moving for one in members], axis=-1))


def averaged(scores: Float32) -> Float32:
    """Mean of the members' log-probabilities, as probabilities: (members, ..., 3) → (..., 3)."""
    if len(scores) == 1:
        return scores[0]
    powers = np.exp(np.log(np.maximum(scores, 1e-9)).mean(axis=0))
    return powers / powers.sum(axis=-1, keepdims=True)


def to_keras(weights: Weights, model: Any, streams: tuple[int, ...]) -> Any:
    """Put one network's weights into the Keras model of the zoo; returns it."""
    rows, moving, at = weights.rows, weights.moving, 0
    for kernels in streams:
        own = slice(at, at + kernels)
        filters = rows[:27, own].reshape(3, 3, 3, kernels).transpose(1, 2, 0, 3)
        model.get_layer(f"conv_k{kernels}").set_weights([filters, rows[27, own]])
        norm = [rows[28, own], rows[29, own], moving[0, own], moving[1, own]]
        model.get_layer(f"norm_k{kernels}").set_weights(norm)
        at += kernels
    dense = rows[30:105].reshape(25, 3, at).transpose(0, 2, 1).reshape(25 * at, 3)
    model.get_layer("logits").set_weights([dense, rows[105:108, 0]])
    return model
