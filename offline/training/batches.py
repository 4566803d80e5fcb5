"""The training batches: one augmented stream of batches a seed, shared by every fold of that seed.

A batch is a function of (seed, epoch, step) alone, so a run that is resumed, or that trains one fold instead
of all, sees the very same numbers. What differs between folds is only which of the batch's samples count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from offline.training import camera

Float32 = NDArray[np.float32]
Mirror = Callable[[Float32], Float32]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network is trained.

    A run chooses none of it. The defaults were settled with composite leave-one-subject-out results in view;
    the curve is flat around them.
    """

    epochs: Annotated[int, Meta(ge=1, le=10_000)] = 40
    batch: Annotated[int, Meta(ge=2, le=4096)] = 64
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 3e-3
    warmup_steps: Annotated[int, Meta(ge=0)] = 20
    """Linear warm-up; then the schedule, a cosine to zero over the rest unless said."""
    mirror: bool = True
    """Half of the maps are mirrored left–right, with u negated."""
    shift_px: Annotated[int, Meta(ge=0, le=8)] = 1
    """Maps are shifted by up to this many px each way, edges repeated."""
    crop_px: Annotated[float, Meta(ge=0, le=20)] = 0.0
    """Flow maps as of a crop (140×170 px) that sits up to so many px off each way …"""
    crop_percent: Annotated[float, Meta(ge=0, le=30)] = 0.0
    """… and is up to so many per cent larger or smaller."""
    head_residual: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Root mean square of a rest of the head's motion (roll, growth, yaw, pitch) in a flow map's longest vector."""
    flow_noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The same of noise in the flow, which is in its strain too."""
    strain_noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Of noise in the strain alone, in the map's largest strain."""
    mixup: Annotated[float, Meta(ge=0, le=4)] = 0.0
    """Beta(α, α) mixing of pairs within a batch; 0: none."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    class_weight: Annotated[float, Meta(ge=0, le=2)] = 1.0
    """Power of the inverse class frequency in the loss; 0: none."""
    members: Annotated[int, Meta(ge=1, le=100)] = 1
    """Networks from different starts whose log-probabilities are averaged."""

    def member_seeds(self, seed: int) -> range:
        """Seeds of the members; no two members of any two seeds share one."""
        return range(seed * self.members, (seed + 1) * self.members)


class NetworkRecipe(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network that papers describe is trained: with their optimiser, and without what they don't name."""

    optimizer: Literal["adam", "adamax", "sgdm"] = "adam"
    """sgdm: stochastic gradient descent with momentum 0.9."""
    schedule: Literal["cosine", "constant"] = "cosine"
    size: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Side of the picture that the network gets, px; 0: its own. A smaller one is quicker, not the paper's."""


class Batch(msgspec.Struct, frozen=True):
    """One training step's input, shared by all folds."""

    images: Float32
    """(b, *shape), 0..255."""
    targets: Float32
    """(b, classes), rows sum to 1 (soft with mixup)."""
    first: NDArray[np.int64]
    """(b,) index of the clip that each image was made from …"""
    second: NDArray[np.int64]
    """… and of the clip mixed into it (the same one without mixup)."""
    random: int
    """Seed of what else is drawn in this step (dropout)."""


def epoch_batches(
    maps: NDArray[Any],
    labels: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    epoch: int,
    *,
    classes: int = 3,
    mirrored: Mirror | None = None,
) -> Iterator[Batch]:
    """The batches of one epoch: maps (n, *shape) 0..255, labels (n,) 0 … classes − 1; mirrored: default `mirror`."""
    order = np.random.default_rng([seed, epoch]).permutation(len(maps))
    for step, start in enumerate(range(0, len(maps), recipe.batch)):
        index = order[start : start + recipe.batch]
        random = np.random.default_rng([seed, epoch, step])
        images = augment(maps[index], recipe, random, mirrored or mirror)
        targets = np.eye(classes, dtype=np.float32)[labels[index]]
        second = index
        if recipe.mixup > 0:
            images, targets, second = _mix(images, targets, index, recipe.mixup, random)
        yield Batch(images, targets, index, second, int(random.integers(2**62)))


def augment(
    images: NDArray[Any], recipe: Recipe, random: np.random.Generator, mirrored: Mirror | None = None
) -> Float32:
    """Mirrored and shifted copies, flow maps with what a camera adds: (b, H, W, c) 0..255 → the same, float32.

    u is horizontal motion, so that a mirrored face moves the other way: u → −u, which is 255 − u about the
    channel's centre. v and the strain, which is a magnitude, only change places.
    """
    out = np.array(images, np.float32)
    if recipe.mirror:
        chosen = random.random(len(out)) < 0.5
        out[chosen] = (mirrored or mirror)(out[chosen])
    if recipe.shift_px:
        shifts = random.integers(-recipe.shift_px, recipe.shift_px + 1, size=(len(out), 2))
        rows = np.clip(np.arange(out.shape[1])[None] - shifts[:, :1], 0, out.shape[1] - 1)
        columns = np.clip(np.arange(out.shape[2])[None] - shifts[:, 1:], 0, out.shape[2] - 1)
        out = out[np.arange(len(out))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return camera.filmed(out, recipe, random)


def mirror(maps: Float32) -> Float32:
    """Maps of the mirrored face: (n, 28, 28, 3) 0..255 → the same."""
    out = maps[:, :, ::-1].copy()
    out[..., 0] = 255.0 - out[..., 0]
    return out


def mirrored_plain(images: Float32) -> Float32:
    """Mirrored pictures: (n, H, W, c) → the same."""
    return images[:, :, ::-1].copy()


def mirrored_px(fields: Float32) -> Float32:
    """Flow fields of the mirrored face: (n, H, W, 3) px → the same."""
    out = fields[:, :, ::-1].copy()
    out[..., 0] = -out[..., 0]
    return out


def mirror_of(shown: str) -> Mirror:
    """How an input of that name is mirrored."""
    return {"face": mirrored_plain, "flow-field": mirrored_px}.get(shown, mirror)


def rescaled(maps: Float32) -> Float32:
    """As the networks' first layer does: (n, 28, 28, 3) 0..255 → u, v in [−1, 1], strain in [0, 1]."""
    return maps * np.array([1 / 127.5, 1 / 127.5, 1 / 255], np.float32) - np.array([1, 1, 0], np.float32)


def _mix(
    images: Float32, targets: Float32, index: NDArray[np.int64], alpha: float, random: np.random.Generator
) -> tuple[Float32, Float32, NDArray[np.int64]]:
    partner = random.permutation(len(index))
    share = random.beta(alpha, alpha, len(index)).astype(np.float32)
    wide = share[:, None, None, None]
    mixed = wide * images + (1 - wide) * images[partner]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[partner], index[partner]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Rate of step `step` (from 0) of `steps`: linear warm-up, then a cosine to zero."""
    if getattr(recipe, "schedule", "cosine") == "constant" and step >= recipe.warmup_steps:
        return recipe.learning_rate
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def class_weights(labels: NDArray[np.int64], power: float, classes: int = 3) -> Float32:
    """(classes,) weights of the loss: inverse frequency among `labels` to `power`, mean over the samples 1."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0) ** power
    weights = np.where(counts > 0, weights, 0.0)
    return (weights * len(labels) / (weights * counts).sum()).astype(np.float32)


def steps_per_epoch(clips: int, recipe: Recipe) -> int:
    return math.ceil(clips / recipe.batch)
