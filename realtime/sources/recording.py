"""A video file, decoded to gray by OpenCV's FFmpeg as fast as it goes.

Planar formats carry the luma as a plane of its own, which is taken without a trip through colour.
Limited-range luma (16–235) is stretched by a table to what BGR→gray gives. Which of the routes is true to
a file is not guessed from its tags: the first frame is decoded by colour as well, and the plane is used
only if it agrees.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import MerealtimeError, SourceError
from realtime.sources import ffmpeg
from realtime.types import SourceInfo, SourceRequest, Stamp

Gray = npt.NDArray[np.uint8]
Picture = npt.NDArray[Any]

_AGREES = 2.0  # mean grey levels: rounding stays below 1, a wrong range or a wrong plane is far above
_SINGLE_THREAD_PIXELS = 500_000  # below this a decoder thread costs more than it gives
_IDENTITY = np.arange(256, dtype=np.uint8)
_STRETCH = np.clip(np.rint((np.arange(256.0) - 16) * 255 / 219), 0, 255).astype(np.uint8)


class VideoFileSource:
    """Frames of a file in order; time is number / fps. ``notices`` tells of a file that ends too early."""

    def __init__(self, path: str, request: SourceRequest) -> None:
        self.notices: list[tuple[str, str]] = []
        self._path = path
        self._number = 0
        colour = _open(path, plane=False)
        fps = request.fps or ffmpeg.plausible_fps(colour)
        stated = colour.get(cv2.CAP_PROP_FPS)
        gray = _first_gray(colour)
        if gray is None or fps is None:
            colour.release()
            if gray is None:
                raise SourceError(f"{path}: not one frame can be decoded; the file is damaged or no video")
            raise SourceError(f"{path}: the file states no frame rate ({stated:g}); give --fps")
        self._first: Picture | None
        self._capture, self._table, self._first = _choose_route(path, colour, gray)
        height, width = gray.shape
        self._scratch = np.empty((height, width), np.uint8)
        self._period_ns = 1e9 / fps
        self.info = _info(path, request, self._capture, (width, height, fps), self._table is not None)

    def read(self, out: Gray) -> Stamp | None:
        """Next frame into ``out`` (height, width) uint8; None at the end. MerealtimeError on a new size."""
        if not self._grab():
            return None
        if not self._retrieve(out):
            where = f"{self._path}: frame {self._number}"
            raise MerealtimeError(f"{where} is of another size than the first; cut the file there")
        stamp = Stamp(self._number, round(self._number * self._period_ns))
        self._number += 1
        return stamp

    def skip(self, count: int) -> int:
        """Pass over ``count`` frames; returns how many there were."""
        for done in range(count):
            if not self._grab():
                return done
            self._first = None
            self._number += 1
        return count

    def _grab(self) -> bool:
        if self._first is not None:
            return True  # decoded when the file was opened
        with ffmpeg.quiet():
            if self._capture.grab():
                return True
        stated = self.info.frame_count
        if stated and self._number < stated - max(2, stated // 100) and not self.notices:
            last = self._number - 1
            self.notices.append(("recording truncated", f"{self._path}: ends after frame {last} of {stated}"))
        return False

    def _retrieve(self, out: Gray) -> bool:
        picture: Picture | None
        picture, self._first = self._first, None
        if picture is None:
            with ffmpeg.quiet():
                if self._table is None:
                    whole, picture = self._capture.retrieve()
                else:
                    target = out if self._table is _IDENTITY else self._scratch
                    whole, picture = self._capture.retrieve(target)
            if not whole:
                return False
        if picture is None or picture.shape[:2] != out.shape:
            return False
        if picture is out or np.shares_memory(picture, out):
            return True
        if self._table is None or self._table is _IDENTITY:
            to_gray(picture, out)
        else:
            cv2.LUT(picture, self._table, dst=out)
        return True

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


def to_gray(picture: Picture, out: Gray) -> None:
    """(height, width[, 1, 3 or 4]) uint8, BGR order, to gray in ``out``."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        np.copyto(out, picture.reshape(out.shape))
    else:
        code = cv2.COLOR_BGR2GRAY if picture.shape[2] == 3 else cv2.COLOR_BGRA2GRAY
        cv2.cvtColor(picture, code, dst=out)


def _open(path: str, *, plane: bool) -> cv2.VideoCapture:
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path}: permission denied")
    convert = [cv2.CAP_PROP_CONVERT_RGB, 0 if plane else 1]
    capture = ffmpeg.open_capture(path, [cv2.CAP_PROP_N_THREADS, 1])
    if capture is not None:
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels > _SINGLE_THREAD_PIXELS:
            capture.release()
            capture = ffmpeg.open_capture(path, [])
    if capture is None:
        raise SourceError(f"{path}: no video that FFmpeg can open (damaged, truncated, or another kind of file)")
    capture.set(*convert)
    return capture


def _first_gray(capture: cv2.VideoCapture) -> Gray | None:
    with ffmpeg.quiet():
        whole, colour = capture.read()
    if not whole:
        return None
    gray = np.empty(colour.shape[:2], np.uint8)
    to_gray(colour, gray)
    return gray


def _choose_route(
    path: str, colour: cv2.VideoCapture, gray: Gray
) -> tuple[cv2.VideoCapture, npt.NDArray[np.uint8] | None, Picture]:
    """The capture to go on with, its table (None: by way of colour), and the first frame from it."""
    direct = _open(path, plane=True)  # a second one: switching an open one spoils its current frame
    with ffmpeg.quiet():
        whole, plane = direct.read()
    table = _table_of(gray, plane) if whole else None
    if table is None:
        direct.release()
        return colour, None, gray
    colour.release()
    return direct, table, plane


def _table_of(gray: Gray, plane: Picture) -> npt.NDArray[np.uint8] | None:
    """The table that makes the plane agree with the gray picture; None if neither does."""
    if plane.shape != gray.shape or plane.dtype != np.uint8:
        return None
    off = {}
    for name, table in (("full", _IDENTITY), ("limited", _STRETCH)):
        off[name] = float(cv2.absdiff(cv2.LUT(plane, table), gray).mean())
    best = min(off, key=lambda name: off[name])
    if off[best] > _AGREES:
        return None
    return _IDENTITY if best == "full" else _STRETCH


def _info(
    path: str, request: SourceRequest, capture: cv2.VideoCapture, shape: tuple[int, int, float], direct: bool
) -> SourceInfo:
    width, height, fps = shape
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    stated = ffmpeg.plausible_fps(capture)
    codec = ffmpeg.codec_name(capture)
    detail = f"{codec} {width}x{height}, {'luma plane' if direct else 'by way of colour'}, {fps:g} fps"
    if request.fps and stated and abs(stated - request.fps) > 0.01 * stated:
        detail += f" as given (the file says {stated:g})"
    return SourceInfo(
        source=path,
        kind="recording",
        width=width,
        height=height,
        fps=fps,
        fps_requested=request.fps,
        pixel_format=codec,
        live=False,
        frame_count=count if count > 0 else None,
        detail=detail,
    )
