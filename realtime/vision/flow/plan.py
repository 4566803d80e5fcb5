"""Geometry of a TV-L1 solve, shared by the CPU and CUDA twins: level sizes, padded layout, resampling tables.

A plane is a flat float32 array of ``height + 4`` rows of ``stride`` cells: two spare rows above and below, and at
least four spare cells at the end of each row (right rim of this row, left rim of the next), so that neighbours exist
without a branch. Cell (y, x) is (y + 2)·stride + x. Resampling (presmoothing, pyramid, enlargement of the flow) is
separable; each output cell is a weighted sum of ``taps`` neighbouring inputs, with smoothing, sampling kernel and
mirrored or repeated borders folded into the weights.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.vision.flow.params import TvL1Params

MIN_SIDE_PX = 16
LANES = 16
"""Row strides are multiples of this many float32 (one AVX-512 register)."""
_PAGE_CELLS = 1024


@dataclass(frozen=True)
class Table:
    """One-dimensional resampling: out[i] = Σ_k weights[i, k] · in[starts[i] + k]."""

    starts: NDArray[np.int32]
    weights: NDArray[np.float32]

    def regular_stretch(self) -> tuple[int, int, int]:
        """(begin, end, step): the longest stretch of outputs whose inputs lie ``step`` (1 or 2) cells apart, or 0s."""
        best = (0, 0, 0)
        for step in (1, 2):
            breaks = np.flatnonzero(np.diff(self.starts) != step) + 1
            edges = np.concatenate([[0], breaks, [self.starts.size]])
            longest = int(np.diff(edges).argmax())
            begin, end = int(edges[longest]), int(edges[longest + 1])
            if end - begin > max(best[1] - best[0], 8):
                best = (begin, end, step)
        return best


@dataclass(frozen=True)
class Level:
    """One pyramid level, 0 the finest."""

    height: int
    width: int
    stride: int
    cells: int
    """Cells of a plane, away from a multiple of 4 KiB so that planes do not fight for cache sets."""


@dataclass(frozen=True)
class Plan:
    """Levels from fine to coarse, and the tables between them, as (rows, columns) pairs."""

    levels: tuple[Level, ...]
    presmooth: tuple[Table, Table]
    down: tuple[tuple[Table, Table], ...]
    up: tuple[tuple[Table, Table], ...]

    def tables(self) -> list[Table]:
        """All tables in the order in which the kernels count them: rows, columns; presmooth, down, up."""
        return [table for pair in (self.presmooth, *self.down, *self.up) for table in pair]


@functools.lru_cache(maxsize=32)
def make_plan(height: int, width: int, params: TvL1Params) -> Plan:
    """Plan for images of (height, width) px."""
    sizes = level_sizes(height, width, params)
    sigma = params.presmooth_px
    presmooth = (smooth_table(height, sigma), smooth_table(width, sigma))
    down, up = [], []
    for fine, coarse in itertools.pairwise(sizes):
        rows, columns = ((fine[axis], coarse[axis]) for axis in (0, 1))
        down.append((down_table(*rows, params), down_table(*columns, params)))
        up.append((bilinear_table(*reversed(rows)), bilinear_table(*reversed(columns))))
    return Plan(tuple(make_level(*size) for size in sizes), presmooth, tuple(down), tuple(up))


def level_sizes(height: int, width: int, params: TvL1Params) -> list[tuple[int, int]]:
    """(height, width) of each level, fine to coarse; none but the first has a side below 16 px."""
    sizes = [(height, width)]
    while len(sizes) < params.scales:
        height, width = (int(side * params.scale_step + 0.5) for side in sizes[-1])
        if min(height, width) < MIN_SIDE_PX or (height, width) == sizes[-1]:
            break
        sizes.append((height, width))
    return sizes


def make_level(height: int, width: int) -> Level:
    """Padded layout of a level."""
    stride = (width + 4 + LANES - 1) // LANES * LANES
    cells = (height + 4) * stride + LANES
    cells += (5 * LANES - cells) % _PAGE_CELLS
    return Level(height, width, stride, cells)


def smooth_table(size: int, sigma: float) -> Table:
    """Gaussian of ``sigma`` px cut at 5·sigma, borders mirrored (IPOL §4); the identity for sigma 0."""
    return fold(_smoothing(size, sigma))


def down_table(size: int, size_out: int, params: TvL1Params) -> Table:
    """From a level to the next coarser one."""
    if not params.antialias:
        return bilinear_table(size, size_out)
    sigma = 0.6 * np.sqrt(params.scale_step**-2 - 1.0)
    return fold(_sampling(size, size_out, cubic=True) @ _smoothing(size, sigma))


def bilinear_table(size: int, size_out: int) -> Table:
    """Bilinear sampling, pixel centres at halves, borders repeated."""
    return fold(_sampling(size, size_out, cubic=False))


def fold(matrix: NDArray[np.float64]) -> Table:
    """Banded (size_out, size_in) matrix as a table of neighbouring taps."""
    size_in = matrix.shape[1]
    used = matrix != 0.0
    first = used.argmax(axis=1)
    last = size_in - 1 - used[:, ::-1].argmax(axis=1)
    taps = int((last - first).max()) + 1
    starts = np.minimum(first, size_in - taps)
    weights = np.take_along_axis(matrix, starts[:, None] + np.arange(taps), axis=1)
    return Table(starts.astype(np.int32), np.ascontiguousarray(weights, np.float32))


def _smoothing(size: int, sigma: float) -> NDArray[np.float64]:
    if sigma == 0:
        return np.eye(size)
    offsets = np.arange(-int(5 * sigma), int(5 * sigma) + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    matrix = np.zeros((size, size))
    rows = np.repeat(np.arange(size), offsets.size)
    columns = np.arange(size)[:, None] + offsets
    columns = np.abs((columns + 0.5 + size) % (2 * size) - size) - 0.5  # mirror at the pixel's outer edge
    np.add.at(matrix, (rows, columns.astype(int).ravel()), np.tile(kernel / kernel.sum(), size))
    return matrix


def _sampling(size: int, size_out: int, *, cubic: bool) -> NDArray[np.float64]:
    position = (np.arange(size_out) + 0.5) * (size / size_out) - 0.5
    base = np.floor(position).astype(int)
    distance = (position - base)[:, None] - np.arange(-1, 3)
    weights = keys_cubic(distance) if cubic else np.maximum(1 - np.abs(distance), 0.0)
    columns = (base[:, None] + np.arange(-1, 3)).clip(0, size - 1)
    matrix = np.zeros((size_out, size))
    np.add.at(matrix, (np.repeat(np.arange(size_out), 4), columns.ravel()), weights.ravel())
    return matrix


def keys_cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = −½ (1981), as used by IPOL."""
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))
