"""TV-L1 and strain on the CPU: workspaces and the solve, in numba. The kernels are in ``_flow_kernels.py``.

Zach et al. 2007 in the discretisation of Sánchez Pérez et al. 2013 (IPOL), algorithms 1 and 2; the same in plain NumPy
is ``_flow_reference.py``. A solve is one compiled call that holds no GIL and allocates nothing.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.vision import _flow_kernels as kernels
from realtime.vision._flow_jit import jit
from realtime.vision._flow_kernels import F0, F1, HALF, N1, N2, PLANES, SOURCE, TARGET, TEMP, U, V
from realtime.vision._flow_plan import Plan, Table, make_plan
from realtime.vision.flow import TvL1Params

COLD, START, GO_ON = 0, 1, 2
"""How a solve begins: from zero; from a given flow at the finest level; from flow and dual variables as they are."""


class Workspace:
    """Buffers and tables of one thread for one image size and one set of parameters."""

    def __init__(self, height: int, width: int, params: TvL1Params) -> None:
        plan = make_plan(height, width, params)
        self.params = params
        self.tables = _flatten([table for pair in (plan.presmooth, *plan.down, *plan.up) for table in pair])
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
        _load(pixels, plane, low32, gain32, self.levels, self.memory, *self.tables, self.settings)

    def solve(self, begin: int) -> int:
        """Solve for the loaded images into ``self.flow``; returns the number of iterations, all levels together."""
        return _solve(self.flow, begin, self.levels, self.memory, self.masks, *self.tables, self.settings)


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
    work = workspace(*first.shape, params)
    low, gain = grey_range(first, second) if params.normalise else (0.0, 1.0)
    work.load(first, TARGET, low, gain)
    work.load(second, SOURCE, low, gain)
    if init is not None:
        work.flow[:] = init
    work.solve(COLD if init is None else START)
    return work.flow.copy()


def grey_range(*images: NDArray[Any]) -> tuple[float, float]:
    """(lowest grey level, gain that stretches the common range to 255)."""
    low = min(float(image.min()) for image in images)
    high = max(float(image.max()) for image in images)
    return low, 255.0 / (high - low) if high > low else 1.0


def strain(flow: NDArray[Any]) -> NDArray[np.float32]:
    """See ``flow.strain``."""
    flow = np.ascontiguousarray(flow, np.float32)
    out = np.empty(flow.shape[:2], np.float32)
    _strain(flow, out)
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


@jit
def _load(image, plane, low, gain, levels, memory, index, starts, weights, given):
    """See ``Workspace.load``."""
    height, width, stride, cells, base, scratch = _level(levels, 0)
    smooth = given[7] > F0
    temp = base + np.uint64(TEMP) * cells
    at = base + np.uint64(plane) * cells
    to = temp if smooth else at
    for y in range(image.shape[0]):
        row = to + (np.uint64(y) + N2) * stride
        for x in range(image.shape[1]):
            memory[row + np.uint64(x)] = (image[y, x] - low) * gain
    if smooth:
        kernels.resample(memory, temp, at, levels[0], levels[0], index, starts, weights, 0, scratch)
    for number in range(1, levels.shape[0]):
        finer, coarser = levels[number - 1], levels[number]
        to = coarser[4] + np.uint64(plane) * coarser[3]
        kernels.resample(memory, at, to, finer, coarser, index, starts, weights, 2 * number, scratch)
        at = to


@jit
def _level(levels, number):
    row = levels[number]
    return row[0], row[1], row[2], row[3], row[4], row[6]


@jit
def _solve(flow, begin, levels, memory, masks, index, starts, weights, given):
    """See ``Workspace.solve``."""
    count = levels.shape[0]
    used = 1 if begin == START else count
    done = 0
    for number in range(used - 1, -1, -1):
        height, width, stride, cells, base, scratch = _level(levels, number)
        u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
        if begin == START:
            _fill(memory, u, u + N2 * cells)
            _take(flow, memory, u, v, stride)
        elif number == count - 1:
            _fill(memory, u, u + N2 * cells)
        else:
            coarse = levels[number + 1]
            from_u, from_v = coarse[4] + np.uint64(U) * coarse[3], coarse[4] + np.uint64(V) * coarse[3]
            table = 2 * (count + number)
            kernels.resample(memory, from_u, u, coarse, levels[number], index, starts, weights, table, scratch)
            kernels.resample(memory, from_v, v, coarse, levels[number], index, starts, weights, table, scratch)
            _scale(memory, u, height, width, stride, np.float32(width) / np.float32(coarse[1]))
            _scale(memory, v, height, width, stride, np.float32(height) / np.float32(coarse[0]))
        _fill(memory, u + N2 * cells, u + np.uint64(6) * cells)
        done += _solve_level(levels[number], memory, masks, given)
    _give(flow, memory, levels)
    return done


@jit
def _solve_level(sizes, memory, masks, given):
    """IPOL algorithm 1 without its pyramid: warps of SOURCE, iterations in each, until the flow rests."""
    height, width, stride, cells, base, scratch = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[6]
    mask = masks[sizes[5] : sizes[5] + (kernels.BAND + N1) * stride]
    u, v, temp = base + np.uint64(U) * cells, base + np.uint64(V) * cells, base + np.uint64(TEMP) * cells
    rest = given[3] * np.float32(height * width)
    every = np.int64(given[6])
    kernels.gradient(memory, base, cells, height, width, stride)
    done = 0
    for _ in range(np.int64(given[4])):
        kernels.warp(memory, base, cells, height, width, stride, scratch)
        for number in range(np.int64(given[5])):
            if every > 0 and number % every == 0:
                kernels.median(memory, u, temp, height, width, stride, scratch)
                kernels.median(memory, v, temp, height, width, stride, scratch)
            done += 1
            if kernels.iterate(memory, base, cells, height, stride, mask, given[0], given[1], given[2]) <= rest:
                break
    return done


@jit
def _fill(memory, begin, end):
    for k in range(begin, end):
        memory[k] = F0


@jit
def _scale(memory, plane, height, width, stride, ratio):
    for y in range(height):
        for x in range(width):
            memory[plane + (y + N2) * stride + x] *= ratio


@jit
def _take(flow, memory, u, v, stride):
    for y in range(np.uint64(flow.shape[0])):
        for x in range(np.uint64(flow.shape[1])):
            memory[u + (y + N2) * stride + x] = flow[y, x, 0]
            memory[v + (y + N2) * stride + x] = flow[y, x, 1]


@jit
def _give(flow, memory, levels):
    _, _, stride, cells, base, _ = _level(levels, 0)
    u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
    for y in range(np.uint64(flow.shape[0])):
        for x in range(np.uint64(flow.shape[1])):
            flow[y, x, 0] = memory[u + (y + N2) * stride + x]
            flow[y, x, 1] = memory[v + (y + N2) * stride + x]


@jit
def _strain(flow, out):
    height, width = np.uint64(out.shape[0]), np.uint64(out.shape[1])
    for y in range(height):
        up, down = y - N1 if y > 0 else y, min(y + N1, height - N1)
        per_row = F1 / np.float32(down - up)
        _strain_cell(flow, out, y, up, down, np.uint64(0), np.uint64(0), N1, F1, per_row)
        for x in range(N1, width - N1):
            _strain_cell(flow, out, y, up, down, x, x - N1, x + N1, HALF, per_row)
        _strain_cell(flow, out, y, up, down, width - N1, width - N2, width - N1, F1, per_row)


@jit
def _strain_cell(flow, out, y, up, down, x, left, right, per_column, per_row):
    ux = (flow[y, right, 0] - flow[y, left, 0]) * per_column
    vx = (flow[y, right, 1] - flow[y, left, 1]) * per_column
    uy = (flow[down, x, 0] - flow[up, x, 0]) * per_row
    vy = (flow[down, x, 1] - flow[up, x, 1]) * per_row
    shear = uy + vx
    out[y, x] = np.sqrt(ux * ux + vy * vy + HALF * shear * shear)
