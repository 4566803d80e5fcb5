"""Frames on disk: native gray frames, as they came, with their numbers and times beside them.

``raw`` is uncompressed gray in Matroska (0.1–0.2 ms and 307 kB a 640×480 frame), ``ffv1`` compressed without
loss (3 ms, 110 kB); both open as ``--camera FILE`` and survive a crash up to the last frame written.
The table beside a video (``frames.csv``) has a row a frame: row n belongs to picture n of the video and tells its
number at the source.

Every write is checked (`realtime.session.matroska`), rows go to disk with their frames, and what is there is counted
again at the end. A recorder that takes the place of one that died goes on in the same folder.
"""

from __future__ import annotations

import array
import contextlib
import os
from collections import deque
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import UserError
from realtime.session.encode import open_encoder
from realtime.session.matroska import MatroskaFile
from realtime.session.read import HEADER, readable_in
from realtime.types import SourceInfo


class FrameFile:
    """A video and its frame table (same name, ``.csv``); what is there already goes on."""

    def __init__(self, video: Path, info: SourceInfo, fps: float, form: str) -> None:
        """Raises OSError."""
        self.video = video
        self._form, self._size, self._fps = form, (info.width, info.height), fps
        self._waiting: deque[bytes] = deque()
        """Rows of the frames that the encoder still has."""
        self._encoder = open_encoder(form, *self._size, fps)
        self._table = _Table(video.with_suffix(".csv"))
        self._file = MatroskaFile(str(video), self._encoder.tracks, fps)
        self._align(min(self._file.count, self._table.count))

    @property
    def written(self) -> int:
        """Frames that are in the files, with their rows."""
        return self._table.count

    @property
    def last_number(self) -> int:
        """Number of the last frame in the table; −1 where there is none."""
        return self._table.last_number()

    def write(self, gray: npt.NDArray[np.uint8], number: int, t_ns: int, captured_ns: int) -> int:
        """Append one frame, (H, W) uint8. OSError where the disk does not take it: what the encoder held is lost
        too, and the files end at the last whole frame; the next one is tried again. How many frames that wrote.
        """
        self._waiting.append(f"{number},{t_ns},{captured_ns}\n".encode())
        return self._keep(self._encoder.encode(gray))

    def _keep(self, encoded: list[tuple[bytes | memoryview, bool]]) -> int:
        kept = self.written
        try:
            for frame, key in encoded:
                self._file.write(frame, key=key)
                self._table.add(self._waiting.popleft())
                kept += 1
        except OSError:
            self._waiting.clear()
            self._align(kept)
            self._start_anew()
            raise
        return len(encoded)

    def _align(self, count: int) -> None:
        self._file.cut(count)
        self._table.cut(count)

    def _start_anew(self) -> None:
        """Frames that are to come must not need one that is lost."""
        if self._form == "ffv1":
            self._encoder.flush()
            self._encoder = open_encoder(self._form, *self._size, self._fps)

    def close(self) -> int:
        """Write what is left, see it onto the disk, and count what can be read there. OSError if that fails."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._table.close)
            stack.callback(self._file.close)
            self._keep(self._encoder.flush())
        return readable_in(self.video)


class Recorder(FrameFile):
    """The whole of a session: ``frames.mkv`` in a folder of its own below ``directory``."""

    def __init__(self, directory: str, name: str, info: SourceInfo, fps: float, form: str) -> None:
        """UserError where that can't be done there."""
        self.folder = Path(directory) / name
        try:
            make_folder(self.folder, info)
            super().__init__(self.folder / "frames.mkv", info, fps, form)
        except OSError as error:
            raise UserError(f"{directory}: can't record there ({error.strerror})") from error


def make_folder(folder: Path, info: SourceInfo) -> None:
    """The session's folder, for its owner alone, with what the source granted. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "source.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(info)))


def _write_private(path: Path, data: bytes) -> None:
    """For its owner alone, whatever the umask allows."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
        file.write(data)


class _Table:
    """``frames.csv``, each row written at once: nothing is held back that a crash could take."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last one was cut
        if lines[:1] != [HEADER.encode()]:
            lines = [HEADER.encode()]
        self._ends = array.array("q")
        end = 0
        for line in lines:
            end += len(line) + 1
            self._ends.append(end)
        os.ftruncate(self._fd, end)
        os.pwrite(self._fd, lines[0] + b"\n", 0)

    @property
    def count(self) -> int:
        return len(self._ends) - 1

    def last_number(self) -> int:
        """Of the last row; −1 without one, or where it is damaged."""
        if not self.count:
            return -1
        begin, end = self._ends[-2], self._ends[-1]
        number = os.pread(self._fd, end - begin, begin).split(b",")[0]
        return int(number) if number.isdigit() else -1

    def add(self, row: bytes) -> None:
        end = self._ends[-1]
        while row:
            written = os.pwrite(self._fd, row, end)
            row, end = row[written:], end + written
        self._ends.append(end)

    def cut(self, count: int) -> None:
        del self._ends[count + 1 :]
        with contextlib.suppress(OSError):  # what stays is written over
            os.ftruncate(self._fd, self._ends[-1])

    def close(self) -> None:
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
