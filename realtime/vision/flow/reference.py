"""TV-L1 and strain in plain NumPy, float64, line by line from the papers: slow, readable, the oracle of every twin.

Equations: Sánchez Pérez, Meinhardt-Llopis, Facciolo 2013 (IPOL), §3, algorithms 1 and 2, after Zach et al. 2007.
Two departures, in every backend alike: pixel centres of all pyramid levels lie at halves (so that a mirrored pair
gives a mirrored flow), and the flow is enlarged bilinearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.vision.flow.params import TvL1Params

Image = NDArray[np.float64]


def tvl1(first: NDArray[Any], second: NDArray[Any], params: TvL1Params) -> Image:
    """(H, W) grey levels 0..255, twice -> flow (H, W, 2) px."""
    i0, i1 = first.astype(np.float64), second.astype(np.float64)
    if params.normalise:
        low, high = min(i0.min(), i1.min()), max(i0.max(), i1.max())
        gain = 255.0 / (high - low) if high > low else 1.0
        i0, i1 = (i0 - low) * gain, (i1 - low) * gain
    levels = [(smooth(i0, params.presmooth_px), smooth(i1, params.presmooth_px))]
    while len(levels) < params.scales:
        shape = tuple(int(side * params.scale_step + 0.5) for side in levels[-1][0].shape)
        if min(shape) < 16 or shape == levels[-1][0].shape:
            break
        levels.append((shrink(levels[-1][0], shape, params), shrink(levels[-1][1], shape, params)))
    u = np.zeros((2, *levels[-1][0].shape))
    for i0, i1 in reversed(levels):
        if u.shape[1:] != i0.shape:
            ratio = [i0.shape[1] / u.shape[2], i0.shape[0] / u.shape[1]]
            u = np.stack([resize(part, i0.shape, linear) * factor for part, factor in zip(u, ratio, strict=True)])
        u = solve_level(i0, i1, u, params)
    return np.moveaxis(u, 0, 2)


def solve_level(i0: Image, i1: Image, u: Image, params: TvL1Params) -> Image:
    """Algorithm 1 on one scale. u: (2, H, W)."""
    tau, theta, limit = params.tau, params.theta, params.lambda_ * params.theta
    padded = np.pad(i1, 1, mode="edge")
    gx, gy = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    p = np.zeros((2, 2, *i0.shape))
    for _ in range(params.warps):
        inside = in_range(u)
        image, ix, iy = (np.where(inside, sample(part, u), 0.0) for part in (i1, gx, gy))
        grad = np.stack([ix, iy])
        square = (grad**2).sum(axis=0)
        rest = np.where(inside, image - (grad * u).sum(axis=0) - i0, 0.0)  # ρ(u) = rest + ∇I·u (eq. 9)
        for number in range(params.iterations):
            if params.median and number % params.median_every == 0:
                u = np.stack([median5(part) for part in u])
            rho = rest + (grad * u).sum(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                middle = np.where(square > 1e-6, -rho / square, 0.0)
            scale = np.where(rho < -limit * square, limit, np.where(rho > limit * square, -limit, middle))
            v = u + np.where(square > 1e-6, scale, 0.0) * grad  # eq. 15
            new = v + theta * np.stack([divergence(part) for part in p])  # eq. 12
            for part, component in zip(p, new, strict=True):
                slope = forward_gradient(component)
                part += tau / theta * slope
                part /= 1.0 + tau / theta * np.hypot(slope[0], slope[1])  # eq. 13
            change = ((new - u) ** 2).sum(axis=0).mean()
            u = new
            if change <= params.epsilon**2:
                break
    return u


def forward_gradient(f: Image) -> Image:
    """(2, H, W): differences to the right and downwards, 0 at the last column and row."""
    slope = np.zeros((2, *f.shape))
    slope[0, :, :-1] = f[:, 1:] - f[:, :-1]
    slope[1, :-1] = f[1:] - f[:-1]
    return slope


def divergence(p: Image) -> Image:
    """Backward differences, p = 0 outside; p is 0 in its last column (x) and row (y)."""
    result: Image = np.diff(p[0], axis=1, prepend=0.0) + np.diff(p[1], axis=0, prepend=0.0)
    return result


def in_range(u: Image) -> NDArray[np.bool_]:
    """(H, W): whether the match of each pixel lies in the image."""
    height, width = u.shape[1:]
    x, y = np.arange(width) + u[0], np.arange(height)[:, None] + u[1]
    result: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return result


def sample(image: Image, u: Image) -> Image:
    """image(x + u) by Keys' cubic, edges repeated."""
    height, width = image.shape
    x, y = np.arange(width) + u[0], np.arange(height)[:, None] + u[1]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    out = np.zeros_like(image)
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            taken = image[(top + dy).clip(0, height - 1), (left + dx).clip(0, width - 1)]
            out += cubic(x - left - dx) * cubic(y - top - dy) * taken
    return out


def smooth(image: Image, sigma: float) -> Image:
    """Gaussian cut at 5σ, mirrored borders."""
    if sigma == 0:
        return image
    radius = int(5 * sigma)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(image, ((radius, radius), (0, 0)), mode="symmetric")
        image = sum(w * padded[k : k + image.shape[0]] for k, w in enumerate(kernel)).T
    return image


def shrink(image: Image, shape: tuple[int, ...], params: TvL1Params) -> Image:
    """Next coarser level: Gaussian and cubic sampling (IPOL §4), or bilinear sampling alone (OpenCV)."""
    if not params.antialias:
        return resize(image, shape, linear)
    return resize(smooth(image, 0.6 * np.sqrt(params.scale_step**-2 - 1.0)), shape, cubic)


def resize(image: Image, shape: tuple[int, ...], kernel: Any) -> Image:
    """Sample along each axis in turn, pixel centres at halves, edges repeated."""
    for size in shape:
        place = (np.arange(size) + 0.5) * image.shape[0] / size - 0.5
        near = np.floor(place).astype(int)
        taps = [(near + k).clip(0, image.shape[0] - 1) for k in range(-1, 3)]
        image = sum(kernel(place - near - k)[:, None] * image[t] for k, t in zip(range(-1, 3), taps, strict=True)).T
    return image


def linear(d: Any) -> Any:
    """Tent kernel."""
    return np.maximum(1.0 - np.abs(d), 0.0)


def cubic(d: Any) -> Any:
    """Keys 1981 with a = −½."""
    d = np.abs(d)
    return np.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, np.where(d < 2, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2, 0.0))


def median5(image: Image) -> Image:
    """5×5 median, edges repeated."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, 2, mode="edge"), (5, 5))
    result: Image = np.median(windows, axis=(2, 3))
    return result


def strain(flow: NDArray[Any]) -> Image:
    """√(u_x² + v_y² + ½(u_y + v_x)²): np.gradient gives rows (y) first."""
    uy, ux = np.gradient(flow[..., 0].astype(np.float64))
    vy, vx = np.gradient(flow[..., 1].astype(np.float64))
    result: Image = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
    return result
