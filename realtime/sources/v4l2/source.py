"""A V4L2 camera, spoken to directly: every buffer's flags, length, sequence and time stamp are looked at.

Order of set-up: pixel format and size, then rate, then buffers; what the driver granted is read back. A
buffer that is flagged, short or not decodable is skipped, so that the frame numbers show a hole: exactly
one number a lost frame.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import mmap
import os
import select
import time
from collections import deque
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError, SourceLostError
from realtime.sources.v4l2 import abi
from realtime.sources.v4l2.clock import CameraClock
from realtime.sources.v4l2.jpeg import Ahead, Helpers, decode_jpeg
from realtime.sources.v4l2.modes import (
    Camera,
    Mode,
    cameras_here,
    choose,
    enumerate_modes,
    identify,
    list_cameras,
    not_granted,
)
from realtime.types import SourceInfo, SourceRequest, Stamp

__all__ = ["Camera", "Mode", "V4l2Source", "list_cameras"]

Gray = npt.NDArray[np.uint8]

_BUFFERS = 32
"""Asked for; a driver grants what it can. At 200 fps they bridge 160 ms in which we are not scheduled."""
_SILENCE_S, _SILENCE_PERIODS = 2.0, 20
_GONE = (errno.ENODEV, errno.ENXIO, errno.EBADF, errno.EPIPE, errno.EINVAL)


class _Taken(NamedTuple):
    """A buffer that is ours until it is queued again."""

    buffer: abi.Buffer
    arrival_ns: int
    ahead: Ahead | None = None
    """Its picture, if that was begun in another thread."""


class V4l2Source:
    """One streaming camera. ``notices`` holds (what, detail) pairs; the reader takes them out."""

    def __init__(self, path: str, request: SourceRequest, *, spec: str | None = None) -> None:
        self.notices: list[tuple[str, str]] = []
        self._path = path
        self._clock_unknown = False
        self._buffers: list[mmap.mmap] = []
        self._waiting: deque[_Taken] = deque()
        """Taken from the driver already, the oldest first: their pictures are being decoded."""
        self._helpers: Helpers | None = None
        self.decoded_ahead = 0
        """Pictures that other threads have decoded, because one had fallen behind."""
        self._fd = _open(path)
        try:
            self.info = self._set_up(spec or path, request)
            self._silence_s = max(_SILENCE_S, _SILENCE_PERIODS / self.info.fps)
            self.info = msgspec.structs.replace(self.info, silence_s=self._silence_s)
            self._clock = CameraClock(round(1e9 / self.info.fps), self.notices)
            self._start()
        except BaseException:
            self.close()
            raise

    def _set_up(self, spec: str, request: SourceRequest) -> SourceInfo:
        card, driver = identify(self._fd)
        modes = list(enumerate_modes(self._fd))
        mode = choose(modes, request, self._path)
        pix = _set_format(self._fd, mode, request.size, self._path)
        granted = abi.fourcc_name(pix.pixelformat)
        wrong_size = request.size is not None and (pix.width, pix.height) != request.size
        if granted != mode.pixel_format or wrong_size:
            raise not_granted(self._path, request, modes)
        self._format, self._line = granted, pix.bytesperline
        if granted == "MJPG":
            self._helpers = Helpers(pix.height, pix.width)
        self._set_constant_rate()
        asked = request.fps or (mode.rates[0] if mode.rates else None)
        fps = _set_rate(self._fd, asked)
        detail = f"{card} ({driver}): {granted} {pix.width}x{pix.height}"
        detail += f" at {fps:g} fps" if fps else ", the driver does not tell its rate"
        if request.fps and fps and not math.isclose(fps, request.fps, rel_tol=0.01):
            detail += f", asked for {request.fps:g}"
        return SourceInfo(
            source=spec,
            kind="camera",
            width=pix.width,
            height=pix.height,
            fps=fps or asked or 30.0,
            fps_requested=request.fps,
            pixel_format=granted,
            live=True,
            detail=detail,
        )

    def _set_constant_rate(self) -> None:
        """Ask a UVC camera not to lengthen its exposure, and halve its rate, in dim light."""
        with contextlib.suppress(OSError):
            abi.call(self._fd, abi.S_CTRL, abi.Control(abi.CID_EXPOSURE_AUTO_PRIORITY, 0))

    def _start(self) -> None:
        wanted = abi.RequestBuffers(count=_BUFFERS, type=abi.CAPTURE, memory=abi.MEMORY_MMAP)
        try:
            abi.call(self._fd, abi.REQBUFS, wanted)
            for index in range(wanted.count):
                buffer = self._buffer(index)
                abi.call(self._fd, abi.QUERYBUF, buffer)
                self._buffers.append(mmap.mmap(self._fd, buffer.length, mmap.MAP_SHARED, offset=buffer.offset))
                abi.call(self._fd, abi.QBUF, buffer)
            abi.call(self._fd, abi.STREAMON, ctypes.c_int32(abi.CAPTURE))
        except OSError as error:
            why = "in use by another program" if error.errno == errno.EBUSY else error.strerror
            raise SourceError(f"{self._path}: cannot start streaming: {why}") from None
        self._views = [np.frombuffer(memory, np.uint8) for memory in self._buffers]
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def _buffer(self, index: int = 0) -> abi.Buffer:
        return abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MEMORY_MMAP)

    def read(self, out: Gray) -> Stamp:
        """Wait for the next good buffer and put its luma into ``out`` (height, width) uint8, C-contiguous.

        Raises SourceLostError if the camera is unplugged, or silent for two seconds.
        """
        deadline = time.monotonic() + self._silence_s
        while True:
            taken = self._take(deadline)
            buffer, arrival_ns = taken.buffer, taken.arrival_ns
            try:
                good = self._finish(taken, out) and not buffer.flags & abi.FLAG_ERROR
                if good:
                    return self._clock.stamp(buffer.sequence, self._driver_time(buffer, arrival_ns), arrival_ns)
            finally:
                self._queue(buffer.index)
            if time.monotonic() > deadline:
                raise SourceLostError(f"{self._path}: only broken buffers for {self._silence_s:.0f} s")

    def _take(self, deadline: float) -> _Taken:
        """The oldest buffer; the helpers have those behind it."""
        taken = self._waiting.popleft() if self._waiting else _Taken(self._dequeue(deadline), time.monotonic_ns())
        while self._helpers is not None and self._helpers.have_room:
            buffer = self._buffer()
            try:
                abi.call(self._fd, abi.DQBUF, buffer)
            except OSError:  # none is there; or something is wrong, which the next one who needs a buffer is told
                break
            self._waiting.append(_Taken(buffer, time.monotonic_ns(), self._helpers.start(self._data(buffer))))
        return taken

    def _finish(self, taken: _Taken, out: Gray) -> bool:
        """Its picture into ``out``; False if it is broken."""
        if taken.ahead is None:
            return not taken.buffer.flags & abi.FLAG_ERROR and self._decode(taken.buffer, out)
        assert self._helpers is not None
        self.decoded_ahead += 1
        return self._helpers.finish(taken.ahead, out)

    def _dequeue(self, deadline: float) -> abi.Buffer:
        buffer = self._buffer()
        while True:
            try:
                abi.call(self._fd, abi.DQBUF, buffer)
                return buffer
            except OSError as error:
                if error.errno in _GONE:
                    raise SourceLostError(f"{self._path}: camera gone ({error.strerror})") from None
                if error.errno not in (errno.EAGAIN, errno.EIO):
                    raise SourceLostError(f"{self._path}: {error.strerror}") from None
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0:
                raise SourceLostError(f"{self._path}: no frame for {self._silence_s:.1f} s")
            events = self._poll.poll(left_ms)
            if events and not events[0][1] & select.POLLIN:
                raise SourceLostError(f"{self._path}: camera gone (hung up)")

    def _queue(self, index: int) -> None:
        try:
            abi.call(self._fd, abi.QBUF, self._buffer(index))
        except OSError as error:
            raise SourceLostError(f"{self._path}: camera gone ({error.strerror})") from None

    def _driver_time(self, buffer: abi.Buffer, arrival_ns: int) -> int:
        if buffer.flags & abi.FLAG_TIMESTAMP_MASK == abi.FLAG_TIMESTAMP_MONOTONIC:
            return int(buffer.seconds) * 1_000_000_000 + int(buffer.microseconds) * 1000
        if not self._clock_unknown:
            self._clock_unknown = True
            detail = "the driver's time stamps are of no known clock: the time of reading is used"
            self.notices.append(("camera time", detail))
        return arrival_ns

    def _decode(self, buffer: abi.Buffer, out: Gray) -> bool:
        if self._format == "MJPG":
            return decode_jpeg(self._data(buffer), out)
        return copy_luma(self._data(buffer), out, self._line, step=2 if self._format == "YUYV" else 1)

    def _data(self, buffer: abi.Buffer) -> Gray:
        filled: Gray = self._views[buffer.index][: buffer.bytesused]
        return filled

    def close(self) -> None:
        """Stop and let go, whatever state the camera is in."""
        if self._fd < 0:
            return
        if self._helpers is not None:
            self._helpers.close()
        self._waiting.clear()
        with contextlib.suppress(OSError):
            abi.call(self._fd, abi.STREAMOFF, ctypes.c_int32(abi.CAPTURE))
        self._views = []
        for memory in self._buffers:
            with contextlib.suppress(BufferError):
                memory.close()
        self._buffers = []
        with contextlib.suppress(OSError):
            abi.call(self._fd, abi.REQBUFS, abi.RequestBuffers(type=abi.CAPTURE, memory=abi.MEMORY_MMAP))
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = -1


def open_camera(spec: str, request: SourceRequest) -> V4l2Source:
    """A camera by its number or its path."""
    path = spec if spec.startswith("/") else f"/dev/video{int(spec)}"
    return V4l2Source(path, request, spec=spec)


def copy_luma(data: npt.NDArray[np.uint8], out: Gray, line: int, step: int) -> bool:
    """Copy every ``step``-th byte of rows of ``line`` bytes into ``out`` (height, width); False if short."""
    height, width = out.shape
    line = max(line, width * step)
    if len(data) < line * (height - 1) + width * step:
        return False
    if len(data) < line * height:  # the last row may come without its padding
        data = np.concatenate([data, np.zeros(line * height - len(data), np.uint8)])
    rows = data[: line * height].reshape(height, line)[:, : width * step]
    if step == 1:
        np.copyto(out, rows)
    else:
        cv2.extractChannel(rows.reshape(height, width, step), 0, dst=out)
    return True


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceError(f"no camera {path}; {cameras_here()}") from None
    except PermissionError:
        raise SourceError(f"{path}: permission denied; add yourself to the group 'video'") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; {cameras_here()}") from None


def _set_format(fd: int, mode: Mode, size: tuple[int, int] | None, path: str) -> abi.PixFormat:
    width, height = (mode.width, mode.height) if mode.width else (size or (640, 480))
    wanted = abi.Format(type=abi.CAPTURE)
    wanted.fmt.pix = abi.PixFormat(width=width, height=height, pixelformat=abi.fourcc(mode.pixel_format))
    try:
        abi.call(fd, abi.S_FMT, wanted)
    except OSError as error:
        why = "in use by another program" if error.errno == errno.EBUSY else error.strerror
        raise SourceError(f"{path}: {mode} refused: {why}") from None
    granted: abi.PixFormat = wanted.fmt.pix
    return granted


def _set_rate(fd: int, fps: float | None) -> float | None:
    """Ask for a rate (after the format, which resets it); read back the granted one, if the driver tells."""
    parm = abi.StreamParm(type=abi.CAPTURE)
    if fps:
        parm.parm.capture = abi.CaptureParm(numerator=1000, denominator=round(fps * 1000))
        with contextlib.suppress(OSError):
            abi.call(fd, abi.S_PARM, parm)
    try:
        abi.call(fd, abi.G_PARM, parm)
    except OSError:
        return None
    granted = parm.parm.capture
    return granted.denominator / granted.numerator if granted.numerator and granted.denominator else None
