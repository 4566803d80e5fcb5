"""A network stream (RTSP, HTTP) by OpenCV's FFmpeg, asked for low latency; opening and reading time out."""

from __future__ import annotations

import os
import time

import cv2

from realtime.errors import SourceError, SourceLostError, without_passwords
from realtime.sources import ffmpeg
from realtime.sources.recording import Gray, Picture, to_gray
from realtime.types import SourceInfo, SourceRequest, Stamp

OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 8000, 3000
_OPTIONS = "fflags;nobuffer|flags;low_delay|reorder_queue_size;0|max_delay;100000"
_GUESSED_FPS = 25.0


class StreamSource:
    """Frames as they come. Numbers count what arrived: a stream does not tell what it lost on the way.

    Times are those of arrival; frames of a stream carry none that is tied to our clock.
    """

    def __init__(self, address: str, request: SourceRequest) -> None:
        shown = self._shown = without_passwords(address)
        self._number = 0
        self._t_ns = 0
        capture = _open(address)
        if capture is None:
            raise SourceError(f"{shown}: no stream there that can be read; check address, user and password")
        self._capture = capture
        with ffmpeg.quiet():
            whole, first = capture.read()
        if not whole:
            self.close()
            raise SourceError(f"{shown}: connected, but no frame came in {READ_TIMEOUT_MS / 1000:.0f} s")
        self._first: Picture | None = first
        stated = ffmpeg.plausible_fps(capture)
        fps = request.fps or stated or _GUESSED_FPS
        codec = ffmpeg.codec_name(capture)
        said = "as given" if request.fps else "as the stream says" if stated else "guessed; give --fps"
        self.info = SourceInfo(
            source=shown,
            kind="stream",
            width=first.shape[1],
            height=first.shape[0],
            fps=fps,
            fps_requested=request.fps,
            pixel_format=codec,
            live=True,
            silence_s=(OPEN_TIMEOUT_MS + READ_TIMEOUT_MS) / 1000,
            detail=f"{codec} {first.shape[1]}x{first.shape[0]}, {fps:g} fps {said}",
        )

    def read(self, out: Gray) -> Stamp:
        """Wait for the next frame and put it into ``out`` (height, width) uint8.

        Raises SourceLostError if the stream ends, breaks, changes its size, or is silent for three seconds.
        """
        picture, self._first = self._first, None
        if picture is None:
            with ffmpeg.quiet():
                whole, picture = self._capture.read()
            if not whole or picture is None:
                raise SourceLostError(f"{self._shown}: stream ended or broke off")
        if picture.shape[:2] != out.shape:
            raise SourceLostError(f"{self._shown}: picture size changed to {picture.shape[1]}x{picture.shape[0]}")
        self._t_ns = max(time.monotonic_ns(), self._t_ns + 1)
        to_gray(picture, out)
        self._number += 1
        return Stamp(self._number - 1, self._t_ns)

    def close(self) -> None:
        """Disconnect."""
        self._capture.release()


def _open(address: str) -> cv2.VideoCapture | None:
    transport = "rtsp_transport;tcp|" if address.startswith("rtsp") else ""
    before = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS")
    if before is None:  # the user's own options win
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = transport + _OPTIONS
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        READ_TIMEOUT_MS,
    ]
    try:
        return ffmpeg.open_capture(address, timeouts)
    finally:
        if before is None:
            del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
