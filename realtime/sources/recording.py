"""A video file, decoded to gray by OpenCV's FFmpeg as fast as it goes.

Planar formats carry the luma as a plane of its own, which is taken without a trip through colour.
Limited-range luma (16–235) is stretched by a table to what BGR→gray gives. Which of the routes is true to
a file is not guessed from its tags: the first frame is decoded by colour as well, and the plane is used
only if it agrees.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import MerealtimeError, SourceError
from realtime.sources import ffmpeg
from realtime.types import SourceInfo, SourceRequest, Stamp

if TYPE_CHECKING:
    from realtime.sources import Source

Gray = npt.NDArray[np.uint8]
Picture = npt.NDArray[Any]

_AGREES = 2.0  # mean grey levels: rounding stays below 1, a wrong range or a wrong plane is far above
_SINGLE_THREAD_PIXELS = 500_000  # below this a decoder thread costs more than it gives
_IDENTITY = np.arange(256, dtype=np.uint8)
_STRETCH = np.clip(np.rint((np.arange(256.0) - 16) * 255 / 219), 0, 255).astype(np.uint8)


class VideoFileSource:
    """A `Recording`: pictures of a file in order, numbered from 0, at the times that the container states.

    Where these are those of a constant rate, time is number / fps, exactly. ``--fps`` overrides them.
    ``notices`` tells of a file that ends too early.
    """

    def __init__(self, path: str, request: SourceRequest) -> None:
        self.notices: list[tuple[str, str]] = []
        self.passed = 0
        """Pictures gone to so far."""
        self._path = path
        route = _choose_route(path)
        self._capture, self._table = route.capture, route.table
        self._first: Picture | None = route.picture
        self._first_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        variable = ffmpeg.is_variable(route.times_ms, route.stated)
        fps = request.fps or (ffmpeg.rate_of(route.times_ms) if variable else route.stated)
        if fps is None:
            said = self._capture.get(cv2.CAP_PROP_FPS)
            self._capture.release()
            raise SourceError(f"{path}: the file states no frame rate ({said:g}); give --fps")
        height, width = self._shape = route.shape
        self._scratch = np.empty(self._shape, np.uint8)
        self._clock = ContainerClock(fps, restated=request.fps is not None)
        self._stated_fps = route.stated or fps
        self.info = _info(path, request, route, (width, height, fps), variable)

    def advance(self) -> Stamp | None:
        """Go to the next frame, without making its picture; None at the end."""
        if self.passed == 0:
            t_ns = self._clock.time_ns(0, 0.0)  # decoded when the file was opened
        elif not self._grab():
            return None
        else:
            self._first = None
            t_ns = self._clock.time_ns(self.passed, self._capture.get(cv2.CAP_PROP_POS_MSEC) - self._first_ms)
        self.passed += 1
        return Stamp(self.passed - 1, t_ns)

    def picture(self, out: Gray) -> bool:
        """Make the frame's picture in ``out`` (height, width) uint8. MerealtimeError on a new size."""
        if not self._retrieve(out):
            where = f"{self._path}: frame {self.passed - 1}"
            raise MerealtimeError(f"{where} is of another size than the first; cut the file there")
        return True

    def read(self, out: Gray) -> Stamp | None:
        """Next frame into ``out`` (height, width) uint8; None at the end."""
        stamp = self.advance()
        return stamp if stamp is not None and self.picture(out) else None

    def _grab(self) -> bool:
        with ffmpeg.quiet():
            if self._capture.grab():
                return True
        stated = self.info.frame_count  # the container's duration times its rate, so with variable times look at those
        reached = max(self.passed, round(self._clock.stamp_ms * self._stated_fps / 1e3) + 1)
        if stated and reached < stated - max(2, stated // 100) and not self.notices:
            last = self.passed - 1
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


class ContainerClock:
    """Times of a file's frames: number / fps as long as the container agrees, else what it states."""

    def __init__(self, fps: float, *, restated: bool) -> None:
        self._period_ns = 1e9 / fps
        self._restated = restated  # --fps: the container's times are wrong
        self._constant = True
        self.stamp_ms = -1.0
        """The container's last time stamp."""
        self._last_ns = -1

    def time_ns(self, number: int, stamp_ms: float) -> int:
        """Time of a frame, which rises; ``stamp_ms``: the container's, from the first frame."""
        even_ns = round(number * self._period_ns)
        stamped = stamp_ms > self.stamp_ms  # else it states none
        if stamped:
            self.stamp_ms = stamp_ms
            if abs(stamp_ms * 1e6 - even_ns) > ffmpeg.ROUNDING_MS * 1e6:
                self._constant = False
        if self._restated or self._constant:
            t_ns = even_ns
        else:
            t_ns = round(stamp_ms * 1e6) if stamped else round(self._last_ns + self._period_ns)
        self._last_ns = max(t_ns, self._last_ns + 1)
        return self._last_ns


def open_recording(spec: str, request: SourceRequest) -> Source:
    """A video file, a folder of images, or a folder that ``--record`` has made; paced with ``--live``."""
    from realtime.session.read import table_beside
    from realtime.sources.images import ImageFolderSource
    from realtime.sources.pacing import PacedSource, Recording
    from realtime.sources.session import SessionSource

    recording: Recording
    recorded = os.path.join(spec, "frames.mkv")
    if os.path.isfile(recorded):
        recording = SessionSource(spec, recorded, request)
    elif clips := sorted(glob.glob(os.path.join(glob.escape(spec), "clips", "*.mkv"))):
        raise SourceError(f"{spec}: this session kept no frames but those of its clips; open one, as {clips[0]}")
    elif os.path.isdir(spec):
        recording = ImageFolderSource(spec, request)
    elif os.path.isfile(spec) and table_beside(spec):
        recording = SessionSource(spec, spec, request)
    elif os.path.isfile(spec):
        recording = VideoFileSource(spec, request)
    else:
        from realtime.sources.v4l2.modes import cameras_here

        raise SourceError(f"no such file or camera: {spec}; {cameras_here()}")
    return PacedSource(recording) if request.live else recording


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


@dataclass(frozen=True, slots=True)
class _Route:
    """How a file is decoded, and what was learnt when it was opened."""

    capture: cv2.VideoCapture
    table: npt.NDArray[np.uint8] | None
    """None: by way of colour."""
    picture: Picture
    """The first frame."""
    shape: tuple[int, int]
    """(height, width)"""
    stated: float | None
    """Frames a second as the container states them, where that can be."""
    times_ms: list[float]
    """When the first frames are shown."""


def _choose_route(path: str) -> _Route:
    colour = _open(path, plane=False)
    gray = _first_gray(colour)
    if gray is None:
        colour.release()
        raise SourceError(f"{path}: not one frame can be decoded; the file is damaged or no video")
    direct = _open(path, plane=True)  # a second one: switching an open one spoils its current frame
    with ffmpeg.quiet():
        whole, plane = direct.read()
    table = _table_of(gray, plane) if whole else None
    used, other, picture = (colour, direct, gray) if table is None else (direct, colour, plane)
    stated = ffmpeg.plausible_fps(used)
    times_ms = ffmpeg.first_times_ms(other, stated)  # on the one that isn't needed any more
    other.release()
    return _Route(used, table, picture, (gray.shape[0], gray.shape[1]), stated, times_ms)


def _first_gray(capture: cv2.VideoCapture) -> Gray | None:
    with ffmpeg.quiet():
        whole, colour = capture.read()
    if not whole:
        return None
    gray = np.empty(colour.shape[:2], np.uint8)
    to_gray(colour, gray)
    return gray


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
    path: str, request: SourceRequest, route: _Route, shape: tuple[int, int, float], variable: bool
) -> SourceInfo:
    width, height, fps = shape
    count = int(route.capture.get(cv2.CAP_PROP_FRAME_COUNT))
    codec = ffmpeg.codec_name(route.capture)
    way = "by way of colour" if route.table is None else "luma plane"
    detail = f"{codec} {width}x{height}, {way}, {fps:.6g} fps"
    if request.fps and route.stated and abs(route.stated - request.fps) > 0.01 * route.stated:
        detail += f" as given (the file says {route.stated:g})"
    elif variable and not request.fps:
        detail += ", variable: at the file's time stamps"
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
