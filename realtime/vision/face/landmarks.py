"""Frame -> landmarks: MediaPipe Face Landmarker, its model carried by the package.

Consumes a gray frame, emits the 478-point mesh in frame pixels, of one face or of several. MediaPipe is imported when
the first ``FaceMesh`` is made, with TensorFlow kept out (it would cost 2 s and 460 MB, and is not used).
"""

from __future__ import annotations

import importlib
import sys
from importlib import resources
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.errors import InputError, UserError
from realtime.vision.face.mesh_points import looker
from realtime.vision.face.scheme68 import MESH_TO_68

MODEL = "face_landmarker.task"


def to_68(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(478, 2) mesh, px -> (68, 2) iBUG landmarks, px."""
    if mesh.ndim != 2 or mesh.shape[0] < 468 or mesh.shape[1] != 2:
        raise InputError(f"a face mesh has shape (478, 2), not {mesh.shape}: pass FaceMesh.detect()'s result")
    return mesh[list(MESH_TO_68)]


class FoundFace(Struct, frozen=True):
    """One face in one frame."""

    mesh: NDArray[np.float32]
    """(478, 2) px of the frame."""
    depth: NDArray[np.float32] | None = None
    """(478,) px of the frame, larger is further away."""


_Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 of a part of the picture, px."""
_LEAST_WINDOW_PX = 400
"""Side of the smallest window that is searched: the detector sees faces of an eighth of that and more."""
_RIM = 0.08
"""Share of a window's side; a face closer to its edge gets a new window around it."""
_FILLS = (0.18, 0.6, 0.33)
"""Share of its window's side that a face takes: least, most, and in a new window."""
_FILLS_OF_SEVERAL = (0.17, 1 - 2 * _RIM, 0.2)
"""The same for several: what the smallest takes at least, all together at most, and the smallest in a new window, which
is as large as the detector can do with."""
_FLAT = np.full((64, 64), 128, np.uint8)


class FaceMesh:
    """MediaPipe Face Landmarker in video mode, one face or several.

    In video mode the network looks where the face was; the detector runs only when it was lost. The detector
    overlooks a face narrower than an eighth of the picture (143 px in 1920), so where the whole picture shows
    none, square windows of it are searched: all of them once, then one a call. The face is followed in its window,
    and with it, of several, who else is in there: a small face further off is not looked for while another is seen.
    ``detect`` releases the GIL while the networks run, so that it may have a thread of its own.
    """

    def __init__(self, min_confidence: float = 0.5, faces: int = 1) -> None:
        """faces: the most that are found. Each costs a run of the landmark network; while fewer are in view, the
        detector runs too.
        """
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
                num_faces=faces,
                min_face_detection_confidence=min_confidence,
                min_face_presence_confidence=min_confidence,
                min_tracking_confidence=min_confidence,
            )
        )
        self._ask = looker(self._task)
        self._fills = _FILLS if faces == 1 else _FILLS_OF_SEVERAL
        self._t_ms = 0
        self.depth: NDArray[np.float32] | None = None
        """(478,) px of the face found last, larger is further away."""
        self._rgb: Any = None
        self._shape = (0, 0)
        self._window: _Window | None = None
        """Where the face was found; None: in the whole picture."""
        self._windows: list[_Window] = []
        self._next: int | None = None
        """The window to search next; None: none of them has been searched so far."""

    def detect(self, gray: NDArray[np.uint8], t_ns: int | None = None) -> NDArray[np.float32] | None:
        """Find the face. gray: (H, W) uint8. Returns (478, 2) float32, px, or None without a face.

        t_ns: as of ``detect_all``.
        """
        found = self.detect_all(gray, t_ns)
        if not found:
            return None
        self.depth = found[0].depth
        return found[0].mesh

    def detect_all(self, gray: NDArray[np.uint8], t_ns: int | None = None) -> list[FoundFace]:
        """Find every face, up to the most. gray: (H, W) uint8.

        t_ns: exposure; the networks' own smoothing follows a moving head only if it knows the time between
        frames. Without it each picture stands alone: a second after the last, which smooths nothing, and
        searched in all windows.
        """
        if gray.ndim != 2 or gray.dtype != np.uint8:
            raise InputError(f"a gray frame is (H, W) uint8, not {gray.shape} {gray.dtype}: convert it first")
        t_ms = self._t_ms + 1000 if t_ns is None else t_ns // 1_000_000
        if gray.shape != self._shape or t_ns is None:
            self._shape, self._window, self._next = gray.shape, None, None
            self._windows = search_windows(*gray.shape)
        found = self._look(gray, self._window, t_ms)
        if not found and self._window is not None:
            self._window = self._next = None
            found = self._look(gray, None, t_ms)
        if not found:
            found = self._search(gray, t_ms)
        if found and self._window is not None:
            self._keep_in_window([face.mesh for face in found], self._window)
        return found

    def warm_up(self, height: int, width: int) -> None:
        """Run the networks once on a flat picture; nothing of it is remembered."""
        self._look(np.full((height, width), 128, np.uint8), None, 0)

    def _look(self, gray: NDArray[np.uint8], window: _Window | None, t_ms: int) -> list[FoundFace]:
        """The faces in one window, px of the whole picture."""
        x0, y0, x1, y1 = window or (0, 0, gray.shape[1], gray.shape[0])
        self._rgb = cv2.cvtColor(gray[y0:y1, x0:x1], cv2.COLOR_GRAY2RGB, self._rgb)  # the network wants three channels
        self._t_ms = max(t_ms, self._t_ms + 1)  # it must rise
        image = self._image(image_format=self._format, data=self._rgb)
        side = x1 - x0
        return [
            FoundFace(
                (points[:, :2] * (side, y1 - y0) + (x0, y0)).astype(np.float32),
                (points[:, 2] * side).astype(np.float32),
            )
            for points in self._ask(image, self._t_ms)
        ]

    def _search(self, gray: NDArray[np.uint8], t_ms: int) -> list[FoundFace]:
        """Look through the windows: each of them the first time, later one a call, which costs less."""
        first, count = (0, len(self._windows)) if self._next is None else (self._next, min(1, len(self._windows)))
        for k in range(first, first + count):
            found = self._look(gray, self._windows[k], t_ms)
            if found:
                self._window, self._next = self._windows[k], None
                return found
        self._next = (first + count) % max(1, len(self._windows))
        return []

    def _keep_in_window(self, meshes: list[NDArray[np.float32]], window: _Window) -> None:
        """Another window for the next frame, where a face nears this one's edge or they are large or small in it."""
        height, width = self._shape
        least, most, new = self._fills
        if len(meshes) > 1 and _extent(np.concatenate(meshes)) > most * min(height, width):
            meshes = [max(meshes, key=_extent)]  # no window holds them all
        points, smallest = np.concatenate(meshes), min(map(_extent, meshes))
        low, high, extent = points.min(0), points.max(0), _extent(points)
        x0, y0, x1, y1 = window
        rim = _RIM * (x1 - x0)
        away = (x0 == 0 or low[0] > x0 + rim) and (x1 == width or high[0] < x1 - rim)
        away = away and (y0 == 0 or low[1] > y0 + rim) and (y1 == height or high[1] < y1 - rim)
        if away and smallest / (x1 - x0) >= least and extent / (x1 - x0) <= most:
            return
        side = min(round(max(smallest / new, extent / most)), height, width)
        x0, y0 = (
            int(np.clip((a + b - side) / 2, 0, end - side))
            for a, b, end in zip(low, high, (width, height), strict=True)
        )
        self._window = None if extent > most * side else (x0, y0, x0 + side, y0 + side)
        if self._window != window:
            self._look(_FLAT, None, self._t_ms)  # the tracker knows the face's place in the old window: let it forget

    def close(self) -> None:
        """Free the networks."""
        self._task.close()


def _extent(points: NDArray[np.float32]) -> float:
    """Width or height of (n, 2) points, whichever is larger, px."""
    return float(np.ptp(points, axis=0).max())


def search_windows(height: int, width: int) -> list[_Window]:
    """Overlapping squares to look for small faces in: as high as the picture, then half as high, the middle first."""
    windows: list[_Window] = []
    for side in (min(height, width), min(height, width) // 2):
        if side < _LEAST_WINDOW_PX or side == height == width:
            continue
        rows, columns = (np.linspace(0, end - side, 1 - 2 * (side - end) // side, dtype=int) for end in (height, width))
        squares = [(int(x), int(y), int(x) + side, int(y) + side) for y in rows for x in columns]
        windows += sorted(squares, key=lambda w: abs(w[0] + w[2] - width) + abs(w[1] + w[3] - height))
    return windows


def keep_tensorflow_out() -> None:
    """MediaPipe imports TensorFlow when it is installed; a None entry makes that import fail at once."""
    if "mediapipe" not in sys.modules and "tensorflow" not in sys.modules:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("mediapipe.tasks.python.vision")
        finally:
            del sys.modules["tensorflow"]
