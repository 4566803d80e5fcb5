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


def subject_folds(person: Sequence[str] | NDArray[np.str_], folds: int) -> Iterator[Fold]:
    """Hold people out in so many groups, for networks that are too large to leave each out alone.

    The groups have about as many samples, and as many of each data set, each: who has most is dealt out first. Labels
    are not looked at.
    """
    people = np.asarray(person)
    names, counts = np.unique(people, return_counts=True)
    if not 2 <= folds <= len(names):
        raise DatasetError(f"subject-folds:{folds}: there are {len(names)} subjects; give 2 to {len(names)}")
    order = sorted(range(len(names)), key=lambda i: (str(names[i]).partition("/")[0], -counts[i], str(names[i])))
    sizes, group = np.zeros(folds, int), {}
    for i in order:
        group[str(names[i])] = int(sizes.argmin())
        sizes[group[str(names[i])]] += counts[i]
    own = np.array([group[str(one)] for one in people])
    for number in range(folds):
        yield Fold(f"group-{number + 1}", np.flatnonzero(own != number), np.flatnonzero(own == number))


class Leak(msgspec.Struct, frozen=True):
    """What a split lets through: shares of the test samples."""

    test: int
    same_clip: float
    """With a sample of the same clip in training."""
    same_subject: float
    """With a sample of the same subject in training."""
    neighbours: int
    """How many of the test samples have the sample just before or after, in the same clip, in training."""

    def __str__(self) -> str:
        return (
            f"of {self.test} test samples {self.same_clip:.1%} have a frame of the same clip and "
            f"{self.same_subject:.1%} a sample of the same subject in training; {self.neighbours} have the very next "
            "frame of their clip there"
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
        _neighbours(fold, clips),
    )


def _neighbours(fold: Fold, clips: NDArray[np.str_]) -> int:
    """Samples of a clip stand in the order of their frames."""
    trained = np.zeros(len(clips), bool)
    trained[fold.train] = True
    order = np.argsort(clips, kind="stable")
    same, used = clips[order][1:] == clips[order][:-1], trained[order]
    near = np.zeros(len(clips), bool)
    near[1:] |= same & used[:-1]
    near[:-1] |= same & used[1:]
    return int((near & ~used).sum())
