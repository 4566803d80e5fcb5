"""LBP-TOP (Zhao and Pietikäinen 2007) of a whole clip: uniform LBP histograms on three orthogonal planes, by block.

5×5 blocks, radii 1, 1 and 4 (x, y, t), 8 neighbours, as in CASME II's baseline; the clip is interpolated linearly to a
fixed number of frames first, so that clips of any length and rate compare. scikit-image's local_binary_pattern knows
circles only, and takes a slice at a time: the XT and YT planes need ellipses. A numba kernel does all three; on the XY
plane it is held against scikit-image by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray, UnusableClip
from offline.inputs.face import digest_of
from offline.inputs.seam import Made
from realtime.vision.features import FeatureSpec
from realtime.vision.jit import jit
from realtime.vision.spotting.lbp import BINS, UNIFORM_BINS

NEIGHBOURS = 8
PLANES = ((1, 0), (2, 0), (2, 1))
"""Axes (first, second) of XY, XT, YT in coordinates (x, y, t)."""


class LbpTopSpec(msgspec.Struct, frozen=True):
    """What decides the features."""

    face: FeatureSpec = FeatureSpec(average_s=0.0)
    frames: Annotated[int, Meta(ge=3)] = 20
    """The clip is interpolated to so many."""
    blocks: Annotated[int, Meta(ge=1)] = 5
    radius_px: Annotated[int, Meta(ge=1)] = 1
    radius_frames: Annotated[int, Meta(ge=1)] = 4


class LbpTop(msgspec.Struct, frozen=True):
    """(blocks² × 3 × 59,) float32: each histogram sums to 1."""

    spec: LbpTopSpec = LbpTopSpec()

    @property
    def name(self) -> str:
        return "lbp-top"

    @property
    def title(self) -> str:
        return f"LBP-TOP of the clip, {self.spec.blocks}×{self.spec.blocks} blocks: {self.shape[0]} features"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.blocks**2 * len(PLANES) * BINS,)

    def digest(self) -> str:
        return digest_of(self.name, self.spec)

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        if frames > 1:
            raise UnusableClip("LBP-TOP describes a clip as a whole: it has no single frames")
        followed = FollowedClip(clip, detect, self.spec.face)
        faces = np.stack([followed.pair(number).apex for number in clip.numbers]).astype(np.float32)
        described = describe(interpolated(faces, self.spec.frames), self.spec)
        apex = clip.apex if clip.apex is not None else clip.numbers[len(clip.numbers) // 2]
        return Made(described[None], (apex,), apex, followed.note)


def interpolated(faces: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """(t, H, W) → (frames, H, W), linear in time."""
    at = np.linspace(0, len(faces) - 1, frames)
    low = np.minimum(at.astype(int), max(len(faces) - 2, 0))
    high, share = np.minimum(low + 1, len(faces) - 1), (at - low).astype(np.float32)[:, None, None]
    return np.asarray((1 - share) * faces[low] + share * faces[high], np.float32)


def describe(volume: NDArray[np.float32], spec: LbpTopSpec) -> NDArray[np.float32]:
    """(t, H, W) grey levels → (blocks² × 3 × 59,) histograms, block by block, planes XY, XT, YT within."""
    radii = np.array([spec.radius_px, spec.radius_px, min(spec.radius_frames, (len(volume) - 1) // 2)], np.int64)
    counts = np.zeros((spec.blocks, spec.blocks, len(PLANES), BINS), np.float32)
    for plane, axes in enumerate(PLANES):
        offsets = ring(axes, radii)
        count_plane(np.ascontiguousarray(volume, np.float32), offsets, radii, plane, UNIFORM_BINS, counts)
    total = counts.sum(axis=-1, keepdims=True)
    return (counts / np.maximum(total, 1)).ravel()


def ring(axes: tuple[int, int], radii: NDArray[np.int64]) -> NDArray[np.float32]:
    """(8, 3) offsets x, y, t of the neighbours in the plane of two axes, on an ellipse."""
    angles = 2 * np.pi * np.arange(NEIGHBOURS) / NEIGHBOURS
    offsets = np.zeros((NEIGHBOURS, 3))
    second, first = axes
    offsets[:, first] = np.cos(angles) * radii[first]
    offsets[:, second] = -np.sin(angles) * radii[second]
    return np.round(offsets, 6).astype(np.float32)


@jit
def count_plane(
    volume: NDArray[np.float32],
    offsets: NDArray[np.float32],
    radii: NDArray[np.int64],
    plane: int,
    bins: NDArray[np.uint8],
    counts: NDArray[np.float32],
) -> None:
    """Add one plane's codes to counts (blocks, blocks, planes, 59); trilinear between pixels and frames."""
    depth, height, width = volume.shape
    blocks = counts.shape[0]
    for t in range(radii[2], depth - radii[2]):
        for y in range(radii[1], height - radii[1]):
            row = min(blocks - 1, y * blocks // height)
            for x in range(radii[0], width - radii[0]):
                centre, code = volume[t, y, x], 0
                for k in range(offsets.shape[0]):
                    fx, fy, ft = x + offsets[k, 0], y + offsets[k, 1], t + offsets[k, 2]
                    x0, y0, t0 = int(np.floor(fx)), int(np.floor(fy)), int(np.floor(ft))
                    dx, dy, dt = fx - x0, fy - y0, ft - t0
                    value = np.float32(0.0)
                    for c in range(8):
                        a, b, d = c & 1, (c >> 1) & 1, (c >> 2) & 1
                        share = (dx if a else 1 - dx) * (dy if b else 1 - dy) * (dt if d else 1 - dt)
                        if share > 0:
                            value += share * volume[t0 + d, y0 + b, x0 + a]
                    if value - centre >= np.float32(-1e-3):  # rounding must not split equal pixels
                        code |= 1 << k
                counts[row, min(blocks - 1, x * blocks // width), plane, bins[code]] += 1


INPUT = LbpTop()
