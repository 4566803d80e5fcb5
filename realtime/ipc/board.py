"""The board: counters of every stage in one page of shared memory, each row written by its stage alone.

Heartbeats, frame counts and busy time change with every frame, so they must cost nothing: one 8-byte store,
no socket, no lock. They outlive the stage that wrote them, so the account of frames stays exact when a stage
is killed. A reader may see two words of different moments; each word by itself is whole.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Self

from realtime import pipeline
from realtime.errors import RingError

SHM_DIR = "/dev/shm"
FIELDS = (
    "heartbeat_ns",  # last sign of life
    "frames",  # capture: committed; spot: analysed; motion, classify: events done; record: written
    "first_number",  # number of the first such frame
    "last_number",  # number of the last such frame
    "first_t_ns",  # its exposure
    "last_t_ns",
    "first_ns",  # when it was done with, monotonic
    "last_ns",
    "next_index",  # ring index that comes next
    "busy_ns",  # time at work, not waiting
    "dropped",  # frames that this stage reported as gaps
    "queue",  # frames or events waiting
    "face",  # spot: 1 while there is a face
    "next_id",  # spot: id of the next event
    "needed_index",  # spot: oldest frame that a successor must see to find what is under way
    "looking",  # capture: 1 while it looks for a source that has gone
    "repeated",  # record: frames that came a second time, because the analysis began again
    "paused",  # record: frames that were not to be kept
)
_AT = {name: at for at, name in enumerate(FIELDS)}
_STRIDE = 32  # words a row: its own cache lines
_BYTES = len(pipeline.NAMES) * _STRIDE * 8


class Row:
    """Counters of one stage. ``row.put("frames", 3)``; hot loops use ``row.words`` and ``row.at``."""

    def __init__(self, words: memoryview, stage: str) -> None:
        self.stage = stage
        base = pipeline.NAMES.index(stage) * _STRIDE
        self.words = words[base : base + _STRIDE]

    @staticmethod
    def at(field: str) -> int:
        """Position of a field in ``words``."""
        return _AT[field]

    def put(self, field: str, value: int) -> None:
        self.words[_AT[field]] = value

    def get(self, field: str) -> int:
        return int(self.words[_AT[field]])


class Board:
    """The mapped page. ``create`` in the supervisor, ``attach`` in the stages."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._memory = mmap.mmap(fd, _BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._memory).cast("q")
        self._rows = {stage: Row(self._words, stage) for stage in pipeline.NAMES}

    @classmethod
    def create(cls, name: str) -> Self:
        """Make the page; RingError if the name is taken or /dev/shm is full."""
        path = os.path.join(SHM_DIR, name)
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RingError(f"{path}: cannot be made ({error.strerror})") from error
        try:
            os.posix_fallocate(fd, 0, _BYTES)
            board = cls(name, fd)
        except OSError as error:
            os.unlink(path)
            raise RingError(f"{path}: cannot be made ({error.strerror})") from error
        finally:
            os.close(fd)
        board._begin()
        return board

    @classmethod
    def private(cls) -> Self:
        """A page that no other process sees and that leaves no name behind, for a session in one process."""
        fd = os.memfd_create("merealtime-board", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, _BYTES)
            board = cls("", fd)
        finally:
            os.close(fd)
        board._begin()
        return board

    def _begin(self) -> None:
        for row in self._rows.values():
            row.put("first_number", -1)
            row.put("last_number", -1)

    @classmethod
    def attach(cls, name: str) -> Self:
        path = os.path.join(SHM_DIR, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise RingError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            return cls(name, fd)
        finally:
            os.close(fd)

    def row(self, stage: str) -> Row:
        return self._rows[stage]

    def close(self) -> None:
        for row in self._rows.values():
            row.words.release()
        self._words.release()
        with contextlib.suppress(BufferError):
            self._memory.close()

    def unlink(self) -> None:
        """Remove the page (its creator only)."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(SHM_DIR, self.name))
