"""A portrait with its landmarks, and how it is placed in a frame.

The packaged one is NASA's portrait of astronaut Eileen Collins (public domain), made gray; its 478 mesh
points were found once by MediaPipe Face Landmarker (``bench/clips.py --make-portrait``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import InputError
from realtime.vision.face.scheme68 import MESH_TO_68

from .settings import REFERENCE_FACE_PX

Gray = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

ASSETS = Path(__file__).resolve().parents[1] / "assets"

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Mesh points around the face, in order."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A portrait as it lies in the frame at rest."""

    image: npt.NDArray[np.float32]
    """(H, W) float32, grey levels 0..255."""
    mesh: Points
    """(478, 2) float32, px."""

    @property
    def landmarks(self) -> Points:
        """(68, 2) float32, px, iBUG order."""
        return self.mesh[list(MESH_TO_68)]

    @property
    def face_width_px(self) -> float:
        """Width of the mesh's outline."""
        return float(np.ptp(self.mesh[list(FACE_OVAL), 0]))

    @property
    def eye_distance_px(self) -> float:
        """Between the centres of the two eyes."""
        right, left = eye_centres(self.mesh)
        return float(np.hypot(*(left - right)))


@dataclass(frozen=True, slots=True)
class Portrait:
    """A still face: gray picture and mesh in that picture's own pixels."""

    gray: Gray
    """(h, w) uint8."""
    mesh: Points
    """(478, 2) float32, px."""
    name: str = "portrait"

    @classmethod
    def from_image(cls, gray: Gray, landmarks478: npt.ArrayLike, name: str = "portrait") -> Portrait:
        """Any portrait, with the 478 points of MediaPipe's mesh in px; InputError on wrong shapes."""
        mesh = np.asarray(landmarks478, np.float32)
        if gray.ndim != 2 or gray.dtype != np.uint8:
            raise InputError(f"portrait {name}: (h, w) uint8 wanted, got {gray.shape} {gray.dtype}")
        if mesh.shape != (478, 2) or not np.isfinite(mesh).all():
            raise InputError(f"portrait {name}: landmarks (478, 2), finite, wanted, got {mesh.shape}")
        return cls(gray, mesh, name)

    @classmethod
    def packaged(cls) -> Portrait:
        """The portrait in the package."""
        return _packaged()

    def place(self, size: tuple[int, int], face_width_px: float | None = None) -> Placed:
        """Scale and crop to ``size`` (width, height), px, the face in the middle if the picture reaches.

        Without ``face_width_px`` the face is 145 px wide at 640×480 and scales with the frame. What the
        picture does not cover repeats its border.
        """
        width, height = size
        wanted = face_width_px or face_width_for(size)
        scale = wanted / float(np.ptp(self.mesh[list(FACE_OVAL), 0]))
        h, w = self.gray.shape
        new_w, new_h = max(1, round(w * scale)), max(1, round(h * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(self.gray.astype(np.float32), (new_w, new_h), interpolation=how)
        mesh = (self.mesh + 0.5) * np.array([new_w / w, new_h / h], np.float32) - 0.5
        centre = (mesh[list(FACE_OVAL)].min(0) + mesh[list(FACE_OVAL)].max(0)) / 2
        x0 = _window(new_w, width, centre[0])
        y0 = _window(new_h, height, centre[1])
        grown = cv2.copyMakeBorder(
            scaled,
            max(0, -y0),
            max(0, y0 + height - new_h),
            max(0, -x0),
            max(0, x0 + width - new_w),
            cv2.BORDER_REPLICATE,
        )
        left, top = max(0, x0), max(0, y0)
        image = np.clip(grown[top : top + height, left : left + width], 0, 255)
        return Placed(
            np.ascontiguousarray(image, np.float32),
            (mesh - np.array([x0, y0], np.float32)).astype(np.float32),
        )


def face_width_for(size: tuple[int, int]) -> float:
    """Width of the face, px, in a frame of ``size`` (width, height): 145 at 640×480, else in proportion."""
    return REFERENCE_FACE_PX * min(size[0] / 640, size[1] / 480)


def eye_centres(mesh: Points) -> tuple[Points, Points]:
    """Centres of the subject's right and left eye from the four corners: two (2,) arrays, px."""
    return (mesh[33] + mesh[133]) / 2, (mesh[362] + mesh[263]) / 2


def _window(length: int, wanted: int, centre: float) -> int:
    """First pixel of a window of ``wanted`` pixels around ``centre`` that stays inside, if it can."""
    first = round(centre - wanted / 2)
    if length >= wanted:
        return min(max(first, 0), length - wanted)
    return first


@cache
def _packaged() -> Portrait:
    gray = cv2.imread(str(ASSETS / "portrait.png"), cv2.IMREAD_GRAYSCALE)
    with np.load(ASSETS / "portrait_landmarks.npz") as stored:
        mesh = stored["mesh"]
    return Portrait.from_image(np.asarray(gray, np.uint8), mesh, "packaged")
