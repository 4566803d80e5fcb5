"""TV-L1 and strain on the CPU, in numba: float32, padded planes, fused updates, no allocation in a solve.

Zach et al. 2007, eq. 12-15 in the discretisation of Sánchez Pérez et al. 2013 (IPOL), algorithms 1 and 2. One
primal-dual iteration goes once over memory: v and u of a band of rows, then the dual variables of the rows whose lower
neighbour is ready. See ``_flow_plan.py`` for the layout and ``_flow_reference.py`` for the same in plain NumPy.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.vision._flow_jit import jit
from realtime.vision._flow_plan import Plan, Table, make_plan
from realtime.vision.flow import TvL1Params

# Planes of a level. P11..P22 are the dual variables, TARGET the first image, TEMP* scratch.
TARGET, GX, GY, RHO, INVERSE, U, V, P11, P12, P21, P22, TEMP, TEMP2 = range(13)
PLANES = 13
BAND = 6
"""Rows of a band: ten planes of a band stay in the L1 cache."""
RIM = 2
"""Repeated rim around the packed second image, px: reach of the cubic kernel."""


class Workspace:
    """Buffers of one thread for one image size and one set of parameters."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        pairs = [plan.presmooth, *plan.down, *plan.up]
        tables = [table for pair in pairs for table in pair]
        self.index, self.starts, self.weights = _flatten(tables)
        rows, offset = [], 0
        for level in plan.levels:
            packed = 4 * (level.height + 2 * RIM + 1) * (level.width + 2 * RIM)
            rows.append(
                (level.height, level.width, level.stride, level.cells, offset, offset + PLANES * level.cells)
            )
            offset += PLANES * level.cells + (packed + 15) // 16 * 16
        self.levels = np.array(rows, np.int64)
        raw = np.zeros(offset + 16, np.float32)
        shift = (-raw.ctypes.data % 64) // 4
        self.memory = raw[shift : shift + offset]
        finest = plan.levels[0]
        self.mask = np.zeros(len(plan.levels) * (BAND + 1) * finest.stride, np.float32)
        for number, level in enumerate(plan.levels):
            start = number * (BAND + 1) * finest.stride
            row = (np.arange(level.stride) < level.width - 1).astype(np.float32)
            self.mask[start : start + (BAND + 1) * level.stride] = np.tile(row, BAND + 1)


_local = threading.local()


def workspace(height: int, width: int, params: TvL1Params) -> Workspace:
    """This thread's workspace for that size; the last few are kept."""
    kept: dict[Any, Workspace] = _local.__dict__.setdefault("kept", {})
    key = (height, width, params)
    if key not in kept:
        while len(kept) >= 4:
            kept.pop(next(iter(kept)))
        kept[key] = Workspace(make_plan(height, width, params))
    return kept[key]


def tvl1(
    first: NDArray[Any], second: NDArray[Any], params: TvL1Params, init: NDArray[Any] | None
) -> NDArray[np.float32]:
    """See ``flow.tvl1``; the input is checked there."""
    height, width = first.shape
    work = workspace(height, width, params)
    flow = np.zeros((height, width, 2), np.float32) if init is None else np.array(init, np.float32, order="C")
    _solve(
        np.ascontiguousarray(first, np.float32),
        np.ascontiguousarray(second, np.float32),
        flow,
        init is not None,
        work.levels,
        work.memory,
        work.mask,
        work.index,
        work.starts,
        work.weights,
        settings(params),
    )
    return flow


def settings(params: TvL1Params) -> NDArray[np.float64]:
    """Parameters as the kernels take them."""
    return np.array(
        [
            params.lambda_ * params.theta,
            params.theta,
            params.tau / params.theta,
            params.warps,
            params.iterations,
            params.epsilon**2,
            params.median,
            params.median_every,
            params.presmooth_px > 0,
            params.normalise,
        ]
    )


def strain(flow: NDArray[Any]) -> NDArray[np.float32]:
    """See ``flow.strain``."""
    flow = np.ascontiguousarray(flow, np.float32)
    out = np.empty(flow.shape[:2], np.float32)
    _strain(flow, out)
    return out


def warm_up(params: TvL1Params) -> None:
    """Compile, or load from the cache, every kernel with its only signature."""
    image = np.zeros((16, 16), np.uint8)
    strain(tvl1(image, image, params, None))


def _flatten(tables: list[Table]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    rows, start, weight = [], 0, 0
    for table in tables:
        size, taps = table.weights.shape
        rows.append((size, taps, start, weight))
        start += size
        weight += size * taps
    starts = np.concatenate([table.starts for table in tables]).astype(np.int64)
    weights = np.concatenate([table.weights.ravel() for table in tables])
    return np.array(rows, np.int64), starts, weights


@jit
def _solve(first, second, flow, warm, levels, memory, masks, index, starts, weights, given):
    """Whole solve; ``flow`` (H, W, 2) is the start when ``warm``, and the result."""
    count = levels.shape[0]
    planes = _planes(levels, memory, 0)
    height, width, stride = levels[0, 0], levels[0, 1], levels[0, 2]
    low, gain = np.float32(0.0), np.float32(1.0)
    if given[9] != 0.0:
        low, gain = _range(first, second)
    _load(first, planes[TARGET], width, stride, low, gain)
    _load(second, planes[GX], width, stride, low, gain)
    if given[8] != 0.0:
        for plane in (TARGET, GX):
            _resample(planes[plane], planes[TEMP], stride, height, width, stride, index, starts, weights, 0)
            planes[plane, :] = planes[TEMP]
    used = 1 if warm else count
    for level in range(1, used):
        finer, coarser = _planes(levels, memory, level - 1), _planes(levels, memory, level)
        for plane in (TARGET, GX):
            _resample(
                finer[plane], coarser[plane], levels[level - 1, 2], levels[level - 1, 0], levels[level - 1, 1],
                levels[level, 2], index, starts, weights, 2 * level,
            )  # fmt: skip
    for level in range(used - 1, -1, -1):
        planes = _planes(levels, memory, level)
        height, width, stride = levels[level, 0], levels[level, 1], levels[level, 2]
        if level == used - 1:
            if warm:
                _start(flow, planes, stride)
            else:
                planes[U : V + 1, :] = np.float32(0.0)
        else:
            coarser = _planes(levels, memory, level + 1)
            table = 2 * (count + level)
            for plane, ratio in ((U, width / levels[level + 1, 1]), (V, height / levels[level + 1, 0])):
                _resample(
                    coarser[plane], planes[plane], levels[level + 1, 2], levels[level + 1, 0], levels[level + 1, 1],
                    stride, index, starts, weights, table,
                )  # fmt: skip
                _scale(planes[plane], width, stride, np.float32(ratio))
        planes[P11 : P22 + 1, :] = np.float32(0.0)
        _solve_level(level, levels, memory, masks, given)
    planes = _planes(levels, memory, 0)
    for y in range(flow.shape[0]):
        for x in range(flow.shape[1]):
            flow[y, x, 0] = planes[U, (y + 1) * stride + x]
            flow[y, x, 1] = planes[V, (y + 1) * stride + x]


@jit
def _planes(levels, memory, level):
    start, cells = levels[level, 4], levels[level, 3]
    return memory[start : start + PLANES * cells].reshape((PLANES, cells))


@jit
def _solve_level(level, levels, memory, masks, given):
    """IPOL algorithm 1 without its pyramid: warps of the second image (in GX), iterations in each."""
    planes = _planes(levels, memory, level)
    height, width, stride = levels[level, 0], levels[level, 1], levels[level, 2]
    packed = memory[levels[level, 5] : levels[level, 5] + 4 * (height + 2 * RIM) * (width + 2 * RIM)]
    mask_start = level * (BAND + 1) * levels[0, 2]
    mask = masks[mask_start : mask_start + (BAND + 1) * stride]
    _pack(planes[GX], packed, height, width, stride)
    limit = given[5] * height * width
    every = np.int64(given[7])
    planes[GX : INVERSE + 1, :] = np.float32(0.0)
    for _ in range(np.int64(given[3])):
        _warp(planes, packed, height, width, stride)
        for number in range(np.int64(given[4])):
            if given[6] > 1.0 and number % every == 0:
                _median(planes, height, width, stride)
            error = _iterate(
                planes, height, stride, mask, np.float32(given[0]), np.float32(given[1]), np.float32(given[2])
            )
            if error <= limit:
                break


@jit
def _iterate(planes, height, stride, mask, limit, theta, step):
    """One iteration over the whole level; returns the sum of squared changes of the flow."""
    error = np.float32(0.0)
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        start, end = (top + 1) * stride, (bottom + 1) * stride
        error += _primal(
            planes[GX, start:end], planes[GY, start:end], planes[RHO, start:end], planes[INVERSE, start:end],
            planes[U, start:end], planes[V, start:end],
            planes[P11, start:end], planes[P11, start - 1 : end - 1],
            planes[P12, start:end], planes[P12, start - stride : end - stride],
            planes[P21, start:end], planes[P21, start - 1 : end - 1],
            planes[P22, start:end], planes[P22, start - stride : end - stride],
            limit, theta,
        )  # fmt: skip
        if top > 0:
            start -= stride
        if bottom < height:
            end -= stride
        else:
            for plane in (U, V):
                planes[plane, end : end + stride] = planes[plane, end - stride : end]
        for first, second, plane in ((P11, P12, U), (P21, P22, V)):
            _dual(
                planes[plane, start:end], planes[plane, start + 1 : end + 1],
                planes[plane, start + stride : end + stride], mask[: end - start],
                planes[first, start:end], planes[second, start:end], step,
            )  # fmt: skip
    return error


@jit
def _primal(gx, gy, rho, inverse, u, v, p11, p11_left, p12, p12_up, p21, p21_left, p22, p22_up, limit, theta):
    """Thresholding step (IPOL eq. 15) and u = v + θ div p (eq. 12)."""
    error = np.float32(0.0)
    for k in range(gx.size):
        shift = (rho[k] + gx[k] * u[k] + gy[k] * v[k]) * inverse[k]
        shift = min(max(shift, -limit), limit)
        du = theta * (p11[k] - p11_left[k] + p12[k] - p12_up[k]) - shift * gx[k]
        dv = theta * (p21[k] - p21_left[k] + p22[k] - p22_up[k]) - shift * gy[k]
        u[k] += du
        v[k] += dv
        error += du * du + dv * dv
    return error


@jit
def _dual(u, right, below, mask, px, py, step):
    """p = (p + τ/θ ∇u) / (1 + τ/θ |∇u|) (IPOL eq. 13)."""
    for k in range(u.size):
        ux = (right[k] - u[k]) * mask[k]
        uy = below[k] - u[k]
        factor = np.float32(1.0) / (np.float32(1.0) + step * np.sqrt(ux * ux + uy * uy))
        px[k] = (px[k] + step * ux) * factor
        py[k] = (py[k] + step * uy) * factor


@jit
def _warp(planes, packed, height, width, stride):
    """Second image and its gradient at x + u (cubic), and ρ less its linear part (IPOL eq. 9)."""
    row = 4 * (width + 2 * RIM)
    half, one = np.float32(0.5), np.float32(1.0)
    wx = np.empty(4, np.float32)
    for y in range(height):
        start = (y + 1) * stride
        for x in range(width):
            u, v = planes[U, start + x], planes[V, start + x]
            px, py = np.float32(x) + u, np.float32(y) + v
            if not (0.0 <= px <= width - 1 and 0.0 <= py <= height - 1):
                planes[GX, start + x] = 0.0
                planes[GY, start + x] = 0.0
                planes[RHO, start + x] = 0.0
                planes[INVERSE, start + x] = 0.0
                continue
            ix, iy = int(px), int(py)
            fx, fy = px - np.float32(ix), py - np.float32(iy)
            wx[0] = ((-half * fx + one) * fx - half) * fx
            wx[1] = (np.float32(1.5) * fx - np.float32(2.5)) * fx * fx + one
            wx[2] = ((np.float32(-1.5) * fx + np.float32(2.0)) * fx + half) * fx
            wx[3] = (half * fx - half) * fx * fx
            image = gx = gy = np.float32(0.0)
            for k in range(4):
                if k == 0:
                    wy = ((-half * fy + one) * fy - half) * fy
                elif k == 1:
                    wy = (np.float32(1.5) * fy - np.float32(2.5)) * fy * fy + one
                elif k == 2:
                    wy = ((np.float32(-1.5) * fy + np.float32(2.0)) * fy + half) * fy
                else:
                    wy = (half * fy - half) * fy * fy
                base = (iy + RIM - 1 + k) * row + 4 * (ix + RIM - 1)
                for m in range(4):
                    weight = wy * wx[m]
                    image += weight * packed[base + 4 * m]
                    gx += weight * packed[base + 4 * m + 1]
                    gy += weight * packed[base + 4 * m + 2]
            square = gx * gx + gy * gy
            planes[GX, start + x] = gx
            planes[GY, start + x] = gy
            planes[RHO, start + x] = image - gx * u - gy * v - planes[TARGET, start + x]
            planes[INVERSE, start + x] = one / square if square > np.float32(1e-6) else np.float32(0.0)


@jit
def _pack(image, packed, height, width, stride):
    """(I, I_x, I_y, 0) per cell, central differences, with a repeated rim."""
    half = np.float32(0.5)
    row = width + 2 * RIM
    for py in range(height + 2 * RIM):
        y = min(max(py - RIM, 0), height - 1)
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        for px in range(row):
            x = min(max(px - RIM, 0), width - 1)
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            at = 4 * (py * row + px)
            packed[at] = image[(y + 1) * stride + x]
            packed[at + 1] = half * (image[(y + 1) * stride + right] - image[(y + 1) * stride + left])
            packed[at + 2] = half * (image[(down + 1) * stride + x] - image[(up + 1) * stride + x])
            packed[at + 3] = np.float32(0.0)


@jit
def _median(planes, height, width, stride):
    """5×5 median of both flow components, borders repeated."""
    values = np.empty(25, np.float32)
    for plane in (U, V):
        for y in range(height):
            for x in range(width):
                count = 0
                for dy in range(-2, 3):
                    row = (min(max(y + dy, 0), height - 1) + 1) * stride
                    for dx in range(-2, 3):
                        values[count] = planes[plane, row + min(max(x + dx, 0), width - 1)]
                        count += 1
                planes[TEMP, (y + 1) * stride + x] = np.sort(values)[12]
        for y in range(height):
            start = (y + 1) * stride
            planes[plane, start : start + width] = planes[TEMP, start : start + width]


@jit
def _resample(source, target, stride, height, width, stride_out, index, starts, weights, table):
    """Separable resampling by the tables ``table`` (rows) and ``table + 1`` (columns)."""
    rows, row_taps = index[table, 0], index[table, 1]
    columns, column_taps = index[table + 1, 0], index[table + 1, 1]
    line = np.empty(width, np.float32)
    for y in range(rows):
        line[:] = np.float32(0.0)
        for k in range(row_taps):
            weight = weights[index[table, 3] + y * row_taps + k]
            start = (starts[index[table, 2] + y] + k + 1) * stride
            taken = source[start : start + width]
            for x in range(width):
                line[x] += weight * taken[x]
        for x in range(columns):
            value = np.float32(0.0)
            start = starts[index[table + 1, 2] + x]
            for k in range(column_taps):
                value += weights[index[table + 1, 3] + x * column_taps + k] * line[start + k]
            target[(y + 1) * stride_out + x] = value


@jit
def _scale(plane, width, stride, ratio):
    for start in range(stride, plane.size - stride, stride):
        for k in range(start, start + width):
            plane[k] *= ratio


@jit
def _range(first, second):
    low = min(first.min(), second.min())
    high = max(first.max(), second.max())
    gain = np.float32(255.0) / (high - low) if high > low else np.float32(1.0)
    return low, gain


@jit
def _load(image, plane, width, stride, low, gain):
    for y in range(image.shape[0]):
        for x in range(width):
            plane[(y + 1) * stride + x] = (image[y, x] - low) * gain


@jit
def _start(flow, planes, stride):
    planes[U : V + 1, :] = np.float32(0.0)
    for y in range(flow.shape[0]):
        for x in range(flow.shape[1]):
            planes[U, (y + 1) * stride + x] = flow[y, x, 0]
            planes[V, (y + 1) * stride + x] = flow[y, x, 1]


@jit
def _strain(flow, out):
    height, width = out.shape
    for y in range(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        per_row = np.float32(1.0) / np.float32(down - up)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            per_column = np.float32(1.0) / np.float32(right - left)
            ux = (flow[y, right, 0] - flow[y, left, 0]) * per_column
            vx = (flow[y, right, 1] - flow[y, left, 1]) * per_column
            uy = (flow[down, x, 0] - flow[up, x, 0]) * per_row
            vy = (flow[down, x, 1] - flow[up, x, 1]) * per_row
            shear = uy + vx
            out[y, x] = np.sqrt(ux * ux + vy * vy + np.float32(0.5) * shear * shear)
