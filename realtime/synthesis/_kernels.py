"""The drawing loop: warp, shade, light, noise and 8 bits in one pass over the frame (numba, one thread).

Only the spans of rows that the head can reach are resampled (Keys' cubic, a = −½); the rest is the picture at
rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from realtime.vision.jit import jit

_F = np.float32

Array = npt.NDArray[Any]


class Scene(NamedTuple):
    """What stays from frame to frame."""

    rest: Array
    """(H, W) float32: the picture with nothing moved."""
    texture: Array
    """The same, padded by ``pad``, blink drawn in, flattened; ``stride`` columns."""
    stride: int
    pad: int
    spans: Array
    """(h, 2) int64: first and last + 1 column that the head reaches, per row from ``y0``."""
    head_mask: Array
    """(h, w) float32 from (``x0``, ``y0``); ``skin_mask`` too."""
    skin_mask: Array
    x0: int
    y0: int


class Movement(NamedTuple):
    """A field of displacement, times ``amplitude`` px."""

    planes: Array
    """(3, h·w) float32: dx, dy and compression, zero on the border, so that a clamped look-up outside is zero."""
    shape: tuple[int, int]
    origin: tuple[int, int]
    """(x, y), px."""
    amplitude: np.float32
    reach: int
    """It is looked up within so many px around."""
    steps: int
    """Of the inversion."""
    shading: np.float32


class Noise(NamedTuple):
    """One frame's noise: pattern, bank, where in the bank, and how strong."""

    fixed: Array
    bank: Array
    """(n,) int8: normal deviates in units of 1/32."""
    key: np.uint64
    """This frame's random number."""
    read_var: np.float32
    shot_var: np.float32


@jit(fastmath=False, inline="always")
def _mix(value: np.uint64) -> np.uint64:
    """splitmix64's finaliser: a well-stirred 64-bit number from a counter."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@jit
def _head_positions(y, x0, x1, affine, mask, sx, sy):
    """Where the pixels of a row come from when only the head moves: inverse similarity times the mask."""
    for i in range(x1 - x0):
        x = _F(x0 + i)
        m = mask[i]
        sx[i] = x + m * (affine[0] * x + affine[1] * _F(y) + affine[2])
        sy[i] = _F(y) + m * (affine[3] * x + affine[4] * _F(y) + affine[5])


@jit(inline="always")
def _look_up(plane, stride, width, height, x, y):
    """Bilinear value of a flattened plane, clamped to its border."""
    x = min(max(x, _F(0)), width)
    y = min(max(y, _F(0)), height)
    ix = np.int32(x)
    iy = np.int32(y)
    t = x - _F(ix)
    u = y - _F(iy)
    k = np.uint32(iy * np.int32(stride) + ix)
    below = k + np.uint32(stride)
    one = np.uint32(1)
    upper = plane[k] + t * (plane[k + one] - plane[k])
    lower = plane[below] + t * (plane[below + one] - plane[below])
    return upper + u * (lower - upper)


@jit
def _unit_positions(count, movement, sx, sy, gain, dx, dy):
    """Invert the moved face by fixed-point steps d ← a·D(x − d), and shade its folds.

    Steps run over the whole row, which the compiler turns into vector code.
    """
    amplitude, shading = movement.amplitude, movement.shading
    stride = movement.shape[1]
    width = _F(movement.shape[1] - 1.001)
    height = _F(movement.shape[0] - 1.001)
    x0 = _F(movement.origin[0])
    y0 = _F(movement.origin[1])
    along, down, fold = movement.planes[0], movement.planes[1], movement.planes[2]
    for i in range(count):
        dx[i] = _F(0)
        dy[i] = _F(0)
    for _ in range(movement.steps):
        for i in range(count):
            x = sx[i] - x0 - dx[i]
            y = sy[i] - y0 - dy[i]
            dx[i] = amplitude * _look_up(along, stride, width, height, x, y)
            dy[i] = amplitude * _look_up(down, stride, width, height, x, y)
    for i in range(count):
        sx[i] -= dx[i]
        sy[i] -= dy[i]
        gain[i] *= _F(1) - shading * amplitude * _look_up(fold, stride, width, height, sx[i] - x0, sy[i] - y0)


@jit
def _sample(texture, stride, pad, sx, sy, out, count):
    """Keys' cubic convolution (IEEE ASSP 29, 1981, a = −½) of the padded, flattened texture."""
    s = np.uint32(stride)
    one = np.uint32(1)
    for i in range(count):
        x = sx[i] + _F(pad)
        y = sy[i] + _F(pad)
        ix = np.int32(x)
        iy = np.int32(y)
        t = x - _F(ix)
        u = y - _F(iy)
        t2 = t * t
        t3 = t2 * t
        a0 = t2 - _F(0.5) * (t + t3)
        a1 = _F(1) - _F(2.5) * t2 + _F(1.5) * t3
        a2 = _F(0.5) * t + _F(2) * t2 - _F(1.5) * t3
        a3 = _F(0.5) * (t3 - t2)
        u2 = u * u
        u3 = u2 * u
        j = np.uint32(iy * np.int32(stride) + ix)
        k = j - s
        p = texture[k - one] * a0 + texture[k] * a1 + texture[k + one] * a2 + texture[k + one + one] * a3
        q = texture[j - one] * a0 + texture[j] * a1 + texture[j + one] * a2 + texture[j + one + one] * a3
        k = j + s
        r = texture[k - one] * a0 + texture[k] * a1 + texture[k + one] * a2 + texture[k + one + one] * a3
        k = k + s
        v = texture[k - one] * a0 + texture[k] * a1 + texture[k + one] * a2 + texture[k + one + one] * a3
        out[i] = (
            p * (u2 - _F(0.5) * (u + u3))
            + q * (_F(1) - _F(2.5) * u2 + _F(1.5) * u3)
            + r * (_F(0.5) * u + _F(2) * u2 - _F(1.5) * u3)
            + v * (_F(0.5) * (u3 - u2))
        )


@jit
def _expose(clean, fixed, bank, light, read_var, shot_var, out):
    """Light, fixed pattern, Poisson–Gaussian noise (variance read + shot·grey) and 8 bits, for one row."""
    for x in range(clean.shape[0]):
        v = clean[x] * light
        noise = np.sqrt(read_var + shot_var * max(v, _F(0))) * _F(bank[x])
        v = v + fixed[x] + noise + _F(0.5)
        out[x] = np.uint8(np.int32(min(max(v, _F(0)), _F(255))))


@jit(fastmath=False)
def draw(out, scene, affine, movement, light, noise):
    """Draw one frame into ``out`` (H, W) uint8.

    affine (6,) float32: source minus destination of the rigid head. light: (gain of everything, relative change of
    the skin), float32.
    """
    height, width = out.shape
    spans, reach = scene.spans, movement.reach
    row = np.empty(width, np.float32)
    sx = np.empty(width, np.float32)
    sy = np.empty(width, np.float32)
    gain = np.empty(width, np.float32)
    dx = np.empty(width, np.float32)
    dy = np.empty(width, np.float32)
    for y in range(height):
        start = np.int64(_mix(noise.key + np.uint64(y)) % np.uint64(noise.bank.shape[0] - width))
        grain = noise.bank[start : start + width]
        h = y - scene.y0
        if h < 0 or h >= spans.shape[0] or spans[h, 0] >= spans[h, 1]:
            _expose(scene.rest[y], noise.fixed[y], grain, light[0], noise.read_var, noise.shot_var, out[y])
            continue
        x0, x1 = spans[h, 0], spans[h, 1]
        count = x1 - x0
        _head_positions(y, x0, x1, affine, scene.head_mask[h, x0 - scene.x0 : x1 - scene.x0], sx, sy)
        for i in range(count):
            gain[i] = _F(1) + light[1] * scene.skin_mask[h, x0 - scene.x0 + i]
        fy = y - movement.origin[1]
        first = max(movement.origin[0] - reach, x0) - x0
        last = min(movement.origin[0] + movement.shape[1] + reach, x1) - x0
        if movement.amplitude != 0 and -reach < fy < movement.shape[0] + reach and first < last:
            _unit_positions(last - first, movement, sx[first:last], sy[first:last], gain[first:last], dx, dy)
        _sample(scene.texture, scene.stride, scene.pad, sx, sy, row[x0:x1], count)
        for i in range(x0):
            row[i] = scene.rest[y, i]
        for i in range(count):
            row[x0 + i] *= gain[i]
        for i in range(x1, width):
            row[i] = scene.rest[y, i]
        _expose(row, noise.fixed[y], grain, light[0], noise.read_var, noise.shot_var, out[y])
