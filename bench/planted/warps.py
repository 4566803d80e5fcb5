"""Displacement fields on a face, and warping a frame by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator

from bench.planted.landmarks import IRISES, LEFT_CHEEK, LEFT_CORNER, OVAL, RIGHT_CHEEK, RIGHT_CORNER
from bench.planted.tracks import Floats, Frame

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, px; the last two are outside."""
Field = tuple[Box, Floats]
"""Box, and in it (h, w, 2) displacement, px (or unitless: then said so)."""

LEAST_PX = 0.004
"""What moves by less is left as it is, to the bit."""


def axes(mesh: Floats) -> tuple[Floats, Floats]:
    """The face's own x and y as unit vectors, by the line through the eyes' outer corners."""
    along = mesh[LEFT_CORNER] - mesh[RIGHT_CORNER]
    along = along / np.linalg.norm(along)
    return along, np.array([-along[1], along[0]])


def face_box(mesh: Floats, width: float, shape: Sequence[int]) -> Box:
    """Around the face, with a margin of 15 % of its width (px), inside a picture of ``shape`` (H, W, …)."""
    height, wide = shape[:2]
    oval = mesh[OVAL]
    left, top = np.floor(oval.min(0) - 0.15 * width).astype(int)
    right, bottom = np.ceil(oval.max(0) + 0.15 * width).astype(int)
    return max(0, left), max(0, top), min(wide, right), min(height, bottom)


def grid(box: Box) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(h, w) x and y of the box's pixels."""
    across, down = np.arange(box[0], box[2], dtype=np.float32), np.arange(box[1], box[3], dtype=np.float32)
    x, y = np.meshgrid(across, down)
    return x, y


def soft_oval(mesh: Floats, width: float, box: Box, inner: float = 0.10) -> Floats:
    """(h, w), 0 to 1: inside the face 1, fading out over ``inner`` widths towards its edge."""
    left, top, right, bottom = box
    # a pixel of margin all round: a face that is cut by the picture's edge is not faded there
    mask: Any = np.zeros((bottom - top + 2, right - left + 2), np.uint8)
    cv2.fillPoly(mask, [np.round((mesh[OVAL] - [left - 1, top - 1]) * 16).astype(np.int32)], (255,), shift=4)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[1:-1, 1:-1] / (inner * width)
    depth = np.clip(depth, 0, 1)
    depth = depth * depth * (3 - 2 * depth)
    return cv2.GaussianBlur(depth, (0, 0), 0.02 * width)


def turn_field(
    mesh: Floats, depth: Floats, width: float, shape: Sequence[int], yaw_deg: float, pitch_deg: float
) -> Field:
    """Displacement (px) of a small turn of the head, by the depth (px) of the mesh: no expression moves.

    ``mesh``: (478, 2), ``depth``: (478,).
    """
    box = face_box(mesh, width, shape)
    left, top, right, bottom = box
    along, down = axes(mesh)
    x, y = np.meshgrid(np.arange(left, right, 4), np.arange(top, bottom, 4))
    near = depth[:468] - np.nanmean(depth[[RIGHT_CHEEK, LEFT_CHEEK]])
    height: Any = np.nan_to_num(LinearNDInterpolator(mesh[:468], -near)(x, y)).astype(np.float32)
    height = cv2.resize(height, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC)
    height = cv2.GaussianBlur(height, (0, 0), 0.03 * width) * soft_oval(mesh, width, box, 0.12)
    by = np.radians(yaw_deg) * along + np.radians(pitch_deg) * down
    return box, np.stack([height * by[0], height * by[1]], 2).astype(np.float32)


def gaze_field(mesh: Floats, width: float, shape: Sequence[int], shift_px: float) -> Field:
    """Displacement (px) of both irises by ``shift_px`` along the face's horizontal; the lids stay."""
    box = face_box(mesh, width, shape)
    along, down = axes(mesh)
    x, y = grid(box)
    near: Any = 0
    for point in IRISES:
        u, v = local(x, y, mesh[point], along, down)
        near = near + np.exp(-0.5 * ((u / (0.035 * width)) ** 2 + (v / (0.022 * width)) ** 2))
    return box, np.stack([near * along[0] * shift_px, near * along[1] * shift_px], 2).astype(np.float32)


def local(x: Floats, y: Floats, centre: Floats, along: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Coordinates about ``centre`` in the face's own frame, px."""
    u = (x - centre[0]) * along[0] + (y - centre[1]) * along[1]
    v = (x - centre[0]) * down[0] + (y - centre[1]) * down[1]
    return u, v


def warp(frame: Frame, fields: Sequence[Field]) -> Frame:
    """The frame with what lies at x moved to x + D(x), D the sum of ``fields`` (px); the rest is untouched.

    Pixels are pulled, so D is first inverted by two fixed-point steps: it is far smoother than it is large.
    """
    if not fields:
        return frame
    height, width = frame.shape[:2]
    total: Any = np.zeros((height, width, 2), np.float32)
    for (left, top, right, bottom), field in fields:
        total[top:bottom, left:right] += field
    live = np.abs(total).max(2) > LEAST_PX
    if not live.any():
        return frame
    down, across = np.where(live)
    box = (
        max(0, across.min() - 6), max(0, down.min() - 6),
        min(width, across.max() + 7), min(height, down.max() + 7),
    )  # fmt: skip
    x, y = grid(box)
    inside = np.s_[box[1] : box[3], box[0] : box[2]]
    pull: Any = total[inside].copy()
    for _ in range(2):
        pull = cv2.remap(total, x - pull[..., 0], y - pull[..., 1], cv2.INTER_LINEAR)
    pulled: Any = cv2.remap(
        frame, x - pull[..., 0], y - pull[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    moved = np.abs(pull).max(2) > LEAST_PX
    result = frame.copy()
    result[inside][moved] = pulled[moved]
    return result
