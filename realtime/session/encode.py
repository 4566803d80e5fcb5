"""Frames as a recording keeps them: gray bytes as they are, or compressed without loss by FFmpeg's FFV1.

OpenCV gives no access to an encoder, only to files; so FFV1 goes through a pipe that has a file's name, and the frames
are taken out of the Matroska stream that comes. What is on disk is written by `MatroskaFile` alone, checked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import deque
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from realtime.session import matroska

Gray = npt.NDArray[np.uint8]
_CLUSTER, _TRACKS, _BLOCK = b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\xa3"
_INTO = (b"\x18\x53\x80\x67", _CLUSTER)  # elements that are entered, not passed over
_START_S = 10.0


class Encoder(Protocol):
    """Frames in, in order; what is kept of them out, in the same order, maybe later."""

    tracks: bytes
    """How a file describes them."""

    def encode(self, gray: Gray) -> list[tuple[matroska.Buffer, bool]]:
        """Encoded frames that are complete by now, each with whether it can be decoded by itself."""

    def flush(self) -> list[tuple[matroska.Buffer, bool]]:
        """What is left; the encoder is used up."""


class RawEncoder:
    """Gray bytes as they are: a view of the frame, to be written before it changes."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        colour = matroska.element(b"\x2e\xb5\x24", b"Y800")
        self.tracks = matroska.track("V_UNCOMPRESSED", fps, width, height, colour)

    def encode(self, gray: Gray) -> list[tuple[matroska.Buffer, bool]]:
        return [(np.ascontiguousarray(gray).data.cast("B"), True)]

    def flush(self) -> list[tuple[matroska.Buffer, bool]]:
        return []


class Ffv1Encoder:
    """FFV1 by OpenCV, through a pipe. Raises OSError where OpenCV can't."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self._done: deque[tuple[matroska.Buffer, bool]] = deque()
        self._ready = threading.Event()
        self.tracks = b""
        folder = tempfile.mkdtemp(prefix="merealtime-ffv1-")
        try:
            pipe = os.path.join(folder, "frames.mkv")
            os.mkfifo(pipe, 0o600)
            self._pipe = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            code = cv2.VideoWriter.fourcc(*"FFV1")
            self._writer = cv2.VideoWriter(pipe, cv2.CAP_FFMPEG, code, fps, (width, height), False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if not self._writer.isOpened():
            os.close(self._pipe)
            raise OSError(0, "OpenCV can't write ffv1 here; try --set output.record_format=raw")
        os.set_blocking(self._pipe, True)
        self._thread = threading.Thread(target=self._take, name="ffv1", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise OSError(0, "FFV1 does not start")

    def _take(self) -> None:
        """Runs in a thread: the stream's elements, one after the other."""
        data, at = b"", 0
        while more := os.read(self._pipe, 1 << 20):
            data, at = data[at:] + more, 0
            while (found := matroska.split(data, at)) is not None:
                name, begin, end = found
                if name in _INTO:
                    at = begin
                    continue
                if end > len(data):
                    break
                if name == _TRACKS:
                    self.tracks = data[at:end]
                    self._ready.set()
                elif name == _BLOCK:
                    self._done.append((data[begin + 4 : end], bool(data[begin + 3] & 0x80)))
                at = end
        os.close(self._pipe)

    def _taken(self) -> list[tuple[matroska.Buffer, bool]]:
        return [self._done.popleft() for _ in range(len(self._done))]

    def encode(self, gray: Gray) -> list[tuple[matroska.Buffer, bool]]:
        self._writer.write(gray)
        return self._taken()

    def flush(self) -> list[tuple[matroska.Buffer, bool]]:
        self._writer.release()
        self._thread.join()
        return self._taken()


def open_encoder(form: str, width: int, height: int, fps: float) -> Encoder:
    """``raw`` or ``ffv1``. Raises OSError."""
    kind = Ffv1Encoder if form == "ffv1" else RawEncoder
    return kind(width, height, fps)
