"""One frame from what the face does in it: expression first, then the head in space, looked up backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from bench.blind_bed.eyes import painted
from bench.blind_bed.fields import Field, Grid
from bench.blind_bed.head import Head

if TYPE_CHECKING:
    from bench.blind_bed.props import Glasses

Picture = npt.NDArray[np.float32]
Places = tuple[Field, Field]
"""(H / 2, W / 2) x and y: which place of the still portrait is seen there."""
CHANNELS = ("yaw", "pitch", "roll", "tx", "ty", "tz")
"""Of a pose: degrees, px of the frame, px of depth."""
STILL = dict.fromkeys(CHANNELS, 0.0)
_FOLD_GREY = 6
"""A fold is never darker than this."""


def backwards(field: Field, grid: Grid, start: Places | None = None, rounds: int = 4) -> Places:
    """Where each place came from, for a displacement that says where each goes to; begun at the last frame's."""
    x, y = (grid.x - field[..., 0], grid.y - field[..., 1]) if start is None else start
    for _ in range(rounds):
        f = cv2.remap(field, (x - 0.5) / 2, (y - 0.5) / 2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = grid.x - f[..., 0], grid.y - f[..., 1]
    return x, y


def turned(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """(3, 3) rotation; degrees."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    return (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    )


class Renderer:
    """Draws frame after frame; each begins its search where the last one ended, so that their order matters."""

    def __init__(self, head: Head, glasses: Glasses | None = None) -> None:
        self.head, self.glasses = head, glasses
        self._last: Places | None = None
        self._last_above: Places | None = None

    def displacement(self, expression: Field | None, pose: Mapping[str, float], depth: Field | None = None) -> Field:
        """(H / 2, W / 2, 2) px: how far each place of the portrait goes. ``depth``: of something else than the head."""
        head, grid = self.head, self.head.grid
        z, share = head.depth if depth is None else depth, head.carried
        r = turned(pose["yaw"], pose["pitch"], pose["roll"])
        cx, cy, cz = head.pivot
        from_x, from_y = grid.x - cx, grid.y - cy
        if expression is not None:
            from_x, from_y = from_x + expression[..., 0], from_y + expression[..., 1]
        behind, away = z - cz, head.camera_px
        x = r[0, 0] * from_x + r[0, 1] * from_y + r[0, 2] * behind
        y = r[1, 0] * from_x + r[1, 1] * from_y + r[1, 2] * behind
        new_z = r[2, 0] * from_x + r[2, 1] * from_y + r[2, 2] * behind + cz
        axis_x, axis_y = head.size[0] / 2 - cx, head.size[1] / 2 - cy
        # perspective about the middle of the frame, relative to that of the still portrait
        nearer = (1 + z / away) / (1 + (new_z + pose["tz"]) / away)
        x, y = (x - axis_x) * nearer + axis_x, (y - axis_y) * nearer + axis_y
        own_x, own_y = (0, 0) if expression is None else (expression[..., 0], expression[..., 1])
        dx = share * (x - from_x + pose["tx"]) + own_x
        dy = share * (y - from_y + pose["ty"]) + own_y
        return np.dstack([dx, dy]).astype(np.float32)

    def full(self, half: Field) -> Picture:
        """(H, W) of what is on the grid."""
        return cv2.resize(half, self.head.size, interpolation=cv2.INTER_CUBIC)

    def frame(
        self,
        pose: Mapping[str, float],
        acts: Mapping[str, float],
        jaw: float = 0.0,
        closed: Sequence[float] = (0, 0),
        gaze: Sequence[float] = (0, 0),
        number: int = 0,
    ) -> Picture:
        """(H, W) grey levels without noise. ``acts``: px of each field; ``jaw``: px between the lips."""
        head = self.head
        expression, fold = self._expression(acts)
        source = painted(head.picture, head.eyes, closed, gaze)
        if abs(jaw) > 1e-3:
            image, places = self._open(source, expression, pose, jaw)
        else:
            self._last_above = None
            places = backwards(self.displacement(expression, pose), head.grid, self._last)
            self._last = places
            image = _looked_up(source, self.full(places[0]), self.full(places[1]))
        if fold is not None:
            moved = cv2.remap(fold, (places[0] - 0.5) / 2, (places[1] - 0.5) / 2, cv2.INTER_LINEAR)
            image = image + self.full(moved)
        if self.glasses is not None:
            image = self.glasses.draw(self, image, pose, number)
        return image

    def _expression(self, acts: Mapping[str, float]) -> tuple[Field | None, Field | None]:
        """All fields together, and the folds' grey levels; None where nothing acts."""
        moves, folds = self.head.fields.moves, self.head.fields.folds
        expression, fold = None, None
        for name, px in acts.items():
            if abs(px) < 1e-4:
                continue
            move = moves[name] * np.float32(px)
            shade = folds[name] * np.float32(_FOLD_GREY * np.tanh(2 * px / _FOLD_GREY))
            expression = move if expression is None else expression + move
            fold = shade if fold is None else fold + shade
        return expression, fold

    def _open(
        self, source: Picture, expression: Field | None, pose: Mapping[str, float], jaw: float
    ) -> tuple[Picture, Places]:
        """With parted lips: below the seam one sheet of skin, above it another, dark between them."""
        head, d = self.head, self.head.eye_px
        rest = np.zeros((*head.grid.x.shape, 2), np.float32) if expression is None else expression
        below, above = rest.copy(), rest.copy()
        below[..., 1] += jaw * head.fields.jaw_below
        above[..., 1] += jaw * head.fields.jaw_above
        low = backwards(self.displacement(below, pose), head.grid, self._last)
        self._last = low
        high = backwards(self.displacement(above, pose), head.grid, self._last_above or self._last)
        self._last_above = high
        lx, ly = self.full(low[0]), self.full(low[1])
        image = _looked_up(source, lx, ly)
        mouth = head.points[13, :2]
        x0, x1 = int(max(mouth[0] - 1.0 * d, 0)), int(min(mouth[0] + 1.0 * d, head.size[0]))
        y0, y1 = int(max(mouth[1] - 0.95 * d, 0)), int(min(mouth[1] + 1.35 * d, head.size[1]))
        box = np.s_[y0:y1, x0:x1]
        ux, uy, lx, ly = self.full(high[0])[box], self.full(high[1])[box], lx[box], ly[box]
        upper = _looked_up(source, ux, uy)
        # how far each sheet's own place is below the seam: between the lips both have left theirs
        of_upper, of_lower = uy - head.fields.seam(ux), ly - head.fields.seam(lx)
        gap = np.clip(np.minimum(of_upper, -of_lower), 0, 1)
        is_lower = np.clip(0.5 + (of_upper + of_lower) / 2, 0, 1)
        dark = 32 + 45 * np.exp(-((of_upper / (0.05 * d)) ** 2))
        image[box] = (1 - gap) * (is_lower * image[box] + (1 - is_lower) * upper) + gap * dark
        return image, low


def _looked_up(source: Picture, x: Picture, y: Picture) -> Picture:
    """(H, W) of the source picture, which has twice the resolution."""
    return cv2.remap(source, 2 * x + 0.5, 2 * y + 0.5, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
