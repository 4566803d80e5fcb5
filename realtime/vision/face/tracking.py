"""Sub-pixel displacement of small face patches against a template.

Each patch is followed by inverse-compositional Lucas-Kanade (Baker & Matthews 2004, translation). Its steepest
descent images are made orthogonal to the patch itself and to a constant, so that a change of gain or bias
(mains flicker, shading) leaves the displacement alone, and one iteration is two dot products with the
warped patch. The head's motion is fitted to those over bone in ``head.py``. What works on a few numbers a patch has
plain arithmetic: fast arithmetic rounds by how small arrays lie in memory, and two runs over the same frames would
differ.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime.vision.jit import inlined, jit

PATCH_RADIUS_PX = 8
"""Patches are (2 r + 1)² px of the face image (face 152 px wide)."""
_SIDE = 2 * PATCH_RADIUS_PX + 1
_STRIDE = _SIDE + 1
TEMPLATE_SIZE = -(-_SIDE * _STRIDE // 16) * 16
"""Numbers in a patch's template: its rows with a zero behind each, as bilinear interpolation reads a pixel more, and
zeros up to whole vectors. So a patch is one long row; rows of 17 would be done by halves.
"""
_INSIDE = np.zeros(TEMPLATE_SIZE, np.float32)
"""1 where a template holds a pixel."""
_INSIDE[: _SIDE * _STRIDE].reshape(_SIDE, _STRIDE)[:, :_SIDE] = 1.0

Image = NDArray[np.float32]
"""(H, W) float32, grey levels: the blurred, head-aligned face."""
Affine = NDArray[np.float64]
"""(2, 3)."""


@jit
def build_template(
    image: Image,
    centres: NDArray[np.int64],
    descent: NDArray[np.float32],
    norm: NDArray[np.float32],
    inverse: NDArray[np.float32],
) -> None:
    """Prepare the patches of ``image`` around ``centres`` (n, 2) as (x, y), px; fills the other three.

    descent: (n, 2, TEMPLATE_SIZE) float32, orthogonalised x and y gradients. norm: (n, TEMPLATE_SIZE) float32, the
    patch with mean 0 and length 1. inverse: (n, 3) float32, H⁻¹ as xx, xy, yy; all zero where there is no texture.
    """
    count = _SIDE * _SIDE
    for i in range(centres.shape[0]):
        left, top = centres[i, 0] - PATCH_RADIUS_PX, centres[i, 1] - PATCH_RADIUS_PX
        norm[i] = 0.0
        descent[i] = 0.0
        mean = 0.0
        for v in range(_SIDE):
            for u in range(_SIDE):
                k, y, x = v * _STRIDE + u, top + v, left + u
                norm[i, k] = image[y, x]
                descent[i, 0, k] = 0.5 * (image[y, x + 1] - image[y, x - 1])
                descent[i, 1, k] = 0.5 * (image[y + 1, x] - image[y - 1, x])
                mean += image[y, x]
        mean /= count
        square = 0.0
        for k in range(TEMPLATE_SIZE):
            norm[i, k] -= mean * _INSIDE[k]
            square += norm[i, k] * norm[i, k]
        scale = 1.0 / math.sqrt(square + 1e-6)
        for k in range(TEMPLATE_SIZE):
            norm[i, k] *= scale
        for a in range(2):
            total = 0.0
            along = 0.0
            for k in range(TEMPLATE_SIZE):
                total += descent[i, a, k]
                along += descent[i, a, k] * norm[i, k]
            total /= count
            for k in range(TEMPLATE_SIZE):
                descent[i, a, k] -= total * _INSIDE[k] + along * norm[i, k]
        xx = xy = yy = 0.0
        for k in range(TEMPLATE_SIZE):
            xx += descent[i, 0, k] * descent[i, 0, k]
            xy += descent[i, 0, k] * descent[i, 1, k]
            yy += descent[i, 1, k] * descent[i, 1, k]
        det = xx * yy - xy * xy
        if det > 1e-3 * (xx + yy) * (xx + yy) * 0.05 and xx + yy > count * 0.02:
            inverse[i, 0] = yy / det
            inverse[i, 1] = -xy / det
            inverse[i, 2] = xx / det
        else:
            inverse[i, :] = 0.0


@jit
def follow(
    image: Image,
    centres: NDArray[np.int64],
    descent: NDArray[np.float32],
    norm: NDArray[np.float32],
    inverse: NDArray[np.float32],
    iterations: int,
    displacement: NDArray[np.float32],
    likeness: NDArray[np.float32],
) -> None:
    """Update ``displacement`` (n, 2) float32, px, in place: where each patch is now, starting from its last place.

    likeness: (n,) float32, correlation with the template at the last iteration, -1..1; 0 for a patch that left
    the image or has no texture.
    """
    height, width = image.shape
    seen = np.zeros(TEMPLATE_SIZE + _STRIDE + 1, np.float32)
    for i in range(centres.shape[0]):
        likeness[i] = 0.0
        if inverse[i, 0] == 0.0:
            displacement[i, 0] = 0.0
            displacement[i, 1] = 0.0
            continue
        dx = displacement[i, 0]
        dy = displacement[i, 1]
        left, top = -1, -1
        for step in range(iterations):
            fx = centres[i, 0] + dx - PATCH_RADIUS_PX
            fy = centres[i, 1] + dy - PATCH_RADIUS_PX
            x0 = math.floor(fx)
            y0 = math.floor(fy)
            if not (x0 >= 0 and y0 >= 0 and x0 + _SIDE + 1 <= width and y0 + _SIDE + 1 <= height):
                dx = np.float32(0.0)
                dy = np.float32(0.0)
                break
            if x0 != left or y0 != top:
                left, top = x0, y0
                for v in range(_STRIDE):
                    seen[v * _STRIDE : (v + 1) * _STRIDE] = image[y0 + v, x0 : x0 + _STRIDE]
            sx, sy, along, spread = _compare(
                seen, np.float32(fx - x0), np.float32(fy - y0), descent[i, 0], descent[i, 1], norm[i]
            )
            likeness[i] = along / math.sqrt(max(spread, np.float32(1e-3)))
            ux = inverse[i, 0] * sx + inverse[i, 1] * sy
            uy = inverse[i, 1] * sx + inverse[i, 2] * sy
            length = ux * ux + uy * uy
            if length > 4.0:  # a step of over 2 px is outside the linear range
                shrink = np.float32(2.0 / math.sqrt(length))
                ux *= shrink
                uy *= shrink
            dx -= ux
            dy -= uy
            if length < 2.5e-5 and step > 0:
                break
        displacement[i, 0] = dx
        displacement[i, 1] = dy


@inlined
def _compare(
    seen: NDArray[np.float32],
    right: np.float32,
    down: np.float32,
    descent_x: NDArray[np.float32],
    descent_y: NDArray[np.float32],
    norm: NDArray[np.float32],
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Dot products of a patch with its template's descent images and with the template, and its own squared deviation.

    seen: rows of _STRIDE pixels, one after the other; the patch begins (right, down) px from the first, 0..1 each.
    """
    one = np.float32(1.0)
    w00, w01, w10, w11 = (one - right) * (one - down), right * (one - down), (one - right) * down, right * down
    beside, below, across = seen[1:], seen[_STRIDE:], seen[_STRIDE + 1 :]
    sx = sy = along = total = square = np.float32(0.0)
    for k in range(TEMPLATE_SIZE):
        value = w00 * seen[k] + w01 * beside[k] + w10 * below[k] + w11 * across[k]
        sx += descent_x[k] * value
        sy += descent_y[k] * value
        along += norm[k] * value
        value *= _INSIDE[k]
        total += value
        square += value * value
    return sx, sy, along, square - total * total / np.float32(_SIDE * _SIDE)


@jit
def change_in(image: Image, template: Image, boxes: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """1 − correlation of ``image`` with ``template`` in each box (n, 4) x0, y0, x1, y1, px. out: (n,), filled, 0..2."""
    for i in range(boxes.shape[0]):
        n = 0
        sa = sb = saa = sbb = sab = 0.0
        for y in range(boxes[i, 1], boxes[i, 3]):
            for x in range(boxes[i, 0], boxes[i, 2]):
                a, b = image[y, x], template[y, x]
                sa += a
                sb += b
                saa += a * a
                sbb += b * b
                sab += a * b
                n += 1
        spread = (saa - sa * sa / n) * (sbb - sb * sb / n)
        out[i] = 1.0 - (sab - sa * sb / n) / math.sqrt(spread) if spread > 1e-6 else 0.0


@jit(fastmath=False)
def agree(
    displacement: NDArray[np.float32],
    likeness: NDArray[np.float32],
    inverse: NDArray[np.float32],
    contrast: NDArray[np.float64],
    region: NDArray[np.int64],
    regions: int,
    noise_grey: float,
    alien: float,
    slid: float,
) -> None:
    """Hold each patch to its region where its own picture says little, in place.

    A patch on a brow sees an edge: along it nothing holds it, and once folds have changed it, it slides away. The
    most probable place given picture and neighbours is (H/σ² + Λ)⁻¹ (H/σ² d + Λ d̄): H is the template's, σ² the
    sensor's noise and what the picture differs from the template by, d̄ the region's mean, Λ⁻¹ how far a patch may
    stray from it. A patch that shows something else altogether (likeness < ``alien``) goes where its region is, and so
    does one that has strayed ``slid`` times as far as it may: its likeness becomes 0.
    displacement: (n, 2) px, less what the head's turn does; inverse: (n, 3) H⁻¹; contrast: (n,) grey²; region: (n,)
    below ``regions``; likeness: (n,), in and out.
    """
    n = region.shape[0]
    for k in range(regions):
        _let_go_of_slid(displacement, likeness, region, k, alien, slid)
    mean = np.zeros((regions, 2))
    total = np.zeros(regions)
    for i in range(n):
        w = max(likeness[i] - alien, 0.0)
        mean[region[i], 0] += w * displacement[i, 0]
        mean[region[i], 1] += w * displacement[i, 1]
        total[region[i]] += w
    for i in range(n):
        k = region[i]
        mx = mean[k, 0] / total[k] if total[k] > 0.0 else 0.0
        my = mean[k, 1] / total[k] if total[k] > 0.0 else 0.0
        det = inverse[i, 0] * inverse[i, 2] - inverse[i, 1] * inverse[i, 1]
        if likeness[i] < alien or det <= 0.0:
            displacement[i, 0] = mx
            displacement[i, 1] = my
            continue
        grey2 = noise_grey * noise_grey + (1.0 - likeness[i] * likeness[i]) * contrast[i]
        xx = inverse[i, 2] / det / grey2
        xy = -inverse[i, 1] / det / grey2
        yy = inverse[i, 0] / det / grey2
        stray = _stray(mx, my)
        prior = 1.0 / (stray * stray)
        dx, dy = displacement[i, 0], displacement[i, 1]
        bx = xx * dx + xy * dy + prior * mx
        by = xy * dx + yy * dy + prior * my
        xx += prior
        yy += prior
        full = xx * yy - xy * xy
        displacement[i, 0] = (yy * bx - xy * by) / full
        displacement[i, 1] = (xx * by - xy * bx) / full


@jit(fastmath=False)
def _stray(x: float, y: float) -> float:
    """px that a patch may stray from its region where that has moved by (x, y) px: skin stretches."""
    return 0.7 + 0.15 * math.sqrt(x * x + y * y)


@jit(fastmath=False)
def _let_go_of_slid(
    displacement: NDArray[np.float32],
    likeness: NDArray[np.float32],
    region: NDArray[np.int64],
    own: int,
    alien: float,
    slid: float,
) -> None:
    """Likeness 0 for the patches of region ``own`` that are ``slid`` strays from the median of its patches."""
    across, down = np.empty(region.shape[0]), np.empty(region.shape[0])
    count = 0
    for i in range(region.shape[0]):
        if region[i] == own and likeness[i] >= alien:
            across[count], down[count] = displacement[i, 0], displacement[i, 1]
            count += 1
    if count < 3:
        return
    x, y = np.median(across[:count]), np.median(down[:count])
    limit = slid * _stray(x, y)
    for i in range(region.shape[0]):
        if region[i] == own and likeness[i] >= alien:
            dx, dy = displacement[i, 0] - x, displacement[i, 1] - y
            if dx * dx + dy * dy > limit * limit:
                likeness[i] = 0.0


@jit(fastmath=False)
def moved(to_frame: Affine, step: NDArray[np.float64], centre: NDArray[np.float64]) -> Affine:
    """First the similarity ``step`` (tx, ty, a, b) about ``centre`` (2,), then ``to_frame``."""
    tx, ty, a, b = step[0], step[1], step[2], step[3]
    x, y = tx - a * centre[0] + b * centre[1], ty - b * centre[0] - a * centre[1]
    out = np.empty((2, 3))
    for k in range(2):
        p, q = to_frame[k, 0], to_frame[k, 1]
        out[k, 0] = p * (1.0 + a) + q * b
        out[k, 1] = q * (1.0 + a) - p * b
        out[k, 2] = p * x + q * y + to_frame[k, 2]
    return out
