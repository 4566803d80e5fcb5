"""The head's surface: depth towards the camera at each pixel of the face at rest.

The mesh's own depth (MediaPipe) times a smooth random error, drawn for each portrait and seed, so that no model of a
mean face fits it exactly. Beyond the mesh the surface falls off as hair and ears do; the background has none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import UserError
from realtime.vision.face.landmarks import MODEL, keep_tensorflow_out

from ..portrait import ASSETS, FACE_OVAL, Placed, Points, Portrait

Plane = npt.NDArray[np.float64]

_DETECT_FACE_PX = 380.0
_MESH = 468
"""Points of the surface; the ten of the irises lie behind it."""
_BACK = -0.15
"""Depth, face widths, at which the head's outline ends."""
_FINE, _COARSE = 0.045, 0.16
"""Widths of the two interpolating kernels, in face widths."""
_STEEPEST = 1.5
"""Largest slope of the surface: at 20° of turn nothing is hidden below about 1.6, perspective counted in."""


@lru_cache(maxsize=32)
def _detected(portrait_gray: bytes, shape: tuple[int, int]) -> npt.NDArray[np.float64] | None:
    """(478, 3) mesh and depth, px of the picture given, or None without a face."""
    keep_tensorflow_out()
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    gray = np.frombuffer(portrait_gray, np.uint8).reshape(shape)
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(ASSETS / MODEL)))
    with vision.FaceLandmarker.create_from_options(options) as task:
        picture = Image(image_format=ImageFormat.SRGB, data=cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))
        found: Any = task.detect(picture).face_landmarks
    if not found:
        return None
    return np.array([(p.x * shape[1], p.y * shape[0], -p.z * shape[1]) for p in found[0]])


def mesh_depth(portrait: Portrait) -> npt.NDArray[np.float64]:
    """(478,) depth of the mesh's points towards the camera, in face widths, zero at the ears."""
    placed = portrait.place((640, 640), _DETECT_FACE_PX)
    gray = np.clip(placed.image + 0.5, 0, 255).astype(np.uint8)
    mesh = _detected(gray.tobytes(), gray.shape)
    if mesh is None:
        raise UserError(f"portrait {portrait.name}: no face is found in it, so it has no depth: use another picture")
    width = float(np.ptp(mesh[list(FACE_OVAL), 0]))
    depth = mesh[:, 2] / width
    from_ears: Plane = depth - (depth[234] + depth[454]) / 2
    return from_ears


def with_error(depth: Plane, mesh: Points, share: float, rng: np.random.Generator) -> Plane:
    """``depth`` as another head has it: a gain and a smooth change over the face, ``share`` rms in all."""
    centre, width = mesh[:_MESH].mean(0), np.ptp(mesh[:_MESH, 0])
    place = (mesh - centre) / width
    change = np.zeros(len(depth))
    for _ in range(6):
        wave = rng.normal(0, 1, 2) * 2 * np.pi / 1.4
        change += np.cos(place @ wave + rng.uniform(0, 2 * np.pi))
    change = (change - change[:_MESH].mean()) / change[:_MESH].std()
    gain = rng.choice([-1.0, 1.0]) * 0.6 * share
    mistaken: Plane = depth * (1 + gain) + 0.8 * share * depth[:_MESH].std() * change
    return mistaken


def dense_depth(placed: Placed, depth: npt.NDArray[np.float64], xs: Plane, ys: Plane) -> Plane:
    """(h, w) depth, px, at the pixels of a grid; ``depth`` (478,) in face widths."""
    width = placed.face_width_px
    points, values = _scattered(placed, depth)
    grid = np.stack([xs.ravel(), ys.ravel()], 1)
    fine, density = _average(grid, points, values, _FINE * width)
    coarse, _ = _average(grid, points, values, _COARSE * width)
    trust = density / (density + 0.5)
    surface = (coarse + trust * (fine - coarse)).reshape(xs.shape) * width
    return _flatten(surface, float(xs[0, 1] - xs[0, 0]))


def _scattered(placed: Placed, depth: npt.NDArray[np.float64]) -> tuple[Plane, Plane]:
    """The mesh's points, and rings beyond it where hair and ears fall off."""
    mesh = placed.mesh[:_MESH].astype(np.float64)
    oval = list(FACE_OVAL)
    middle = (mesh[oval].min(0) + mesh[oval].max(0)) / 2
    points, values = [mesh], [depth[:_MESH]]
    for reach, behind in ((1.18, 0.3), (1.4, 0.65), (1.65, 1.0), (1.95, 1.0)):
        points.append(middle + reach * (mesh[oval] - middle))
        values.append(depth[oval] + behind * (_BACK - depth[oval]))
    return np.concatenate(points), np.concatenate(values)


def _average(grid: Plane, points: Plane, values: Plane, sigma: float) -> tuple[Plane, Plane]:
    """Kernel average of the values, and how many points took part."""
    total, weight = np.zeros(len(grid)), np.full(len(grid), 1e-12)
    for chunk in np.array_split(np.arange(len(points)), 8):
        squared = ((grid[:, None] - points[None, chunk]) ** 2).sum(-1)
        share = np.exp(-squared / (2 * sigma**2)) + 1e-12 / (1 + squared)
        total += share @ values[chunk]
        weight += share.sum(1)
    return total / weight, weight


def _flatten(surface: Plane, step_px: float) -> Plane:
    """Smooth the steep flanks until none is steep enough to hide a part of the face."""
    for _ in range(200):
        down, along = np.gradient(surface, step_px)
        slope = np.hypot(along, down)
        if slope.max() <= _STEEPEST:
            break
        steep = cv2.GaussianBlur(np.clip(slope / _STEEPEST - 0.8, 0, 0.25) * 4, (0, 0), 2.0)
        surface = surface + steep * (cv2.GaussianBlur(surface, (0, 0), 2.5) - surface)
    return np.asarray(surface, np.float64)
