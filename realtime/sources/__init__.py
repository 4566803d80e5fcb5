"""Where frames come from: one file a kind of source, one function that opens any of them.

A source decodes straight into the array it is given and says which frame that was. To add a camera, write
a file with a class as ``Source`` (or a function that makes one), and name it in ``_KINDS``: one line.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError, without_passwords
from realtime.types import MAX_FPS, SourceInfo, SourceRequest, Stamp

if TYPE_CHECKING:
    from realtime.sources.v4l2.modes import Camera

__all__ = ["Source", "list_cameras", "open_source", "take_notices"]

_KINDS = (
    (r"demo(:.*)?", "demo:DemoSource"),
    (r"\d+|/dev/video.*", "v4l2.source:open_camera"),
    (r"genicam:.*", "genicam.source:GenicamSource"),
    (r"gentl:.*", "gentl.source:GentlSource"),
    (r"(rtsps?|https?)://.*", "stream:StreamSource"),
    (r".*", "recording:open_recording"),
)
"""What the user writes (the first pattern that fits the whole of it), and what opens it: FILE:NAME(spec, request)."""


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
    """Open a camera (``0``, ``/dev/videoN``, ``genicam:[ID]``, ``gentl:PRODUCER.cti[#SERIAL]``), file, folder,
    ``rtsp://…``, ``http(s)://…`` or ``demo[:SEED]``.

    Raises SourceError (one line, says what there is instead) if it cannot be opened as asked.
    """
    if request.fps is not None and not 0 < request.fps <= MAX_FPS:
        raise SourceError(f"--fps {request.fps:g}: must be more than 0 frames a second, at most {MAX_FPS:g}")
    if request.size is not None and min(request.size) <= 0:
        raise SourceError(f"--size {request.size[0]}x{request.size[1]}: width and height must be more than 0")
    machine_vision = spec.startswith(("genicam:", "gentl:"))
    for key in ("exposure_us", "gain", "trigger", "features"):
        if getattr(request, key) not in (None, {}) and not machine_vision:
            raise SourceError(
                f"source.{key}: {without_passwords(spec)} takes none; only genicam: and gentl: cameras do"
            )
    opener = next(opener for pattern, opener in _KINDS if re.fullmatch(pattern, spec, re.DOTALL))
    module, _, name = opener.partition(":")
    source: Source = getattr(importlib.import_module(f"realtime.sources.{module}"), name)(spec, request)
    return source


def list_cameras() -> list[Camera]:
    """The V4L2 and GenICam cameras of this machine with their modes, and those of the registered GenTL producers."""
    from realtime.sources.genicam.cameras import list_cameras as of_genicam
    from realtime.sources.gentl.cameras import list_cameras as of_gentl
    from realtime.sources.v4l2.modes import list_cameras as of_v4l2

    return of_v4l2() + of_genicam() + of_gentl()


def take_notices(source: Source) -> list[tuple[str, str]]:
    """(what, detail) of what happened in the source since the last call: time jumped, file truncated …"""
    held: list[tuple[str, str]] = getattr(source, "notices", [])
    taken = held[:]
    del held[: len(taken)]
    return taken
