"""Numba kernels of TV-L1 on the CPU: float32, padded planes, no branch and no allocation in an inner loop.

All planes of a workspace lie in one flat ``memory``; every index is unsigned (``np.uint64``), which spares numba its
test for negative indices, so that the inner loops compile to AVX-512 or AVX2 with fused multiply-adds. Layout and
tables: ``plan.py``. Row y of a plane at ``base`` begins at ``base + (y + 2)·stride``; its right rim of two cells
and the left rim of the next row share the spare cells at its end. All kernels are in this one file because numba keeps
compiled code by the caller's file alone: a change here must not leave an old caller in the cache.
"""

from __future__ import annotations

import numpy as np

from realtime.vision.jit import inlined, jit

TARGET, SOURCE, SX, SY, GX, GY, RHO, INVERSE, U, V, P11, P12, P21, P22, TEMP = range(15)
PLANES = 15
COLD, START, GO_ON = 0, 1, 2
"""How a solve begins: from zero, coarse to fine; at the finest level from a given flow; or there from what is left."""
BAND = np.uint64(16)
"""Rows of a band: its planes stay in the L1 and L2 caches between the two halves of an iteration."""

N0, N1, N2, N3, N4, N15, N16 = (np.uint64(n) for n in (0, 1, 2, 3, 4, 15, 16))
F0, F1, HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)


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
    pixels are neighbours, so that it is a plain convolution with weights that vary. Stretches are filled up to whole
    registers; what that spoils to the right is written again by the next stretch, or is cleared as rim.
    """
    u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
    source, gx = base + np.uint64(SOURCE) * cells, base + np.uint64(GX) * cells
    whole_x, whole_y = scratch, scratch + stride
    far_x, far_y = np.float32(width), np.float32(height)
    for y in range(height):
        row, at_y = (y + N2) * stride, np.float32(y)
        whole(memory, u + row, whole_x, width, -F1, far_x, F1)
        whole(memory, v + row, whole_y, width, -F1 - at_y, far_y - at_y, F0)
        begin = N0
        while begin < width:
            dx, dy = memory[whole_x + begin], memory[whole_y + begin]
            end = begin + N1
            while end < width and memory[whole_x + end] == dx and memory[whole_y + end] == dy:
                end += N1
            shift = np.uint64(np.int64(row + begin) + np.int64(dy) * np.int64(stride) + np.int64(dx))
            at, out, count = source + shift, gx + row + begin, (end - begin + N15) // N16 * N16
            sample(memory, at, out + N2 * cells, u + row + begin, v + row + begin, stride, count, dx, dy)
            sample(memory, at + cells, out, u + row + begin, v + row + begin, stride, count, dx, dy)
            sample(memory, at + N2 * cells, out + cells, u + row + begin, v + row + begin, stride, count, dx, dy)
            begin = end
        for k in range(row + width, row + stride):
            memory[gx + k], memory[gx + cells + k], memory[gx + N2 * cells + k] = F0, F0, F0
        linearise(memory, base, cells, row, width, at_y, far_x - F1, far_y - F1)


@jit
def whole(memory, flow, out, count, lowest, highest, along):
    """Flow rounded to whole pixels, kept within reach of the image: lowest … highest, less the column if ``along``."""
    for x in range(count):
        at = along * np.float32(np.int32(x))
        memory[out + x] = min(max(np.floor(memory[flow + x] + HALF), lowest - at), highest - at)


@jit
def linearise(memory, base, cells, row, width, at_y, far_x, far_y):
    """ρ less its linear part, and 1/|∇I|², from the samples in GX, GY, RHO.

    No data term (all 0) without gradient, or where the match lies outside the image.
    """
    gx = base + np.uint64(GX) * cells + row
    gy, rho, inverse = gx + cells, gx + N2 * cells, gx + N3 * cells
    u, v, target = gx + N4 * cells, gx + np.uint64(V - GX) * cells, base + np.uint64(TARGET) * cells + row
    for x in range(width):
        px, py = np.float32(np.int32(x)) + memory[u + x], at_y + memory[v + x]
        inside = (px >= F0) & (px <= far_x) & (py >= F0) & (py <= far_y)
        ix, iy = memory[gx + x], memory[gy + x]
        square = ix * ix + iy * iy
        left = memory[rho + x] - ix * memory[u + x] - iy * memory[v + x] - memory[target + x]
        memory[gx + x] = ix if inside else F0
        memory[gy + x] = iy if inside else F0
        memory[rho + x] = left if inside else F0
        memory[inverse + x] = F1 / square if inside & (square > np.float32(1e-6)) else F0


@jit
def sample(memory, source, out, u, v, stride, count, dx, dy):
    """Cubic interpolation of ``count`` cells of one plane; all matches are (dx, dy) whole pixels away, less a half."""
    for k in range(count):
        a0, a1, a2, a3, a4 = cubic5(memory[u + k] - dx)
        b0, b1, b2, b3, b4 = cubic5(memory[v + k] - dy)
        memory[out + k] = taps25(memory, source + k, stride, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4)


@inlined
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


@inlined
def taps5(memory, at, a0, a1, a2, a3, a4):
    """Weighted sum over the five cells around ``at`` in its row."""
    return a0 * memory[at - N2] + a1 * memory[at - N1] + a2 * memory[at] + a3 * memory[at + N1] + a4 * memory[at + N2]


@inlined
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
        across(memory, scratch, target + (y + N2) * sizes_out[2], index[table + N1], starts, weights)


@jit
def across(memory, line, out, table, starts, weights):
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


@inlined
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


@inlined
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


@jit
def load(image, plane, low, gain, levels, memory, index, starts, weights, given):
    """See ``Workspace.load``."""
    _, _, stride, cells, base, scratch = level_of(levels, 0)
    smooth = given[7] > F0
    temp = base + np.uint64(TEMP) * cells
    at = base + np.uint64(plane) * cells
    to = temp if smooth else at
    for y in range(image.shape[0]):
        row = to + (np.uint64(y) + N2) * stride
        for x in range(image.shape[1]):
            memory[row + np.uint64(x)] = (image[y, x] - low) * gain
    if smooth:
        resample(memory, temp, at, levels[0], levels[0], index, starts, weights, 0, scratch)
    for number in range(1, levels.shape[0]):
        finer, coarser = levels[number - 1], levels[number]
        to = coarser[4] + np.uint64(plane) * coarser[3]
        resample(memory, at, to, finer, coarser, index, starts, weights, 2 * number, scratch)
        at = to


@jit
def level_of(levels, number):
    row = levels[number]
    return row[0], row[1], row[2], row[3], row[4], row[6]


@jit
def solve(flow, begin, levels, memory, masks, index, starts, weights, given):
    """See ``Workspace.solve``."""
    used = levels.shape[0] if begin == COLD else 1
    done = 0
    for number in range(used - 1, -1, -1):
        _, _, stride, cells, base, _ = level_of(levels, number)
        u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
        if begin != GO_ON:
            fill(memory, u, u + np.uint64(P22 + 1 - U) * cells)
        if begin == START:
            take(flow, memory, u, v, stride)
        if number < used - 1:
            descend(memory, levels, number, index, starts, weights)
        done += solve_level(levels[number], memory, masks, given)
    give(flow, memory, levels)
    return done


@jit
def descend(memory, levels, number, index, starts, weights):
    """Enlarged flow of the next coarser level as the start of level ``number``."""
    height, width, stride, cells, base, scratch = level_of(levels, number)
    coarse = levels[number + 1]
    table = 2 * (levels.shape[0] + number)
    for axis in range(2):
        plane = np.uint64(U + axis)
        source, target = coarse[4] + plane * coarse[3], base + plane * cells
        resample(memory, source, target, coarse, levels[number], index, starts, weights, table, scratch)
        ratio = np.float32(width) / np.float32(coarse[1]) if axis == 0 else np.float32(height) / np.float32(coarse[0])
        for y in range(N2, height + N2):
            for k in range(y * stride, y * stride + width):
                memory[target + k] *= ratio


@jit
def solve_level(sizes, memory, masks, given):
    """IPOL algorithm 1 without its pyramid: warps of SOURCE, iterations in each, until the flow rests."""
    height, width, stride, cells, base, scratch = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[6]
    mask = masks[sizes[5] : sizes[5] + (BAND + N1) * stride]
    u, v, temp = base + np.uint64(U) * cells, base + np.uint64(V) * cells, base + np.uint64(TEMP) * cells
    rest = given[3] * np.float32(height * width)
    every = np.int64(given[6])
    gradient(memory, base, cells, height, width, stride)
    done = 0
    for _ in range(np.int64(given[4])):
        warp(memory, base, cells, height, width, stride, scratch)
        for number in range(np.int64(given[5])):
            if every > 0 and number % every == 0:
                median(memory, u, temp, height, width, stride, scratch)
                median(memory, v, temp, height, width, stride, scratch)
            done += 1
            if iterate(memory, base, cells, height, stride, mask, given[0], given[1], given[2]) <= rest:
                break
    return done


@jit
def fill(memory, begin, end):
    for k in range(begin, end):
        memory[k] = F0


@jit
def take(flow, memory, u, v, stride):
    for y in range(np.uint64(flow.shape[0])):
        for x in range(np.uint64(flow.shape[1])):
            memory[u + (y + N2) * stride + x] = flow[y, x, 0]
            memory[v + (y + N2) * stride + x] = flow[y, x, 1]


@jit
def give(flow, memory, levels):
    _, _, stride, cells, base, _ = level_of(levels, 0)
    u, v = base + np.uint64(U) * cells, base + np.uint64(V) * cells
    for y in range(np.uint64(flow.shape[0])):
        for x in range(np.uint64(flow.shape[1])):
            flow[y, x, 0] = memory[u + (y + N2) * stride + x]
            flow[y, x, 1] = memory[v + (y + N2) * stride + x]


@jit
def strain(flow, out):
    height, width = np.uint64(out.shape[0]), np.uint64(out.shape[1])
    for y in range(height):
        up, down = y - N1 if y > 0 else y, min(y + N1, height - N1)
        per_row = F1 / np.float32(down - up)
        strain_cell(flow, out, y, up, down, np.uint64(0), np.uint64(0), N1, F1, per_row)
        for x in range(N1, width - N1):
            strain_cell(flow, out, y, up, down, x, x - N1, x + N1, HALF, per_row)
        strain_cell(flow, out, y, up, down, width - N1, width - N2, width - N1, F1, per_row)


@jit
def strain_cell(flow, out, y, up, down, x, left, right, per_column, per_row):
    ux = (flow[y, right, 0] - flow[y, left, 0]) * per_column
    vx = (flow[y, right, 1] - flow[y, left, 1]) * per_column
    uy = (flow[down, x, 0] - flow[up, x, 0]) * per_row
    vy = (flow[down, x, 1] - flow[up, x, 1]) * per_row
    shear = uy + vx
    out[y, x] = np.sqrt(ux * ux + vy * vy + HALF * shear * shear)


@jit
def reduce_area(stack, rows, columns, out):
    """Weighted means: stack (H, W, C), rows (n, H) and columns (m, W) weights -> out (n, m, C), as in ``flow.cu``."""
    height, width, channels = stack.shape
    size_y, size_x = out.shape[0], out.shape[1]
    for row in range(size_y):
        top, bottom = row * height // size_y, ((row + 1) * height + size_y - 1) // size_y
        for column in range(size_x):
            left, right = column * width // size_x, ((column + 1) * width + size_x - 1) // size_x
            for channel in range(channels):
                total = F0
                for y in range(top, bottom):
                    line = F0
                    for x in range(left, right):
                        line += columns[column, x] * stack[y, x, channel]
                    total += rows[row, y] * line
                out[row, column, channel] = total
