"""Linear machines on rectified, pooled flow, averaged; how the flow is described is chosen in inner folds.

Each map loses its median and is divided by its spread (or neither), because the public maps' zero and scale
are unknown; the flow is half-wave rectified along 4 or 8 directions, the strain is appended, all is averaged
over windows, and then with the mirrored face's features. One-against-one linear support vector machines over
a fixed grid (spread × root × C × class weight) vote by their margins, all with the same weight.

Leave-one-subject-out scores of several `VARIANTS` on the MEGC 2019 composite were known when the list was
made: all ways to divide × all windows. "nested" is the honest way to use it: each fold chooses its variant by
inner folds over its own training subjects. That such features suit these maps at all was found with results
on the same composite in view, and no protocol takes that back.

The sum of the linear machines on one descriptor is one linear map, and what mirroring makes equal is kept
once: 4 to 24 descriptors and as many maps are served.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.evaluation.metrics import confusion, metrics
from offline.files import write_npz
from offline.training.batches import rescaled

Float32 = NDArray[np.float32]
COSTS = (0.3, 1.0, 3.0, 10.0)
POWERS = (0.5, 1.0)
PAIRS = ((0, 1), (0, 2), (1, 2))
INNER_FOLDS = 5
Spread = Literal["mean-abs", "std", "none"]
SPREADS: tuple[Spread, ...] = ("mean-abs", "std", "none")
SHARPNESS = 2.0
"""Softmax of this × mean margin; a bundle's own is fitted on its training subjects."""
CHECKPOINT_FOLDS = 5


class Shape(msgspec.Struct, frozen=True):
    """How finely a map is described."""

    directions: int
    window: int
    stride: int

    @property
    def cells(self) -> int:
        return (28 - self.window) // self.stride + 1

    @property
    def size(self) -> int:
        """Features of a map, those that its mirror image makes equal counted once."""
        pairs, own = twins(self.directions)
        return len(pairs) * self.cells**2 + len(own) * self.cells * ((self.cells + 1) // 2)


class Descriptor(msgspec.Struct, frozen=True):
    """One way to describe a map."""

    shape: Shape
    spread: Spread
    """What the centred map is divided by; none: u, v are read as −1 to 1, the strain as 0 to 1."""
    root: bool
    """Square root of the pooled values, which tames the largest."""


class Variant(msgspec.Struct, frozen=True):
    """Descriptors that belong together: each shape with each spread, with and without root."""

    spreads: tuple[Spread, ...]
    shapes: tuple[Shape, ...]


_FINE, _COARSE = (Shape(4, 4, 2), Shape(8, 4, 2)), (Shape(4, 7, 3), Shape(8, 7, 3))
_SPREADS: dict[str, tuple[Spread, ...]] = {"centred": ("mean-abs", "std"), "all": SPREADS} | {s: (s,) for s in SPREADS}
_SHAPES = {"w4": _FINE, "w47": _FINE + _COARSE, "w7": _COARSE}
VARIANTS = {f"{s}-{w}": Variant(_SPREADS[s], _SHAPES[w]) for s in _SPREADS for w in _SHAPES}
"""By name; on a tie the first counts."""
CHOICES = ("nested", *VARIANTS)


def descriptors(variant: str) -> tuple[Descriptor, ...]:
    """Descriptors of a variant; "nested": of all of them."""
    own = VARIANTS["all-w47" if variant == "nested" else variant]
    return tuple(Descriptor(shape, s, root) for shape in own.shapes for s in own.spreads for root in (False, True))


def parameters(variant: str) -> int:
    """Two margins for each feature (the third is minus their sum), and two biases."""
    return 2 * sum(d.shape.size for d in descriptors(variant)) + 2


def recipe(variant: str) -> dict[str, Any]:
    """Settings, for the records of a run."""
    return {"variant": variant, "costs": COSTS, "class_weights": POWERS, "inner_folds": INNER_FOLDS}


class Linear(msgspec.Struct, frozen=True):
    """Class margins of one descriptor: features @ weights + bias."""

    weights: Float32
    """(size, 3)."""
    bias: Float32
    """(3,)."""


class Pooled(msgspec.Struct, frozen=True):
    """What training gives."""

    scores: Float32
    """(n, 3) probabilities by the fold that held each clip out; NaN: none did."""
    chosen: tuple[str, ...]
    """Variant of each fold."""
    machines: tuple[Linear, ...]
    """Of the last fold, in the order of its variant's descriptors."""
    inner: Float32 | None = None
    """(folds, n, 3) probabilities of each fold's training clips by its inner folds; None: not asked for."""


def describe(maps: Float32, descriptor: Descriptor) -> Float32:
    """(n, 28, 28, 3) 0..255 → (n, size), mean over the map and its mirror image.

    Features that come twice (a cell and its mirror image) are kept once, times √2: inner products stay.
    """
    shape = descriptor.shape
    u, v, strain = np.moveaxis(_normalised(maps, descriptor.spread), -1, 0)
    along = [np.maximum(u * c + v * s, 0) for c, s in _axes(shape.directions)]
    pooled = _mean_windows(np.stack([*along, strain], -1), shape)
    if descriptor.root:
        pooled = np.sign(pooled) * np.sqrt(np.abs(pooled))
    (pairs, own), half, middle = twins(shape.directions), (shape.cells + 1) // 2, shape.cells // 2
    both = 0.5 * (pooled + pooled[:, :, ::-1][..., _mirrored(shape.directions)])
    halves = both[:, :, :half][..., own]
    if shape.cells % 2:
        halves[:, :, middle] *= np.float32(np.sqrt(0.5))
    parts = [both[..., pairs].reshape(len(maps), -1), halves.reshape(len(maps), -1)]
    return (np.sqrt(2) * np.concatenate(parts, axis=1)).astype(np.float32)


def _axes(directions: int) -> Float32:
    """(directions, 2) cosine and sine."""
    angles = 2 * np.pi * np.arange(directions) / directions
    return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)


def _mirrored(directions: int) -> list[int]:
    """Channel that each becomes in the mirror: right turns to left; the strain, the last one, stays."""
    return [(directions // 2 - k) % directions for k in range(directions)] + [directions]


def twins(directions: int) -> tuple[list[int], list[int]]:
    """(channels whose mirror image is another channel, one of each two; channels that are their own)."""
    other = _mirrored(directions)
    return [k for k, o in enumerate(other) if k < o], [k for k, o in enumerate(other) if k == o]


def _normalised(maps: Float32, spread: Spread) -> Float32:
    if spread == "none":
        return rescaled(maps)
    centred = maps - np.median(maps, axis=(1, 2), keepdims=True)
    size = centred**2 if spread == "std" else np.abs(centred)
    mean = size.mean((1, 2), keepdims=True)
    return centred / np.maximum(np.sqrt(mean) if spread == "std" else mean, 1e-6)


def _mean_windows(channels: Float32, shape: Shape) -> Float32:
    """(n, 28, 28, c) → (n, cells, cells, c)."""
    window, at = shape.window, np.arange(shape.cells) * shape.stride
    sums = np.pad(channels.cumsum(1, np.float64).cumsum(2), ((0, 0), (1, 0), (1, 0), (0, 0)))
    rows = sums[:, at + window] - sums[:, at]
    return ((rows[:, :, at + window] - rows[:, :, at]) / window**2).astype(np.float32)


def train_folds(
    maps: Float32,
    labels: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    person: NDArray[np.str_],
    variant: str = "nested",
    *,
    checkpoint: Path | None = None,
    on_fold: Callable[[int], None] = lambda done: None,
    keep_inner: bool = False,
) -> Pooled:
    """Train for each row of `held_out` (folds, n), bool; person: (n,) whose clip each is.

    variant: a name of `VARIANTS`, or "nested": each fold's own choice. A fold without two training subjects
    has no inner folds and takes the first. checkpoint: file to go on from. keep_inner: with "nested", `Pooled.inner`.
    """
    scores, chosen = np.full((len(maps), 3), np.nan, np.float32), []
    inner = np.full((len(held_out) if keep_inner else 0, len(maps), 3), np.nan, np.float32)
    machines: dict[Descriptor, Linear] = {}
    if checkpoint is not None and checkpoint.exists():
        with np.load(checkpoint) as saved:
            scores, chosen = saved["scores"], saved["chosen"].tolist()
            inner = saved["inner"] if keep_inner else inner
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        bench = _Bench(maps, labels, descriptors(variant), pool)
        # the last fold is trained in any case: its machines are what is served
        for number in range(min(len(chosen), len(held_out) - 1), len(held_out)):
            held = held_out[number]
            name, within = bench.choose(~held, person) if variant == "nested" else (variant, None)
            if keep_inner and within is not None:
                inner[number, ~held] = softmax(SHARPNESS * within)
            machines = bench.machines(np.flatnonzero(~held), descriptors(name))
            if held.any():
                margins = [bench.features[d][held] @ m.weights + m.bias for d, m in machines.items()]
                scores[held] = softmax(SHARPNESS * np.mean(margins, axis=0))
            chosen = [*chosen[:number], name]
            if checkpoint is not None and (number + 1) % CHECKPOINT_FOLDS == 0:
                kept = {"inner": inner} if keep_inner else {}
                write_npz(checkpoint, scores=scores, chosen=np.array(chosen), **kept)
            on_fold(number + 1)
    return Pooled(scores, tuple(chosen), tuple(machines.values()), inner if keep_inner else None)


class _Bench:
    """Features of all clips and their inner products, which all folds share."""

    def __init__(self, maps: Float32, labels: NDArray[np.int64], which: tuple[Descriptor, ...], pool: Executor) -> None:
        self.labels, self.pool = labels, pool
        self.features = dict(zip(which, pool.map(lambda d: describe(maps, d), which), strict=True))
        self.grams = {d: f @ f.T for d, f in self.features.items()}

    def machines(self, train: NDArray[np.int64], which: tuple[Descriptor, ...]) -> dict[Descriptor, Linear]:
        def one(d: Descriptor) -> Linear:
            return _machine(self.features[d], self.grams[d], self.labels, train)

        return dict(zip(which, self.pool.map(one, which), strict=True))

    def choose(self, train: NDArray[np.bool_], person: NDArray[np.str_]) -> tuple[str, Float32 | None]:
        """Variant with the highest UF1 over inner folds by subject, and its margins there, (trained clips, 3).

        train: (n,) bool: nothing else is read. None: there are no inner folds.
        """
        clips = np.flatnonzero(train)
        names, index = np.unique(person[clips], return_inverse=True)
        folds = min(INNER_FOLDS, len(names))
        if folds < 2:
            return next(iter(VARIANTS)), None
        margins = {d: np.zeros((len(clips), 3), np.float32) for d in self.features}
        for fold in range(folds):
            held = index % folds == fold
            for d, machine in self.machines(clips[~held], tuple(self.features)).items():
                margins[d][held] = self.features[d][clips[held]] @ machine.weights + machine.bias
        joined = {v: np.mean([margins[d] for d in descriptors(v)], axis=0) for v in VARIANTS}
        values = [metrics(confusion(self.labels[clips], own.argmax(-1)))["uf1"] for own in joined.values()]
        best = list(VARIANTS)[int(np.argmax(values))]
        return best, joined[best]


def _machine(features: Float32, gram: Float32, labels: NDArray[np.int64], train: NDArray[np.int64]) -> Linear:
    """Mean over the grid of the one-against-one machines of one descriptor."""
    from sklearn import config_context
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
                with config_context(assume_finite=True, skip_parameter_validation=True):
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


def serving_function(machines: list[Linear], variant: str, factor: float) -> Any:
    """TensorFlow function (1, 28, 28, 3) 0..255 → (1, 3) probabilities, for `offline.export.litert`."""
    import tensorflow as tf

    weights = np.concatenate([m.weights[:, :2] for m in machines]) * np.float32(factor / len(machines))
    bias = np.mean([m.bias[:2] for m in machines], axis=0, dtype=np.float32) * np.float32(factor)

    def function(maps: Any) -> Any:
        normal = served_normal(maps, VARIANTS[variant].spreads)
        features = tf.concat([_served_features(normal, shape) for shape in VARIANTS[variant].shapes], axis=1)
        two = tf.matmul(features, weights) + bias
        # the margins of the three classes sum to zero
        return tf.nn.softmax(tf.concat([two, -tf.reduce_sum(two, axis=1, keepdims=True)], axis=1))

    return function


def served_normal(maps: Any, spreads: tuple[Spread, ...]) -> Any:
    """(1, 28, 28, 3) → (spreads, 28, 28, 3)."""
    import tensorflow as tf

    # the median of 784 values lies between the 392nd and the 393rd
    ranked = tf.math.top_k(tf.reshape(tf.transpose(maps, (0, 3, 1, 2)), (3, 784)), 393).values
    moved = maps - tf.reshape(tf.reduce_mean(ranked[:, 391:], axis=-1), (1, 1, 1, 3))
    mean = tf.reduce_mean(tf.abs(moved), axis=(1, 2), keepdims=True)
    square = tf.reduce_mean(moved * moved, axis=(1, 2), keepdims=True)
    read = {
        "mean-abs": moved / tf.maximum(mean, 1e-6),
        "std": moved / tf.maximum(tf.sqrt(square), 1e-6),
        "none": maps * [1 / 127.5, 1 / 127.5, 1 / 255] - [1.0, 1.0, 0.0],
    }
    return tf.concat([read[spread] for spread in spreads], axis=0)


def _served_features(normal: Any, shape: Shape) -> Any:
    """(spreads, 28, 28, 3) → (1, 2 × spreads × size): `describe` for each, without and with root."""
    import tensorflow as tf

    (pairs, own), half, cells = twins(shape.directions), (shape.cells + 1) // 2, shape.cells
    count = 2 * normal.shape[0]
    turn = np.pad(_axes(shape.directions).T, ((0, 1), (0, 0))).reshape(1, 1, 3, shape.directions)
    along = tf.nn.relu(tf.nn.conv2d(normal, turn, 1, "VALID"))
    pooled = tf.nn.avg_pool2d(tf.concat([along, normal[..., 2:]], axis=-1), shape.window, shape.stride, "VALID")
    rooted = tf.sign(pooled) * tf.sqrt(tf.abs(pooled))
    pooled = tf.reshape(tf.stack([pooled, rooted], axis=1), (count, cells, cells, shape.directions + 1))
    mirrored = tf.gather(tf.reverse(pooled, axis=[2]), _mirrored(shape.directions), axis=3)
    both = np.float32(np.sqrt(0.5)) * (pooled + mirrored)
    weight = np.ones((1, 1, half, 1), np.float32)
    if cells % 2:
        weight[:, :, -1] = np.sqrt(0.5)
    halves = tf.gather(both[:, :, :half], own, axis=3) * weight
    parts = [tf.reshape(tf.gather(both, pairs, axis=3), (count, -1)), tf.reshape(halves, (count, -1))]
    return tf.reshape(tf.concat(parts, axis=1), (1, count * shape.size))
