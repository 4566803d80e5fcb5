"""Displacement fields of the face at rest, on the coarse grid that the renderer works on.

Action units are the ones of the short clips; jaw, throat and lids have fields of their own, which may move the
outline too, and speech brings its fields with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ..fields import (
    LEFT_LOWER_LID,
    LEFT_UPPER_LID,
    RIGHT_LOWER_LID,
    RIGHT_UPPER_LID,
    face_axes,
    unit_field,
)
from ..portrait import FACE_OVAL, Placed
from ..settings import ActionUnit, Side

Planes = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Motion = Literal["chew", "chew-side", "swallow", "squint", "blink-skin"]

STILL_RADIUS, RIGID_RADIUS = 1.75, 1.15
"""The background rests beyond the first, the head is rigid within the second; unit: the face's ellipse."""

_LIDS = (*RIGHT_UPPER_LID, *RIGHT_LOWER_LID, *LEFT_UPPER_LID, *LEFT_LOWER_LID)
_BROWS = (55, 107, 65, 66, 52, 105, 53, 63, 46, 70, 285, 336, 295, 296, 282, 334, 283, 293, 276, 300)
_FOREHEAD = (10, 338, 297, 332, 284, 251, 389, 356, 454, 162, 21, 54, 103, 67, 109, 127, 234, 151, 9, 8, 168, 6)
_NOSE = (197, 195, 5, 4, 1, 129, 358, 49, 279, 48, 278)
_UPPER_FACE = (*_LIDS, *_BROWS, *_FOREHEAD, *_NOSE)
_CHIN = (152, 148, 377, 176, 400, 175, 199, 171, 396, 149, 378, 200)
_JAW = (150, 379, 136, 365, 208, 428, 201, 421, 194, 418)
_JAW_SIDE = (172, 397, 58, 288, 204, 424, 202, 422, 212, 432)
_LOWER_LIP = (17, 84, 314, 181, 405, 18, 83, 313, 14, 87, 317)
_UPPER_LIP = (0, 37, 267, 39, 269, 13, 82, 312)
_CORNERS = (61, 291, 57, 287, 185, 409, 146, 375)
_UNDER_EYES = ((117, 346), (118, 347), (119, 348), (120, 349))
_LOWER_RIM = ((144, 373), (145, 374), (153, 380), (163, 390), (154, 381))
_OUTER = ((33, 263), (130, 359), (226, 446))
_RIDGE = 2e-2
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


class Grid(NamedTuple):
    """A coarse grid over the head's box."""

    x0: int
    y0: int
    shape: tuple[int, int]
    """(rows, columns) of nodes."""
    step: int
    """px between nodes."""

    def places(self) -> tuple[Points, Points]:
        """x and y of the nodes in the frame, px, two (rows, columns) arrays."""
        xs = self.x0 + self.step * np.arange(self.shape[1], dtype=np.float64)
        ys = self.y0 + self.step * np.arange(self.shape[0], dtype=np.float64)
        x, y = np.meshgrid(xs, ys)
        return x, y


def head_grid(placed: Placed) -> Grid:
    """Nodes about 75 to a face width, over all that the head moves; the box may reach beyond the frame."""
    step = max(1, round(placed.face_width_px / 75))
    centre, half = ellipse(placed)
    low = np.floor(centre - STILL_RADIUS * half).astype(int)
    count = np.ceil(2 * STILL_RADIUS * half / step).astype(int) + 2
    return Grid(int(low[0]), int(low[1]), (int(count[1]), int(count[0])), step)


def ellipse(placed: Placed) -> tuple[Points, Points]:
    """Centre and half axes of the face, px."""
    oval = placed.mesh[list(FACE_OVAL)].astype(np.float64)
    return (oval.min(0) + oval.max(0)) / 2, np.ptp(oval, axis=0) / 2


class FaceFields:
    """Makes fields (3, nodes) float32: dx, dy and compression, for one placed portrait."""

    def __init__(self, placed: Placed, grid: Grid) -> None:
        self._placed = placed
        self._grid = grid
        self._x, self._y = grid.places()
        self._axes = face_axes(placed.mesh)
        self._sigma = placed.eye_distance_px / 5

    def unit(self, au: ActionUnit, side: Side, stronger: Side) -> Planes:
        """An action unit whose largest displacement is 1 px; ``stronger``: the other side moves a quarter as far."""
        field = unit_field(self._placed, au, side)
        data = cv2.copyMakeBorder(field.data, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        x = (self._x - field.x0 + 1).astype(np.float32)
        y = (self._y - field.y0 + 1).astype(np.float32)
        sampled = cv2.remap(data, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        planes = np.asarray(sampled, np.float64).transpose(2, 0, 1)
        if stronger != "both":
            middle = self._placed.mesh[[168, 4, 152]].mean(0)
            along = (self._x - middle[0]) * self._axes[0, 0] + (self._y - middle[1]) * self._axes[0, 1]
            toward = along if stronger == "left" else -along
            planes = planes * (0.625 + 0.375 * np.tanh(toward / (0.08 * self._placed.face_width_px)))
            planes = planes / np.hypot(planes[0], planes[1]).max()
        return _flat(planes)

    def motion(self, name: Motion) -> Planes:
        """A movement that is no expression, its largest displacement 1 px."""
        pulls, extra = _PULLS[name], self._neck(-1.0 if name == "swallow" else 0.0)
        moved = {index: a * self._axes[0] + b * self._axes[1] for index, (a, b) in pulls.items()}
        if name in ("squint", "blink-skin"):
            held = [*_FOREHEAD, *_NOSE, *_JAW, *_CORNERS]
        else:
            held = [index for index in _UPPER_FACE if index not in moved]
        points = np.concatenate([self._placed.mesh[[*moved, *held]].astype(np.float64), extra[0]])
        values = np.concatenate([np.stack(list(moved.values())), np.zeros((len(held), 2)), extra[1]])
        planes = self._spread(points, values[:, :, None])[0]
        unit: Planes = planes / np.hypot(planes[0], planes[1]).max()
        return unit

    def modes(self, indices: tuple[int, ...], modes: Points) -> list[Planes]:
        """Fields of given displacements of mesh points: ``modes`` (k, points, 2), face widths, in the face's axes."""
        still = [index for index in _UPPER_FACE if index not in indices]
        neck, _ = self._neck(0.0)
        points = np.concatenate([self._placed.mesh[[*indices, *still]].astype(np.float64), neck])
        values = np.zeros((len(points), 2, len(modes)))
        values[: len(indices)] = (modes @ self._axes).transpose(1, 2, 0) * self._placed.face_width_px
        return self._spread(points, values)

    def _neck(self, larynx_down: float) -> tuple[Points, Points]:
        """Points below the chin and what they move: the larynx, and the rest that holds still."""
        chin = self._placed.mesh[152].astype(np.float64)
        width = self._placed.face_width_px
        places = [(0, 0.2), (-0.2, 0.32), (0.2, 0.32), (0, 0.42), (-0.4, 0.15), (0.4, 0.15)]
        points = np.stack([chin + width * (a * self._axes[0] + b * self._axes[1]) for a, b in places])
        values = np.zeros_like(points)
        values[0] = larynx_down * self._axes[1]
        return points, values

    def _spread(self, points: Points, values: Points) -> list[Planes]:
        """Ridged radial basis functions through points (n, 2) with values (n, 2, k): k fields."""
        count = values.shape[2]
        weights = np.linalg.solve(
            _gauss(points, points, self._sigma) + _RIDGE * np.eye(len(points)), values.reshape(len(points), -1)
        )
        grid = np.stack([self._x.ravel(), self._y.ravel()], 1)
        flat = (_gauss(grid, points, self._sigma) @ weights).reshape(*self._grid.shape, 2, count)
        flat *= _border(self._grid.shape)[..., None, None]
        fields = []
        for k in range(count):
            dx, dy = flat[:, :, 0, k], flat[:, :, 1, k]
            fold = -(np.gradient(dx, axis=1) + np.gradient(dy, axis=0)) / self._grid.step
            fold = cv2.GaussianBlur(fold, (0, 0), self._sigma / 3 / self._grid.step)
            fields.append(_flat(np.stack([dx, dy, fold])))
        return fields


def still_planes(placed: Placed, grid: Grid, depth: Points) -> Planes:
    """(6, nodes): depth px, mask 0..1, the surface's unit normal, and the gap between the lips 0..1."""
    x, y = grid.places()
    centre, half = ellipse(placed)
    radius = np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1])
    t = np.clip((STILL_RADIUS - radius) / (STILL_RADIUS - RIGID_RADIUS), 0, 1)
    down, along = np.gradient(cv2.GaussianBlur(depth, (0, 0), 2.0), grid.step)
    long = np.sqrt(1 + along**2 + down**2)
    lips = np.zeros(x.shape, np.float32)
    outline = (placed.mesh[list(_INNER_LIPS)] - [grid.x0, grid.y0]) / grid.step
    cv2.fillPoly(lips, [np.round(outline).astype(np.int32)], 1.0)
    lips = np.minimum(1.5 * cv2.GaussianBlur(lips, (0, 0), 0.012 * placed.face_width_px / grid.step), 1)
    return _flat(np.stack([depth, t * t * (3 - 2 * t), -along / long, -down / long, 1 / long, lips]))


def _gauss(points: Points, centres: Points, sigma: float) -> Points:
    squared = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)[None]
    near: Points = np.exp(-np.maximum(squared, 0) / (2 * sigma**2))
    return near


def _border(shape: tuple[int, int]) -> Points:
    """1 inside, 0 on the rim: what the box's edge moves would tear there."""
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) / 8 for n in shape)
    return np.clip(rows, 0, 1)[:, None] * np.clip(columns, 0, 1)[None]


def _flat(planes: Points) -> Planes:
    return np.ascontiguousarray(planes, np.float32).reshape(len(planes), -1)


def _same(indices: tuple[int, ...], along: float, down: float) -> dict[int, tuple[float, float]]:
    return dict.fromkeys(indices, (along, down))


def _mirrored(pairs: tuple[tuple[int, int], ...], outward: float, down: float) -> dict[int, tuple[float, float]]:
    return {k: (sign * outward, down) for pair in pairs for k, sign in zip(pair, (-1.0, 1.0), strict=True)}


_PULLS: Mapping[Motion, dict[int, tuple[float, float]]] = {
    "chew": {
        **_same(_JAW_SIDE, 0, 0.55),
        **_same(_UPPER_LIP, 0, 0.05),
        **_same(_CORNERS, 0, 0.15),
        **_same(_LOWER_LIP, 0, 0.45),
        **_same(_JAW, 0, 0.9),
        **_same(_CHIN, 0, 1.0),
    },
    "chew-side": {**_same(_JAW_SIDE, 0.5, 0), **_same(_LOWER_LIP, 0.5, 0), **_same(_JAW, 0.9, 0), **_same(_CHIN, 1, 0)},
    "swallow": {
        **_same(_CORNERS, 0, -0.05),
        **_same(_UPPER_LIP, 0, 0.1),
        **_same(_LOWER_LIP, 0, -0.25),
        **_same(_CHIN, 0, -0.25),
    },
    "squint": {
        **_mirrored(_OUTER, -0.25, -0.1),
        **_same(_BROWS, 0, 0.2),
        **_mirrored(_UNDER_EYES, -0.1, -0.55),
        **_mirrored(_LOWER_RIM, -0.1, -1.0),
    },
    "blink-skin": {
        **_same(_BROWS, 0, 0.6),
        **_mirrored(_OUTER, -0.5, 0.1),
        **_mirrored(_UNDER_EYES, 0.1, -1.0),
        **_mirrored(_LOWER_RIM, 0.1, -0.8),
    },
}
"""Displacement of mesh points in the face's axes: along the eye line to the subject's left, and down."""
