"""Pictures of a running session for the page: frames out of the ring, with what is followed in them.

A mere reader: the ring's frames are mapped read-only and never waited for. Nobody looks, nothing is copied; many look,
each picture is made once.
"""

from __future__ import annotations

import time

import cv2
import msgspec
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from realtime.ipc import messages
from realtime.ipc.ring import FrameHeader, RingReader

_LARGEST_PX = 720
_QUALITY = 82
_FRESH_NS = 500_000_000
_LEAST_STEP_S = 0.075
"""Between two pictures: some 13 a second."""


class Camera:
    """The newest picture, at most 13 times a second."""

    def __init__(self, reader: RingReader) -> None:
        self._reader = reader
        self._frame = np.empty((reader.height, reader.width), np.uint8)
        self._outlines: dict[int, messages.Outline] = {}
        self._made_s = 0.0
        self._index = -1
        self._picture = b""
        shrink = max(1.0, max(reader.height, reader.width) / _LARGEST_PX)
        self._size = round(reader.width / shrink), round(reader.height / shrink)

    def note(self, outline: messages.Outline) -> None:
        """Where a face is in a frame."""
        self._outlines[outline.face] = outline

    @property
    def index(self) -> int:
        """Ring index of the picture made last."""
        return self._index

    def thresholds(self) -> dict[int, dict[str, float]]:
        """Per face, per region: the difference that would open an event now."""
        return {face: outline.threshold for face, outline in self._outlines.items()}

    def wait_s(self) -> float:
        """Seconds until the next picture may be made."""
        return max(0.0, self._made_s + _LEAST_STEP_S - time.monotonic())

    def picture(self, after: int) -> tuple[int, bytes] | None:
        """Ring index and picture newer than ``after``: length of the head (4 bytes), the head (JSON), a JPEG.

        None where there is none yet.
        """
        if self._index > after and self.wait_s() > 0:
            return self._index, self._picture
        if self.wait_s() == 0:
            self._make()
        return (self._index, self._picture) if self._index > after else None

    def _make(self) -> None:
        """The frame that the newest outline belongs to, so that both fit; without a fresh one the newest frame."""
        count = self._reader.count
        newest = max(self._outlines.values(), key=lambda outline: outline.index, default=None)
        fresh = newest is not None and time.monotonic_ns() - newest.t_ns < _FRESH_NS
        header = None
        if newest is not None and newest.index < count and count - newest.index < self._reader.slots // 2:
            header = self._reader.copy(newest.index, self._frame)
        elif not fresh and count:
            header = self._reader.copy(count - 1, self._frame)
        if header is None or header.index <= self._index:
            return
        self._made_s = time.monotonic()
        self._picture, self._index = self._encode(header), header.index

    def _encode(self, header: FrameHeader) -> bytes:
        frame: NDArray[np.uint8] = self._frame
        if self._size != (self._reader.width, self._reader.height):
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        jpeg: bytes = simplejpeg.encode_jpeg(frame[..., None], quality=_QUALITY, colorspace="GRAY", fastdct=True)
        head = msgspec.json.encode(
            {
                "frame": header.number,
                "t_ns": header.t_ns,
                "width": self._reader.width,
                "height": self._reader.height,
                "faces": [told(o) for o in self._outlines.values() if o.index == header.index],
            }
        )
        return len(head).to_bytes(4, "big") + head + jpeg


def told(outline: messages.Outline) -> dict[str, object]:
    """An outline for the page: px of the frame, a tenth at the finest."""
    corners = np.frombuffer(outline.corners, np.float32).reshape(-1, 2).round(1)
    patches = np.frombuffer(outline.patches, np.float32).reshape(-1, 4).round(2)
    parts = np.split(corners, np.cumsum(outline.counts)[:-1])
    return {
        "face": outline.face,
        "regions": {name: part.tolist() for name, part in zip(outline.threshold, parts, strict=True)},
        "patches": patches.tolist(),
        "rigid": outline.rigid,
    }
