"""What a mouth does in speech: trajectories of mouth and jaw, from a video of a talking person or made up.

A trajectory is a few modes (displacements of mesh points, face widths, in the face's own axes) times coefficients
over time. The one from video has the head's motion removed in three dimensions and is interpolated by cubic splines.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import InputError
from realtime.vision.face.landmarks import MODEL, keep_tensorflow_out

from ..portrait import ASSETS, FACE_OVAL

Array = npt.NDArray[np.float64]

# fmt: off
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78, 191, 80,
        81, 82, 13, 312, 311, 310, 415, 185, 40, 39, 37, 0, 267, 269, 270, 409)
JAW = (152, 148, 377, 176, 400, 149, 378, 150, 379, 136, 365, 172, 397, 58, 288, 199, 200, 18, 175, 171, 396, 208, 428,
       201, 421, 194, 418, 204, 424, 202, 422, 212, 432, 43, 273, 106, 335, 182, 406, 83, 313)
CHEEKS = (205, 425, 206, 426, 207, 427, 216, 436, 187, 411, 50, 280, 186, 410, 92, 322, 165, 391)
RIGID = (10, 109, 338, 67, 297, 103, 332, 21, 251, 127, 356, 234, 454, 33, 263, 133, 362, 168, 6, 197, 195)
# fmt: on
MOVED = LIPS + JAW + CHEEKS
_MODES = 8
_VERSION = 2
"""Raise it when the extraction changes: kept trajectories carry it."""


@dataclass(frozen=True)
class Trajectory:
    """``modes`` (k, points of MOVED, 2), face widths; ``coefficients`` (n, k) at ``rate_hz``."""

    modes: Array
    coefficients: Array
    rate_hz: float

    @property
    def seconds(self) -> float:
        """Length."""
        return (len(self.coefficients) - 1) / self.rate_hz

    def part(self, begin: float, end: float) -> Trajectory:
        """From a share of the length to another: tuning and held-out take different ones."""
        count = len(self.coefficients)
        return Trajectory(self.modes, self.coefficients[round(begin * count) : round(end * count)], self.rate_hz)

    def at(self, t_s: Array, begin_s: float = 0.0) -> Array:
        """(n, k) coefficients at times, by natural cubic splines; the end leads back to the beginning."""
        looped = np.concatenate([self.coefficients, self.coefficients[-2::-1]])
        period = (len(looped) - 1) / self.rate_hz
        return _spline(looped, ((t_s + begin_s) % period) * self.rate_hz)


def from_video(path: Path, cache: Path) -> Trajectory:
    """The trajectory of the face in a video; kept in ``cache``, for the networks take half a minute."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{_VERSION} {path.name} {size}".encode()).hexdigest()[:16]
    stored = cache / f"speech-{digest}.npz"
    if not stored.is_file():
        meshes, rate_hz = _meshes(path)
        modes, coefficients = _modes(_frontal(meshes))
        cache.mkdir(parents=True, exist_ok=True)
        part = stored.with_suffix(".part.npz")
        np.savez(part, modes=modes, coefficients=coefficients, rate_hz=rate_hz)
        part.rename(stored)
    with np.load(stored) as kept:
        return Trajectory(kept["modes"], kept["coefficients"], float(kept["rate_hz"]))


def _meshes(path: Path) -> tuple[Array, float]:
    """(n, 478, 3) px, and the video's rate; holes are bridged."""
    keep_tensorflow_out()
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    video = cv2.VideoCapture(str(path))
    rate_hz = float(video.get(cv2.CAP_PROP_FPS)) or 25.0
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(ASSETS / MODEL)), running_mode=vision.RunningMode.VIDEO
    )
    found: list[Any] = []
    with vision.FaceLandmarker.create_from_options(options) as task:
        while True:
            ok, picture = video.read()
            if not ok:
                break
            picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(picture[..., ::-1]))
            faces = task.detect_for_video(image, round(1000 * len(found) / rate_hz)).face_landmarks
            scale = np.array([picture.shape[1], picture.shape[0], -picture.shape[1]])
            found.append(np.array([(p.x, p.y, p.z) for p in faces[0]]) * scale if faces else None)
    seen = [k for k, mesh in enumerate(found) if mesh is not None]
    if len(seen) < max(10, 0.9 * len(found)):
        raise InputError(f"{path.name}: a face in only {len(seen)} of {len(found)} frames: speech needs one throughout")
    nearest = [min((abs(j - k), j) for j in seen)[1] for k in range(len(found))]
    return np.stack([found[k] for k in nearest]), rate_hz


def _frontal(meshes: Array) -> Array:
    """(n, points, 2) displacement of MOVED from its median place, face widths, with the head's pose taken out."""
    still = meshes[:, list(RIGID)]
    model = np.median(still - still.mean(1, keepdims=True), axis=0)
    axes = _axes(np.median(meshes - still.mean(1, keepdims=True), axis=0))
    width = np.median(np.ptp(meshes[:, list(FACE_OVAL), 0], axis=1))
    out = np.empty((len(meshes), len(MOVED), 2))
    for k, mesh in enumerate(meshes):
        centre = still[k].mean(0)
        u, spread, vt = np.linalg.svd((still[k] - centre).T @ model)
        turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        scale = spread.sum() / ((still[k] - centre) ** 2).sum()
        placed = (mesh[list(MOVED)] - centre) @ turn * scale
        out[k] = placed[:, :2] @ axes.T / width
    return out - np.median(out, axis=0)


def _axes(mesh: Array) -> Array:
    """(2, 2) along the eye line to the subject's left, and down."""
    along = (mesh[263] + mesh[362] - mesh[33] - mesh[133])[:2]
    along = along / np.hypot(*along)
    return np.stack([along, [-along[1], along[0]]])


def _modes(moves: Array) -> tuple[Array, Array]:
    """The largest modes and their smoothed coefficients; zero is a mouth at rest (nearly closed)."""
    rows = moves.reshape(len(moves), -1)
    opening = moves[:, MOVED.index(14), 1] - moves[:, MOVED.index(13), 1]
    rest = rows[opening <= np.quantile(opening, 0.2)].mean(0)
    rows = rows - rest
    kernel = np.array([-3, 12, 17, 12, -3]) / 35  # quadratic through five: the landmarks' jitter goes, speech stays
    padded = np.pad(rows, ((2, 2), (0, 0)), mode="edge")
    rows = sum(kernel[k] * padded[k : k + len(rows)] for k in range(5))
    u, size, vt = np.linalg.svd(rows, full_matrices=False)
    return vt[:_MODES].reshape(_MODES, len(MOVED), 2), (u * size)[:, :_MODES]


def _spline(knots: Array, places: Array) -> Array:
    """Natural cubic spline through (n, k) knots at 0, 1, 2 …, at fractional places."""
    count = len(knots)
    lower, middle = np.ones(count - 3), np.full(count - 2, 4.0)
    right = 6 * (knots[:-2] - 2 * knots[1:-1] + knots[2:])
    bend = np.zeros_like(knots)
    bend[1:-1] = _tridiagonal(lower, middle, right)
    index = np.clip(places.astype(int), 0, count - 2)
    t = (places - index)[:, None]
    a, b = 1 - t, t
    curve = (a**3 - a) * bend[index] + (b**3 - b) * bend[index + 1]
    between: Array = a * knots[index] + b * knots[index + 1] + curve / 6
    return between


def _tridiagonal(side: Array, middle: Array, right: Array) -> Array:
    """Solve a symmetric tridiagonal system (Thomas)."""
    diagonal, out = middle.copy(), right.copy()
    for k in range(1, len(diagonal)):
        share = side[k - 1] / diagonal[k - 1]
        diagonal[k] -= share * side[k - 1]
        out[k] -= share * out[k - 1]
    out[-1] /= diagonal[-1]
    for k in range(len(diagonal) - 2, -1, -1):
        out[k] = (out[k] - side[k] * out[k + 1]) / diagonal[k]
    return out


def articulated(rng: np.random.Generator, seconds: float) -> Trajectory:
    """Speech made up: phrases of three to seven syllables a second, jaw, lips and corners, with pauses between."""
    rate_hz = 50.0
    count = round(seconds * rate_hz) + 1
    t = np.arange(count) / rate_hz
    tracks = np.zeros((count, 3))
    now = rng.uniform(0.1, 0.6)
    while now < seconds:
        phrase_end = now + rng.uniform(0.8, 3.0)
        while now < min(phrase_end, seconds):
            length = 1 / rng.uniform(3, 7)
            bump = np.sin(np.pi * np.clip((t - now) / (1.3 * length), 0, 1)) ** 2
            tracks += bump[:, None] * [rng.uniform(0.2, 1.0), rng.normal(0, 0.5), rng.normal(0, 0.4)]
            now += length
        now += rng.uniform(0.3, 1.5)
    return Trajectory(_made_up_modes(), tracks, rate_hz)


def _made_up_modes() -> Array:
    """Jaw down, lips rounded, corners drawn out; face widths at a loud syllable."""
    modes = np.zeros((3, len(MOVED), 2))
    lower = {17, 84, 314, 181, 405, 14, 87, 317, 178, 402, 18, 83, 313}
    for k, index in enumerate(MOVED):
        if index in JAW:
            modes[0, k, 1] = 0.03 if index in (152, 148, 377, 176, 400, 175, 199, 200) else 0.02
        if index in lower:
            modes[0, k, 1] = 0.035
        for side, corner in ((-1, (61, 146, 91, 185, 40, 78, 95)), (1, (291, 375, 321, 409, 270, 308, 324))):
            if index in corner:
                modes[0, k, 1] = 0.012
                modes[1, k, 0] = -0.02 * side
                modes[2, k] = (0.015 * side, -0.008)
    return modes
