"""Numba kernels of TV-L1 on the CPU: float32, padded planes, no branch and no allocation in an inner loop.

All planes of a workspace lie in one flat ``memory``; every index is unsigned (``np.uint64``), which spares numba its
test for negative indices, so that the inner loops compile to AVX-512 or AVX2 with fused multiply-adds. Layout and
tables: ``_flow_plan.py``. Row y of a plane at ``base`` begins at ``base + (y + 2)·stride``; its right rim of two cells
and the left rim of the next row share the spare cells at its end.
"""

from __future__ import annotations

import numpy as np

from realtime.vision._flow_jit import jit

TARGET, SOURCE, SX, SY, GX, GY, RHO, INVERSE, U, V, P11, P12, P21, P22, TEMP = range(15)
PLANES = 15
BAND = np.uint64(16)
"""Rows of a band: its planes stay in the L1 and L2 caches between the two halves of an iteration."""

N0, N1, N2, N3, N4 = (np.uint64(n) for n in range(5))
F0, F1, HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)
AWAY = np.float32(1e9)
"""Marks a pixel whose match lies outside the image."""


@jit
def iterate(memory, base, cells, height, stride, mask, limit, theta, step):
    """One primal-dual iteration over a level; returns the sum of squared changes of the flow.

    The dual update trails the primal one by a row, because it looks at the row below.
    """
    error = F0
    u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
    top = N0
    while top < height:
        bottom = min(top + BAND, height)
        error += primal(memory, base, cells, (top + N2) * stride, (bottom - top) * stride, stride, limit, theta)
        first = top - N1 if top > N0 else top
        last = bottom - N1
        if bottom == height:
            last = bottom
            for k in range((height + N1) * stride, (height + N2) * stride):
                memory[u + stride + k] = memory[u + k]
                memory[v + stride + k] = memory[v + k]
        start, count = (first + N2) * stride, (last - first) * stride
        dual(memory, u + start, base + np.uint64(P11) * cells + start, cells, count, stride, mask, step)
        dual(memory, v + start, base + np.uint64(P21) * cells + start, cells, count, stride, mask, step)
        top = bottom
    return error


@jit
def primal(memory, base, cells, start, count, stride, limit, theta):
    """Thresholding step (IPOL eq. 15), then u = v + θ div p (eq. 12), for ``count`` cells."""
    gx = base + np.uint64(GX) * cells + start
    gy, rho, inverse = gx + cells, gx + N2 * cells, gx + N3 * cells
    u = gx + N4 * cells
    v, p11 = u + cells, u + N2 * cells
    p12, p21, p22 = p11 + cells, p11 + N2 * cells, p11 + N3 * cells
    left11, left21, up12, up22 = p11 - N1, p21 - N1, p12 - stride, p22 - stride
    error = F0
    for k in range(count):
        ix, iy = memory[gx + k], memory[gy + k]
        shift = (memory[rho + k] + ix * memory[u + k] + iy * memory[v + k]) * memory[inverse + k]
        shift = min(max(shift, -limit), limit)
        du = theta * (memory[p11 + k] - memory[left11 + k] + memory[p12 + k] - memory[up12 + k]) - shift * ix
        dv = theta * (memory[p21 + k] - memory[left21 + k] + memory[p22 + k] - memory[up22 + k]) - shift * iy
        memory[u + k] += du
        memory[v + k] += dv
        error += du * du + dv * dv
    return error


@jit
def dual(memory, u, px, cells, count, stride, mask, step):
    """p = (p + τ/θ ∇u) / (1 + τ/θ |∇u|) (IPOL eq. 13); ``mask`` is 0 in the last column and beyond."""
    right, below, py = u + N1, u + stride, px + cells
    for k in range(count):
        ux = (memory[right + k] - memory[u + k]) * mask[k]
        uy = memory[below + k] - memory[u + k]
        factor = F1 / (F1 + step * np.sqrt(ux * ux + uy * uy))
        memory[px + k] = (memory[px + k] + step * ux) * factor
        memory[py + k] = (memory[py + k] + step * uy) * factor


@jit
def gradient(memory, base, cells, height, width, stride):
    """Repeated rim on SOURCE, its central differences in SX and SY, with their rims."""
    source = base + np.uint64(SOURCE) * cells
    sx, sy = source + cells, source + N2 * cells
    rim(memory, source, height, width, stride)
    for y in range(N2, height + N2):
        row = y * stride
        for x in range(width):
            k = row + x
            memory[sx + k] = HALF * (memory[source + k + N1] - memory[source + k - N1])
            memory[sy + k] = HALF * (memory[source + k + stride] - memory[source + k - stride])
    rim(memory, sx, height, width, stride)
    rim(memory, sy, height, width, stride)


@jit
def rim(memory, plane, height, width, stride):
    """Repeat the outermost cells of a plane two cells outwards."""
    for y in range(N2, height + N2):
        row = plane + y * stride
        for k in range(N1, N3):
            memory[row - k] = memory[row]
            memory[row + width - N1 + k] = memory[row + width - N1]
    top, bottom = plane + N2 * stride - N2, plane + (height + N1) * stride - N2
    for x in range(width + N4):
        for k in range(N1, N3):
            memory[top - k * stride + x] = memory[top + x]
            memory[bottom + k * stride + x] = memory[bottom + x]


@jit
def warp(memory, base, cells, height, width, stride, scratch):
    """SOURCE and its gradient at x + u, and ρ less its linear part (IPOL eq. 9), in GX, GY, RHO, INVERSE.

    A smooth flow has the same whole-pixel part over long stretches of a row: within one, the taps of neighbouring
    pixels are neighbours, so that it is a plain convolution with weights that vary.
    """
    u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
    whole_x, whole_y = scratch, scratch + stride
    far_x, far_y = np.float32(width) - F1, np.float32(height) - F1
    for y in range(height):
        row = (y + N2) * stride
        at_y = np.float32(y)
        for x in range(width):
            px, py = np.float32(x) + memory[u + row + x], at_y + memory[v + row + x]
            inside = (px >= F0) & (px <= far_x) & (py >= F0) & (py <= far_y)
            memory[whole_x + x] = np.floor(memory[u + row + x] + HALF) if inside else AWAY
            memory[whole_y + x] = np.floor(memory[v + row + x] + HALF) if inside else AWAY
        begin = N0
        while begin < width:
            dx, dy = memory[whole_x + begin], memory[whole_y + begin]
            end = begin + N1
            while end < width and memory[whole_x + end] == dx and memory[whole_y + end] == dy:
                end += N1
            if dx == AWAY:
                leave(memory, base, cells, row + begin, end - begin)
            else:
                shift = np.uint64(np.int64(row + begin) + np.int64(dy) * np.int64(stride) + np.int64(dx))
                sample(memory, base, cells, stride, row + begin, shift, end - begin, dx, dy)
            begin = end


@jit
def leave(memory, base, cells, start, count):
    """No data term where the match lies outside the image."""
    gx = base + np.uint64(GX) * cells + start
    for k in range(count):
        for plane in range(N4):
            memory[gx + plane * cells + k] = F0


@jit
def sample(memory, base, cells, stride, start, shift, count, dx, dy):
    """Cubic interpolation for ``count`` cells from ``start``, whose matches lie around the cells from ``shift``."""
    source = base + np.uint64(SOURCE) * cells + shift
    target = base + np.uint64(TARGET) * cells + start
    gx = base + np.uint64(GX) * cells + start
    u, v = base + np.uint64(U) * cells + start, base + np.uint64(V) * cells + start
    for k in range(count):
        fx, fy = memory[u + k] - dx, memory[v + k] - dy
        a0, a1, a2, a3, a4 = cubic5(fx)
        b0, b1, b2, b3, b4 = cubic5(fy)
        at = source + k
        image = taps25(memory, at, stride, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4)
        ix = taps25(memory, at + cells, stride, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4)
        iy = taps25(memory, at + N2 * cells, stride, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4)
        square = ix * ix + iy * iy
        memory[gx + k] = ix
        memory[gx + cells + k] = iy
        memory[gx + N2 * cells + k] = image - ix * memory[u + k] - iy * memory[v + k] - memory[target + k]
        memory[gx + N3 * cells + k] = F1 / square if square > np.float32(1e-6) else F0


@jit
def taps25(memory, at, stride, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4):
    """Weighted sum over the 5×5 cells around ``at``."""
    up, down = at - stride, at + stride
    return (
        b0 * taps5(memory, up - stride, a0, a1, a2, a3, a4)
        + b1 * taps5(memory, up, a0, a1, a2, a3, a4)
        + b2 * taps5(memory, at, a0, a1, a2, a3, a4)
        + b3 * taps5(memory, down, a0, a1, a2, a3, a4)
        + b4 * taps5(memory, down + stride, a0, a1, a2, a3, a4)
    )


@jit
def taps5(memory, at, a0, a1, a2, a3, a4):
    """Weighted sum over the five cells around ``at`` in its row."""
    return (
        a0 * memory[at - N2] + a1 * memory[at - N1] + a2 * memory[at] + a3 * memory[at + N1] + a4 * memory[at + N2]
    )


@jit
def cubic5(f):
    """Keys' weights (a = −½) of the taps −2 … 2 for an offset f in [−½, ½]; the outer tap opposite to f is 0."""
    g = abs(f)
    outer = ((-HALF * g + F1) * g - HALF) * g
    middle = (np.float32(1.5) * g - np.float32(2.5)) * g * g + F1
    inner = ((np.float32(-1.5) * g + np.float32(2.0)) * g + HALF) * g
    far = (HALF * g - HALF) * g * g
    ahead = f >= F0
    return (
        F0 if ahead else far,
        outer if ahead else inner,
        middle,
        inner if ahead else outer,
        far if ahead else F0,
    )


@jit
def resample(memory, source, target, sizes, sizes_out, index, starts, weights, table, scratch):
    """Separable resampling of a plane by the tables ``table`` (rows) and ``table + 1`` (columns).

    sizes, sizes_out: (height, width, stride, …) of the two levels; scratch: one row.
    """
    width, stride = sizes[1], sizes[2]
    rows, row_taps, row_starts, row_weights = index[table, 0], index[table, 1], index[table, 2], index[table, 3]
    for y in range(rows):
        for k in range(row_taps):
            weight = weights[row_weights + k * rows + y]
            at = source + (starts[row_starts + y] + k + N2) * stride
            if k == N0:
                for x in range(width):
                    memory[scratch + x] = weight * memory[at + x]
            else:
                for x in range(width):
                    memory[scratch + x] += weight * memory[at + x]
        _across(memory, scratch, target + (y + N2) * sizes_out[2], index[table + N1], starts, weights)


@jit
def _across(memory, line, out, table, starts, weights):
    """One row resampled. Between ``begin`` and ``end`` the inputs lie one or two cells apart: no table needed."""
    columns, taps, first, weight = table[0], table[1], table[2], table[3]
    begin, end, step = table[4], table[5], table[6]
    for x in range(columns):
        memory[out + x] = F0
    for k in range(taps):
        w = weight + k * columns
        if step == N1:
            at = line + starts[first + begin] + k - begin
            for x in range(begin, end):
                memory[out + x] += weights[w + x] * memory[at + x]
        elif step == N2:
            at = line + starts[first + begin] + k
            for x in range(end - begin):
                memory[out + begin + x] += weights[w + begin + x] * memory[at + N2 * x]
        for x in range(begin):
            memory[out + x] += weights[w + x] * memory[line + starts[first + x] + k]
        for x in range(end, columns):
            memory[out + x] += weights[w + x] * memory[line + starts[first + x] + k]


@jit
def median(memory, plane, temp, height, width, stride, scratch):
    """5×5 median of a plane, borders repeated. scratch: five rows.

    The 25 values are sorted by columns (shared by five neighbours), then by rows. Only three diagonals of the sorted
    square can hold the median; it follows from order statistics of each (verified over all 0-1 inputs in the tests).
    """
    for y in range(height):
        sort_columns(memory, plane, y, height, width, stride, scratch)
        out = temp + (y + N2) * stride
        for x in range(width):
            at = scratch + N2 + x
            memory[out + x] = middle25(memory, at, stride)
    for y in range(N2, height + N2):
        for x in range(y * stride, y * stride + width):
            memory[plane + x] = memory[temp + x]


@jit
def sort_columns(memory, plane, y, height, width, stride, scratch):
    """The five values around row ``y`` of each column in rising order, into five rows from ``scratch + 2``."""
    first = plane + ((y - N2 if y > N2 else N0) + N2) * stride
    second = plane + ((y - N1 if y > N1 else N0) + N2) * stride
    third = plane + (y + N2) * stride
    fourth = plane + (min(y + N1, height - N1) + N2) * stride
    fifth = plane + (min(y + N2, height - N1) + N2) * stride
    out = scratch + N2
    for x in range(width):
        a, b, c, d, e = sort5(
            memory[first + x], memory[second + x], memory[third + x], memory[fourth + x], memory[fifth + x]
        )
        memory[out + x] = a
        memory[out + stride + x] = b
        memory[out + N2 * stride + x] = c
        memory[out + N3 * stride + x] = d
        memory[out + N4 * stride + x] = e
    for number in range(N0, N4 + N1):
        row = out + number * stride
        for k in range(N1, N3):
            memory[row - k] = memory[row]
            memory[row + width - N1 + k] = memory[row + width - N1]


@jit
def middle25(memory, at, stride):
    """Median of five sorted columns around ``at``; see ``median``."""
    r1, r2, r3, r4 = at + stride, at + N2 * stride, at + N3 * stride, at + N4 * stride
    _, _, _, a3, a4 = sort5(memory[at - N2], memory[at - N1], memory[at], memory[at + N1], memory[at + N2])
    _, _, b2, b3, b4 = sort5(memory[r1 - N2], memory[r1 - N1], memory[r1], memory[r1 + N1], memory[r1 + N2])
    _, c1, c2, c3, _ = sort5(memory[r2 - N2], memory[r2 - N1], memory[r2], memory[r2 + N1], memory[r2 + N2])
    d0, d1, d2, _, _ = sort5(memory[r3 - N2], memory[r3 - N1], memory[r3], memory[r3 + N1], memory[r3 + N2])
    e0, e1, _, _, _ = sort5(memory[r4 - N2], memory[r4 - N1], memory[r4], memory[r4 + N1], memory[r4 + N2])
    low = max(max(a3, b2), max(c1, d0))
    _, _, half, upper, _ = sort5(a4, b3, c2, d1, e0)
    b4, c3 = min(b4, c3), max(b4, c3)
    d2, e1 = min(d2, e1), max(d2, e1)
    high, next_high = min(b4, d2), min(max(b4, d2), min(c3, e1))
    return max(min(half, high), min(low, max(min(upper, high), min(half, next_high))))


@jit
def sort5(a, b, c, d, e):
    """Sorting network of nine comparators."""
    a, b = min(a, b), max(a, b)
    d, e = min(d, e), max(d, e)
    c, e = min(c, e), max(c, e)
    c, d = min(c, d), max(c, d)
    b, e = min(b, e), max(b, e)
    a, d = min(a, d), max(a, d)
    a, c = min(a, c), max(a, c)
    b, d = min(b, d), max(b, d)
    b, c = min(b, c), max(b, c)
    return a, b, c, d, e
