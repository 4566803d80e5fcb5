"""OpenCV's FFmpeg reader without its chatter: errors of ours are one line, so theirs must not add to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
from collections.abc import Iterator

import cv2

from realtime.types import MAX_FPS

MIN_FPS = 1.0
"""A container's rate below this, or above ``MAX_FPS``, is a time base or a guess, no frame rate."""

ROUNDING_MS = 1.0
"""A time stamp this near that of a constant rate is the constant rate's, rounded to the container's time base."""

_SILENT, _ERROR = 0, 2
_LOOK, _MEASURE = 8, 64  # frames: to see whether times are even, and to measure the rate where they aren't


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


def first_times_ms(capture: cv2.VideoCapture, fps: float | None) -> list[float]:
    """Time stamps of the first frames of a capture whose frame 0 was read; a few where they are even at ``fps``."""
    first_ms = float(capture.get(cv2.CAP_PROP_POS_MSEC))
    times = [0.0]
    with quiet():
        while len(times) < (_MEASURE if is_variable(times, fps) else _LOOK) and capture.grab():
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)) - first_ms)
    return times


def is_variable(times_ms: list[float], fps: float | None) -> bool:
    """Whether times that rise are not those of the constant rate ``fps``."""
    rising = all(later > earlier for earlier, later in itertools.pairwise(times_ms))
    return rising and (fps is None or any(abs(t - 1000 * n / fps) > ROUNDING_MS for n, t in enumerate(times_ms)))


def rate_of(times_ms: list[float]) -> float | None:
    """Frames a second by the median step, or None where that can't be."""
    if len(times_ms) < 2:
        return None
    fps = 1000 / statistics.median(later - earlier for earlier, later in itertools.pairwise(times_ms))
    return fps if MIN_FPS <= fps <= MAX_FPS else None


def codec_name(capture: cv2.VideoCapture) -> str:
    """The codec's four letters, or ``raw``."""
    number = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr(byte) for byte in number.to_bytes(4, "little") if 32 < byte < 127)
    return letters or "raw"
