"""Linear machines on rectified, pooled flow: more often right on these maps than the networks, in 15 228 numbers.

Each map loses its median and is divided by its spread (or neither), because the public maps' zero and scale
are unknown; the flow is half-wave rectified along 4 directions, the strain is appended, all is averaged over
4×4 windows, and then with the mirrored face's features. One-against-one linear support vector machines over a
fixed grid (spread × root × C × class weight) vote by their margins. Nothing is selected: all members count
the same, so that no subject's result chose anything.

The sum of the linear machines on one descriptor is one linear map: what is served is 6 descriptors and 6 maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.batches import mirror, rescaled

Float32 = NDArray[np.float32]
COSTS = (0.3, 1.0, 3.0, 10.0)
POWERS = (0.5, 1.0)
PAIRS = ((0, 1), (0, 2), (1, 2))
SHARPNESS = 2.0
"""Softmax of this × mean margin; a bundle's own is fitted on its training subjects."""


class Descriptor(msgspec.Struct, frozen=True):
    """One way to describe a map."""

    spread: Literal["mean-abs", "std", "none"]
    """What the centred map is divided by; none: u, v are read as −1 to 1, the strain as 0 to 1."""
    root: bool
    """Square root of the pooled values, which tames the largest."""
    directions: int
    window: int
    stride: int

    @property
    def cells(self) -> int:
        return (28 - self.window) // self.stride + 1

    @property
    def size(self) -> int:
        return self.cells**2 * (self.directions + 1)


DESCRIPTORS = tuple(
    Descriptor(spread, root, directions=4, window=4, stride=2)
    for spread in ("mean-abs", "std", "none")
    for root in (False, True)
)
PARAMETERS = sum(3 * (d.size + 1) for d in DESCRIPTORS)


class Linear(msgspec.Struct, frozen=True):
    """Class margins of one descriptor: features @ weights + bias."""

    weights: Float32
    """(size, 3)."""
    bias: Float32
    """(3,)."""


def describe(maps: Float32, descriptor: Descriptor) -> Float32:
    """(n, 28, 28, 3) 0..255 → (n, size), mean over the map and its mirror image."""
    return 0.5 * (_describe(maps, descriptor) + _describe(mirror(maps), descriptor))


def _describe(maps: Float32, descriptor: Descriptor) -> Float32:
    u, v, strain = np.moveaxis(_normalised(maps, descriptor.spread), -1, 0)
    angles = 2 * np.pi * np.arange(descriptor.directions) / descriptor.directions
    along = [np.maximum(u * np.float32(np.cos(a)) + v * np.float32(np.sin(a)), 0) for a in angles]
    pooled = _mean_windows(np.stack([*along, strain], -1), descriptor)
    if descriptor.root:
        pooled = np.sign(pooled) * np.sqrt(np.abs(pooled))
    return pooled.reshape(len(maps), -1)


def _normalised(maps: Float32, spread: str) -> Float32:
    if spread == "none":
        return rescaled(maps)
    centred = maps - np.median(maps, axis=(1, 2), keepdims=True)
    size = centred**2 if spread == "std" else np.abs(centred)
    mean = size.mean((1, 2), keepdims=True)
    return centred / np.maximum(np.sqrt(mean) if spread == "std" else mean, 1e-6)


def _mean_windows(channels: Float32, descriptor: Descriptor) -> Float32:
    """(n, 28, 28, c) → (n, cells, cells, c)."""
    window, at = descriptor.window, np.arange(descriptor.cells) * descriptor.stride
    sums = np.pad(channels.cumsum(1, np.float64).cumsum(2), ((0, 0), (1, 0), (1, 0), (0, 0)))
    rows = sums[:, at + window] - sums[:, at]
    return ((rows[:, :, at + window] - rows[:, :, at]) / window**2).astype(np.float32)


def train_folds(
    maps: Float32,
    labels: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    on_fold: Callable[[int], None] | None = None,
) -> tuple[Float32, list[Linear]]:
    """Train for each row of `held_out` (folds, n), bool.

    Returns ((n, 3) probabilities by the fold that held each clip out, the last fold's linear maps).
    """
    described = [describe(maps, d) for d in DESCRIPTORS]
    # inner products are shared by all folds: a fold reads its own rows and columns
    grams = [features @ features.T for features in described]
    scores, machines = np.full((len(maps), 3), np.nan, np.float32), []
    for number, held in enumerate(held_out, 1):
        machines = [_machine(f, k, labels, np.flatnonzero(~held)) for f, k in zip(described, grams, strict=True)]
        if held.any():
            margins = [f[held] @ m.weights + m.bias for f, m in zip(described, machines, strict=True)]
            scores[held] = softmax(SHARPNESS * np.mean(margins, axis=0))
        if on_fold is not None:
            on_fold(number)
    return scores, machines


def _machine(features: Float32, gram: Float32, labels: NDArray[np.int64], train: NDArray[np.int64]) -> Linear:
    """Mean over the grid of the one-against-one machines of one descriptor."""
    from sklearn.svm import SVC

    # costs are in units of the training features' own variance
    centre = features[train].mean(0)
    scale = float(((features[train] - centre) ** 2).sum(1).mean())
    weights, bias = np.zeros((features.shape[1], 3)), np.zeros(3)
    for a, b in PAIRS:
        own = train[(labels[train] == a) | (labels[train] == b)]
        counts = np.bincount(labels[own], minlength=3)
        if counts[a] == 0 or counts[b] == 0:
            continue
        inner = gram[np.ix_(own, own)].astype(np.float64) / scale
        for power in POWERS:
            balance = {c: (len(own) / (2 * counts[c])) ** power for c in (a, b)}
            for cost in COSTS:
                svm = SVC(C=cost, kernel="precomputed", class_weight=balance).fit(inner, labels[own])
                direction = svm.dual_coef_[0] @ features[own[svm.support_]] / scale
                for label, sign in ((a, -1.0), (b, 1.0)):
                    weights[:, label] += sign * direction
                    bias[label] += sign * float(svm.intercept_[0])
    members = len(POWERS) * len(COSTS)
    return Linear((weights / members).astype(np.float32), (bias / members).astype(np.float32))


def softmax(logits: NDArray[Any]) -> Float32:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def sharpness(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Factor on the log-probabilities that minimises the log-loss of held-out `scores` (n, 3)."""
    logs = np.log(np.maximum(scores, 1e-9))
    tried = np.geomspace(0.2, 5, 60)
    losses = [-np.log(softmax(f * logs)[np.arange(len(labels)), labels]).mean() for f in tried]
    return float(tried[int(np.argmin(losses))])


def serving_function(machines: list[Linear], factor: float) -> Any:
    """TensorFlow function (1, 28, 28, 3) 0..255 → (1, 3) probabilities, for `offline.export`."""
    import tensorflow as tf

    def function(maps: Any) -> Any:
        mirrored = maps[:, :, ::-1] * [-1.0, 1.0, 1.0] + [255.0, 0.0, 0.0]
        both = tf.concat([maps, mirrored], axis=0)
        # averaging the descriptors of the two, as in training, is averaging their margins
        margins = sum(
            _served_descriptor(normal, descriptor) @ machine.weights + machine.bias
            for normal, descriptor, machine in _served_parts(both, machines)
        )
        return tf.nn.softmax(factor * tf.reduce_mean(margins, axis=0, keepdims=True) / len(machines))

    return function


def _served_parts(maps: Any, machines: list[Linear]) -> Iterator[tuple[Any, Descriptor, Linear]]:
    """(rectified maps, descriptor, machine) for each machine; each rectification is computed once."""
    import tensorflow as tf

    # the median of 784 values lies between the 392nd and the 393rd
    ranked = tf.math.top_k(tf.reshape(tf.transpose(maps, (0, 3, 1, 2)), (2, 3, 784)), 393).values
    centred = maps - tf.reshape(tf.reduce_mean(ranked[..., 391:], axis=-1), (2, 1, 1, 3))
    mean = tf.reduce_mean(tf.abs(centred), axis=(1, 2), keepdims=True)
    square = tf.reduce_mean(centred * centred, axis=(1, 2), keepdims=True)
    normal = {
        "mean-abs": centred / tf.maximum(mean, 1e-6),
        "std": centred / tf.maximum(tf.sqrt(square), 1e-6),
        "none": maps * [1 / 127.5, 1 / 127.5, 1 / 255] - [1.0, 1.0, 0.0],
    }
    pooled: dict[tuple[object, ...], Any] = {}
    for descriptor, machine in zip(DESCRIPTORS, machines, strict=True):
        key = (descriptor.spread, descriptor.directions, descriptor.window)
        if key not in pooled:
            rectified = _served_rectified(normal[descriptor.spread], descriptor.directions)
            pooled[key] = tf.nn.avg_pool2d(rectified, descriptor.window, descriptor.stride, "VALID")
        yield pooled[key], descriptor, machine


def _served_rectified(normal: Any, directions: int) -> Any:
    import tensorflow as tf

    angles = 2 * np.pi * np.arange(directions) / directions
    turn = np.stack([np.cos(angles), np.sin(angles), 0 * angles]).astype(np.float32)
    along = tf.nn.relu(tf.nn.conv2d(normal, turn.reshape(1, 1, 3, directions), 1, "VALID"))
    return tf.concat([along, normal[..., 2:]], axis=-1)


def _served_descriptor(pooled: Any, descriptor: Descriptor) -> Any:
    import tensorflow as tf

    if descriptor.root:
        pooled = tf.sign(pooled) * tf.sqrt(tf.abs(pooled))
    return tf.reshape(pooled, (2, descriptor.size))
