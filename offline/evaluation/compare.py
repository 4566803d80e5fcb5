"""Is one model better than another? Paired over subjects, because clips of one person are not independent."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.evaluation.metrics import NAMES, confusion, metrics_of
from realtime.errors import UserError

Metric = Literal["acc", "f1", "uf1", "uar"]


class Paired(msgspec.Struct, frozen=True):
    """The difference first − second of a metric, over the same clips."""

    metric: Metric
    first: float
    second: float
    difference: float
    p_value: float
    """Two-sided, permutation: each subject's predictions change sides with probability ½."""
    low: float
    """95 % bootstrap interval over subjects."""
    high: float
    subjects: int


def by_person(
    person: NDArray[np.str_], label: NDArray[np.int64], predicted: NDArray[np.int64], classes: int = 3
) -> NDArray[np.int64]:
    """Confusion of each person and seed: label (n,), predicted (seeds, n) → (seeds, people, classes, classes)."""
    names, index = np.unique(person, return_inverse=True)
    own = [index == p for p in range(len(names))]
    return np.stack([[confusion(label[o], row[o], classes) for o in own] for row in predicted])


def paired_test(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    metric: Metric = "uf1",
    rounds: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Test two models: (seeds, people, 3, 3) confusions each, same people in the same order.

    The statistic is the mean over seeds of the metric on pooled predictions; models may differ in their
    number of seeds.
    """
    if first.shape[1:] != second.shape[1:]:
        raise UserError(f"the two runs have {first.shape[1]} and {second.shape[1]} subjects; they can't be paired")
    seeds = int(np.lcm(len(first), len(second)))
    a, b = np.repeat(first, seeds // len(first), 0), np.repeat(second, seeds // len(second), 0)
    which = NAMES.index(metric)
    random, people = np.random.default_rng(seed), first.shape[1]

    def value(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return metrics_of(counts)[which].mean(axis=-1)

    def pooled(weights: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        flat = counts.transpose(1, 0, 2, 3).reshape(people, -1)
        return (weights @ flat).reshape(len(weights), seeds, *counts.shape[2:])

    one = np.ones((1, people))
    ours, theirs = float(value(pooled(one, a))[0]), float(value(pooled(one, b))[0])
    swap = (random.random((rounds, people)) < 0.5).astype(np.float64)
    shuffled = value(pooled(1 - swap, a) + pooled(swap, b)) - value(pooled(swap, a) + pooled(1 - swap, b))
    extreme = int(np.count_nonzero(np.abs(shuffled) >= abs(ours - theirs) - 1e-12))
    drawn = random.multinomial(people, np.full(people, 1 / people), size=rounds).astype(np.float64)
    spread = value(pooled(drawn, a)) - value(pooled(drawn, b))
    low, high = np.quantile(spread, [0.025, 0.975])
    return Paired(metric, ours, theirs, ours - theirs, (extreme + 1) / (rounds + 1), float(low), float(high), people)
