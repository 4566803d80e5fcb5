"""``--record DIR``: native gray frames, as they came, with their numbers and times beside them.

``raw`` is uncompressed gray in Matroska (0.1–0.2 ms and 307 kB a 640×480 frame), ``ffv1`` compressed without
loss (3 ms, 110 kB); both open as ``--camera FILE`` and survive a crash up to the last frame written.
``frames.csv`` has a row a frame: row n belongs to picture n of the video and tells its number at the source.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import UserError
from realtime.session.read import HEADER
from realtime.types import SourceInfo

_FOURCC = {"raw": "Y800", "ffv1": "FFV1"}


class Recorder:
    """One recording: a folder of its own below ``directory``."""

    def __init__(self, directory: str, name: str, info: SourceInfo, fps: float, form: str) -> None:
        self.folder = Path(directory) / name
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            self._table: IO[str] = (self.folder / "frames.csv").open("w", buffering=1 << 16)
            (self.folder / "source.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)))
        except OSError as error:
            raise UserError(f"{directory}: can't record there ({error.strerror})") from error
        self.video = self.folder / "frames.mkv"
        code = cv2.VideoWriter.fourcc(*_FOURCC[form])
        size = (info.width, info.height)
        self._writer = cv2.VideoWriter(str(self.video), cv2.CAP_FFMPEG, code, fps, size, False)
        if not self._writer.isOpened():
            raise UserError(f"{self.video}: OpenCV can't write {form} here; try --set output.record_format=raw")
        self._table.write(f"{HEADER}\n")

    def write(self, gray: npt.NDArray[np.uint8], number: int, t_ns: int, captured_ns: int) -> None:
        """Append one frame, (H, W) uint8."""
        self._writer.write(gray)
        self._table.write(f"{number},{t_ns},{captured_ns}\n")

    def free_bytes(self) -> int:
        """Space left. Asked for because OpenCV says nothing when a disk is full."""
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def close(self) -> None:
        self._writer.release()
        self._table.close()
