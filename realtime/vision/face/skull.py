"""The shape of this very head, learnt while the face is at rest: what the mean depth gets wrong at the rigid patches.

The landmark network's depth is a mean head's, 15 to 25 % wrong, and the fit of the head's motion knows first order
only. Both leave residuals at the rigid patches that are smooth functions of the head's turn, the same each time it
turns there; unless they are known, the robust fit takes now these, now those patches for the head, and the pose jumps.
Learnt by ``Forecast``, from the residuals that no motion of the head explains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.vision.face.cholesky import factorise, substitute
from realtime.vision.face.forecast import Forecast
from realtime.vision.jit import jit

Values = NDArray[np.float64]

_MEMORY_S = 12.0
_LEARN_S, _SOLVE_S = 0.02, 0.1
_NOISE_PX = 0.15
"""Of a patch in one sample."""
_LINEAR_PX, _SQUARE_PX = 30.0, 60.0
"""px that a radian, and a squared one, count for."""
_PRIOR = np.array([0.35, 0.35, 0.5, 0.5, 0.5])
"""How wrong shape and first order may be: px per px of yaw, pitch, yaw², yaw·pitch, pitch²."""
_BEYOND_RAD, _MOST_PX = 0.01, 4.0
"""The forecast stands still so far beyond the turns that were learnt, and is never larger."""
_STRANGE_PX = 2.0
"""Further from what was foretold a patch shows something else."""
_FEATURE_NOISE = np.array([0.1, 0.1, 0.03, 0.03, 0.03])
"""px: a head that turns less teaches nothing (0.2°), or the jitter of the pose would be taken for shape."""


class Skull:
    """Residual of each rigid patch by the head's turn. One an anchor; goes on in the next of the same face."""

    def __init__(self, places: Values, heights: Values) -> None:
        """places: (n, 2) px from the centre of the face image; heights: (n,) px."""
        n = len(places)
        x, y = places.T
        zero, one = np.zeros(n), np.ones(n)
        across = np.stack([one, zero, x, -y, heights, zero])
        down = np.stack([zero, one, y, x, zero, heights])
        self._model = np.stack([across, down], -1).reshape(6, 2 * n)
        """(6, 2n): what the fit of the head's motion can explain."""
        self._forecast = Forecast(np.zeros((2 * n, len(_PRIOR))), _PRIOR, _MEMORY_S, _NOISE_PX, _FEATURE_NOISE)
        self._start = np.zeros(len(_PRIOR))
        self._seen = np.zeros((2, 2))
        """Least and largest (yaw, pitch), rad, at which it was learnt."""
        self._waited_s = self._unsolved_s = 0.0

    def foretold(self, turned: tuple[float, float]) -> Values:
        """(n, 2) px: the residuals at this turn (yaw, pitch), rad, against the template's; no further than was learnt.

        The turn is fitted to what this leaves: a forecast that grew without end would carry the pose away with it.
        """
        weights = self._forecast.weights
        out = np.empty((len(weights) // 2, 2))
        _foretell(weights, self._start, self._seen, turned[0], turned[1], out.reshape(-1))
        return out

    def go_on(self, old: Skull, turned: tuple[float, float]) -> None:
        """Of the next template of the same face, taken at this turn: what was learnt holds."""
        self._forecast, self._seen = old._forecast, old._seen
        self._forecast.part()
        self._waited_s, self._unsolved_s = old._waited_s, old._unsolved_s
        self._start = _features(turned)

    def learn(
        self, turned: tuple[float, float], displacement: NDArray[np.float32], pose: Values, weights: Values, dt_s: float
    ) -> None:
        """One frame at rest. displacement: (n, 2) px, shape and all; pose: (6,) as fitted; weights: (n,)."""
        self._waited_s += min(dt_s, 1.0)
        self._unsolved_s += min(dt_s, 1.0)
        if self._waited_s < _LEARN_S:
            return
        left = np.empty(self._model.shape[1])
        known = self.foretold(turned).reshape(-1)
        _leave(displacement.reshape(-1), pose, weights, self._model, known, left)
        np.minimum(self._seen[0], turned, out=self._seen[0])
        np.maximum(self._seen[1], turned, out=self._seen[1])
        self._forecast.learn(_features(turned), left, self._waited_s)
        self._waited_s = 0.0
        if self._unsolved_s >= _SOLVE_S:
            self._unsolved_s = 0.0
            self._forecast.solve()


def _features(turned: tuple[float, float]) -> Values:
    out = np.empty(len(_PRIOR))
    _fill(turned[0], turned[1], out)
    return out


@jit(fastmath=False)
def _fill(yaw: float, pitch: float, out: Values) -> None:
    out[0], out[1] = yaw * _LINEAR_PX, pitch * _LINEAR_PX
    out[2], out[3], out[4] = yaw * yaw * _SQUARE_PX, yaw * pitch * _SQUARE_PX, pitch * pitch * _SQUARE_PX


@jit(fastmath=False)
def _foretell(weights: Values, start: Values, seen: Values, yaw: float, pitch: float, out: Values) -> None:
    """out: (2n,) px, filled."""
    features = np.empty(weights.shape[1])
    yaw = min(max(yaw, seen[0, 0] - _BEYOND_RAD), seen[1, 0] + _BEYOND_RAD)
    pitch = min(max(pitch, seen[0, 1] - _BEYOND_RAD), seen[1, 1] + _BEYOND_RAD)
    _fill(yaw, pitch, features)
    longest = 0.0
    for i in range(out.shape[0]):
        total = 0.0
        for k in range(features.shape[0]):
            total += weights[i, k] * (features[k] - start[k])
        out[i] = total
        longest = max(longest, abs(total))
    if longest > _MOST_PX:
        for i in range(out.shape[0]):
            out[i] *= _MOST_PX / longest


@jit(fastmath=False)
def _leave(
    displacement: NDArray[np.float32], pose: Values, weights: Values, model: Values, known: Values, left: Values
) -> None:
    """left: (2n,) px, filled with what no motion of a head explains, or no shape of one would be found in it; where
    a patch is lost, nothing new: what is known.

    displacement, known: (2n,); weights: (n,); model: (6, 2n); pose: (6,).
    """
    n, count = len(left), len(pose)
    system, more = np.zeros((count, count)), np.zeros(count)
    for i in range(n):
        left[i] = displacement[i]
        for k in range(count):
            left[i] -= pose[k] * model[k, i]
        for k in range(count):
            weighted = weights[i // 2] * model[k, i]
            more[k] += weighted * left[i]
            for j in range(k + 1):
                system[k, j] += weighted * model[j, i]
    for k in range(count):
        system[k, k] += 1e-6
    factorise(system)
    substitute(system, more)
    for i in range(n):
        for k in range(count):
            left[i] -= more[k] * model[k, i]
        if weights[i // 2] <= 0.0 or not abs(left[i] - known[i]) < _STRANGE_PX:
            left[i] = known[i]
