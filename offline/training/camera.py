"""What a live camera adds to a flow map, for training that looks like serving.

A public map is made from a hand-cropped clip; the live one from a crop that sits a little elsewhere, under a head whose
motion is taken out but for a rest, from noisy frames. All of it is drawn anew for each map and batch, seeded, and put
on in the order in which it arises: crop, head, noise in the flow, noise in the strain; then each channel is stretched
to 0..255 again, as `realtime.vision.features.maps.stretch` does.

Zero flow and magnitude of a public map are lost, so what is added is measured in the map's own longest vector. How far
u and v were stretched apart, and what strain one such vector per cell means, is read from the map: the strain channel's
square is, up to a factor, what the flow's derivatives give (Liong et al. 2014).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.vision.features import FeatureSpec

Float32 = NDArray[np.float32]
NOISE_CELLS = 1.5
"""Standard deviation of the Gaussian that flow noise is smoothed with, cells: TV-L1's errors reach so far."""
LEAST_RATIO, MOST_RATIO = 0.25, 4.0
"""Bounds of v's scale against u's; a map whose strain says nothing about it would go anywhere."""
_RIM = 2
"""Cells at the border that are taken for the face at rest."""


AMOUNTS = ("crop_px", "crop_percent", "head_residual", "flow_noise", "strain_noise")
"""Fields of a recipe; 0: none."""


class Added(Protocol):
    """How much of each; a `Recipe` is one."""

    @property
    def crop_px(self) -> float: ...
    @property
    def crop_percent(self) -> float: ...
    @property
    def head_residual(self) -> float: ...
    @property
    def flow_noise(self) -> float: ...
    @property
    def strain_noise(self) -> float: ...


def adds(amounts: Any) -> bool:
    """Is there anything to be added? Of a recipe of another kind, or of none: no."""
    return any(getattr(amounts, name, 0) > 0 for name in AMOUNTS)


def filmed(maps: Float32, amounts: Added, random: np.random.Generator) -> Float32:
    """Maps as a camera might have made them: (n, h, w, 3) float32, 0..255, [u, v, strain] → the same.

    With nothing to add the maps themselves, untouched, and nothing is drawn.
    """
    if not adds(amounts):
        return maps
    out = maps
    if amounts.crop_px or amounts.crop_percent:
        out = jittered(out, *drawn_crops(len(out), amounts, random))
    if amounts.head_residual or amounts.flow_noise:
        added = np.zeros((*out.shape[:3], 2), np.float32)
        if amounts.head_residual:
            added += amounts.head_residual * head_fields(len(out), out.shape[1:3], random)
        if amounts.flow_noise:
            added += amounts.flow_noise * noise_fields(len(out), out.shape[1:3], random)
        out = moved(out, added)
    if amounts.strain_noise:
        out = with_strain_noise(out, amounts.strain_noise, random)
    return stretched(out)


def drawn_crops(n: int, amounts: Added, random: np.random.Generator) -> tuple[Float32, Float32]:
    """Uniform draws: (n,) growth of the picture, 1: none; (n, 2) its shift right and down, px of the crop."""
    growth = 1 + random.uniform(-1, 1, n) * amounts.crop_percent / 100
    shift = random.uniform(-1, 1, (n, 2)) * amounts.crop_px
    return growth.astype(np.float32), shift.astype(np.float32)


def jittered(maps: Float32, growth: Float32, shift: Float32) -> Float32:
    """Maps of a crop that sits elsewhere: growth (n,), shift (n, 2) px of the crop; edges repeat.

    Both axes grow alike, so that all vectors do, and the strain, which is a vector by a length, only moves.
    """
    size, spec = maps.shape[1:3], FeatureSpec()
    across = _taken(size[1], growth, shift[:, 0] * size[1] / spec.crop_width)
    down = _taken(size[0], growth, shift[:, 1] * size[0] / spec.crop_height)
    flat = (down @ maps.reshape(len(maps), size[0], -1)).reshape(maps.shape)
    out: Float32 = np.einsum("nxk,nykc->nyxc", across, flat, optimize=True)
    return out


def _taken(size: int, growth: Float32, shift: Float32) -> Float32:
    """(n, size, size): share of each cell in each new one, linear between centres."""
    middle = (size - 1) / 2
    at = (np.arange(size) - middle - shift[:, None]) / growth[:, None] + middle
    at = np.clip(at, 0, size - 1)
    return np.maximum(1 - np.abs(at[..., None] - np.arange(size)), 0).astype(np.float32)


def head_fields(n: int, size: tuple[int, ...], random: np.random.Generator) -> Float32:
    """Flow of a small rest of the head's motion: (n, h, w, 2) px, mean square over a field and all draws 1.

    Roll and growth are linear in place; yaw and pitch move what is nearer to the camera further, as on an ellipsoid.
    A shift is left out: a stretched map doesn't show it.
    """
    y, x = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    spec = FeatureSpec()
    x, y = x * spec.crop_width / spec.crop_height, y
    depth = np.sqrt(np.maximum(1 - 0.9 * x**2 - 0.6 * y**2, 0))
    depth -= depth.mean()
    none = np.zeros_like(x)
    modes = np.stack([np.stack(m, -1) for m in ((-y, x), (x, y), (depth, none), (none, depth))])
    modes /= np.sqrt((modes**2).sum(-1).mean((1, 2)))[:, None, None, None]
    weights = random.normal(size=(n, len(modes))) / np.sqrt(len(modes))
    return np.tensordot(weights, modes, 1).astype(np.float32)


def noise_fields(n: int, size: tuple[int, ...], random: np.random.Generator) -> Float32:
    """Smooth flow noise: (n, h, w, 2), mean square of a vector 1."""
    white = random.normal(size=(n, *size, 2)).astype(np.float32)
    down, across = (_smoothing(length) for length in size)
    out: Float32 = np.einsum("yi,xj,nijc->nyxc", down, across, white, optimize=True)
    return out / np.float32(np.sqrt(2))


def _smoothing(size: int) -> Float32:
    """(size, size) Gaussian, edges included; white noise of variance 1 keeps it."""
    near = np.arange(size)
    weights = np.exp(-0.5 * ((near[:, None] - near[None]) / NOISE_CELLS) ** 2)
    return (weights / np.sqrt((weights**2).sum(1, keepdims=True))).astype(np.float32)


def moved(maps: Float32, added: Float32) -> Float32:
    """Maps with a flow added: added (n, h, w, 2), in the map's longest vector → not yet stretched, strain ≥ 0.

    The strain's square changes by what the added flow changes in the square that the derivatives of u and v give.
    """
    flow, ratio, scale = unstretched(maps)
    longest = np.sqrt((flow**2).sum(-1).reshape(len(flow), -1).max(1))[:, None, None, None]
    later = flow + added * longest
    change = scale[:, None, None] * (squared_strain(later) - squared_strain(flow))
    out = np.empty_like(maps)
    out[..., 0], out[..., 1] = later[..., 0], later[..., 1] / ratio[:, None, None]
    out[..., 2] = np.sqrt(np.maximum(maps[..., 2] ** 2 + change, 0))
    return out


def unstretched(maps: Float32) -> tuple[Float32, Float32, Float32]:
    """Flow (n, h, w, 2) whose rest is 0 and whose v is to scale with u; (n,) v's scale; (n,) strain² per flow's own.

    The strain channel's square is fitted by a u-part and a v-part (least squares, neither below zero).
    """
    flow = maps[..., :2].astype(np.float32)
    rim = np.ones(maps.shape[1:3], bool)
    rim[_RIM:-_RIM, _RIM:-_RIM] = False
    flow = flow - np.median(flow[:, rim], axis=1)[:, None, None]
    both = np.stack([squared_strain(flow * axis) for axis in np.eye(2, dtype=np.float32)], -1).reshape(len(maps), -1, 2)
    wanted = (maps[..., 2] ** 2).reshape(len(maps), -1, 1)
    gram, right = both.transpose(0, 2, 1) @ both, (both.transpose(0, 2, 1) @ wanted)[..., 0]
    gram += 1e-6 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(2) + 1e-6 * np.eye(2)
    u_part, v_part = np.maximum(np.linalg.solve(gram, right[..., None])[..., 0], 1e-6).T
    ratio = np.clip(np.sqrt(v_part / u_part), LEAST_RATIO, MOST_RATIO).astype(np.float32)
    flow[..., 1] *= ratio[:, None, None]
    own = squared_strain(flow).reshape(len(maps), -1)
    scale = (own * wanted[..., 0]).sum(1) / np.maximum((own**2).sum(1), 1e-6)
    return flow, ratio, scale.astype(np.float32)


def squared_strain(flow: Float32) -> Float32:
    """u_x² + v_y² + ½(u_y + v_x)² of flow (n, h, w, 2) at the crop's proportions, per cell across: (n, h, w)."""
    spec = FeatureSpec()
    tall = np.float32(spec.crop_height / flow.shape[1] * flow.shape[2] / spec.crop_width)
    by_y, by_x = (np.asarray(one, np.float32) for one in np.gradient(flow, axis=(1, 2)))
    by_y = by_y / tall
    out: Float32 = by_x[..., 0] ** 2 + by_y[..., 1] ** 2 + 0.5 * (by_y[..., 0] + by_x[..., 1]) ** 2
    return out


def with_strain_noise(maps: Float32, share: float, random: np.random.Generator) -> Float32:
    """Noise in the strain finer than a cell's flow, share of the largest strain: a magnitude's, so it also lifts it."""
    out = maps.copy()
    size = share * np.max(out[..., 2], axis=(1, 2), keepdims=True)
    along, beside = random.normal(size=(2, *out.shape[:3])).astype(np.float32)
    out[..., 2] = np.hypot(out[..., 2] + size * along, size * beside)
    return out


def stretched(maps: Float32) -> Float32:
    """Each channel of each map to 0..255 by its own range: (n, h, w, 3) → the same."""
    # channels apart: numpy takes extremes of what lies side by side several times faster
    planes = np.ascontiguousarray(maps.transpose(0, 3, 1, 2)).reshape(len(maps), 3, -1)
    low = planes.min(2)[:, None, None]
    span = np.maximum(planes.max(2)[:, None, None] - low, 1e-6)
    out: Float32 = ((maps - low) * (255 / span)).astype(np.float32)
    return out
