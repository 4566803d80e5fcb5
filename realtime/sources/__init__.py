"""Where frames come from: one file a kind of source, one function that opens any of them.

A source decodes straight into the array it is given and says which frame that was. To add a camera, write
a class with ``info``, ``read`` and ``close`` as in ``Source`` and name it in ``open_source``.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError
from realtime.types import SourceInfo, SourceRequest, Stamp

if TYPE_CHECKING:
    from realtime.sources.v4l2.modes import Camera

__all__ = ["Source", "list_cameras", "open_source", "take_notices"]

MAX_FPS = 100_000.0


class Source(Protocol):
    """A stream of gray frames; may have ``notices: list[tuple[str, str]]``, see ``take_notices``."""

    info: SourceInfo

    def read(self, out: npt.NDArray[np.uint8]) -> Stamp | None:
        """Decode the next frame into ``out`` (height, width) uint8, C-contiguous; None at the end.

        A live source that goes away or falls silent raises SourceLostError; it may be opened again.
        """

    def close(self) -> None:
        """Let go of device or file; never raises."""


def open_source(spec: str, request: SourceRequest) -> Source:
    """Open a camera (``0``, ``/dev/videoN``), file, folder, ``rtsp://…``, ``http(s)://…`` or ``demo[:SEED]``.

    Raises SourceError (one line, says what there is instead) if it cannot be opened as asked.
    """
    if request.fps is not None and not 0 < request.fps <= MAX_FPS:
        raise SourceError(f"--fps {request.fps:g}: must be more than 0 frames a second")
    if request.size is not None and min(request.size) <= 0:
        raise SourceError(f"--size {request.size[0]}x{request.size[1]}: width and height must be more than 0")
    if spec == "demo" or spec.startswith("demo:"):
        from realtime.sources.demo import DemoSource

        return DemoSource(spec, request)
    if re.fullmatch(r"\d+", spec) or spec.startswith("/dev/video"):
        from realtime.sources.v4l2.source import V4l2Source

        path = spec if spec.startswith("/") else f"/dev/video{int(spec)}"
        return V4l2Source(path, request, spec=spec)
    if re.match(r"(rtsps?|https?)://", spec):
        from realtime.sources.stream import StreamSource

        return StreamSource(spec, request)
    return _open_recording(spec, request)


def _open_recording(spec: str, request: SourceRequest) -> Source:
    from realtime.sources.images import ImageFolderSource
    from realtime.sources.pacing import PacedSource
    from realtime.sources.recording import VideoFileSource

    recording: VideoFileSource | ImageFolderSource
    recorded = os.path.join(spec, "frames.mkv")  # a folder that --record has made
    if os.path.isfile(recorded):
        recording = VideoFileSource(recorded, request)
    elif os.path.isdir(spec):
        recording = ImageFolderSource(spec, request)
    elif os.path.isfile(spec):
        recording = VideoFileSource(spec, request)
    else:
        from realtime.sources.v4l2.modes import cameras_here

        raise SourceError(f"no such file or camera: {spec}; {cameras_here()}")
    return PacedSource(recording) if request.live else recording


def list_cameras() -> list[Camera]:
    """The V4L2 cameras of this machine with their modes."""
    from realtime.sources.v4l2.modes import list_cameras as of_v4l2

    return of_v4l2()


def take_notices(source: Source) -> list[tuple[str, str]]:
    """(what, detail) of what happened in the source since the last call: time jumped, file truncated …"""
    held: list[tuple[str, str]] = getattr(source, "notices", [])
    taken = held[:]
    del held[: len(taken)]
    return taken
