"""MediaPipe's landmarks as arrays, read where its library has put them.

Its Python package makes an object of each of the 478 points, which takes a millisecond with the interpreter's lock
held: meanwhile no frame is followed. A package that is built otherwise than the one we know is asked by its public way.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(478, 3): x and y as shares of the picture's width and height, z of its width."""
Look = Callable[[Any, int], list[Points]]
"""(MediaPipe image, ms) -> the points of each face."""


def looker(task: Any) -> Look:
    """What asks ``task``, a face landmarker in video mode."""
    try:
        return _in_place(task)
    except (AttributeError, ImportError):
        return _by_objects(task)


def _by_objects(task: Any) -> Look:
    def look(image: Any, t_ms: int) -> list[Points]:
        faces = task.detect_for_video(image, t_ms).face_landmarks
        return [np.array([(p.x, p.y, p.z) for p in points]) for points in faces]

    return look


def _in_place(task: Any) -> Look:
    """AttributeError or ImportError where MediaPipe is built otherwise."""
    package: Any = importlib.import_module("mediapipe.tasks.python.vision.face_landmarker")
    result_type, structs = package.MpFaceLandmarkerResultC, package.landmark_c_lib
    point, points = structs.MpNormalizedLandmarkC, structs.MpNormalizedLandmarksC
    handle, ask, close = task._handle, task._lib.MpFaceLandmarkerDetectForVideo, task._lib.MpFaceLandmarkerCloseResult
    size = ctypes.sizeof(point)
    known = _has(result_type, "face_landmarks") and _has(points, "landmarks")
    if not known or (point.x.offset, point.y.offset, point.z.offset, point.x.size) != (0, 4, 8, 4):
        raise AttributeError("other structures")

    def look(image: Any, t_ms: int) -> list[Points]:
        result = result_type()
        ask(handle, image._image_ptr, None, t_ms, ctypes.byref(result))
        try:
            faces = result.face_landmarks[: result.face_landmarks_count]
            return [_read(face.landmarks, face.landmarks_count, size) for face in faces]
        finally:
            close(ctypes.byref(result))

    return look


def _has(struct: Any, name: str) -> bool:
    """Whether a structure of MediaPipe's has such a pointer, and next to it how many there are."""
    return {name, f"{name}_count"} <= {field[0] for field in struct._fields_}


def _read(first: Any, count: int, size: int) -> Points:
    """A copy of what lies in the library's memory. first: pointer to the first point; size: of one, bytes."""
    memory = (ctypes.c_char * (count * size)).from_address(ctypes.addressof(first.contents))
    return np.ndarray((count, 3), np.float32, memoryview(memory), strides=(size, 4)).astype(np.float64)
