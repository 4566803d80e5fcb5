"""Splits: they yield indices and know no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.errors import DatasetError


class Fold(msgspec.Struct, frozen=True):
    """One split: positions of training and test samples, rising."""

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    def held_out(self) -> NDArray[np.bool_]:
        """(n,) True on the test samples."""
        mask = np.zeros(len(self.train) + len(self.test), bool)
        mask[self.test] = True
        return mask


def loso(person: Sequence[str] | NDArray[np.str_]) -> Iterator[Fold]:
    """Leave one subject out: a fold for each person, in order of name.

    person: (n,) data set and subject of each sample, so that `s1` of two data sets are two people.
    """
    people = np.asarray(person)
    names = np.unique(people)
    if len(names) < 2:
        raise DatasetError(f"leave-one-subject-out needs two subjects or more; there is {len(names)}")
    for name in names:
        own = people == name
        yield Fold(str(name), np.flatnonzero(~own), np.flatnonzero(own))


class Leak(msgspec.Struct, frozen=True):
    """What a split lets through: shares of the test samples."""

    test: int
    same_clip: float
    """With a sample of the same clip in training."""
    same_subject: float
    """With a sample of the same subject in training."""

    def __str__(self) -> str:
        return (
            f"of {self.test} test samples {self.same_clip:.1%} have a frame of the same clip and "
            f"{self.same_subject:.1%} a sample of the same subject in training"
        )


def frame_split(samples: int, seed: int, train_share: float = 0.7) -> Fold:
    """A random split of single samples, blind to clip and subject: the protocol of the six-CNN paper. It
    leaks.
    """
    order = np.random.default_rng([seed, 70]).permutation(samples)
    cut = round(samples * train_share)
    return Fold(f"frame-split-{seed}", np.sort(order[:cut]), np.sort(order[cut:]))


def leak(fold: Fold, person: NDArray[np.str_], clip: Sequence[str]) -> Leak:
    """Measure what a fold leaks; clip: (n,) names, unique with the person."""
    clips = np.array([f"{p}/{c}" for p, c in zip(person, clip, strict=True)])
    return Leak(
        len(fold.test),
        float(np.isin(clips[fold.test], clips[fold.train]).mean()),
        float(np.isin(person[fold.test], person[fold.train]).mean()),
    )
