"""What of a patch's displacement follows from the head's pose: a regression learnt while the face is at rest.

A mean depth leaves 15–25 % of the parallax, and all that is of second order. Both are smooth functions of the pose,
the same each time the head turns there. So each group of patches keeps a ridge regression from a few features of
the pose to the displacement of each patch, with a memory of some seconds, and subtracts the forecast.
Bishop 2006, §3.3 (Bayesian linear regression); what is not known yet, ``doubt``, comes from there too. Each stretch of
rest has a mean of its own: what an expression, or a new template, leaves between two stretches is no effect of the pose
(the "within" regression of panel data).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.vision.face.cholesky import factorise, substitute
from realtime.vision.jit import jit

Matrix = NDArray[np.float64]

_REACH, _FREE = 3.0, 20.0
"""A coefficient is never further from what it was before learning than so many times its uncertainty; of the second
order, of which little is known before.
"""
_ALIKE = 20.0
"""So many samples in a row err alike: they count for one."""
_LEAST = 8.0
"""Fewer samples teach nothing."""
_BEYOND_PX = 0.6
"""The features may go so far beyond those that were learnt from before the mean depth alone is trusted (1° of turn)."""


class Law(msgspec.Struct):
    """x − x₀ = W₀ (f − f₀) + (W − W₀)(clip f − clip f₀).

    What was learnt holds where it was learnt: beyond, a slope and a square, which a narrow range can't tell apart,
    would part by many px.
    """

    first: Matrix
    """(C, P) W₀, before anything was learnt."""
    learnt: Matrix
    """(C, P) W − W₀."""
    low: Matrix
    high: Matrix
    """(P,) px, where it was learnt, and a little beyond."""

    def foretold(self, features: Matrix, before: Matrix) -> Matrix:
        """(…, C) px that the head's motion from ``before`` (P,) to ``features`` (…, P) moves each channel by."""
        known = np.clip(features, self.low, self.high) - np.clip(before, self.low, self.high)
        out: Matrix = (features - before) @ self.first.T + known @ self.learnt.T
        return out

    def copy(self) -> Law:
        """As it is now, whatever is learnt later."""
        return Law(self.first.copy(), self.learnt.copy(), self.low.copy(), self.high.copy())


class Forecast:
    """x ≈ mean_x + W (f − mean_f), px, from samples that fade; the means are a stretch's own. f: (P,), x: (C,)."""

    def __init__(self, prior: Matrix, prior_px: Matrix, memory_s: float, noise_px: float, feature_noise_px: Matrix):
        """prior: (C, P) W before anything is learnt. prior_px: (P,) its uncertainty, px per px. noise_px: of x in one
        sample; feature_noise_px: (P,) of f: variance of a feature below it teaches nothing.
        """
        channels, features = prior.shape
        self.weights = prior.copy()
        """(C, P) W."""
        self.law = Law(prior.copy(), np.zeros_like(prior), np.zeros(features), np.zeros(features))
        """What is known now; changes in place."""
        self.doubt = np.diag(prior_px**2)
        """(P, P) covariance of a channel's W: what the head's pose may do beyond that."""
        self._prior_px = prior_px
        self._memory_s = memory_s
        self._noise_px = noise_px
        self._feature_noise = feature_noise_px
        # an expression moves the "rigid" skin a little, and would be explained by a head of impossible depth
        self._reach = np.where(prior_px == prior_px[0], _REACH, _FREE) * prior_px
        self._mean = np.zeros(features + channels)
        self._moments = np.zeros((features, features + channels))
        """Sums of squares and products about the means of the stretches."""
        self._weight = np.zeros(2)
        """Of the samples of this stretch, of all."""

    def learn(self, features: Matrix, values: Matrix, dt_s: float) -> None:
        """One more sample (P,), (C,) of this stretch of rest, taken ``dt_s`` after the one before."""
        fade, law = math.exp(-dt_s / self._memory_s), self.law
        _accumulate(self._moments, self._mean, self._weight, features, values, fade, _BEYOND_PX, law.low, law.high)

    def part(self) -> None:
        """A stretch of rest is over: the next has other means."""
        self._weight[0] = 0.0

    def solve(self) -> None:
        """Bring W up to date."""
        if self._weight[1] < _LEAST:
            return
        law, known = self.law, (self._prior_px, self._feature_noise, self._noise_px, self._reach)
        _solve(self._moments, self._weight[1], *known, law.first, law.learnt, self.weights, self.doubt)

    def uncertainty(self, direction: Matrix) -> Matrix:
        """(P,) how wrong W may still be along ``direction`` (C,), px per px of each feature."""
        size = float(np.sqrt((direction * direction).sum()))
        total, p = self._weight[1], len(self._prior_px)
        if total < _LEAST:
            return size * self._prior_px
        spread = np.diag(self._moments[:, :p]) / total
        ridge = (self._noise_px / self._prior_px) ** 2 / total + self._feature_noise**2
        left: Matrix = size * self._prior_px * np.sqrt(ridge / (ridge + np.maximum(spread, 0.0)))
        return left


@jit(fastmath=False)  # fast arithmetic rounds by how the arrays lie in memory: runs over the same frames would differ
def _accumulate(
    moments: Matrix, mean: Matrix, weight: Matrix, features: Matrix, values: Matrix, fade: float, beyond: float,
    low: Matrix, high: Matrix,
) -> None:  # fmt: skip
    """One more row (f, x) of a stretch: its mean (P + C,), the moments (P, P + C) about the means of all stretches.

    weight: (2,) of the stretch, of all; features: (P,); values: (C,). Welford 1962, with samples that fade. low, high:
    (P,), widened to hold the features and ``beyond``.
    """
    p = len(features)
    weight[0] = weight[0] * fade + 1.0
    weight[1] = weight[1] * fade + 1.0
    apart = np.empty(len(mean))
    first = weight[0] == 1.0
    for k in range(len(mean)):
        value = features[k] if k < p else values[k - p]
        apart[k] = 0.0 if first else value - mean[k]
        mean[k] = value if first else mean[k] + apart[k] / weight[0]
    left = 1.0 - 1.0 / weight[0]
    for i in range(p):
        low[i], high[i] = min(low[i], features[i] - beyond), max(high[i], features[i] + beyond)
        a = apart[i] * left
        for j in range(len(mean)):
            moments[i, j] = fade * moments[i, j] + a * apart[j]


@jit(fastmath=False)
def _solve(
    moments: Matrix, total: float, prior_px: Matrix, feature_noise: Matrix, noise_px: float, reach: Matrix,
    first: Matrix, learnt: Matrix, weights: Matrix, doubt: Matrix,
) -> None:  # fmt: skip
    """Fills weights and learnt (C, P), no further than ``reach`` (P,) from ``first`` (C, P), and doubt (P, P)."""
    p, channels = len(prior_px), len(first)
    system, known, ridge = np.empty((p, p)), np.empty((p, p)), np.empty(p)
    for i in range(p):
        ridge[i] = (noise_px / prior_px[i]) ** 2 / total + feature_noise[i] ** 2
        for j in range(p):
            system[i, j] = moments[i, j] / total
            known[i, j] = moments[i, j] / (_ALIKE * noise_px**2)
        system[i, i] += ridge[i]
        known[i, i] += prior_px[i] ** -2.0
    factorise(system)
    slope = np.empty(p)
    for c in range(channels):
        for i in range(p):
            slope[i] = moments[i, p + c] / total + ridge[i] * first[c, i]
        substitute(system, slope)
        for i in range(p):
            weights[c, i] = min(max(slope[i], first[c, i] - reach[i]), first[c, i] + reach[i])
            learnt[c, i] = weights[c, i] - first[c, i]
    factorise(known)
    doubt[:] = 0.0
    for i in range(p):
        doubt[i, i] = 1.0
        substitute(known, doubt[i])
