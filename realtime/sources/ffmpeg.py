"""OpenCV's FFmpeg reader without its chatter: errors of ours are one line, so theirs must not add to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import cv2

MIN_FPS, MAX_FPS = 1.0, 5000.0
"""A container's rate outside of this is a time base or a guess, no frame rate."""

_SILENT, _ERROR = 0, 2


@contextlib.contextmanager
def quiet(level: int = _SILENT) -> Iterator[None]:
    """Keep OpenCV's log below ``level`` inside (0 silent, 2 errors); FFmpeg's own is off for the process."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    before = cv2.utils.logging.setLogLevel(level)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def open_capture(name: str, parameters: list[int]) -> cv2.VideoCapture | None:
    """Open a file or an address; None if FFmpeg finds no video there."""
    with quiet():
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, parameters)
        if capture.isOpened():
            return capture
        capture.release()
    return None


def plausible_fps(capture: cv2.VideoCapture) -> float | None:
    """Frames per second as the container says, or None where it says none that can be."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if MIN_FPS <= fps <= MAX_FPS else None


def codec_name(capture: cv2.VideoCapture) -> str:
    """The codec's four letters, or ``raw``."""
    number = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr(byte) for byte in number.to_bytes(4, "little") if 32 < byte < 127)
    return letters or "raw"
