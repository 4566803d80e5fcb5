"""What each action unit moves: smooth fields on the half-size grid, placed by the mesh and the face's own axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.blind_bed.courses import eased
from bench.blind_bed.eyes import LOWER_LID, UPPER_LID

Field = npt.NDArray[np.float32]
_INNER_UPPER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
_INNER_LOWER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
_BOTH_SIDES = ("1", "2", "4", "9", "12", "14", "15", "6")


@dataclass(frozen=True)
class Grid:
    """Centres of the half-size grid's cells, px of the frame, (H / 2, W / 2) each."""

    x: Field
    y: Field

    @classmethod
    def of(cls, size: tuple[int, int]) -> Grid:
        """``size``: width and height of the frame."""
        x, y = np.meshgrid(np.arange(size[0] // 2) * 2 + 0.5, np.arange(size[1] // 2) * 2 + 0.5)
        return cls(x.astype(np.float32), y.astype(np.float32))

    def bell(self, centre: Any, across: float, up: float, down: float | None = None) -> Field:
        """Gaussian weight about a place; widths in px, above and below it their own."""
        dx, dy = self.x - centre[0], self.y - centre[1]
        height = np.where(dy < 0, up, up if down is None else down)
        return np.exp(-0.5 * ((dx / across) ** 2 + (dy / height) ** 2)).astype(np.float32)


@dataclass(frozen=True)
class Fields:
    """All a face can do, on the grid."""

    moves: dict[str, Field]
    """Name → (H / 2, W / 2, 2) displacement; its largest is 1 px. l and r: one side of the image."""
    folds: dict[str, Field]
    """Name → (H / 2, W / 2), -1 to 1: skin that is pushed together darkens, stretched skin brightens."""
    jaw_below: Field
    jaw_above: Field
    """Down, of 1 px between the lips: as the skin below the lips' seam goes and as that above it does."""
    seam: Callable[[Any], Field]
    """x → y of the line between the lips, px."""


def fields(points: npt.NDArray[np.float64], eye_px: float, grid: Grid, face_mask: npt.NDArray[np.bool_]) -> Fields:
    """``points``: (478, 3) px of the frame; ``eye_px``: between the irises; ``face_mask``: on the grid."""
    raw = _raw(points[:, :2], eye_px, grid)
    for name in _BOTH_SIDES:
        raw[name] = raw[name + "l"] + raw[name + "r"]
    raw["1+2"], raw["4+9"] = raw["1"] + raw["2"], raw["4"] + 0.5 * raw["9"]
    for side in "lr":
        raw["1+2" + side] = raw["1" + side] + raw["2" + side]
    within = cv2.GaussianBlur(face_mask.astype(np.float32), (0, 0), 3)
    moves, folds = {}, {}
    for name, field in raw.items():
        field = field.astype(np.float32)
        if name not in ("larynx", "floor"):  # these lie below the face
            field = field * within[..., None]
        field = field / np.sqrt((field**2).sum(2)).max()
        moves[name] = field
        spread = cv2.Sobel(field[..., 0], cv2.CV_32F, 1, 0, ksize=3) + cv2.Sobel(
            field[..., 1], cv2.CV_32F, 0, 1, ksize=3
        )
        spread = cv2.GaussianBlur(spread, (0, 0), 1.2)
        folds[name] = (spread / max(np.abs(spread).max(), 1e-6)).astype(np.float32)
    return Fields(moves, folds, *_jaw(points, eye_px, grid))


def _raw(mesh: npt.NDArray[np.float64], d: float, grid: Grid) -> dict[str, npt.NDArray[Any]]:
    """Name → displacement of any size. The numbers are shares of the eyes' distance, and directions."""
    bell, found = grid.bell, {}
    along = mesh[473] - mesh[468]
    along /= np.linalg.norm(along)
    upward = mesh[10] - mesh[152]
    upward /= np.linalg.norm(upward)
    down, across = np.array([0, 1.0]), along

    def way(right: float, up: float) -> npt.NDArray[np.float64]:
        return along * right + upward * up

    def middle(points: Sequence[int]) -> npt.NDArray[np.float64]:
        return mesh[list(points)].mean(0)

    def put(name: str, *parts: tuple[Field, npt.NDArray[np.float64]]) -> None:
        found[name] = sum(weight[..., None] * np.float32(vector) for weight, vector in parts)

    hold: Any = 1.0  # the eyes' openings keep still against brow and cheek
    for upper, lower in zip(UPPER_LID, LOWER_LID, strict=True):
        width = np.linalg.norm(mesh[upper[0]] - mesh[upper[-1]])
        hold = hold * (1 - 0.85 * bell(mesh[upper + lower].mean(0), 0.42 * width, 0.16 * width, 0.22 * width))
    for side, i, out in (("l", 0, -1.0), ("r", 1, 1.0)):
        inner, outer = middle([[107, 55], [336, 285]][i]), middle([[70, 46, 63], [300, 276, 293]][i])
        brow = middle([[105, 52, 66], [334, 282, 296]][i])
        corner, wing, cheek, fold = (mesh[pair[i]] for pair in ((61, 291), (129, 358), (50, 280), (205, 425)))
        put("1" + side, (hold * bell(inner + upward * 0.06 * d, 0.24 * d, 0.42 * d, 0.13 * d), way(-out * 0.08, 1)))
        put("2" + side, (hold * bell(outer + upward * 0.04 * d, 0.24 * d, 0.36 * d, 0.14 * d), way(0, 1)),
            (hold * bell(brow, 0.2 * d, 0.35 * d, 0.13 * d), way(0, 0.35)))  # fmt: skip
        put("4" + side, (hold * bell(inner, 0.2 * d, 0.24 * d, 0.14 * d), way(-out * 0.75, -0.65)),
            (hold * bell(brow, 0.22 * d, 0.28 * d, 0.14 * d), way(-out * 0.3, -0.45)))  # fmt: skip
        put("9" + side, (bell(wing + way(-out * 0.05, 0.12) * d, 0.15 * d, 0.2 * d, 0.14 * d), way(-out * 0.1, 1)),
            (bell(middle([[165], [391]][i]), 0.14 * d, 0.12 * d, 0.1 * d), way(0, 0.45)),
            (hold * bell(fold, 0.16 * d, 0.16 * d), way(-out * 0.1, 0.3)))  # fmt: skip
        put("12" + side, (bell(corner + way(out * 0.04, 0.03) * d, 0.19 * d, 0.2 * d, 0.15 * d), way(out * 0.75, 0.66)),
            (hold * bell(fold + way(out * 0.05, 0) * d, 0.22 * d, 0.22 * d), way(out * 0.25, 0.42)),
            (bell(middle([[40, 91], [270, 321]][i]), 0.14 * d, 0.1 * d), way(out * 0.3, 0.15)))  # fmt: skip
        put("14" + side, (bell(corner + way(-out * 0.03, 0) * d, 0.12 * d, 0.12 * d), way(out * 0.95, 0.05)),
            (bell(corner + way(out * 0.2, 0.02) * d, 0.11 * d, 0.15 * d), way(-out * 0.55, 0)))  # fmt: skip
        put("15" + side, (bell(corner + way(0, -0.04) * d, 0.16 * d, 0.11 * d, 0.22 * d), way(out * 0.2, -1)))
        put("6" + side, (hold * bell(cheek, 0.25 * d, 0.2 * d, 0.2 * d), way(-out * 0.2, 0.95)),
            (hold * bell(mesh[[226, 446][i]] + way(out * 0.06, -0.02) * d, 0.14 * d, 0.16 * d),
             way(-out * 0.45, 0.1)))  # fmt: skip
        put("7" + side, (bell(mesh[[145, 374][i]] - upward * 0.05 * d, 0.18 * d, 0.05 * d, 0.12 * d),
            way(-out * 0.25, 0.8)))  # fmt: skip
        put("cx" + side, (bell(corner, 0.22 * d, 0.2 * d, 0.2 * d), across))
        put("cy" + side, (bell(corner, 0.2 * d, 0.2 * d, 0.2 * d), down))
    put("17", (bell(mesh[199] + upward * 0.03 * d, 0.22 * d, 0.16 * d, 0.2 * d), way(0, 1)),
        (bell(mesh[17], 0.22 * d, 0.1 * d), way(0, 0.55)))  # fmt: skip
    put("24u", (bell(mesh[0] - upward * 0.03 * d, 0.26 * d, 0.09 * d, 0.09 * d), way(0, -1)))
    put("24l", (bell(mesh[17] + upward * 0.04 * d, 0.26 * d, 0.08 * d, 0.1 * d), way(0, 1)))
    put("larynx", (bell(mesh[152] - upward * 0.45 * d, 0.3 * d, 0.3 * d, 0.5 * d), way(0, 1)))
    put("floor", (bell(mesh[152] - upward * 0.05 * d, 0.32 * d, 0.22 * d, 0.3 * d), way(0, 1)))
    put("ul", (bell(mesh[0], 0.22 * d, 0.17 * d, 0.12 * d), down))
    return found


def _jaw(points: npt.NDArray[np.float64], d: float, grid: Grid) -> tuple[Field, Field, Callable[[Any], Field]]:
    """Two sheets of skin that part at the seam of the lips, and that seam."""
    x = (points[_INNER_UPPER, 0] + points[_INNER_LOWER, 0]) / 2
    y = (points[_INNER_UPPER, 1] + points[_INNER_LOWER, 1]) / 2
    order = np.argsort(x)
    x, y = x[order], y[order]
    curve = np.polyfit((x - x.mean()) / d, y, 4)

    def seam(at: Any) -> Field:
        return np.polyval(curve, (np.clip(at, x[0], x[-1]) - x.mean()) / d).astype(np.float32)

    off = (grid.x - (x[0] + x[-1]) / 2) / ((x[-1] - x[0]) / 2 * 0.97)
    opens = np.clip(1 - off * off, 0, None)
    below = grid.y - seam(grid.x)
    sideways = np.exp(-0.5 * ((grid.x - points[152, 0]) / (0.62 * d)) ** 2)
    base = 1 / (1 + np.exp(-np.clip(below / (0.13 * d), -20, 20)))
    base = base * sideways * (1 - eased((grid.y - points[152, 1]) / (0.55 * d)))
    parting = 0.5 * opens * np.exp(-((below / (0.30 * d)) ** 2)) * sideways
    return (base + parting).astype(np.float32), (base - parting).astype(np.float32), seam
