"""Lids that slide over a still eyeball, and an iris that moves in the opening: drawn near the eyes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Floats = npt.NDArray[np.floating[Any]]
Picture = npt.NDArray[np.float32]

UPPER_LID = [[33, 246, 161, 160, 159, 158, 157, 173, 133], [263, 466, 388, 387, 386, 385, 384, 398, 362]]
LOWER_LID = [[33, 7, 163, 144, 145, 153, 154, 155, 133], [263, 249, 390, 373, 374, 380, 381, 382, 362]]
_BROW = [[46, 53, 52, 65, 55], [276, 283, 282, 295, 285]]
IRIS = [468, 473]
LEAST_CLOSED = 0.004
LEAST_GAZE_PX = 0.01


@dataclass(frozen=True)
class Eye:
    """One eye in px of the source picture, which has twice the frame's resolution. By column of its box, (w,)."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1."""
    x: Picture
    y: Picture
    """(h, w) px of the box."""
    edge: Floats
    """Where the upper lid ends when it is open."""
    lower: Floats
    """Where the lower lid begins."""
    crease: Floats
    """Where the upper lid's skin folds away."""
    window: Floats
    """How far the lid comes down, 0 to 1: less at the corners."""
    iris: npt.NDArray[np.float64]
    """(2,) its middle."""
    radius: np.float64
    scale: float
    """1 where the eyes are 65 px apart in the frame."""

    @classmethod
    def of(cls, i: int, mesh: npt.NDArray[np.float64], eye_px: float) -> Eye:
        """The image's left (0) or right (1) one; ``mesh``: (478, 2) px of the frame."""
        upper, lower = mesh[UPPER_LID[i]], mesh[LOWER_LID[i]]
        if upper[0, 0] > upper[-1, 0]:
            upper, lower = upper[::-1], lower[::-1]
        w = upper[-1, 0] - upper[0, 0]
        x0, x1 = int(2 * (upper[0, 0] - 0.25 * w)), int(2 * (upper[-1, 0] + 0.25 * w))
        y0, y1 = int(2 * (upper[:, 1].min() - 0.7 * w)), int(2 * (lower[:, 1].max() + 0.3 * w))
        x, y = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
        at = x[0] / 2 - 0.25
        inside = np.clip(at, upper[0, 0], upper[-1, 0])
        edge, under = np.asarray(_through(upper)(inside)), np.asarray(_through(lower)(inside))
        edge = np.minimum(edge, under)
        edge, under = 2 * _smooth(edge) + 0.5, 2 * _smooth(under) + 0.5
        order = np.argsort(mesh[_BROW[i], 0])
        brow = 2 * np.interp(at, np.sort(mesh[_BROW[i], 0]), mesh[_BROW[i], 1][order])
        return cls(
            box=(x0, y0, x1, y1),
            x=x,
            y=y,
            # the mesh's openings are a little tight
            edge=edge - 0.5 * eye_px / 65 * 2,
            lower=under + 1.2 * eye_px / 65 * 2,
            crease=np.minimum(edge - 0.20 * w * 2, edge - 0.45 * (edge - brow)),
            window=np.exp(-0.5 * ((at - (upper[0, 0] + upper[-1, 0]) / 2) / (0.56 * w)) ** 8),
            iris=2 * mesh[IRIS[i]] + 0.5,
            radius=0.19 * w * 2,
            scale=eye_px / 65,
        )

    def ball(self, source: Picture, gaze: Sequence[float]) -> Picture:
        """(h, w) the box of the source picture, its iris moved by ``gaze`` px of the frame within the opening."""
        x0, y0, x1, y1 = self.box
        if not _looks_away(gaze):
            return source[y0:y1, x0:x1]
        off_x = (self.x - self.iris[0] - gaze[0] * 2) / (self.radius * 2.0)
        off_y = (self.y - self.iris[1] - gaze[1] * 2) / (self.radius * 2.2)
        share = np.exp(-0.5 * (off_x**2 + off_y**2) ** 1.6)
        opening = np.clip((self.y - self.edge) / 2 + 0.5, 0, 1) * np.clip((self.lower - self.y) / 2 + 0.5, 0, 1)
        moved = _looked_up(source, self.x - 2 * gaze[0] * share, self.y - 2 * gaze[1] * share)
        return opening * moved + (1 - opening) * source[y0:y1, x0:x1]

    def closed(self, source: Picture, ball: Picture, closed: float) -> Picture:
        """(h, w) the lid over the eyeball, ``closed`` 0 to 1. Near its edge skin slides, above that it stretches."""
        x, y, c = self.x, self.y, closed
        edge = self.edge + c * self.window * np.maximum(self.lower - self.edge, 0) * 1.02
        share = np.clip((y - self.crease) / np.maximum(edge - self.crease, 1), 0, 1)
        lid = _looked_up(source, x, y - (edge - self.edge) * (np.clip(share, 0, 1) ** 1.25))
        over = np.clip((edge - y) / 1.6 + 0.5, 0, 1) * (y > self.crease - 2) * np.clip((edge - self.edge) / 0.5, 0, 1)
        # the bulge of the cornea under the lid
        shade = -5 * c * np.exp(-0.5 * ((y - self.crease) / 5) ** 2) + 4 * c * np.exp(
            -0.5 * ((y - (edge + self.crease) / 2) / 6) ** 2
        )
        lash = (
            min(c * 3, 1)
            * np.exp(-(((y - edge - 0.5) / (2.0 * self.scale)) ** 2))
            * np.exp(-0.5 * (2 * (x - x[0].mean()) / (0.8 * (x[0, -1] - x[0, 0]))) ** 6)
            * np.clip((edge - self.edge) / 3, 0, 1)
        )
        out = over * (lid + shade * self.window) + (1 - over) * ball
        return out - 0.42 * lash * np.maximum(out - 35, 0)


def painted(source: Picture, eyes: Sequence[Eye], closed: Sequence[float], gaze: Sequence[float]) -> Picture:
    """The source picture with both eyes as far closed, and looking where they do; itself where they are at rest."""
    if max(closed) < LEAST_CLOSED and not _looks_away(gaze):
        return source
    out = source.copy()
    for eye, share in zip(eyes, (float(one) for one in closed), strict=True):
        if share < LEAST_CLOSED and not _looks_away(gaze):
            continue
        x0, y0, x1, y1 = eye.box
        ball = eye.ball(source, gaze)
        out[y0:y1, x0:x1] = eye.closed(source, ball, share) if share >= LEAST_CLOSED else ball
    return out


def _looks_away(gaze: Sequence[float]) -> bool:
    return bool(abs(gaze[0]) + abs(gaze[1]) >= LEAST_GAZE_PX)


def _looked_up(source: Picture, x: Floats, y: Floats) -> Picture:
    at = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(source, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _through(points: npt.NDArray[np.float64]) -> Callable[[Floats], Floats]:
    """A curve through (n, 2) points; straight pieces where they don't go from left to right."""
    if np.all(np.diff(points[:, 0]) > 0):
        return PchipInterpolator(points[:, 0], points[:, 1])
    return lambda at: np.interp(at, points[:, 0], points[:, 1])


def _smooth(row: Floats) -> Picture:
    return cv2.GaussianBlur(row.astype(np.float32).reshape(1, -1), (0, 0), 2.0).ravel()
