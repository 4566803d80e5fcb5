"""Gray frames in shared memory: one writer, many readers, no lock, no copy that nobody asked for.

Frame ``index`` (0, 1, … = count of committed frames) lies in slot ``index % slots``. Its sequence word is
``2 index + 1`` while the pixels are written and ``2 index + 2`` once they are whole, so a reader knows
*which* frame a slot holds: another value means that the ring has lapped it, a change between the first look
and the last that the read was torn. Both are counted. Each shared word has one writer, so no
read-modify-write is needed.

A live reader attaches without a cursor and may be lapped. A lossless one has a cursor, its own word in shared
memory, and the writer asks ``wait_space`` before it takes a slot. Waiting sleeps on the shared word by futex.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import Any, Self

import msgspec
import numpy as np

from realtime.errors import RingError
from realtime.ipc import futex
from realtime.ipc._ring_memory import (
    CURSOR_PAGE_AT,
    LINE,
    MAX_CURSORS,
    PAGE,
    PREFIX,
    SHM_DIR,
    STATE_AT,
    Gray,
    Mapping,
    allocate,
    fence,
    open_mapping,
    ring_bytes,
    shm_path,
    write_layout,
)

__all__ = ["PREFIX", "SHM_DIR", "FrameHeader", "RingReader", "RingWriter", "ring_bytes"]

_GONE = (1 << 63) - 1
_SLEEP_MAX_S = 0.1  # a lost wake-up costs no more than this


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """What is known of one frame in the ring."""

    index: int
    """Count of committed frames before this one."""
    number: int
    """Frame number of the source; holes are lost frames."""
    t_ns: int
    """Exposure, monotonic ns."""
    captured_ns: int
    """When capture had the frame, monotonic ns."""


class RingWriter:
    """The one writer of a ring: ``create`` by its owner, ``attach`` where frames are captured."""

    def __init__(self, name: str, mapping: Mapping, *, owner: bool) -> None:
        self.name = name
        self.slots, self.height, self.width = mapping.slots, mapping.height, mapping.width
        self._map = mapping
        self._owner = owner
        self._count = mapping.words[STATE_AT] >> 1
        self._reserved = False

    @classmethod
    def create(cls, name: str, slots: int, height: int, width: int, *, lossless: int = 0) -> Self:
        """Make the shared memory. ``lossless`` is the number of readers that ``wait_space`` waits for.

        Such readers attach with ``cursor=0 … lossless-1``, before or after frames are written.
        Raises RingError if the name is taken or /dev/shm is too small.
        """
        if slots < 2 or height < 1 or width < 1 or not 0 <= lossless <= MAX_CURSORS:
            raise RingError(f"ring {name}: cannot have {slots} slots of {width}x{height}, {lossless} cursors")
        path, size = shm_path(name), ring_bytes(slots, height, width)
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise RingError(f"ring {name}: exists in {SHM_DIR}: in use, or left over and to be removed") from None
        except OSError as error:
            raise RingError(f"ring {name}: cannot be made in {SHM_DIR}: {error.strerror}") from None
        try:
            allocate(fd, size)
            write_layout(fd, slots, height, width, lossless)
            mapping = Mapping(name, fd, writable=True)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
        return cls(name, mapping, owner=True)

    @classmethod
    def attach(cls, name: str) -> Self:
        """Write into a ring that another process created, from where the last writer stopped."""
        return cls(name, open_mapping(name, writable=True), owner=False)

    @property
    def count(self) -> int:
        """Number of committed frames."""
        return int(self._map.words[STATE_AT]) >> 1

    def last(self) -> FrameHeader | None:
        """The newest committed frame; None while there is none."""
        if not self._count:
            return None
        words, index = self._map.words, self._count - 1
        at = self._map.slot_words[index % self.slots]
        return FrameHeader(index, words[at + 1], words[at + 2], words[at + 3])

    def reserve(self) -> Gray:
        """The (height, width) uint8 view for the next frame. From here on the slot's old frame is lost."""
        if self._reserved:
            raise RingError(f"ring {self.name}: reserve() twice without commit() or abandon()")
        slot = self._count % self.slots
        self._map.words[self._map.slot_words[slot]] = 2 * self._count + 1
        fence()
        self._reserved = True
        return self._map.frames[slot]

    def commit(self, number: int, t_ns: int, captured_ns: int) -> int:
        """Publish the reserved frame, wake the readers, return its index."""
        if not self._reserved:
            raise RingError(f"ring {self.name}: commit() without reserve()")
        index, words = self._count, self._map.words
        at = self._map.slot_words[index % self.slots]
        words[at + 1], words[at + 2], words[at + 3] = number, t_ns, captured_ns
        fence()
        words[at] = 2 * index + 2
        fence()
        self._count, self._reserved = index + 1, False
        words[STATE_AT] = 2 * self._count
        futex.wake(self._map.address + 8 * STATE_AT)
        return index

    def abandon(self) -> None:
        """Give the reserved slot back unpublished. Its sequence word stays odd: the pixels may be spoilt."""
        self._reserved = False

    def finish(self) -> None:
        """Say that no frame follows."""
        self._map.words[STATE_AT] = 2 * self._count + 1
        futex.wake(self._map.address + 8 * STATE_AT)

    def reopen(self) -> int:
        """Take back that no frame follows; the index of the next one."""
        self._map.words[STATE_AT] = 2 * self._count
        return self._count

    def wait_space(self, timeout_s: float) -> bool:
        """Wait until every lossless reader has released the slot that comes next; False on time-out."""
        deadline = time.monotonic() + timeout_s
        while True:
            cursor, released = self._slowest()
            if self._count - released < self.slots:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            address = self._map.address + PAGE + cursor * LINE
            futex.wait(address, released & 0xFFFF_FFFF, min(left, _SLEEP_MAX_S))

    def _slowest(self) -> tuple[int, int]:
        """Cursor number and count of the reader furthest behind; without one, nobody is behind."""
        words, slowest, released = self._map.words, -1, self._count
        for cursor in range(self._map.cursors):
            value = words[CURSOR_PAGE_AT + cursor * LINE // 8]
            if value < released:
                slowest, released = cursor, value
        return slowest, released

    def close(self) -> None:
        """Unmap. The shared memory stays until its creator unlinks it."""
        self._map.close()

    def unlink(self) -> None:
        """Remove the shared memory (creator only). Those who have it mapped keep it."""
        if not self._owner:
            raise RingError(f"ring {self.name}: only the process that created it may unlink it")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(shm_path(self.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._owner:
            self.unlink()


class RingReader:
    """One reader of a ring. Pixels are mapped read-only: a reader cannot spoil a frame."""

    def __init__(self, mapping: Mapping, cursor: int | None, cursors: mmap.mmap | None) -> None:
        self.name = mapping.name
        self.slots, self.height, self.width = mapping.slots, mapping.height, mapping.width
        self.torn = 0
        """Reads during which the writer came round."""
        self._map = mapping
        self._cursor = cursor
        self._cursors = cursors
        self._cursor_words: Any = memoryview(cursors).cast("q") if cursors is not None else None
        self._cursor_address = np.frombuffer(cursors, np.uint8).ctypes.data if cursors is not None else 0
        self.start = self._first_index()
        """Index to begin with: where this cursor's last reader stopped, or the newest frame if lossy."""

    @classmethod
    def attach(cls, name: str, cursor: int | None = None) -> Self:
        """Map an existing ring. With a ``cursor`` (0 … lossless-1, one a reader) the writer waits for us."""
        mapping = open_mapping(name, writable=False)
        if cursor is None:
            return cls(mapping, None, None)
        if not 0 <= cursor < mapping.cursors:
            count = mapping.cursors
            mapping.close()
            raise RingError(f"ring {name}: made for {count} lossless readers, there is no cursor {cursor}")
        fd = os.open(shm_path(name), os.O_RDWR | os.O_CLOEXEC)
        try:
            page = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=PAGE)
        finally:
            os.close(fd)
        return cls(mapping, cursor, page)

    def _first_index(self) -> int:
        if self._cursor is None:
            return max(self.count - 1, 0)
        at = self._cursor * LINE // 8
        if self._cursor_words[at] == _GONE:
            self._cursor_words[at] = self.count
        return int(self._cursor_words[at])

    @property
    def count(self) -> int:
        """Number of committed frames."""
        return int(self._map.words[STATE_AT]) >> 1

    @property
    def ended(self) -> bool:
        """Whether the writer has finished: no frame follows those counted by ``count``, if that is asked afterwards."""
        return bool(self._map.words[STATE_AT] & 1)

    def is_over(self, index: int) -> bool:
        """Whether the writer has finished and frame ``index`` never comes. One look: between two frames may come."""
        state = self._map.words[STATE_AT]
        return bool(state & 1) and state >> 1 <= index

    def wait(self, index: int, timeout_s: float) -> int:
        """Wait until frame ``index`` is there, the stream has ended, or the time is out; returns ``count``.

        ``count > index``: read it. Else ask ``ended``; if not, the time is out (maybe a dead writer).
        """
        words = self._map.words
        deadline = time.monotonic() + timeout_s
        while True:
            state = words[STATE_AT]
            if state >> 1 > index or state & 1:
                return int(state) >> 1
            left = deadline - time.monotonic()
            if left <= 0:
                return int(state) >> 1
            futex.wait(self._map.address + 8 * STATE_AT, state & 0xFFFF_FFFF, min(left, _SLEEP_MAX_S))

    def view(self, index: int) -> tuple[Gray, FrameHeader] | None:
        """Frame ``index`` in place, (height, width) uint8 read-only; None if the ring has lapped it.

        The pixels may change under the reader: use them, then ask ``still_valid`` before trusting them.
        """
        slot = index % self.slots
        words, at = self._map.words, self._map.slot_words[slot]
        if words[at] != 2 * index + 2:
            if index >= self.count:
                raise RingError(f"ring {self.name}: frame {index} is not written yet; wait() for it")
            return None
        fence()
        header = FrameHeader(index, words[at + 1], words[at + 2], words[at + 3])
        return self._map.frames[slot], header

    def still_valid(self, index: int) -> bool:
        """Whether the slot still holds frame ``index``; if not, it counts as ``torn``. Ask once a frame."""
        fence()
        if self._map.words[self._map.slot_words[index % self.slots]] == 2 * index + 2:
            return True
        self.torn += 1
        return False

    def copy(self, index: int, out: Gray) -> FrameHeader | None:
        """Copy frame ``index`` into ``out`` (height, width) uint8; None if it is gone or ``torn``."""
        found = self.view(index)
        if found is None:
            return None
        np.copyto(out, found[0])
        return found[1] if self.still_valid(index) else None

    def catch_up(self, index: int) -> int:
        """``index``, or if the ring has lapped it the oldest frame safe for now."""
        return max(index, self.count - self.slots + max(2, self.slots // 4))

    def release(self, index: int) -> None:
        """Say that frames up to and including ``index`` are done with (no effect without a cursor)."""
        if self._cursor is not None:
            fence()
            self._cursor_words[self._cursor * LINE // 8] = index + 1
            futex.wake(self._cursor_address + self._cursor * LINE)

    def close(self) -> None:
        """Unmap; the writer waits no longer for this reader. The shared memory stays."""
        if self._cursors is not None and self._cursor is not None:
            self._cursor_words[self._cursor * LINE // 8] = _GONE
            futex.wake(self._cursor_address + self._cursor * LINE)
            self._cursor_words.release()
            with contextlib.suppress(BufferError):
                self._cursors.close()
            self._cursor, self._cursors = None, None
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
