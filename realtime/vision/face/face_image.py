"""The face image of a frame: what lies under the face, blurred and brought upright.

OpenCV's two calls take longer, and its ``warpAffine`` rounds places: grey levels are wrong by up to one
(``bench/patches.py``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import MerealtimeError
from realtime.vision.jit import inlined, jit

_PAIRS = 4
"""Pairs of taps that a pass of the blur adds at once: σ = 1 px needs just these (OpenCV's choice, ± 4 σ)."""


_FAR_PX = 1e7


class FaceImage:
    """Draws one face, frame after frame, into memory of its own. Not thread-safe."""

    def __init__(self, height: int, width: int) -> None:
        """Size of the face image, px."""
        self._drawn = np.empty((height, width), np.float32)
        self._scratch = np.empty((2, 0), np.float32)
        self._pairs = np.empty(0, np.int64)
        self._sigma, self._taps = 0.0, np.empty(0, np.float32)

    def draw(
        self,
        picture: NDArray[np.uint8] | NDArray[np.float32],
        matrix: NDArray[np.float64],
        sigma: float,
        box: tuple[int, int, int, int] | None = None,
    ) -> NDArray[np.float32]:
        """(height, width) float32 grey levels, valid until the next call.

        picture: (H, W) uint8 or float32. box: x0, y0, x1, y1, px: the part of it that is looked at, without: all.
        matrix: (2, 3), px of the face image -> px of that part. sigma: of the Gaussian that the part is blurred by
        first, px. Beyond its border the border goes on. MerealtimeError for a matrix that is no pose: the kernels
        don't check where they read.
        """
        if not sum(map(abs, matrix.ravel().tolist())) < _FAR_PX:  # not a number, too
            raise MerealtimeError(f"a face can't be at {matrix.tolist()}")
        if sigma != self._sigma:
            self._sigma, self._taps = sigma, _taps(sigma)
        if box is None or box[2] - box[0] == 1 or not picture.flags.c_contiguous:
            x0, y0, x1, y1 = box or (0, 0, *picture.shape[::-1])
            # pixels are read in pairs: one column is two alike
            part = np.repeat(picture[y0:y1, x0:x1], 2, 1) if x1 - x0 == 1 else picture[y0:y1, x0:x1]
            picture, box = np.ascontiguousarray(part), (0, 0, *part.shape[::-1])
        if picture.flags.writeable:  # the ring's frames are not, and to a kernel that is another type: compiled anew
            picture = picture.view()
            picture.flags.writeable = False
        x0, y0, x1, y1 = box
        height, width = y1 - y0, x1 - x0
        if self._scratch.shape[1] < height * width:
            self._scratch = np.empty((2, height * width * 5 // 4), np.float32)
            self._pairs = in_pairs(self._scratch[1])
        across, blurred = (memory[: height * width].reshape(height, width) for memory in self._scratch)
        blur(picture, x0, y0, self._taps, across, blurred)
        warp(self._pairs, height, width, matrix, self._drawn)
        return self._drawn


def warm_up() -> None:
    """Compile, or load from the cache, what draws from frames and from what larger pictures were shrunk to."""
    drawing = FaceImage(8, 8)
    drawing.draw(np.zeros((8, 8), np.uint8), np.eye(2, 3), 1.0)
    drawing.draw(np.zeros((8, 8), np.float32), np.eye(2, 3), 1.0)


def _taps(sigma: float) -> NDArray[np.float32]:
    """(1 + 4 k,) float32: the middle tap of the Gaussian and those on one side of it, zeros at the end."""
    size = round(sigma * 8 + 1) | 1
    side = cv2.getGaussianKernel(size, sigma)[size // 2 :, 0]
    taps = np.zeros(1 + _PAIRS * -(-(len(side) - 1) // _PAIRS), np.float32)
    taps[: len(side)] = side
    return taps


@jit
def blur(
    picture: NDArray[np.uint8] | NDArray[np.float32],
    left: int,
    top: int,
    taps: NDArray[np.float32],
    across: NDArray[np.float32],
    blurred: NDArray[np.float32],
) -> None:
    """Blur the part of ``picture`` that begins at (left, top), px, by a symmetric kernel, ``taps`` (1 + 4 k,) from its
    middle on, first along the rows.

    across, blurred: (h, w), the size of the part, filled. The part's border is repeated outwards.
    """
    height, width = blurred.shape
    reach, last = taps.shape[0] - 1, height - 1
    wide = np.empty(width + 2 * reach, np.float32)
    row = wide[reach : reach + width]
    # every shift is a view of its own: an index that might be negative would keep the loop out of vectors
    for y in range(height):
        plain = picture[top + y, left : left + width]
        for x in range(width):
            row[x] = plain[x]
        wide[:reach], wide[reach + width :] = row[0], row[width - 1]
        _first(
            across[y], row, taps,
            wide[reach - 1 :], wide[reach + 1 :], wide[reach - 2 :], wide[reach + 2 :],
            wide[reach - 3 :], wide[reach + 3 :], wide[reach - 4 :], wide[reach + 4 :],
        )  # fmt: skip
        for k in range(1 + _PAIRS, reach + 1, _PAIRS):
            a, b = reach - k, reach + k
            _more(
                across[y], taps[k:],
                wide[a:], wide[b:], wide[a - 1 :], wide[b + 1 :],
                wide[a - 2 :], wide[b + 2 :], wide[a - 3 :], wide[b + 3 :],
            )  # fmt: skip
    for y in range(height):
        _first(
            blurred[y], across[y], taps,
            across[max(y - 1, 0)], across[min(y + 1, last)], across[max(y - 2, 0)], across[min(y + 2, last)],
            across[max(y - 3, 0)], across[min(y + 3, last)], across[max(y - 4, 0)], across[min(y + 4, last)],
        )  # fmt: skip
        for k in range(1 + _PAIRS, reach + 1, _PAIRS):
            a, b = y - k, y + k
            _more(
                blurred[y], taps[k:],
                across[max(a, 0)], across[min(b, last)], across[max(a - 1, 0)], across[min(b + 1, last)],
                across[max(a - 2, 0)], across[min(b + 2, last)], across[max(a - 3, 0)], across[min(b + 3, last)],
            )  # fmt: skip


Row = NDArray[np.float32]


@inlined
def _first(
    out: Row, middle: Row, taps: Row, a0: Row, b0: Row, a1: Row, b1: Row, a2: Row, b2: Row, a3: Row, b3: Row
) -> None:
    """The middle tap and the four pairs next to it."""
    c, c0, c1, c2, c3 = taps[0], taps[1], taps[2], taps[3], taps[4]
    for x in range(out.shape[0]):
        near = c * middle[x] + c0 * (a0[x] + b0[x]) + c1 * (a1[x] + b1[x])
        out[x] = near + c2 * (a2[x] + b2[x]) + c3 * (a3[x] + b3[x])


@inlined
def _more(out: Row, taps: Row, a0: Row, b0: Row, a1: Row, b1: Row, a2: Row, b2: Row, a3: Row, b3: Row) -> None:
    """Four more pairs."""
    c0, c1, c2, c3 = taps[0], taps[1], taps[2], taps[3]
    for x in range(out.shape[0]):
        near = c0 * (a0[x] + b0[x]) + c1 * (a1[x] + b1[x])
        out[x] += near + c2 * (a2[x] + b2[x]) + c3 * (a3[x] + b3[x])


def in_pairs(pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n − 1,) view of (n,): each pixel with the one behind it, as one number of 64 bits that overlaps the next."""
    return np.ndarray((len(pixels) - 1,), np.int64, pixels, strides=(4,))


@jit
def warp(
    pairs: NDArray[np.int64], height: int, width: int, matrix: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    """Fill ``out`` (H, W) from a picture (height, width), bilinearly; ``matrix`` (2, 3): px of ``out`` -> px of it.

    pairs: its pixels, see ``in_pairs``; width ≥ 2. Places outside take the nearest pixel of the border.
    """
    zero, right, low = np.float32(0.0), np.float32(width - 1), np.float32(height - 1)
    most_x, most_y, stride = np.int32(width - 2), np.int32(max(height - 2, 0)), np.int32(width)
    under = np.uint64(width if height > 1 else 0)
    step_x, step_y = np.float32(matrix[0, 0]), np.float32(matrix[1, 0])
    # a row in three loops: places and arithmetic are for vectors; fetching pixels is not, and two at once are half
    # the work. Indices without a sign: no negative one has to be looked for
    columns = out.shape[1]
    steps = np.arange(columns).astype(np.float32)
    where = np.empty(columns, np.uint32)
    part_x, part_y = np.empty(columns, np.float32), np.empty(columns, np.float32)
    above, below = np.empty(columns, np.int64), np.empty(columns, np.int64)
    upper, lower = above.view(np.float32), below.view(np.float32)
    for y in range(out.shape[0]):
        first_x = np.float32(matrix[0, 1] * y + matrix[0, 2])
        first_y = np.float32(matrix[1, 1] * y + matrix[1, 2])
        for x in range(columns):
            px = min(max(first_x + step_x * steps[x], zero), right)
            py = min(max(first_y + step_y * steps[x], zero), low)
            column, row = np.int32(min(np.int32(px), most_x)), np.int32(min(np.int32(py), most_y))
            part_x[x] = px - np.float32(column)
            part_y[x] = py - np.float32(row)
            where[x] = np.int32(row * stride) + column
        for x in range(columns):
            k = np.uint64(where[x])
            above[x] = pairs[k]
            below[x] = pairs[k + under]
        target = out[y]
        for x in range(columns):
            top = upper[2 * x] + part_x[x] * (upper[2 * x + 1] - upper[2 * x])
            bottom = lower[2 * x] + part_x[x] * (lower[2 * x + 1] - lower[2 * x])
            target[x] = top + part_y[x] * (bottom - top)
