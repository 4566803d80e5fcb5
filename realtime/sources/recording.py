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
from realtime.sources import _ffmpeg
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
        opened = _open(path)
        self._capture = opened
        fps = request.fps or _ffmpeg.plausible_fps(opened)
        if fps is None:
            stated = opened.get(cv2.CAP_PROP_FPS)
            self.close()
            raise SourceError(f"{path}: the file states no frame rate ({stated:g}); give --fps")
        colour, plane = _first_frame(opened)
        if colour is None:
            self.close()
            raise SourceError(f"{path}: not one frame can be decoded; the file is damaged or no video")
        self._table = _table_of(colour, plane)
        if self._table is None:
            opened.set(cv2.CAP_PROP_CONVERT_RGB, 1)
        self._pending = True  # the first frame is grabbed already
        height, width = colour.shape
        self._scratch = np.empty((height, width), np.uint8)
        self._period_ns = 1e9 / fps
        self.info = _info(path, request, opened, (width, height, fps), direct=self._table is not None)

    def read(self, out: Gray) -> Stamp | None:
        """Next frame into ``out`` (height, width) uint8; None at the end. MerealtimeError on a new size."""
        if not self._grab():
            return None
        with _ffmpeg.quiet():
            whole = self._retrieve(out)
        if not whole:
            raise MerealtimeError(
                f"{self._path}: frame {self._number} is of another size than the first; cut the file"
            )
        stamp = Stamp(self._number, round(self._number * self._period_ns))
        self._number += 1
        return stamp

    def skip(self, count: int) -> int:
        """Pass over ``count`` frames; returns how many there were."""
        for done in range(count):
            if not self._grab():
                return done
            self._number += 1
        return count

    def _grab(self) -> bool:
        if self._pending:
            self._pending = False
            return True
        with _ffmpeg.quiet():
            if self._capture.grab():
                return True
        stated = self.info.frame_count
        if stated and self._number < stated - max(2, stated // 100) and not self.notices:
            last = self._number - 1
            self.notices.append(("recording truncated", f"{self._path}: ends after frame {last} of {stated}"))
        return False

    def _retrieve(self, out: Gray) -> bool:
        table = self._table
        if table is None:
            whole, colour = self._capture.retrieve()
            if not whole or colour.shape[:2] != out.shape:
                return False
            to_gray(colour, out)
            return True
        target = out if table is _IDENTITY else self._scratch
        whole, plane = self._capture.retrieve(target)
        if not whole or plane.shape != out.shape:
            return False
        if table is not _IDENTITY:
            cv2.LUT(plane, table, dst=out)
        elif plane is not out and not np.shares_memory(plane, out):
            np.copyto(out, plane)
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


def _open(path: str) -> cv2.VideoCapture:
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path}: permission denied")
    capture = _ffmpeg.open_capture(path, [cv2.CAP_PROP_N_THREADS, 1])
    if (
        capture is not None
        and capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        > _SINGLE_THREAD_PIXELS
    ):
        capture.release()
        capture = _ffmpeg.open_capture(path, [])
    if capture is None:
        raise SourceError(
            f"{path}: no video that FFmpeg can open (damaged, truncated, or another kind of file)"
        )
    return capture


def _first_frame(capture: cv2.VideoCapture) -> tuple[Gray | None, Picture | None]:
    """The first frame by way of colour, as gray, and as the decoder's first plane (mode left set)."""
    with _ffmpeg.quiet():
        if not capture.grab():
            return None, None
        whole, colour = capture.retrieve()
        if not whole:
            return None, None
        gray = np.empty(colour.shape[:2], np.uint8)
        to_gray(colour, gray)
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        whole, plane = capture.retrieve()
    return gray, plane if whole else None


def _table_of(gray: Gray, plane: Picture | None) -> npt.NDArray[np.uint8] | None:
    """The table that makes the plane agree with the gray picture; None if neither does."""
    if plane is None or plane.shape != gray.shape or plane.dtype != np.uint8:
        return None
    off = {}
    for name, table in (("full", _IDENTITY), ("limited", _STRETCH)):
        off[name] = float(cv2.absdiff(cv2.LUT(plane, table), gray).mean())
    best = min(off, key=lambda name: off[name])
    if off[best] > _AGREES:
        return None
    return _IDENTITY if best == "full" else _STRETCH


def _info(
    path: str,
    request: SourceRequest,
    capture: cv2.VideoCapture,
    shape: tuple[int, int, float],
    *,
    direct: bool,
) -> SourceInfo:
    width, height, fps = shape
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    stated = _ffmpeg.plausible_fps(capture)
    codec = _ffmpeg.codec_name(capture)
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
