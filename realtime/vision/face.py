"""Frame -> landmarks: MediaPipe Face Landmarker, its model carried by the package.

Consumes a gray frame, emits the 478-point mesh in frame pixels. MediaPipe is imported when the first
``FaceMesh`` is made, with TensorFlow kept out (it would cost 2 s and 460 MB, and is not used).
"""

from __future__ import annotations

import importlib
import sys
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import InputError, UserError

MODEL = "face_landmarker.task"

# iBUG 68-point scheme from the 478-point mesh; 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth.
# fmt: off
MESH_TO_68 = np.array([
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
])
# fmt: on


def to_68(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(478, 2) mesh, px -> (68, 2) iBUG landmarks, px."""
    if mesh.ndim != 2 or mesh.shape[0] < 468 or mesh.shape[1] != 2:
        raise InputError(f"a face mesh has shape (478, 2), not {mesh.shape}: pass FaceMesh.detect()'s result")
    return mesh[MESH_TO_68]


class FaceMesh:
    """MediaPipe Face Landmarker in video mode, one face.

    In video mode the network looks where the face was; the detector runs only when it was lost.
    ``detect`` releases the GIL while the networks run, so that it may have a thread of its own.
    """

    def __init__(self, min_confidence: float = 0.5) -> None:
        keep_tensorflow_out()
        from mediapipe import Image, ImageFormat
        from mediapipe.tasks.python import BaseOptions, vision

        path = resources.files("realtime") / "assets" / MODEL
        if not path.is_file():
            raise UserError(f"the face model {MODEL} is missing from the package: install merealtime again")
        self._image: Any = Image
        self._format = ImageFormat.SRGB
        self._task = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                running_mode=vision.RunningMode.VIDEO,
                num_faces=1,
                min_face_detection_confidence=min_confidence,
                min_face_presence_confidence=min_confidence,
                min_tracking_confidence=min_confidence,
            )
        )
        self._t_ms = 0
        self._rgb: Any = None

    def detect(self, gray: NDArray[np.uint8], t_ns: int | None = None) -> NDArray[np.float32] | None:
        """Find the face. gray: (H, W) uint8. Returns (478, 2) float32, px, or None without a face.

        t_ns: exposure; the networks' own smoothing follows a moving head only if it knows the time between
        frames. Without it frames are taken to be a second apart, which smooths nothing.
        """
        if gray.ndim != 2 or gray.dtype != np.uint8:
            raise InputError(f"a gray frame is (H, W) uint8, not {gray.shape} {gray.dtype}: convert it first")
        height, width = gray.shape
        self._rgb = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB, self._rgb)  # the network wants three channels
        t_ms = self._t_ms + 1000 if t_ns is None else t_ns // 1_000_000
        self._t_ms = max(t_ms, self._t_ms + 1)  # it must rise
        found = self._task.detect_for_video(
            self._image(image_format=self._format, data=self._rgb), self._t_ms
        ).face_landmarks
        if not found:
            return None
        return np.array([(p.x * width, p.y * height) for p in found[0]], np.float32)

    def close(self) -> None:
        """Free the networks."""
        self._task.close()


def keep_tensorflow_out() -> None:
    """MediaPipe imports TensorFlow when it is installed; a None entry makes that import fail at once."""
    if "mediapipe" not in sys.modules and "tensorflow" not in sys.modules:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("mediapipe.tasks.python.vision")
        finally:
            del sys.modules["tensorflow"]
