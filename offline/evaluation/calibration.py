"""Do the scores mean what they say: temperature by subject, calibration error, accuracy against coverage.

A temperature is one factor on the log-probabilities (Guo et al. 2017). Each subject's is fitted on the other subjects'
held-out scores alone. The networks that gave those had seen the subject; the factor, one number, has not. A nested run
has each fold's factor from its inner folds, which saw nothing of the subject.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS = 10
COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_TRIED = np.geomspace(0.2, 5, 60)

Scores = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


class Bin(msgspec.Struct, frozen=True):
    """Clips whose best score lies in one tenth."""

    low: float
    clips: int
    """Over all seeds."""
    sure: float
    """Mean of the best score."""
    right: float
    """Share that is right."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of held-out scores, pooled over seeds."""

    ece: float
    """Expected calibration error: mean over the clips of |sure − right| of their bin."""
    ece_raw: float
    """The same without temperature."""
    bins: list[Bin]
    """Those with a clip."""
    nested: bool = False
    """The temperatures are of each fold's inner folds; else of the other subjects' held-out scores."""
    selective: dict[str, float]
    """Coverage → accuracy of the surest clips, mean over seeds."""


def tempered(scores: Scores, factor: float | Scores) -> NDArray[np.float64]:
    """(n, 3) probabilities with their logarithms multiplied by one factor, or by one a row, (n, 1)."""
    logs = factor * np.log(np.maximum(scores, 1e-9)).astype(np.float64)
    powers: NDArray[np.float64] = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sharpness(scores: Scores, label: Labels) -> float:
    """Factor on the log-probabilities that minimises the log-loss of held-out ``scores`` (n, 3)."""
    rows = np.arange(len(label))
    losses = [-np.log(np.maximum(tempered(scores, f)[rows, label], 1e-12)).mean() for f in _TRIED]
    return float(_TRIED[int(np.argmin(losses))])


def calibrated(scores: Scores, label: Labels, person: NDArray[np.str_]) -> NDArray[np.float64]:
    """(n, 3): each person's scores by the temperature of the others."""
    out = np.empty(scores.shape, np.float64)
    for name in np.unique(person):
        own = person == name
        out[own] = tempered(scores[own], sharpness(scores[~own], label[~own]))
    return out


def judge(scores: Scores, label: Labels, person: NDArray[np.str_], factors: Scores | None = None) -> Calibration | None:
    """scores: (seeds, n, 3) held out, NaN where a clip was not tested; None with fewer than two people tested.

    factors: (seeds, people) on each person's log-probabilities, in order of name, where inner folds gave them.
    """
    tested = np.isfinite(scores).all(axis=(0, 2))
    if len(np.unique(person[tested])) < 2:
        return None
    place = np.unique(person, return_inverse=True)[1][tested]
    scores, label, person = scores[:, tested], label[tested], person[tested]
    if factors is None:
        made = np.stack([calibrated(one, label, person) for one in scores])
    else:
        made = tempered(scores, factors[:, place, None])
    right = made.argmax(-1) == label
    bins = reliability(made.max(-1).ravel(), right.ravel())
    raw = reliability(scores.max(-1).ravel(), (scores.argmax(-1) == label).ravel())
    selective = _selective(made.max(-1), right)
    inner = factors is not None
    return Calibration(ece=_error(bins), ece_raw=_error(raw), bins=bins, selective=selective, nested=inner)


def reliability(sure: Scores, right: NDArray[np.bool_]) -> list[Bin]:
    """sure, right: (n,)."""
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        Bin(k / BINS, int(own.sum()), round(float(sure[own].mean()), 4), round(float(right[own].mean()), 4))
        for k in range(BINS)
        if (own := place == k).any()
    ]


def _error(bins: list[Bin]) -> float:
    clips = sum(one.clips for one in bins)
    return round(sum(one.clips * abs(one.sure - one.right) for one in bins) / clips, 4)


def _selective(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, float]:
    """(seeds, n) twice; ties are broken by position."""
    order = np.argsort(-sure, axis=1, kind="stable")
    ranked = np.take_along_axis(right, order, axis=1)
    kept = {share: max(1, round(share * sure.shape[1])) for share in COVERAGES}
    return {f"{share:g}": round(float(ranked[:, :count].mean()), 4) for share, count in kept.items()}
