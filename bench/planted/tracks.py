"""Reading the recordings, and the face mesh in each of their frames, tracked once and kept.

Recordings come from ``../shared/media``; what is computed of them lies in the user's cache folder, never here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT.parent / "shared" / "media"
MODEL = ROOT / "realtime" / "assets" / "face_landmarker.task"
POINTS = 478

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Track:
    """What the landmark model says of a recording, NaN where it sees no face."""

    points: Floats
    """(T, 478, 3) float32, px of the recording; the third is depth."""
    signs: Floats
    """(T, 3) float32, 0 to 1: eyes shut (the wider shut of both), smile, jaw open."""
    size: tuple[int, int]
    """Width and height, px."""
    fps: float


def folder() -> Path:
    """Where tracks and clips lie: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "merealtime" / "planted"


def recording(name: str) -> Path:
    """Its path; FileNotFoundError says where it belongs."""
    path = MEDIA / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is not in ../shared/media")
    return path


def frames_of(
    name: str, first: int = 0, end: int | None = None, size: tuple[int, int] | None = None
) -> tuple[list[Frame], float]:
    """Frames ``first`` to before ``end`` as (H, W, 3) BGR, resized to ``size`` (width, height), and the rate in fps."""
    video = cv2.VideoCapture(str(recording(name)))
    frames: list[Frame] = []
    at = 0
    while end is None or at < end:
        read, frame = video.read()
        if not read:
            break
        if at >= first:
            frames.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if size else frame)  # type: ignore[arg-type]
        at += 1
    return frames, float(video.get(cv2.CAP_PROP_FPS))


def track(name: str) -> Track:
    """The recording's track: from the cache, else tracked now."""
    kept = folder() / f"{name}-{_key(name)}.npz"
    if not kept.exists():
        found = _tracked(name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part.npz")
        np.savez_compressed(part, points=found.points, signs=found.signs, size=found.size, fps=found.fps)
        part.rename(kept)
        return found
    with np.load(kept) as file:
        width, height = (int(value) for value in file["size"])
        return Track(file["points"], file["signs"], (width, height), float(file["fps"]))


def _key(name: str) -> str:
    """Changes with the recording and with the model."""
    return hashlib.sha256(recording(name).read_bytes() + MODEL.read_bytes()).hexdigest()[:12]


def _tracked(name: str) -> Track:
    from mediapipe import Image, ImageFormat  # imports TensorFlow where it is installed: seconds
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(MODEL)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        num_faces=1,
    )
    points, signs = [], []
    frames, fps = frames_of(name)
    height, width = frames[0].shape[:2]
    with vision.FaceLandmarker.create_from_options(options) as model:
        for number, frame in enumerate(frames):
            image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(frame[:, :, ::-1]))
            found = model.detect_for_video(image, int(number * 1000 / fps))
            if not found.face_landmarks:
                points.append(np.full((POINTS, 3), np.nan))
                signs.append([np.nan] * 3)
                continue
            points.append(np.array([[p.x * width, p.y * height, p.z * width] for p in found.face_landmarks[0]]))
            score = {shape.category_name: shape.score for shape in found.face_blendshapes[0]}
            shut = max(score["eyeBlinkLeft"], score["eyeBlinkRight"])
            smile = (score["mouthSmileLeft"] + score["mouthSmileRight"]) / 2
            signs.append([shut, smile, score["jawOpen"]])
    return Track(np.array(points, np.float32), np.array(signs, np.float32), (width, height), fps)


def smoothed(values: Floats, sigma: float) -> Floats:
    """(T, …) smoothed over time by a Gaussian of ``sigma`` frames; a missing (NaN) frame stays so, adds nothing."""
    there = np.isfinite(values.reshape(len(values), -1)[:, 0]).astype(np.float64)
    wide = (-1,) + (1,) * (values.ndim - 1)
    known = np.nan_to_num(values.astype(np.float64)) * there.reshape(wide)
    total = gaussian_filter1d(known, sigma, axis=0, mode="nearest")
    weight = gaussian_filter1d(there, sigma, mode="nearest").reshape(wide)
    result: Floats = total / np.maximum(weight, 1e-6)
    result[there < 0.5] = np.nan
    return result
