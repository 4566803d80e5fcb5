"""The head's motion in three dimensions, from the patches over bone.

Seen from far away a head that turns moves a point by a similarity of the picture plus its height towards the camera
times the angle: u = h·yaw, v = h·pitch (weak perspective, first order). ``fit_head`` fits these six numbers to the
rigid patches at once. What a mean depth leaves (each head's own shape, second order, lean) is learnt later, region by
region (``vision/face/forecast.py``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime.vision.face.cholesky import factorise, substitute
from realtime.vision.jit import jit

PARAMETERS = 6
"""tx, ty px; a, b of the similarity; yaw, pitch, rad."""
_LEAST_HEIGHT_PX = 4.0
"""Spread of heights under which a turn can't be told from a shift: no turn is fitted then."""

_QUANTILE, _QUANTILE_TO_MEDIAN = 0.3, 1.394
"""The residuals' median length is foretold from this quantile (lengths of plane normal errors): a strong expression
carries two patches in five away, and must not widen what counts as near."""


def ellipsoid_heights(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) px towards the camera of ``places`` (n, 2), px of the face image from its centre: a head with a nose.

    Stands in where the landmark network gives no depth.
    """
    x, y = places[:, 0] / 88.0, places[:, 1] / 125.0
    head = 75.0 * np.sqrt(np.maximum(0.0, 1.0 - np.minimum(x * x + y * y, 1.0)))
    nose = 22.0 * np.exp(-0.5 * ((places[:, 0] / 14.0) ** 2 + (places[:, 1] / 22.0) ** 2))
    return head + nose


_SIDES = ((234, 454), (33, 263), (61, 291), (127, 356), (93, 323), (132, 361))
"""Mesh points that lie opposite each other: image left, image right."""


def facing_yaw(mesh: NDArray[np.float32], depth: NDArray[np.float32]) -> float:
    """Yaw of a face against the camera's axis, rad, > 0 when the nose points to the image's right.

    mesh: (478, 2) px; depth: (478,) px, larger is further away. Good to a degree or two: it is the landmark network's.
    """
    left, right = (np.array(side) for side in zip(*_SIDES, strict=True))
    across = np.hypot(*(mesh[right] - mesh[left]).T).sum()
    return math.atan2(float((depth[right] - depth[left]).sum()), float(across))


@jit(fastmath=False)
def fit_head(
    places: NDArray[np.float64],
    heights: NDArray[np.float64],
    displacement: NDArray[np.float32],
    weights: NDArray[np.float64],
    rounds: int,
    scale_floor_px: float,
    robust: NDArray[np.float64],
    rise: float,
    out: NDArray[np.float64],
) -> float:
    """Robust fit of u = tx + a x − b y + yaw h, v = ty + b x + a y + pitch h.

    places: (n, 2) px from the centre; heights: (n,) px; displacement: (n, 2) px; weights: (n,) ≥ 0, prior trust.
    robust: (n,) 0..1, in and out: the last frame's robust weights, so that skin that an expression has begun to carry
    away stays left out. rise: by how much a weight may exceed that. out: (6,), filled. Tukey's biweight with 4.7 times
    the residuals' median length, at least ``scale_floor_px``.
    Returns that median, px; infinite (and zeros) without patches.
    """
    n = places.shape[0]
    lengths = np.empty(n)
    normal = np.empty((6, 6))
    right = np.empty(6)
    out[:] = 0.0
    spread = math.inf
    most = np.minimum(robust + rise, 1.0)
    for _ in range(rounds):
        total = sh = shh = 0.0
        for i in range(n):
            w = weights[i] * robust[i]
            total += w
            sh += w * heights[i]
            shh += w * heights[i] * heights[i]
        if total <= 0.0:
            out[:] = 0.0
            robust[:] = 1.0
            return math.inf
        mean_h = sh / total
        turns = shh / total - mean_h * mean_h > _LEAST_HEIGHT_PX * _LEAST_HEIGHT_PX
        normal[:] = 0.0
        right[:] = 0.0
        for i in range(n):
            w = weights[i] * robust[i]
            if w == 0.0:
                continue
            x, y, h = places[i, 0], places[i, 1], heights[i]
            u, v = displacement[i, 0], displacement[i, 1]
            normal[0, 0] += w
            normal[0, 2] += w * x
            normal[0, 3] -= w * y
            normal[0, 4] += w * h
            normal[1, 2] += w * y
            normal[1, 3] += w * x
            normal[2, 2] += w * (x * x + y * y)
            normal[2, 4] += w * x * h
            normal[2, 5] += w * y * h
            normal[3, 4] -= w * y * h
            normal[3, 5] += w * x * h
            normal[4, 4] += w * h * h
            right[0] += w * u
            right[1] += w * v
            right[2] += w * (x * u + y * v)
            right[3] += w * (x * v - y * u)
            right[4] += w * h * u
            right[5] += w * h * v
        normal[1, 1] = normal[0, 0]
        normal[3, 3] = normal[2, 2]
        normal[1, 5] = normal[0, 4]
        normal[5, 5] = normal[4, 4]
        for i in range(6):
            normal[i, i] += 1e-9 * total * 1e3
            for j in range(i):
                normal[i, j] = normal[j, i]
        if not turns:
            for k in (4, 5):
                normal[k, :] = 0.0
                normal[:, k] = 0.0
                normal[k, k] = 1.0
                right[k] = 0.0
        out[:] = right
        factorise(normal)
        substitute(normal, out)
        used = 0
        for i in range(n):
            x, y, h = places[i, 0], places[i, 1], heights[i]
            u = displacement[i, 0] - (out[0] + out[2] * x - out[3] * y + out[4] * h)
            v = displacement[i, 1] - (out[1] + out[3] * x + out[2] * y + out[5] * h)
            robust[i] = math.sqrt(u * u + v * v)
            if weights[i] > 0.0:
                lengths[used] = robust[i]
                used += 1
        spread = _QUANTILE_TO_MEDIAN * np.quantile(lengths[:used], _QUANTILE)
        cut = 4.7 * max(spread, scale_floor_px)
        for i in range(n):
            r = robust[i] / cut
            robust[i] = min((1.0 - r * r) ** 2, most[i]) if r < 1.0 else 0.0
    return spread
