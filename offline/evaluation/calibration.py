"""Do the scores mean what they say: temperature by subject, calibration error, accuracy against coverage.

A temperature is one factor on the log-probabilities (Guo et al. 2017). It can't say that a share of the clips is called
otherwise by coders whatever the map shows (a sixth, in every kind of model), so the surest scores stay too sure: that
share, `noise`, is fitted with it, and the scores become (1 − noise) · p + noise / 3, the same label first.
Bias-corrected temperature scaling (Alexandari et al. 2020) instead adds a number for each class: weighted losses shift
what a network takes for likely beforehand. It may change the label. Each
subject's is fitted on the other subjects' held-out scores alone. The networks that gave those had seen the subject; the
numbers fitted here have not. A nested run has each fold's from its inner folds, which saw nothing of the subject.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS = 10
COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_RIDGE, _STEPS = 1e-3, 20
_TRIED = np.geomspace(0.2, 5, 60)
_NOISES = np.linspace(0.0, 0.5, 51)

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
    """The same of the scores as they are."""
    ece_tempered: float | None = None
    """The same with temperature alone."""
    ece_biased: float | None = None
    """The same with bias-corrected temperature scaling."""
    bins: list[Bin]
    """Those with a clip."""
    nested: bool = False
    """The temperatures are of each fold's inner folds; else of the other subjects' held-out scores."""
    selective: dict[str, float]
    """Coverage → accuracy of the surest clips, mean over seeds."""
    selective_biased: dict[str, float] = {}
    """The same with bias-corrected temperature scaling."""


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


def meant(scores: Scores, by: Scores) -> NDArray[np.float64]:
    """(n, classes) probabilities by what `meaning` gave, (2,), or by one of these a row, (n, 2)."""
    noise = by[..., 1:]
    made: NDArray[np.float64] = (1 - noise) * tempered(scores, by[..., :1]) + noise / scores.shape[-1]
    return made


def meaning(scores: Scores, label: Labels) -> NDArray[np.float64]:
    """(2,): factor on the log-probabilities, and share of noise, that minimise the log-loss of held-out ``scores``."""
    rows, keep = np.arange(len(label)), 1 - _NOISES[:, None]
    floor = np.maximum(_NOISES[:, None] / scores.shape[-1], 1e-12)
    losses = [-np.log(keep * tempered(scores, f)[rows, label] + floor).mean(1) for f in _TRIED]
    factor, noise = np.unravel_index(int(np.argmin(losses)), (len(_TRIED), len(_NOISES)))
    return np.array([_TRIED[factor], _NOISES[noise]])


def biased(scores: Scores, label: Labels) -> NDArray[np.float64]:
    """(classes,): factor on the log-probabilities, then what is added to those of all classes but the last.

    Newton's method, steps halved until they pay, on the log-loss of held-out ``scores`` (n, classes); a small ridge
    holds the bias of a class that hardly occurs.
    """
    n, classes = scores.shape
    terms = np.zeros((n, classes, classes))
    terms[..., 0] = np.log(np.maximum(scores, 1e-9))
    terms[:, np.arange(classes - 1), np.arange(1, classes)] = 1.0
    found, ridge = np.eye(classes)[0], np.diag(np.r_[0.0, np.full(classes - 1, _RIDGE)])

    def loss(by: NDArray[np.float64]) -> float:
        right = corrected(scores, by)[np.arange(n), label]
        return float(-np.log(np.maximum(right, 1e-300)).mean() + 0.5 * by @ ridge @ by)

    for _ in range(_STEPS):
        sure = corrected(scores, found)
        mean = np.einsum("nk,nkj->nj", sure, terms)
        slope = (mean - terms[np.arange(n), label]).mean(0) + ridge @ found
        spread = np.einsum("nk,nki,nkj->ij", sure, terms, terms) / n - mean.T @ mean / n
        step = np.linalg.solve(spread + ridge + 1e-9 * np.eye(classes), slope)
        least = loss(found)
        while np.abs(step).max() > 1e-9 and loss(found - step) > least:
            step = step / 2
        found = found - step
    return found


def corrected(scores: Scores, by: Scores) -> NDArray[np.float64]:
    """(n, classes) probabilities by what `biased` gave, (classes,), or by one of these a row, (n, classes)."""
    shift = np.append(by[..., 1:], np.zeros((*by.shape[:-1], 1)), axis=-1)
    logs = by[..., :1] * np.log(np.maximum(scores, 1e-9)) + shift
    powers: NDArray[np.float64] = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fitted(scores: Scores, label: Labels) -> NDArray[np.float64]:
    """(3 + classes,): the temperature alone, what `meaning` gives, then what `biased` gives."""
    return np.r_[sharpness(scores, label), meaning(scores, label), biased(scores, label)]


def unchanged(classes: int) -> NDArray[np.float64]:
    """What `fitted` gives where there is nothing to mend."""
    return np.r_[1.0, 1.0, 0.0, 1.0, np.zeros(classes - 1)]


def by_others(scores: Scores, label: Labels, person: NDArray[np.str_]) -> NDArray[np.float64]:
    """(people, 3 + classes): `fitted` on the scores (n, classes) of all other people, in order of name."""
    names = np.unique(person)
    return np.stack([fitted(scores[person != name], label[person != name]) for name in names])


def judge(scores: Scores, label: Labels, person: NDArray[np.str_], factors: Scores | None = None) -> Calibration | None:
    """scores: (seeds, n, 3) held out, NaN where a clip was not tested; None with fewer than two people tested.

    factors: (seeds, people, 3 + classes), `fitted` in each person's inner folds, in order of name, where there were
    any.
    """
    tested = np.isfinite(scores).all(axis=(0, 2))
    if len(np.unique(person[tested])) < 2:
        return None
    place = np.unique(person, return_inverse=True)[1][tested]
    scores, label, person = scores[:, tested], label[tested], person[tested]
    fits: Scores
    if factors is None:
        fits = np.stack([by_others(one, label, person) for one in scores])
        place = np.unique(person, return_inverse=True)[1]
    else:
        fits = factors
    sharp, made = tempered(scores, fits[:, place, :1]), meant(scores, fits[:, place, 1:3])
    shifted = corrected(scores, fits[:, place, 3:])
    right = scores.argmax(-1) == label
    bins = reliability(made.max(-1).ravel(), right.ravel())
    named = shifted.argmax(-1) == label
    return Calibration(
        ece=_error(bins),
        ece_raw=_error(reliability(scores.max(-1).ravel(), right.ravel())),
        ece_tempered=_error(reliability(sharp.max(-1).ravel(), right.ravel())),
        ece_biased=_error(reliability(shifted.max(-1).ravel(), named.ravel())),
        bins=bins,
        selective=selective(made.max(-1), right),
        selective_biased=selective(shifted.max(-1), named),
        nested=factors is not None,
    )


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


def selective(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, float]:
    """Coverage → accuracy of the surest clips; (seeds, n) twice, ties are broken by position."""
    order = np.argsort(-sure, axis=1, kind="stable")
    ranked = np.take_along_axis(right, order, axis=1)
    kept = {share: max(1, round(share * sure.shape[1])) for share in COVERAGES}
    return {f"{share:g}": round(float(ranked[:, :count].mean()), 4) for share, count in kept.items()}
