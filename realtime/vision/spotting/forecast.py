"""What of a region's displacement follows from the head's pose: a regression learnt while the region is at rest.

A mean depth leaves 15–25 % of the parallax, and all that is of second order. Both are smooth functions of the pose,
the same each time the head turns there. So each group of patches keeps a ridge regression from a few features of
the pose to the displacement of each patch, with a memory of some seconds, and subtracts the forecast.
Bishop 2006, §3.3 (Bayesian linear regression); the covariances are kept about running means.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime.vision.spotting import kernels

Matrix = NDArray[np.float64]

_FREE = 20.0
_REACH = 3.0
"""A coefficient is never further from what it was before learning than so many times its uncertainty."""


class Forecast:
    """x ≈ mean_x + W (f − mean_f), learnt from weighted samples that fade. f: (P,), x: (C,), both px."""

    def __init__(self, prior: Matrix, prior_px: Matrix, memory_s: float, noise_px: float, feature_noise_px: Matrix):
        """prior: (C, P) W before anything is learnt. prior_px: (P,) its uncertainty, px per px. noise_px: of x in one
        sample; feature_noise_px: (P,) of f: variance of a feature below it teaches nothing.
        """
        channels, features = prior.shape
        self.weights = prior.copy()
        """(C, P) W."""
        self._first = prior.copy()
        self._prior = prior.copy()
        self._prior_px = prior_px
        self._memory_s = memory_s
        self._noise_px = noise_px
        self._feature_noise = feature_noise_px
        self._sums = np.zeros((features + 1, features + channels + 1))

    def learn(self, features: Matrix, values: Matrix, dt_s: float) -> None:
        """One sample (P,), (C,) taken ``dt_s`` after the one before."""
        kernels.accumulate(self._sums, features, values, math.exp(-dt_s / self._memory_s))

    def solve(self) -> None:
        """Bring W up to date."""
        total = self._sums[0, 0]
        if total < 8.0:
            return
        p = len(self._sums) - 1
        mean = self._sums[0] / total
        moment = self._sums[1:] / total - np.outer(mean[1 : p + 1], mean)
        spread, cross = moment[:, 1 : p + 1], moment[:, p + 1 :]
        ridge = (self._noise_px / self._prior_px) ** 2 / total + self._feature_noise**2
        system = spread + np.diag(ridge)
        found = np.linalg.solve(system, cross + ridge[:, None] * self._prior.T).T
        # an expression moves the "rigid" skin a little, and would be explained by a head of impossible depth
        reach = np.where(self._prior_px == self._prior_px[0], _REACH, _FREE) * self._prior_px
        self.weights = np.ascontiguousarray(np.clip(found, self._first - reach, self._first + reach))

    def uncertainty(self, direction: Matrix) -> Matrix:
        """(P,) how wrong W may still be along ``direction`` (C,), px per px of each feature."""
        size = float(np.sqrt((direction * direction).sum()))
        total = self._sums[0, 0]
        p = len(self._prior_px)
        if total < 8.0:
            return size * self._prior_px
        spread = np.diag(self._sums[1 : p + 1, 1 : p + 1]) / total - (self._sums[0, 1 : p + 1] / total) ** 2
        ridge = (self._noise_px / self._prior_px) ** 2 / total + self._feature_noise**2
        left: Matrix = size * self._prior_px * np.sqrt(ridge / (ridge + np.maximum(spread, 0.0)))
        return left

    def restart(self) -> None:
        """Other patches, or another place: what was learnt becomes the prior, the sums begin anew."""
        self._prior = self.weights.copy()
        self._sums[:] = 0.0
