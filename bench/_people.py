"""Generated people: each has a face and a way to move of their own, all made from the packaged portrait.

A face differs by the breadth of head, jaw, eyes and mouth (a smooth warp of picture and mesh alike) and by its tone; a
way to move by the times and sizes of rise, hold and fall. They stand for a lab's subjects, not for people.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings, TruthEvent
from realtime.synthesis.portrait import FACE_OVAL

_BUMPS = 7
_SHIFT = 0.035
"""Largest shift of a bump, in face widths."""


def someone(seed: int) -> Portrait:
    """A face of its own: always the same for a seed."""
    base, random = Portrait.packaged(), np.random.default_rng([seed, 1])
    oval = base.mesh[list(FACE_OVAL)].astype(np.float64)
    centre, width = (oval.min(0) + oval.max(0)) / 2, float(np.ptp(oval[:, 0]))
    places = centre + random.uniform(-0.45, 0.45, (_BUMPS, 2)) * np.ptp(oval, axis=0)
    shifts = random.uniform(-_SHIFT, _SHIFT, (_BUMPS, 2)) * width
    reach = random.uniform(0.22, 0.45, _BUMPS) * width
    breadth = random.uniform(-0.06, 0.06, 2)

    def shift(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(..., 2) px of the new face → from where it was taken, less that place."""
        away = points[..., None, :] - places
        near = np.exp(-(away**2).sum(-1) / (2 * reach**2))
        whole = np.exp(-((points - centre) ** 2).sum(-1, keepdims=True) / (2 * (0.8 * width) ** 2))
        moved: npt.NDArray[np.float64] = near @ shifts + whole * breadth * (points - centre)
        return moved

    height, across = base.gray.shape
    grid = np.stack(np.meshgrid(np.arange(across), np.arange(height)), -1).astype(np.float64)
    taken = (grid - shift(grid)).astype(np.float32)
    picture = cv2.remap(base.gray, taken, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    tone = np.arange(256) / 255.0
    tone = (tone ** random.uniform(0.8, 1.3) - 0.5) * random.uniform(0.8, 1.0) + 0.5
    picture = np.clip(np.rint(tone * 255), 0, 255).astype(np.uint8)[picture]
    mesh = was = base.mesh.astype(np.float64)
    for _ in range(12):
        mesh = was + shift(mesh)
    return Portrait.from_image(np.ascontiguousarray(picture, np.uint8), mesh, f"someone-{seed}")


def manner(seed: int) -> SynthesisSettings:
    """A way to move, a camera and a light of its own."""
    random = np.random.default_rng([seed, 2])
    rise, fall, least = random.uniform(0.06, 0.14), random.uniform(0.08, 0.18), random.uniform(0.9, 1.3)
    return SynthesisSettings(
        first_event_s=3.0,
        event_gap_s=(0.9, 1.5),
        amplitude_px=(least, least * random.uniform(1.6, 2.4)),
        rise_s=(rise, rise * 1.5),
        fall_s=(fall, fall * 1.5),
        hold_s=(0.0, random.uniform(0.04, 0.12)),
        blink_gap_s=(2.5, 6.0),
        drift_px=random.uniform(0.5, 1.5),
        fold_shading=random.uniform(0.15, 0.35),
        noise_grey=random.uniform(1.0, 2.2),
        mains_hz=60 if seed % 2 else 50,
    )


def film(seed: int, file: Path, seconds: float, fps: float, size: tuple[int, int]) -> list[TruthEvent]:
    """Write a lossless video of that person; what they did, all movements that are over by its end."""
    renderer = FaceRenderer(someone(seed), manner(seed), seed, size, fps)
    count, frame = round(seconds * fps), np.empty((size[1], size[0]), np.uint8)
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), fps, size, False)
    if not writer.isOpened():
        raise OSError(f"{file}: no video can be written there")
    for number in range(count):
        renderer.render(number, frame)
        writer.write(frame)
    writer.release()
    return [event for event in renderer.schedule.events_until(count - 1) if event.offset < count - round(0.3 * fps)]
