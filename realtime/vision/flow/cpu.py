"""TV-L1 and strain on the CPU: workspaces and the solve, in numba. The kernels are in ``kernels.py``.

Zach et al. 2007 in the discretisation of Sánchez Pérez et al. 2013 (IPOL), algorithms 1 and 2; the same in plain NumPy
is ``reference.py``. A solve is one compiled call that holds no GIL and allocates nothing.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.vision.flow import kernels
from realtime.vision.flow.kernels import COLD, GO_ON, PLANES, SOURCE, START, TARGET
from realtime.vision.flow.params import TvL1Params
from realtime.vision.flow.plan import Plan, Table, make_plan


class Workspace:
    """Buffers and tables of one thread for one image size and one set of parameters."""

    def __init__(self, height: int, width: int, params: TvL1Params) -> None:
        plan = make_plan(height, width, params)
        self.params = params
        self.tables = _flatten(plan.tables())
        self.levels, cells = _layout(plan)
        raw = np.zeros(cells + 16, np.float32)
        shift = (-raw.ctypes.data % 64) // 4
        self.memory = raw[shift : shift + cells]
        self.masks = np.concatenate([_mask(level.stride, level.width) for level in plan.levels])
        self.settings = _settings(params)
        self.flow = np.zeros((height, width, 2), np.float32)

    def load(self, image: NDArray[Any], plane: int, low: float, gain: float) -> None:
        """Put (image − low)·gain, smoothed, and its pyramid into ``plane`` (TARGET or SOURCE) of every level."""
        pixels = np.ascontiguousarray(image, np.float32)
        low32, gain32 = np.float32(low), np.float32(gain)
        kernels.load(pixels, plane, low32, gain32, self.levels, self.memory, *self.tables, self.settings)

    def solve(self, begin: int) -> int:
        """Solve for the loaded images into ``self.flow``; returns the number of iterations, all levels together."""
        done: int = kernels.solve(self.flow, begin, self.levels, self.memory, self.masks, *self.tables, self.settings)
        return done


_local = threading.local()


def workspace(height: int, width: int, params: TvL1Params) -> Workspace:
    """This thread's workspace for that size; the last four are kept."""
    kept: dict[Any, Workspace] = _local.__dict__.setdefault("kept", {})
    key = (height, width, params)
    if key not in kept:
        while len(kept) >= 4:
            kept.pop(next(iter(kept)))
        kept[key] = Workspace(height, width, params)
    return kept[key]


def tvl1(
    first: NDArray[Any], second: NDArray[Any], params: TvL1Params, init: NDArray[Any] | None
) -> NDArray[np.float32]:
    """See ``flow.tvl1``; the input is checked there."""
    height, width = first.shape
    work = workspace(height, width, params)
    low, gain = grey_range(first, second) if params.normalise else (0.0, 1.0)
    work.load(first, TARGET, low, gain)
    work.load(second, SOURCE, low, gain)
    if init is not None:
        work.flow[:] = init
    work.solve(COLD if init is None else START)
    return work.flow.copy()


class Dense:
    """See ``flow.DenseFlow``."""

    def __init__(self, reference: NDArray[Any], params: TvL1Params) -> None:
        height, width = reference.shape
        self._work = Workspace(height, width, params)
        self.reset(reference)

    def reset(self, reference: NDArray[Any]) -> None:
        """Start again from another reference."""
        normalise = self._work.params.normalise
        self._range = grey_range(reference) if normalise else (0.0, 1.0)
        self._work.load(reference, TARGET, *self._range)
        self._begin = COLD

    def push(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Flow from the reference to ``frame``; the array is written again by the next push."""
        self._work.load(frame, SOURCE, *self._range)
        self._work.solve(self._begin)
        self._begin = GO_ON
        return self._work.flow


def grey_range(*images: NDArray[Any]) -> tuple[float, float]:
    """(lowest grey level, gain that stretches the common range to 255)."""
    low = min(float(image.min()) for image in images)
    high = max(float(image.max()) for image in images)
    return low, 255.0 / (high - low) if high > low else 1.0


def strain(flow: NDArray[Any]) -> NDArray[np.float32]:
    """See ``flow.strain``."""
    flow = np.ascontiguousarray(flow, np.float32)
    out = np.empty(flow.shape[:2], np.float32)
    kernels.strain(flow, out)
    return out


def warm_up(height: int, width: int, params: TvL1Params) -> None:
    """Compile, or load from the cache, every kernel, and make this thread's workspace."""
    ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
    flow = tvl1(ramp, ramp, params, None)
    strain(tvl1(ramp, ramp, params, flow))


def _layout(plan: Plan) -> tuple[NDArray[np.uint64], int]:
    """(height, width, stride, cells, first cell, first mask cell, scratch) per level, and the cells of all."""
    rows, offset, mask = [], 0, 0
    scratch = PLANES * sum(level.cells for level in plan.levels)
    for level in plan.levels:
        rows.append((level.height, level.width, level.stride, level.cells, offset, mask, scratch))
        offset += PLANES * level.cells
        mask += (int(kernels.BAND) + 1) * level.stride
    return np.array(rows, np.uint64), scratch + 5 * plan.levels[0].stride + 16


def _mask(stride: int, width: int) -> NDArray[np.float32]:
    row = (np.arange(stride) < width - 1).astype(np.float32)
    return np.tile(row, int(kernels.BAND) + 1)


def _flatten(tables: list[Table]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.float32]]:
    """(size, taps, first start, first weight, begin, end, step of the regular stretch) per table; starts; weights."""
    rows, start, weight = [], 0, 0
    for table in tables:
        size, taps = table.weights.shape
        rows.append((size, taps, start, weight, *table.regular_stretch()))
        start += size
        weight += size * taps
    starts = np.concatenate([table.starts for table in tables]).astype(np.uint64)
    weights = np.concatenate([table.weights.T.ravel() for table in tables])
    return np.array(rows, np.uint64), starts, weights


def _settings(params: TvL1Params) -> NDArray[np.float32]:
    """Parameters as the kernels take them."""
    limit, step = params.lambda_ * params.theta, params.tau / params.theta
    counts = (params.warps, params.iterations, params.median_every if params.median else 0)
    return np.array([limit, params.theta, step, params.epsilon**2, *counts, params.presmooth_px > 0], np.float32)
