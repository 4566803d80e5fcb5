"""Uniform LBP(8, 2) histograms per block, and their difference from a reference (Ojala et al. 2002).

The paper's detector (LAENet §2.2.1, after D&C-RoIs, Liong et al. 2015): per ROI, 1 − correlation of the histograms
of a frame with those of the reference. Radius 2 on a face blurred by 1 px stands highest above sensor noise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime.vision.jit import jit

Row = NDArray[np.float32]

RADIUS_PX = 2
BINS = 59
ONE = np.float32(1.0)
_DIAGONAL = np.float32(RADIUS_PX / math.sqrt(2.0) - 1.0)  # beyond the first pixel


def _uniform_bins() -> NDArray[np.uint8]:
    """(256,) bin of each code: 58 for those with at most two changes around the circle, one for the rest."""
    bins = np.full(256, BINS - 1, np.uint8)
    following = 0
    for code in range(256):
        turned = ((code << 1) | (code >> 7)) & 255
        if bin(code ^ turned).count("1") <= 2:
            bins[code] = following
            following += 1
    return bins


UNIFORM_BINS = _uniform_bins()


@jit
def _codes_of_row(above: Row, upper: Row, row: Row, lower: Row, below: Row, codes: NDArray[np.int32]) -> None:
    """LBP codes of one row; neighbours counter-clockwise from the right, diagonals interpolated.

    Rows of the same (n,) float32; codes (n,) int32, as wide as the values so that the loop vectorises.
    """
    far, mid, near = (
        _DIAGONAL * _DIAGONAL,
        _DIAGONAL * (ONE - _DIAGONAL),
        (ONE - _DIAGONAL) * (ONE - _DIAGONAL),
    )
    for x in range(2, row.shape[0] - 2):
        centre = row[x]
        up_right = near * upper[x + 1] + mid * (upper[x + 2] + above[x + 1]) + far * above[x + 2]
        up_left = near * upper[x - 1] + mid * (upper[x - 2] + above[x - 1]) + far * above[x - 2]
        low_left = near * lower[x - 1] + mid * (lower[x - 2] + below[x - 1]) + far * below[x - 2]
        low_right = near * lower[x + 1] + mid * (lower[x + 2] + below[x + 1]) + far * below[x + 2]
        code = np.int32(1) if row[x + 2] >= centre else np.int32(0)
        code += np.int32(2) if up_right >= centre else np.int32(0)
        code += np.int32(4) if above[x] >= centre else np.int32(0)
        code += np.int32(8) if up_left >= centre else np.int32(0)
        code += np.int32(16) if row[x - 2] >= centre else np.int32(0)
        code += np.int32(32) if low_left >= centre else np.int32(0)
        code += np.int32(64) if below[x] >= centre else np.int32(0)
        code += np.int32(128) if low_right >= centre else np.int32(0)
        codes[x] = code


@jit
def histograms(
    image: NDArray[np.float32],
    blocks: NDArray[np.int16],
    spans: NDArray[np.int64],
    bins: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    """Uniform-LBP histogram of each block.

    image: (H, W) float32, grey levels. blocks: (H, W) int16, −1 outside, at least 2 px from the border.
    spans: (H, 2) first and last + 1 column with a block, from ``spans_of``. bins: UNIFORM_BINS.
    out: (blocks, 59) float32, counts; filled.
    """
    codes = np.empty(image.shape[1], np.int32)
    out[:] = 0.0
    for y in range(2, image.shape[0] - 2):
        x0, x1 = spans[y, 0] - 2, spans[y, 1] + 2
        if x1 - x0 <= 4:
            continue
        _codes_of_row(
            image[y - 2, x0:x1],
            image[y - 1, x0:x1],
            image[y, x0:x1],
            image[y + 1, x0:x1],
            image[y + 2, x0:x1],
            codes,
        )
        for x in range(2, x1 - x0 - 2):
            block = blocks[y, x0 + x]
            if block >= 0:
                out[block, bins[codes[x]]] += ONE


@jit
def difference(
    current: NDArray[np.float32],
    reference: NDArray[np.float32],
    block_roi: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """1 − correlation of the histograms of each ROI (its blocks one after the other), 0..2.

    current, reference: (blocks, 59) float32, counts. block_roi: (blocks,). out: (ROIs,), filled.
    """
    for roi in range(out.shape[0]):
        n = 0
        sa = sb = saa = sbb = sab = 0.0
        for block in range(block_roi.shape[0]):
            if block_roi[block] != roi:
                continue
            for k in range(current.shape[1]):
                a, b = current[block, k], reference[block, k]
                sa += a
                sb += b
                saa += a * a
                sbb += b * b
                sab += a * b
            n += current.shape[1]
        out[roi] = 0.0
        if n > 0:
            spread = (saa - sa * sa / n) * (sbb - sb * sb / n)
            if spread > 0.0:
                out[roi] = 1.0 - (sab - sa * sb / n) / math.sqrt(spread)
