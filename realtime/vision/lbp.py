"""Uniform LBP(8, 2) histograms per block, and their difference from a reference (Ojala et al. 2002).

The paper's detector (LAENet §2.2.1, after D&C-RoIs, Liong et al. 2015): per ROI, 1 − correlation of the histograms
of a frame with those of the reference. Radius 2 on a face blurred by 1 px stands highest above sensor noise.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

RADIUS_PX = 2
BINS = 59
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


@njit(cache=True, fastmath=True, boundscheck=False, nogil=True)
def _codes_of_row(above, upper, row, lower, below, width, codes):  # type: ignore[no-untyped-def]
    """LBP codes of one row; neighbours counter-clockwise from the right, diagonals interpolated."""
    f = _DIAGONAL
    g = np.float32(1.0) - f
    for x in range(2, width - 2):
        centre = row[x]
        code = np.uint8(row[x + 2] >= centre)
        value = g * (g * upper[x + 1] + f * upper[x + 2]) + f * (g * above[x + 1] + f * above[x + 2])
        code |= np.uint8(value >= centre) << 1
        code |= np.uint8(above[x] >= centre) << 2
        value = g * (g * upper[x - 1] + f * upper[x - 2]) + f * (g * above[x - 1] + f * above[x - 2])
        code |= np.uint8(value >= centre) << 3
        code |= np.uint8(row[x - 2] >= centre) << 4
        value = g * (g * lower[x - 1] + f * lower[x - 2]) + f * (g * below[x - 1] + f * below[x - 2])
        code |= np.uint8(value >= centre) << 5
        code |= np.uint8(below[x] >= centre) << 6
        value = g * (g * lower[x + 1] + f * lower[x + 2]) + f * (g * below[x + 1] + f * below[x + 2])
        code |= np.uint8(value >= centre) << 7
        codes[x] = code


@njit(cache=True, fastmath=True, boundscheck=False, nogil=True)
def histograms(
    image: NDArray[np.float32],
    blocks: NDArray[np.int16],
    bins: NDArray[np.uint8],
    out: NDArray[np.float32],
) -> None:
    """Uniform-LBP histogram of each block.

    image: (H, W) float32, grey levels. blocks: (H, W) int16, −1 outside. bins: UNIFORM_BINS.
    out: (blocks, 59) float32, counts; filled.
    """
    height, width = image.shape
    codes = np.zeros(width, np.uint8)
    out[:] = 0.0
    for y in range(2, height - 2):
        labels = blocks[y]
        wanted = False
        for x in range(width):
            wanted |= labels[x] >= 0
        if not wanted:
            continue
        _codes_of_row(image[y - 2], image[y - 1], image[y], image[y + 1], image[y + 2], width, codes)
        for x in range(2, width - 2):
            block = labels[x]
            if block >= 0:
                out[block, bins[codes[x]]] += 1.0


@njit(cache=True, fastmath=True, boundscheck=False, nogil=True)
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
