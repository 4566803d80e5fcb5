"""Action units as smooth displacement fields on a placed portrait.

A field is a sum of Gaussian radial basis functions centred on landmarks, width a fifth of the distance
between the eyes; the face's outline, the eyes and the nose are centres too, with displacement zero. It maps
the neutral frame onto the moved one: the pixel at x goes to x + field(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .portrait import FACE_OVAL, Placed, Points, Portrait, eye_centres
from .settings import DEFAULT_SIZE, ONE_SIDED, ActionUnit, Side

Array = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]


class Pull(NamedTuple):
    """Displacement of two mirrored mesh points: outward from the midline and down, in the face's frame."""

    right: int
    left: int
    outward: float
    down: float


_CORNER_UP = (
    Pull(61, 291, 0.55, -0.85),
    Pull(57, 287, 0.55, -0.85),
    Pull(185, 409, 0.5, -0.75),
    Pull(146, 375, 0.45, -0.65),
    Pull(40, 270, 0.3, -0.45),
    Pull(91, 321, 0.3, -0.35),
    Pull(186, 410, 0.5, -0.8),
    Pull(216, 436, 0.35, -0.75),
    Pull(206, 426, 0.25, -0.6),
    Pull(205, 425, 0.15, -0.5),
    Pull(207, 427, 0.25, -0.5),
    Pull(212, 432, 0.4, -0.6),
)
_DIMPLE = (
    Pull(61, 291, 0.9, 0.0),
    Pull(57, 287, 0.9, 0.0),
    Pull(185, 409, 0.6, 0.0),
    Pull(146, 375, 0.6, 0.0),
    Pull(40, 270, 0.25, 0.0),
    Pull(91, 321, 0.25, 0.0),
    Pull(186, 410, 0.35, -0.05),
    Pull(216, 436, -0.35, 0.1),
    Pull(207, 427, -0.6, 0.0),
    Pull(212, 432, -0.3, -0.15),
    Pull(187, 411, -0.35, 0.1),
)
"""The corner goes outward and the cheek beside it inward: the dimple is between them (AU14, buccinator)."""
PULLS: dict[ActionUnit, tuple[Pull, ...]] = {
    "AU12": _CORNER_UP,
    "U12": _CORNER_UP,
    "AU15": (
        Pull(61, 291, 0.15, 1.0),
        Pull(57, 287, 0.15, 1.0),
        Pull(146, 375, 0.1, 0.8),
        Pull(91, 321, 0.05, 0.5),
        Pull(185, 409, 0.1, 0.65),
        Pull(43, 273, 0.1, 0.9),
        Pull(106, 335, 0.05, 0.6),
        Pull(202, 422, 0.1, 0.7),
        Pull(212, 432, 0.1, 0.6),
        Pull(204, 424, 0.0, 0.4),
        Pull(186, 410, 0.1, 0.55),
        Pull(216, 436, 0.05, 0.3),
        Pull(92, 322, 0.0, 0.3),
        Pull(206, 426, 0.0, 0.12),
        Pull(207, 427, 0.0, 0.15),
        Pull(205, 425, 0.0, 0.04),
    ),
    "AU4": (
        Pull(55, 285, -0.5, 0.85),
        Pull(107, 336, -0.45, 0.75),
        Pull(65, 295, -0.35, 0.75),
        Pull(66, 296, -0.35, 0.7),
        Pull(52, 282, -0.2, 0.5),
        Pull(105, 334, -0.2, 0.45),
        Pull(53, 283, -0.1, 0.25),
        Pull(63, 293, -0.1, 0.2),
        Pull(9, 9, 0.0, 0.6),
        Pull(8, 8, 0.0, 0.45),
        Pull(108, 337, -0.2, 0.3),
    ),
    "AU9": (
        Pull(64, 294, 0.1, -0.85),
        Pull(48, 278, 0.1, -0.9),
        Pull(129, 358, 0.1, -1.0),
        Pull(49, 279, 0.1, -0.9),
        Pull(203, 423, 0.1, -0.9),
        Pull(98, 327, 0.0, -0.55),
        Pull(165, 391, 0.0, -0.6),
        Pull(39, 269, 0.0, -0.4),
        Pull(142, 371, 0.0, -0.55),
        Pull(206, 426, 0.0, -0.55),
        Pull(55, 285, -0.25, 0.45),
        Pull(9, 9, 0.0, 0.35),
        Pull(8, 8, 0.0, 0.3),
    ),
    "AU1+2": (
        Pull(55, 285, 0.0, -0.9),
        Pull(107, 336, 0.0, -0.95),
        Pull(65, 295, 0.0, -0.95),
        Pull(66, 296, 0.0, -1.0),
        Pull(52, 282, 0.0, -0.95),
        Pull(105, 334, 0.0, -1.0),
        Pull(53, 283, 0.0, -0.9),
        Pull(63, 293, 0.0, -0.95),
        Pull(46, 276, 0.0, -0.75),
        Pull(70, 300, 0.0, -0.8),
        Pull(108, 337, 0.0, -0.4),
        Pull(69, 299, 0.0, -0.4),
        Pull(104, 333, 0.0, -0.35),
        Pull(9, 9, 0.0, -0.5),
    ),
    "AU10": (
        Pull(37, 267, 0.0, -0.75),
        Pull(39, 269, 0.05, -1.0),
        Pull(40, 270, 0.05, -0.8),
        Pull(185, 409, 0.0, -0.35),
        Pull(165, 391, 0.1, -0.95),
        Pull(92, 322, 0.1, -0.8),
        Pull(203, 423, 0.1, -0.7),
        Pull(206, 426, 0.1, -0.55),
        Pull(129, 358, 0.1, -0.35),
        Pull(0, 0, 0.0, -0.55),
    ),
    "AU14": _DIMPLE,
    "U14": _DIMPLE,
    "AU1+4": (
        Pull(55, 285, -0.55, -0.7),
        Pull(107, 336, -0.5, -0.85),
        Pull(65, 295, -0.4, -0.55),
        Pull(66, 296, -0.4, -0.65),
        Pull(52, 282, -0.2, -0.15),
        Pull(105, 334, -0.2, -0.2),
        Pull(53, 283, -0.1, 0.1),
        Pull(63, 293, -0.1, 0.1),
        Pull(46, 276, 0.0, 0.15),
        Pull(70, 300, 0.0, 0.15),
        Pull(9, 9, 0.0, -0.3),
        Pull(108, 337, -0.2, -0.45),
    ),
}
"""What each action unit pulls, in units of its largest displacement."""

RIGHT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_UPPER_LID = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_LOWER_LID = (263, 249, 390, 373, 374, 380, 381, 382, 362)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 64, 294, 48, 278, 49, 279, 142, 371)
_HELD = (*FACE_OVAL, *RIGHT_UPPER_LID, *RIGHT_LOWER_LID, *LEFT_UPPER_LID, *LEFT_LOWER_LID, *_NOSE)

_FAR = 1.5
"""In widths: mesh points farther than this from all that a unit pulls are held."""
_RIDGE = 1e-2
"""Added to the diagonal: mesh points lie closer than the width, the bare system swings between them."""


@dataclass(frozen=True)
class UnitField:
    """One action unit, its largest displacement scaled to 1 px, cut to the box where it is not zero."""

    x0: int
    y0: int
    data: Field
    """(h, w, 3) float32: dx, dy (px per px of amplitude), compression (−divergence, smoothed, 1/px)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the box."""
        return self.data.shape[0], self.data.shape[1]

    @cached_property
    def planes(self) -> Field:
        """(3, h·w) float32: the same, one plane after another, as the drawing loop wants them."""
        return np.ascontiguousarray(self.data.transpose(2, 0, 1)).reshape(3, -1)

    def dense(self, size: tuple[int, int]) -> Field:
        """(H, W, 2) float32 displacement in the whole frame of ``size`` (width, height)."""
        full = np.zeros((size[1], size[0], 2), np.float32)
        h, w = self.data.shape[:2]
        full[self.y0 : self.y0 + h, self.x0 : self.x0 + w] = self.data[..., :2]
        return full


def unit_field(placed: Placed, au: ActionUnit, side: Side = "both") -> UnitField:
    """The field of an action unit on a placed portrait; ``side`` picks the half of a one-sided one."""
    sigma = placed.eye_distance_px / 5
    centres, values = _constraints(placed.mesh, au, side, sigma)
    height, width = placed.image.shape
    oval = placed.mesh[list(FACE_OVAL)]
    low = np.maximum(np.floor(oval.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(oval.max(0)).astype(int) + 3, [width, height])
    xs = np.arange(low[0], high[0], dtype=np.float64)
    ys = np.arange(low[1], high[1], dtype=np.float64)
    weights = np.linalg.solve(_gauss(centres, centres, sigma) + _RIDGE * np.eye(len(centres)), values)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    field = (_gauss(grid, centres, sigma) @ weights).reshape(len(ys), len(xs), 2)
    inside = _inside(oval - low, field.shape[:2], 0.9 * sigma)
    field *= inside[..., None]
    field /= np.hypot(field[..., 0], field[..., 1]).max()
    compression = -(np.gradient(field[..., 0], axis=1) + np.gradient(field[..., 1], axis=0))
    compression = inside * cv2.GaussianBlur(compression, (0, 0), sigma / 3)
    data = np.dstack([field, compression]).astype(np.float32)
    return _trim(UnitField(int(low[0]), int(low[1]), data))


def action_unit_field(
    portrait: Portrait,
    au: ActionUnit,
    amplitude_px: float,
    size: tuple[int, int] = DEFAULT_SIZE,
    side: Side = "both",
) -> Field:
    """Exact dense displacement, neutral frame → moved frame: (H, W, 2) float32, px of the output.

    ``size`` is (width, height). ``side`` matters for one-sided units alone (``both`` there means the subject's left).
    """
    return unit_field(portrait.place(size), au, side).dense(size) * np.float32(amplitude_px)


def face_axes(mesh: Points) -> Array:
    """(2, 2): unit vectors of the face, along the eye line to the subject's left, and down."""
    right, left = eye_centres(mesh)
    along = (left - right).astype(np.float64)
    along /= np.hypot(*along)
    return np.stack([along, [-along[1], along[0]]])


def _constraints(mesh: Points, au: ActionUnit, side: Side, sigma: float) -> tuple[Array, Array]:
    """Centres (n, 2) and their displacements (n, 2): the unit's own points first, then all that is held."""
    axes = face_axes(mesh)
    one_sided = ("left" if side == "both" else side) if au in ONE_SIDED else None
    moved: dict[int, Array] = {}
    for pull in PULLS[au]:
        for index, sign, which in ((pull.right, -1.0, "right"), (pull.left, 1.0, "left")):
            if one_sided in (None, which):
                moved[index] = pull.outward * sign * axes[0] + pull.down * axes[1]
    # far from what it pulls a unit moves nothing: without these the sum swings back over the cheeks
    to_moved = np.hypot(*(mesh[:468, None] - mesh[list(moved)][None]).transpose(2, 0, 1)).min(1)
    far = np.flatnonzero(to_moved > _FAR * sigma)
    held = [index for index in dict.fromkeys((*_HELD, *far.tolist())) if index not in moved]
    centres = mesh[[*moved, *held]].astype(np.float64)
    values = np.concatenate([np.stack(list(moved.values())), np.zeros((len(held), 2))])
    return centres, values


def _gauss(points: Array, centres: Array, sigma: float) -> Array:
    """(n, m) Gaussian of the distances."""
    squared = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)[None]
    near: Array = np.exp(-np.maximum(squared, 0) / (2 * sigma**2))
    return near


def _inside(oval: Array, shape: tuple[int, ...], margin_px: float) -> Array:
    """(h, w): exactly 0 outside the outline, rising smoothly to 1 within ``margin_px``."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], 1)
    depth = cv2.GaussianBlur(cv2.distanceTransform(mask, cv2.DIST_L2, 5), (0, 0), 1.0)
    t = np.clip(depth * mask / margin_px, 0, 1).astype(np.float64)
    share: Array = t * t * t * (10 + t * (6 * t - 15))
    return share


def _trim(field: UnitField) -> UnitField:
    """Cut to where it matters, with one pixel of exact zeros around (the warp clamps look-ups to that)."""
    size = np.abs(field.data[..., :2]).max(-1)
    rows = np.flatnonzero(size.max(1) > 1e-3)
    cols = np.flatnonzero(size.max(0) > 1e-3)
    cut = field.data[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].copy()
    cut[[0, -1]] = 0
    cut[:, [0, -1]] = 0
    return UnitField(field.x0 + int(cols[0]), field.y0 + int(rows[0]), np.ascontiguousarray(cut))
