"""Loops over the picture: where each pixel comes from, resampling, and the sensor (numba, one thread).

The way of a point: texture S → expression: Q = S + E(S) → pose: Y = Q + m(Q)·P(Q, depth). The picture wants the way
back, solved on a coarse grid of nodes by fixed-point steps, begun where the frame before ended.
"""

from __future__ import annotations

import numpy as np

from realtime.vision.jit import inlined, jit

_F = np.float32
_TOLERANCE_PX = 0.004


@inlined
def _place(x, y, shape, step):
    """Index of the cell and the shares of its lower right corners, clamped to the grid."""
    gx = min(max(x / step, _F(0)), _F(shape[1] - 1.001))
    gy = min(max(y / step, _F(0)), _F(shape[0] - 1.001))
    ix = np.int64(gx)
    iy = np.int64(gy)
    return iy * shape[1] + ix, gx - _F(ix), gy - _F(iy)


@inlined
def _mixed(plane, k, width, t, u):
    upper = plane[k] + t * (plane[k + 1] - plane[k])
    lower = plane[k + width] + t * (plane[k + width + 1] - plane[k + width])
    return upper + u * (lower - upper)


@jit
def solve(nodes, still, moved, shape, step, pose, light, shading, pulse, pace, limit):
    """Bring the nodes' sources up to date. Lengths px, from the box's corner.

    nodes (5, n) float32: Q x, Q y (kept from frame to frame), S x, S y, gain. still (6, n) float32: depth, mask, the
    unit normal, and where the mouth is dark when it opens. moved (3, n) float32: expression dx, dy, compression.
    pose (16,) float32: rotation (9), shift (2), growth, pivot x, y, depth, camera distance. light (8,) float32:
    ambient share, side share, direction at rest (3), direction in the head's frame (3). pace: below 1 for large
    expressions, whose stretch would make full steps swing.
    """
    width = shape[1]
    depth, mask, nx, ny, nz, gap = still[0], still[1], still[2], still[3], still[4], still[5]
    ex, ey, fold = moved[0], moved[1], moved[2]
    cx, cy, cz, far, growth = pose[12], pose[13], pose[14], pose[15], pose[11]
    for row in range(shape[0]):
        for column in range(width):
            n = row * width + column
            x = _F(column * step)
            y = _F(row * step)
            qx = nodes[0, n]
            qy = nodes[1, n]
            m = _F(0)
            for _ in range(limit):
                k, t, u = _place(qx, qy, shape, step)
                m = _mixed(mask, k, width, t, u)
                z = _mixed(depth, k, width, t, u) - cz
                back = (far - z) / far
                px = (qx - cx) * back
                py = (qy - cy) * back
                rx = pose[0] * px + pose[1] * py + pose[2] * z
                ry = pose[3] * px + pose[4] * py + pose[5] * z
                rz = pose[6] * px + pose[7] * py + pose[8] * z
                near = growth * far / (far - rz)
                dx = qx + m * (cx + pose[9] + rx * near - qx) - x
                dy = qy + m * (cy + pose[10] + ry * near - qy) - y
                qx -= dx
                qy -= dy
                if dx * dx + dy * dy < _TOLERANCE_PX * _TOLERANCE_PX:
                    break
            nodes[0, n] = qx
            nodes[1, n] = qy
            sx = qx
            sy = qy
            for _ in range(limit):
                k, t, u = _place(sx, sy, shape, step)
                dx = sx + _mixed(ex, k, width, t, u) - qx
                dy = sy + _mixed(ey, k, width, t, u) - qy
                sx -= pace * dx
                sy -= pace * dy
                if dx * dx + dy * dy < _TOLERANCE_PX * _TOLERANCE_PX:
                    break
            nodes[2, n] = sx
            nodes[3, n] = sy
            k, t, u = _place(sx, sy, shape, step)
            a = _mixed(nx, k, width, t, u)
            b = _mixed(ny, k, width, t, u)
            c = _mixed(nz, k, width, t, u)
            before = light[0] + light[1] * max(light[2] * a + light[3] * b + light[4] * c, _F(0))
            after = light[0] + light[1] * max(light[5] * a + light[6] * b + light[7] * c, _F(0))
            gain = _F(1) + m * (after / before - _F(1) + pulse)
            pressed = _mixed(fold, k, width, t, u)
            gain *= min(max(_F(1) - shading * pressed, _F(0.75)), _F(1.08))
            opened = min(max((-pressed - _F(0.15)) / _F(0.5), _F(0)), _F(1))
            nodes[4, n] = gain * (_F(1) - _F(0.8) * opened * _mixed(gap, k, width, t, u))


@jit
def resample(out, texture, pad, origin, nodes, shape, step):
    """Draw the head's box into ``out`` (H, W) float32 from the padded texture (Keys' cubic, a = −½).

    origin (x0, y0): the box's corner in the frame; nodes as in ``solve``.
    """
    width = shape[1]
    last_y = texture.shape[0] - 3
    last_x = texture.shape[1] - 3
    x_end = min(out.shape[1], origin[0] + (shape[1] - 1) * step + 1)
    y_end = min(out.shape[0], origin[1] + (shape[0] - 1) * step + 1)
    inverse = _F(1) / _F(step)
    for y in range(max(origin[1], 0), y_end):
        for x in range(max(origin[0], 0), x_end):
            gx = min(_F(x - origin[0]) * inverse, _F(shape[1] - 1.001))
            gy = min(_F(y - origin[1]) * inverse, _F(shape[0] - 1.001))
            ix = np.int64(gx)
            iy = np.int64(gy)
            t = gx - _F(ix)
            u = gy - _F(iy)
            k = iy * width + ix
            sx = _mixed(nodes[2], k, width, t, u) + _F(origin[0] + pad)
            sy = _mixed(nodes[3], k, width, t, u) + _F(origin[1] + pad)
            gain = _mixed(nodes[4], k, width, t, u)
            sx = min(max(sx, _F(1)), _F(last_x))
            sy = min(max(sy, _F(1)), _F(last_y))
            ix = np.int64(sx)
            iy = np.int64(sy)
            t = sx - _F(ix)
            u = sy - _F(iy)
            t2 = t * t
            t3 = t2 * t
            a0 = t2 - _F(0.5) * (t + t3)
            a1 = _F(1) - _F(2.5) * t2 + _F(1.5) * t3
            a2 = _F(0.5) * t + _F(2) * t2 - _F(1.5) * t3
            a3 = _F(0.5) * (t3 - t2)
            u2 = u * u
            u3 = u2 * u
            b0 = u2 - _F(0.5) * (u + u3)
            b1 = _F(1) - _F(2.5) * u2 + _F(1.5) * u3
            b2 = _F(0.5) * u + _F(2) * u2 - _F(1.5) * u3
            b3 = _F(0.5) * (u3 - u2)
            value = _F(0)
            for j in range(4):
                line = texture[iy - 1 + j]
                part = line[ix - 1] * a0 + line[ix] * a1 + line[ix + 1] * a2 + line[ix + 2] * a3
                weight = b0 if j == 0 else (b1 if j == 1 else (b2 if j == 2 else b3))
                value += part * weight
            out[y, x] = min(max(value, _F(0)), _F(255)) * gain


@inlined
def _stir(value: np.uint64) -> np.uint64:
    """splitmix64's finaliser."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@jit
def expose(clean, fixed, bank, key, curve, read_var, shot_var, out):
    """The sensor: light and contrast by a curve, fixed pattern, Poisson–Gaussian noise, 8 bits.

    clean (H, W) float32, 0..255. curve (1025,) float32: grey level for each quarter of a level. bank (n,) float32:
    normal deviates; key: this frame's random number.
    """
    height, width = clean.shape
    span = np.uint64(bank.shape[0] - width)
    for y in range(height):
        start = np.int64(_stir(key + np.uint64(y)) % span)
        for x in range(width):
            place = min(max(clean[y, x] * _F(4), _F(0)), _F(1022.9))
            k = np.int64(place)
            v = curve[k] + (place - _F(k)) * (curve[k + 1] - curve[k])
            v += fixed[y, x] + np.sqrt(read_var + shot_var * max(v, _F(0))) * bank[start + x] + _F(0.5)
            out[y, x] = np.uint8(min(max(v, _F(0)), _F(255)))
