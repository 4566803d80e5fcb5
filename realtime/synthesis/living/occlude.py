"""A hand that passes in front of the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..portrait import Placed
from .fields import ellipse

Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pass:
    """One way across the face: from and to, px from the face's centre in face widths."""

    begin_s: float
    length_s: float
    start: tuple[float, float]
    end: tuple[float, float]

    def place(self, t_s: float) -> tuple[float, float] | None:
        """Where the hand is, in face widths from the face's centre, or None outside of the pass."""
        share = (t_s - self.begin_s) / self.length_s
        if not 0 <= share <= 1:
            return None
        return tuple(a + share * (b - a) for a, b in zip(self.start, self.end, strict=True))  # type: ignore[return-value]


def passes(rng: np.random.Generator, seconds: float, gap_s: tuple[float, float]) -> list[Pass]:
    """Every few seconds the hand crosses the face in 0.5 to 1.5 s."""
    found = []
    now = rng.uniform(*gap_s)
    while now < seconds - 1.6:
        length = rng.uniform(0.5, 1.5)
        side = rng.choice([-1.0, 1.0])
        start = (side * 1.7, rng.uniform(-0.3, 0.9))
        found.append(Pass(now, length, start, (-side * 1.7, rng.uniform(-0.3, 0.9))))
        now += length + rng.uniform(*gap_s)
    return found


class Hand:
    """A palm with fingers, skin of the face's grey, drawn over a frame."""

    def __init__(self, placed: Placed, rng: np.random.Generator) -> None:
        self._centre, _ = ellipse(placed)
        self._width = placed.face_width_px
        cheek = placed.mesh[[205, 425]].mean(0)
        column, row = (int(np.clip(v, 0, n - 1)) for v, n in zip(cheek, placed.image.shape[::-1], strict=True))
        skin = float(placed.image[max(row - 5, 0) : row + 6, max(column - 5, 0) : column + 6].mean())
        side = round(1.7 * self._width)
        alpha = _outline(side)
        coarse, fine = (
            cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), s * self._width)
            for s in (0.06, 0.012)
        )
        texture = 14 * coarse / coarse.std() + 5 * fine / fine.std()
        shade = cv2.GaussianBlur(alpha, (0, 0), 0.05 * self._width)
        self._picture = np.clip(skin * (0.55 + 0.45 * shade) + texture, 5, 250).astype(np.float32)
        self._alpha = cv2.GaussianBlur(alpha, (0, 0), max(0.7, 0.008 * self._width))

    def draw(self, frame: Picture, place: tuple[float, float]) -> None:
        """Over ``frame`` (H, W) float32, at ``place`` in face widths from the face's centre."""
        side = len(self._alpha)
        x, y = (float(c + self._width * p - side / 2) for c, p in zip(self._centre, place, strict=True))
        shift = np.array([[1, 0, x - np.floor(x)], [0, 1, y - np.floor(y)]], np.float32)
        alpha = cv2.warpAffine(self._alpha, shift, (side + 1, side + 1))
        picture = cv2.warpAffine(self._picture, shift, (side + 1, side + 1), borderMode=cv2.BORDER_REPLICATE)
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        left, top = max(0, -x0), max(0, -y0)
        right, bottom = min(side + 1, frame.shape[1] - x0), min(side + 1, frame.shape[0] - y0)
        if left >= right or top >= bottom:
            return
        part = frame[y0 + top : y0 + bottom, x0 + left : x0 + right]
        part += alpha[top:bottom, left:right] * (picture[top:bottom, left:right] - part)


def _outline(side: int) -> Picture:
    """(side, side) float32, 1 within palm and fingers."""
    mask = np.zeros((side, side), np.uint8)
    unit = side / 100
    cv2.ellipse(mask, _at(50, 64, unit), _at(20, 24, unit), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for base, tip in (((36, 48), (26, 16)), ((45, 44), (42, 6)), ((54, 44), (58, 6)), ((63, 48), (74, 16))):
        cv2.line(mask, _at(*base, unit), _at(*tip, unit), 255, round(8 * unit), cv2.LINE_AA)
    cv2.line(mask, _at(33, 66, unit), _at(12, 46, unit), 255, round(9 * unit), cv2.LINE_AA)
    cv2.rectangle(mask, _at(36, 80, unit), _at(64, 100, unit), 255, -1)
    return (mask / 255).astype(np.float32)


def _at(x: float, y: float, unit: float) -> tuple[int, int]:
    return round(x * unit), round(y * unit)
