"""Blinks: the upper lid, textured with the skin above it, slides down over an eyeball that stays where it is.

Each eye is described in its own axes, s along the eye and t down. The lid is a sheet of skin: its edge with
the lashes slides from the open contour t_u(s) towards the lower one t_l(s), the skin above follows rigidly.
Below the edge nothing moves, above the fold (under the brow) neither.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .fields import LEFT_LOWER_LID, LEFT_UPPER_LID, RIGHT_LOWER_LID, RIGHT_UPPER_LID, face_axes
from .portrait import Placed

Array = npt.NDArray[np.float64]

LEVELS = 64
"""Steps from open to shut: 0.15 px of lid travel each at a face of 145 px."""

_REACH = 0.94
"""Share of the opening that the upper lid covers; the lower lid's own rim stays visible."""
_RIM_PX = 1.0
"""The mesh's upper contour runs over the eye by about this much, at a face of 145 px."""
_LID_SHARE = 0.75
"""Of the gap between lid and brow, what may move in a blink."""
_BROW_ABOVE = {133: 52, 362: 282}
_LID_MIDDLE = {133: 159, 362: 386}


class EyePatch:
    """The picture around one eye at each step of a blink."""

    def __init__(self, placed: Placed, upper: tuple[int, ...], lower: tuple[int, ...]) -> None:
        """``upper`` and ``lower``: mesh points of the two lids, from the outer corner to the inner one."""
        self._px = placed.face_width_px / 145
        axes = face_axes(placed.mesh)
        lids = placed.mesh[list(upper + lower)].astype(np.float64) @ axes.T
        gap = float((placed.mesh[_LID_MIDDLE[upper[-1]]] - placed.mesh[_BROW_ABOVE[upper[-1]]]) @ axes[1])
        corners = placed.mesh[list(upper + lower)]
        pad = gap + 4 * self._px
        low = np.floor(corners.min(0) - pad).astype(int)
        high = np.ceil(corners.max(0) + pad).astype(int)
        height, width = placed.image.shape
        self.x0, self.y0 = int(max(low[0], 0)), int(max(low[1], 0))
        self.x1, self.y1 = int(min(high[0], width)), int(min(high[1], height))
        self._image = placed.image
        self._axes = axes
        xs, ys = np.meshgrid(np.arange(self.x0, self.x1), np.arange(self.y0, self.y1))
        along = xs * axes[0, 0] + ys * axes[0, 1]
        self._t = xs * axes[1, 0] + ys * axes[1, 1]
        edge, self._way = _contours(along, lids[: len(upper)], lids[len(upper) :])
        self._edge = edge - _RIM_PX * self._px
        self._band, self._skin = self._measure(gap)
        drawn = [self._draw(level / LEVELS) for level in range(LEVELS + 1)]
        self.steps = [picture for picture, _ in drawn]
        self.covers = [cover for _, cover in drawn]
        """Per step, how much of each pixel the lid hides, 0..1."""

    def _measure(self, gap: float) -> tuple[float, float]:
        """Heights of the lashes' band and of the bare skin above it, px: the skin is where it is brightest.

        Brows hang low on some faces; without this their hair would ride down on the lid.
        """
        image = self._image[self.y0 : self.y1, self.x0 : self.x1]
        middle = self._way > 0.6 * self._way.max()
        above = self._edge - self._t
        best, brightest = 2.0 * self._px, -1.0
        for height in np.arange(2.0 * self._px, _LID_SHARE * gap, 0.5 * self._px):
            strip = image[middle & (np.abs(above - height) < max(self._px, 0.75))]
            if strip.size and strip.mean() > brightest:
                best, brightest = float(height), float(strip.mean())
        band = max(best - 1.5 * self._px, 2.0 * self._px)
        return band, max(min(best + 2.5 * self._px, _LID_SHARE * gap) - band, 2.0 * self._px)

    def _draw(self, closure: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(h, w) float32 each: picture with the lid moved down by ``closure`` of its way; what the lid hides."""
        still = self._image[self.y0 : self.y1, self.x0 : self.x1]
        if closure == 0:
            return still.copy(), np.zeros_like(still)
        way = closure * _REACH * self._way
        above = self._edge + way - self._t  # distance above the moved lid's edge
        # the lashes' band moves as it is; the bare skin above follows and is stretched to cover the way
        beyond = np.maximum(above - self._band, 0)
        stretched = beyond / (1 + beyond * way / (self._skin * max(float(self._way.max()), 1e-6)))
        sheet = np.where(above < self._band, above, self._band + stretched)
        shift = self._edge - sheet - self._t
        xs, ys = np.meshgrid(np.arange(self.x0, self.x1), np.arange(self.y0, self.y1))
        map_x = (xs + shift * self._axes[1, 0]).astype(np.float32)
        map_y = (ys + shift * self._axes[1, 1]).astype(np.float32)
        lid = cv2.remap(self._image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        fold = np.clip((self._band + self._skin - (above - way)) / (1.2 * self._skin), 0, 1)
        cover = np.clip(above + 0.5, 0, 1) * fold * fold * (3 - 2 * fold)
        return np.asarray(still + cover * (lid - still), np.float32), cover.astype(np.float32)


def eye_patches(placed: Placed) -> tuple[EyePatch, EyePatch]:
    """Both eyes of a placed portrait: the subject's right, left."""
    return (
        EyePatch(placed, RIGHT_UPPER_LID, RIGHT_LOWER_LID),
        EyePatch(placed, LEFT_UPPER_LID, LEFT_LOWER_LID),
    )


def _contours(along: Array, upper: Array, lower: Array) -> tuple[Array, Array]:
    """Per pixel, from its place along the eye: open edge t_u, way down to t_l (0 beyond the corners)."""
    first, last = sorted((upper[0, 0], upper[-1, 0]))
    s = np.linspace(first, last, 65)
    t_upper = _smooth(np.interp(s, *_ascending(upper)))
    t_lower = _smooth(np.interp(s, *_ascending(lower)))
    way = np.maximum(t_lower - t_upper, 0)
    way[[0, -1]] = 0
    edge = np.interp(along, s, t_upper)
    return edge, np.interp(along, s, way, left=0.0, right=0.0)


def _ascending(curve: Array) -> tuple[Array, Array]:
    """(s, t) of a contour with s rising."""
    order = np.argsort(curve[:, 0])
    return curve[order, 0], curve[order, 1]


def _smooth(values: Array) -> Array:
    """Round the corners of a polygon, its ends kept."""
    kernel = np.hanning(9)[1:-1] / np.hanning(9)[1:-1].sum()
    padded = np.concatenate([2 * values[0] - values[3:0:-1], values, 2 * values[-1] - values[-2:-5:-1]])
    return np.convolve(padded, kernel, "valid")
