"""Image pairs with an exactly known displacement, 170×140 crops of the portrait: first(x) = second(x + field(x))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.synthesis import ActionUnit, Portrait, render_pair

HEIGHT, WIDTH = 170, 140
SIZE = (640, 480)
RIM_PX = 8
"""Left out of end-point errors: there the match may lie outside the image."""
UNITS: tuple[tuple[ActionUnit, float], ...] = (
    ("AU12", 0.5), ("AU12", 1.0), ("AU12", 2.0), ("AU12", 3.0), ("AU4", 1.0), ("AU4", 2.0), ("AU1+2", 1.5),
    ("AU9", 1.0), ("AU15", 1.5),
)  # fmt: skip


class Pair(NamedTuple):
    """Two (170, 140) uint8 images and the (170, 140, 2) float32 displacement between them, px."""

    name: str
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    field: NDArray[np.float32]


def pairs(noise: float = 0.0) -> Iterator[Pair]:
    """All test pairs; ``noise`` is the standard deviation of Gaussian noise in grey levels."""
    rng = np.random.default_rng(12)
    for pair in (*rigid_pairs(), *unit_pairs()):
        if noise:
            pair = pair._replace(first=_noisy(pair.first, noise, rng), second=_noisy(pair.second, noise, rng))
        yield pair


def rigid_pairs() -> Iterator[Pair]:
    """Translations and rotations about the middle of the crop."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for u, v in ((0.0, 0.0), (0.5, 0.25), (1.5, -1.0), (3.0, 2.0)):
        yield warped(f"translation {u:g}, {v:g} px", np.dstack([np.full_like(x, u), np.full_like(x, v)]))
    for degrees in (0.5, 1.5):
        turn = np.deg2rad(degrees)
        across, down = x - WIDTH / 2, y - HEIGHT / 2
        u = (np.cos(turn) - 1) * across - np.sin(turn) * down
        v = np.sin(turn) * across + (np.cos(turn) - 1) * down
        yield warped(f"rotation {degrees:g}°", np.dstack([u, v]))


def warped(name: str, field: NDArray[Any]) -> Pair:
    """The pair whose second image is the portrait's crop, the first drawn by cubic sampling at x + field."""
    placed = Portrait.packaged().place(SIZE)
    left, top = _corner()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    at_x, at_y = (x + field[..., 0] + left).astype(np.float32), (y + field[..., 1] + top).astype(np.float32)
    image = np.asarray(placed.image, np.float32)
    first = cv2.remap(image, at_x, at_y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    second = image[top : top + HEIGHT, left : left + WIDTH]
    return Pair(name, _to_uint8(first), _to_uint8(second), field.astype(np.float32))


def unit_pairs() -> Iterator[Pair]:
    """Action units of the generated face."""
    left, top = _corner()
    window = np.s_[top : top + HEIGHT, left : left + WIDTH]
    for unit, amplitude_px in UNITS:
        neutral, moved, field = render_pair(Portrait.packaged(), unit, amplitude_px, SIZE)
        yield Pair(f"{unit} {amplitude_px:g} px", neutral[window].copy(), moved[window].copy(), field[window].copy())


def end_point_error(flow: NDArray[Any], field: NDArray[Any]) -> float:
    """Mean length of the difference inside the rim, px."""
    inner = np.s_[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]
    return float(np.hypot(*np.moveaxis(flow[inner] - field[inner], 2, 0)).mean())


def _corner() -> tuple[int, int]:
    points = Portrait.packaged().place(SIZE).landmarks
    middle = (points.min(0) + points.max(0)) / 2
    return int(middle[0] - WIDTH / 2), int(middle[1] - HEIGHT / 2 - 8)


def _to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(image).clip(0, 255).astype(np.uint8)


def _noisy(image: NDArray[np.uint8], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    return _to_uint8(image + rng.normal(0.0, noise, image.shape))
