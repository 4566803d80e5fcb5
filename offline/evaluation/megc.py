"""Scores of the MEGC spotting protocol.

Intervals have inclusive ends; a hit is an overlap of half the union or more, one to one; true positives,
false positives and misses are added up over all videos, then F1. A video without predictions adds its misses,
one without marked movements its false alarms. STRS (Liong et al. 2023) is the F1 of spotting times the F1 of
recognition over the hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.evaluation.metrics import confusion
from realtime.types import Kind

IOU = 0.5


class Interval(msgspec.Struct, frozen=True):
    """A spotted movement; frame numbers, offset inclusive."""

    onset: int
    offset: int
    kind: Kind
    label: int | None = None


class Score(msgspec.Struct, frozen=True):
    """Counts over all videos."""

    true_positives: int
    false_positives: int
    misses: int

    @property
    def precision(self) -> float:
        called = self.true_positives + self.false_positives
        return self.true_positives / called if called else 0.0

    @property
    def recall(self) -> float:
        marked = self.true_positives + self.misses
        return self.true_positives / marked if marked else 0.0

    @property
    def f1(self) -> float:
        total = 2 * self.true_positives + self.false_positives + self.misses
        return 2 * self.true_positives / total if total else 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.misses + other.misses,
        )


def iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Overlap over union, in frames, of two intervals with inclusive ends."""
    shared = min(a[1], b[1]) - max(a[0], b[0]) + 1
    if shared <= 0:
        return 0.0
    return shared / ((a[1] - a[0] + 1) + (b[1] - b[0] + 1) - shared)


def hits(spotted: Sequence[tuple[int, int]], marked: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs (spotted, marked) of a largest one-to-one matching with overlap ≥ IOU; nearer pairs are
    preferred.
    """
    if not spotted or not marked:
        return []
    from scipy.optimize import linear_sum_assignment

    overlap: NDArray[np.float64] = np.array([[iou(s, m) for m in marked] for s in spotted])
    # a hit is worth more than any sum of overlaps, so that their number comes first
    worth = np.where(overlap >= IOU, 1e3 + overlap, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= IOU]


class VideoResult(msgspec.Struct, frozen=True):
    """What was marked and what was spotted in one video."""

    marked: tuple[Interval, ...]
    spotted: tuple[Interval, ...]


def spotting(videos: Sequence[VideoResult], kind: Literal["micro", "macro"]) -> Score:
    """Score of one kind of movement."""
    total = Score(0, 0, 0)
    for video in videos:
        spotted = [(i.onset, i.offset) for i in video.spotted if i.kind == kind]
        marked = [(i.onset, i.offset) for i in video.marked if i.kind == kind]
        found = len(hits(spotted, marked))
        total += Score(found, len(spotted) - found, len(marked) - found)
    return total


def strs(videos: Sequence[VideoResult]) -> dict[str, float] | None:
    """Spot-then-recognise score of micro-expressions; None where nothing that is marked or spotted has a label.

    Recognition, over the spotted hits whose marked label is one of the classes: the harmonic mean of macro
    precision and macro recall, both over the classes that are marked anywhere, as the metric's authors have it.
    Every video counts: one without predictions by its misses, one without marks by its false alarms.
    """
    truth, called = [], []
    classes = sorted({i.label for v in videos for i in v.marked if i.kind == "micro" and i.label is not None})
    labels = any(i.label is not None for v in videos for i in v.spotted if i.kind == "micro")
    if not classes or not labels:
        return None
    for video in videos:
        spotted = [i for i in video.spotted if i.kind == "micro"]
        marked = [i for i in video.marked if i.kind == "micro"]
        for s, m in hits([(i.onset, i.offset) for i in spotted], [(i.onset, i.offset) for i in marked]):
            label, own = marked[m].label, spotted[s].label
            if label is not None and own is not None:
                truth.append(label)
                called.append(own)
    recognition = _macro_f1(confusion(truth, called), classes)
    found = spotting(videos, "micro").f1
    return {"spotting_f1": found, "recognition_f1": recognition, "strs": found * recognition}


def _macro_f1(counts: NDArray[np.int64], classes: list[int]) -> float:
    """Harmonic mean of macro precision and macro recall; a class without a hit has neither."""
    right = np.diagonal(counts)[classes].astype(np.float64)
    precision = float((right / np.maximum(counts.sum(0)[classes], 1)).mean())
    recall = float((right / np.maximum(counts.sum(1)[classes], 1)).mean())
    return 2 * precision * recall / (precision + recall) if right.any() else 0.0
