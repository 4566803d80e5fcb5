"""What is drawn over a face: a pair of glasses, a hand, a mug; and light."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from bench.planted.landmarks import LEFT_CHEEK, LEFT_EYE, RIGHT_CHEEK, RIGHT_EYE
from bench.planted.tracks import Floats, Frame
from bench.planted.warps import axes

_BITS, _SUB = 4, 16  # OpenCV draws in sixteenths of a px
_FINGERS = ((-0.2, 0.33), (-0.07, 0.42), (0.06, 0.4), (0.18, 0.31))
"""Of a hand: across and length, widths of the face."""
_FRAME_BGR, _MUG_BGR = (28, 24, 26), (150, 90, 60)


def lit(frame: Frame, gain: Floats) -> Frame:
    """The frame times ``gain`` (H, W)."""
    result: Frame = np.clip(frame.astype(np.float32) * gain[..., None] + 0.5, 0, 255).astype(np.uint8)
    return result


def with_glasses(frame: Frame, mesh: Floats, width: float) -> Frame:
    """Dark frames of glasses on the face. ``mesh``: (478, 2) px."""
    mask: Any = np.zeros(frame.shape[:2], np.uint8)
    along, down = axes(mesh)
    thick = max(2, round(0.022 * width))

    def line(start: Floats, end: Floats) -> None:
        ends = [tuple(int(value * _SUB) for value in point) for point in (start, end)]
        cv2.line(mask, ends[0], ends[1], (255,), thick, cv2.LINE_AA, _BITS)

    def rounded(value: Floats) -> Floats:
        shaped: Floats = np.sign(value) * np.abs(value) ** 0.62
        return shaped

    angle = np.linspace(0, 2 * np.pi, 72)
    for eye, outward, ear in ((RIGHT_EYE, -1, RIGHT_CHEEK), (LEFT_EYE, 1, LEFT_CHEEK)):
        centre = mesh[eye].mean(0) + 0.025 * width * down
        across, high = rounded(np.cos(angle))[:, None], rounded(np.sin(angle))[:, None]
        rim = centre + 0.165 * width * across * along + 0.115 * width * high * down
        cv2.polylines(mask, [np.round(rim * _SUB).astype(np.int32)], True, (255,), thick, cv2.LINE_AA, _BITS)
        line(centre + outward * 0.165 * width * along, mesh[ear] - 0.03 * width * down)
    line(mesh[RIGHT_EYE].mean(0) + 0.16 * width * along, mesh[LEFT_EYE].mean(0) - 0.16 * width * along)
    cover = cv2.GaussianBlur(mask, (0, 0), 0.6).astype(np.float32)[..., None] / 255 * 0.93
    result: Frame = np.round(frame * (1 - cover) + np.array(_FRAME_BGR, np.float32) * cover).astype(np.uint8)
    return result


class Prop:
    """Where something is held before the face: its middle in px, the face's width in px, which is its measure."""

    def __init__(self, frame: Frame, x: float, y: float, width: float) -> None:
        self.frame, self.x, self.y, self.width = frame, x, y, width
        self.mask: Any = np.zeros(frame.shape[:2], np.uint8)

    def _at(self, across: float, down: float) -> tuple[int, int]:
        return int((self.x + across * self.width) * _SUB), int((self.y + down * self.width) * _SUB)

    def _axes(self, across: float, down: float) -> tuple[int, int]:
        return int(across * self.width * _SUB), int(down * self.width * _SUB)

    def hand(self, skin: Floats, texture: Floats) -> Frame:
        """The frame with a hand over it. ``skin``: (3,) BGR; ``texture``: (H, W) of unit variance."""
        mask, width = self.mask, self.width
        cv2.ellipse(mask, self._at(0, 0.3), self._axes(0.27, 0.34), 8, 0, 360, (255,), -1, cv2.LINE_AA, _BITS)
        for across, length in _FINGERS:
            tip, finger = self._at(across * 1.25, -length), int(0.115 * width)
            cv2.line(mask, self._at(across, 0.15), tip, (255,), finger, cv2.LINE_AA, _BITS)
        cv2.line(mask, self._at(0.05, 0.5), self._at(0.2, 1.6), (255,), int(0.38 * width), cv2.LINE_AA, _BITS)
        return self._over(skin[None, None] * (1 + 0.10 * texture[..., None]))

    def mug(self, texture: Floats) -> Frame:
        """The frame with a mug over it."""
        mask, width = self.mask, self.width
        corners = [tuple(v // _SUB for v in self._at(*corner)) for corner in ((-0.26, -0.28), (0.26, 0.36))]
        cv2.rectangle(mask, corners[0], corners[1], (255,), -1)
        thick = max(2, int(0.07 * width))
        cv2.ellipse(mask, self._at(0.33, 0.04), self._axes(0.15, 0.17), 0, 0, 360, (255,), thick, cv2.LINE_AA, _BITS)
        across = np.clip((np.arange(mask.shape[1]) - self.x) / (0.26 * width), -1, 1)
        shade = 1.15 - 0.5 * across[None, :, None] ** 2
        return self._over((np.array(_MUG_BGR, np.float32)[None, None] * shade) * (1 + 0.03 * texture[..., None]))

    def _over(self, colour: Floats) -> Frame:
        cover = cv2.GaussianBlur(self.mask, (0, 0), 1.1).astype(np.float32)[..., None] / 255
        result: Frame = np.round(np.clip(self.frame * (1 - cover) + colour * cover, 0, 255)).astype(np.uint8)
        return result


def smooth_noise(rng: np.random.Generator, count: int, sigma: float) -> Floats:
    """(count,) noise of unit variance, correlated over ``sigma`` frames: a hand that shakes."""
    noise = gaussian_filter1d(rng.standard_normal(count + 8), sigma)[4 : 4 + count]
    result: Floats = noise / noise.std()
    return result
