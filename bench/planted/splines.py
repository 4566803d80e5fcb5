"""A whole picture moved by some of its points: a smoothed thin-plate spline that dies out around the face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from bench.planted.courses import ease
from bench.planted.landmarks import OVAL
from bench.planted.moves import SIZE_PX
from bench.planted.tracks import Floats
from bench.planted.warps import grid

_STEP = 4
"""px between the places where the spline is computed; in between it is interpolated."""
_SMOOTHING = 2.0
"""px of the size the movements are stated in."""
_RINGS = (1.55, 1.95)
"""Fixed points around the face, in multiples of its oval."""


def _bending(squared: Any) -> Any:
    """r² log r of squared distances."""
    return 0.5 * squared * np.log(squared + 1e-9)


class FaceSpline:
    """For one picture of ``shape`` (H, W) with a face of ``width`` px; ``mesh``: (≥ 468, 2) px."""

    def __init__(self, mesh: Floats, width: float, shape: tuple[int, int]) -> None:
        height, wide = shape
        oval = mesh[OVAL]
        centre = oval.mean(0)
        self._shape = shape
        self._ring = np.concatenate([centre + (oval[::2] - centre) * times for times in _RINGS])
        self._smoothing = _SMOOTHING * (width / SIZE_PX)
        hull: Any = np.zeros(shape, np.uint8)
        cv2.fillPoly(hull, [np.round(centre + (oval - centre) * 1.4).astype(np.int32)], (255,))
        outside = cv2.distanceTransform(255 - hull, cv2.DIST_L2, 5)
        self._weight: Any = (1 - ease(outside / (0.4 * width))).astype(np.float32)[..., None]
        down, across = np.where(self._weight[..., 0] > 0)
        left, top, right, bottom = across.min(), down.min(), across.max() + 1, down.max() + 1
        self._inside = np.s_[top:bottom, left:right]
        self._size = (right - left + _STEP - 1) // _STEP, (bottom - top + _STEP - 1) // _STEP
        # centres of cells, as cv2.resize wants them
        self._x = left + np.arange(self._size[0]) * _STEP + (_STEP - 1) / 2.0
        self._y = top + np.arange(self._size[1]) * _STEP + (_STEP - 1) / 2.0
        self.x, self.y = grid((0, 0, wide, height))

    def pull(self, moved: Floats, still: Floats) -> Floats:
        """(H, W, 2) px: from each pixel to where its content lies on the still. Both arguments: (S, 2) px."""
        fixed = np.concatenate([moved, self._ring])
        values = np.concatenate([still - moved, np.zeros_like(self._ring)])
        count = len(fixed)
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _bending(((fixed[:, None] - fixed[None]) ** 2).sum(2))
        system[:count, :count] += self._smoothing * count * 0.05 * np.eye(count)
        affine = np.concatenate([np.ones((count, 1)), fixed], 1)
        system[:count, count:], system[count:, :count] = affine, affine.T
        solved = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
        squared = ((self._x[:, None] - fixed[:, 0]) ** 2).astype(np.float32)[None]
        squared = squared + ((self._y[:, None] - fixed[:, 1]) ** 2).astype(np.float32)[:, None]
        bent = _bending(squared).reshape(-1, count) @ solved[:count].astype(np.float32)
        wide, high = self._size
        plane = bent.reshape(high, wide, 2) + solved[count] + self._x[None, :, None] * solved[count + 1]
        plane = plane + self._y[:, None, None] * solved[count + 2]
        full = cv2.resize(plane.astype(np.float32), (wide * _STEP, high * _STEP), interpolation=cv2.INTER_CUBIC)
        result: Any = np.zeros((*self._shape, 2), np.float32)
        rows, columns = result[self._inside].shape[:2]
        result[self._inside] = full[:rows, :columns]
        weighted: Floats = result * self._weight
        return weighted
