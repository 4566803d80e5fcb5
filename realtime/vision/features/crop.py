"""Landmarks -> similarity transform -> 170×140 crop: the only place that crops.

The eyes are brought level; then there are two frames. ``eyes``: that of the public maps, so many distances of the eyes
wide and high around their midpoint (fitted on clips whose published maps are known). ``landmarks``: the paper's (LAENet
§2.1.1), the landmarks' bounding box grown by 25 px on top, 0 at the bottom, 5 left and right, at the resolution of the
crop; width and height are scaled apart, so that each face fills it. Both are 170×140.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import InputError


class CropSpec(Protocol):
    """The part of a FeatureSpec that a crop depends on (lengths in crop px)."""

    @property
    def crop_height(self) -> int: ...
    @property
    def crop_width(self) -> int: ...
    @property
    def frame(self) -> Literal["eyes", "landmarks"]: ...
    @property
    def eyes_width(self) -> float: ...
    @property
    def eyes_height(self) -> float: ...
    @property
    def eyes_down(self) -> float: ...
    @property
    def margin_top_px(self) -> float: ...
    @property
    def margin_bottom_px(self) -> float: ...
    @property
    def margin_left_px(self) -> float: ...
    @property
    def margin_right_px(self) -> float: ...


def crop_transform(landmarks: NDArray[Any], spec: CropSpec) -> NDArray[np.float64]:
    """(2, 3) affine: px of the image that holds the landmarks -> px of the crop.

    landmarks: (68, 2) float, px, iBUG order. Raises InputError for another shape or a face without extent.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError(f"landmarks must be (68, 2) finite px: they are {points.shape}")
    right, left = points[36:42].mean(0), points[42:48].mean(0)
    across = left - right
    length = float(np.hypot(*across))
    if length < 1.0:
        raise InputError("landmarks have no extent: the eyes are on one point")
    cos, sin = across / length
    level = np.array([[cos, sin], [-sin, cos]])
    if spec.frame == "eyes":
        fine = np.array([spec.crop_width / spec.eyes_width, spec.crop_height / spec.eyes_height]) / length
        middle = np.array([spec.crop_width / 2, spec.crop_height * spec.eyes_down / spec.eyes_height])
        return np.column_stack([(turn := fine[:, None] * level), middle - turn @ ((left + right) / 2)])
    turned = points @ level.T
    low, high = turned.min(0), turned.max(0)
    inner = np.array(
        [
            spec.crop_width - spec.margin_left_px - spec.margin_right_px,
            spec.crop_height - spec.margin_top_px - spec.margin_bottom_px,
        ]
    )
    scale = inner / np.maximum(high - low, 1.0)
    turn = scale[:, None] * level
    return np.column_stack([turn, np.array([spec.margin_left_px, spec.margin_top_px]) - scale * low])


def crop(gray: NDArray[np.uint8], transform: NDArray[np.float64], spec: CropSpec) -> NDArray[np.uint8]:
    """Cut the face out of a frame: (H, W) uint8 -> (crop_height, crop_width) uint8.

    transform: (2, 3) frame px -> crop px. A face much larger than the crop is halved first, so that no texture
    aliases; what lies outside the frame repeats its edge.
    """
    if gray.ndim != 2 or gray.dtype != np.uint8:
        raise InputError(f"a gray frame is (H, W) uint8, not {gray.shape} {gray.dtype}: convert it first")
    matrix = np.asarray(transform, np.float64)
    (a, b, _), (c, d, _) = matrix.tolist()
    shrink = math.sqrt(abs(a * d - b * c))
    while shrink < 0.55 and min(gray.shape) >= 4:
        height, width = gray.shape
        gray = cv2.resize(gray, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        sx, sy = width / gray.shape[1], height / gray.shape[0]
        # pixel centres: x = sx (x' + ½) − ½
        matrix = np.column_stack([matrix[:, 0] * sx, matrix[:, 1] * sy, matrix @ [(sx - 1) / 2, (sy - 1) / 2, 1.0]])
        shrink *= 2.0
    return cv2.warpAffine(  # type: ignore[return-value]
        gray, matrix, (spec.crop_width, spec.crop_height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def mean_crop(
    frames: Iterable[tuple[NDArray[np.uint8], NDArray[np.float64]]],
    spec: CropSpec,
    carried: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Mean of the crops of neighbouring frames, given as (gray, transform): the noise falls, the face stays.

    carried: (crop_height, crop_width, 2) float32, crop px: how far from its place the mean shows each point; put back
    with a cubic, so that this second interpolation blurs as good as nothing.
    Returns (crop_height, crop_width) uint8, rounded. Raises InputError without a frame.
    """
    total: NDArray[np.float32] = np.zeros((spec.crop_height, spec.crop_width), np.float32)
    count = 0
    for gray, transform in frames:
        cv2.accumulate(crop(gray, transform, spec), total)
        count += 1
    if count == 0:
        raise InputError("a mean crop needs one frame at least")
    total /= count
    if carried is not None:
        x = np.arange(spec.crop_width, dtype=np.float32)[None] + carried[..., 0]
        y = np.arange(spec.crop_height, dtype=np.float32)[:, None] + carried[..., 1]
        total = cv2.remap(  # type: ignore[assignment]
            total, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) affine that applies ``inner`` first, then ``outer``."""
    both: NDArray[np.float64] = outer[:, :2] @ inner
    both[:, 2] += outer[:, 2]
    return both


def invert(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) affine that undoes another."""
    (a, b, x), (c, d, y) = affine.tolist()
    det = a * d - b * c
    a, b, c, d = d / det, -b / det, -c / det, a / det
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])


def apply(affine: NDArray[np.float64], points: NDArray[Any]) -> NDArray[np.float64]:
    """Move (n, 2) points, px."""
    return points @ affine[:, :2].T + affine[:, 2]
