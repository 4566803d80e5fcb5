"""The shared memory of a ring: its layout, how it is made, opened and mapped, and the memory barrier.

Layout of the file ``/dev/shm/NAME`` (little-endian 64-bit words)::

    page 0   magic, version, slots, height, width, slot bytes, lossless cursors: written once
             half a page on, in a cache line of its own: state = 2 * committed + ended
    page 1   one cursor a cache line: number of frames that this lossless reader has released
    slots    [sequence, number, t_ns, captured_ns, pad to 64 bytes] [height * width pixels, pad to 64 bytes] …

What the memory order rests on: an aligned 8-byte word is stored by one instruction (``memoryview`` items are
copied by a ``memcpy`` of constant size), x86-64 keeps the order of stores and of loads, and ``fence`` orders
what is weaker (streaming stores of a decoder; every access on aarch64, where this has not been tried).

The file is opened and mapped by hand: ``multiprocessing.shared_memory`` of Python 3.11 registers a mere
reader with the resource tracker, which unlinks the segment when that reader exits.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading

import numpy as np
import numpy.typing as npt

from realtime.errors import RingError

PREFIX = "merealtime-"
SHM_DIR = "/dev/shm"

Gray = npt.NDArray[np.uint8]

PAGE = 4096
LINE = 64
STATE_AT = PAGE // 2 // 8
CURSOR_PAGE_AT = PAGE // 8
MAX_CURSORS = PAGE // LINE
_MAGIC = 0x31474E4952454D  # "MERING1"
_VERSION = 1
_MAGIC_AT, _VERSION_AT, _SLOTS_AT, _HEIGHT_AT, _WIDTH_AT, _SLOT_BYTES_AT, _CURSORS_AT = range(7)

_fence_lock = threading.Lock()


def fence() -> None:
    """Full memory barrier: a private lock that nobody contends, taken twice (a release, then an acquire)."""
    _fence_lock.acquire()
    _fence_lock.release()
    _fence_lock.acquire()
    _fence_lock.release()


def _slot_bytes(height: int, width: int) -> int:
    return LINE + (height * width + LINE - 1) // LINE * LINE


def ring_bytes(slots: int, height: int, width: int) -> int:
    """Size of a ring in /dev/shm, bytes."""
    return 2 * PAGE + slots * _slot_bytes(height, width)


def shm_path(name: str) -> str:
    if not name.startswith(PREFIX) or "/" in name or "\0" in name:
        raise RingError(f"ring name {name!r}: must start with {PREFIX!r} and hold no slash")
    return os.path.join(SHM_DIR, name)


class Mapping:
    """The mapped file, its words, and one array per slot."""

    def __init__(self, name: str, fd: int, *, writable: bool) -> None:
        self.name = name
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        size = os.fstat(fd).st_size
        if size < 2 * PAGE:
            raise RingError(f"ring {name}: {size} bytes is no ring (half made, or of another program)")
        self.memory = mmap.mmap(fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, protection)
        self.words = memoryview(self.memory).cast("q")
        words = self.words
        if words[_MAGIC_AT] != _MAGIC or words[_VERSION_AT] != _VERSION:
            raise RingError(f"ring {name}: not made by this version of merealtime")
        self.slots, self.height, self.width = words[_SLOTS_AT], words[_HEIGHT_AT], words[_WIDTH_AT]
        self.cursors = words[_CURSORS_AT]
        step = words[_SLOT_BYTES_AT]
        starts = [2 * PAGE + slot * step for slot in range(self.slots)]
        self.slot_words = [start // 8 for start in starts]
        # frombuffer, not ndarray(buffer=…): only the former keeps the mapping alive while a view is out
        everything = np.frombuffer(self.memory, np.uint8)
        self.address = everything.ctypes.data
        pixels = self.height * self.width
        picked = [everything[start + LINE : start + LINE + pixels] for start in starts]
        self.frames = [flat.reshape(self.height, self.width) for flat in picked]

    def close(self) -> None:
        self.frames.clear()
        self.words.release()
        with contextlib.suppress(BufferError):  # a view is still out: the memory goes when that dies
            self.memory.close()


def open_mapping(name: str, *, writable: bool) -> Mapping:
    try:
        fd = os.open(shm_path(name), (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise RingError(f"ring {name}: cannot be opened in {SHM_DIR}: {error.strerror}") from None
    try:
        return Mapping(name, fd, writable=writable)
    finally:
        os.close(fd)


def allocate(fd: int, size: int) -> None:
    """Have the kernel give every page now: a mapping of missing pages is a bus error later."""
    stat = os.fstatvfs(fd)
    free = stat.f_bavail * stat.f_frsize
    try:
        if free < size:
            raise OSError(errno.ENOSPC, "too small")
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        raise RingError(
            f"shared memory: {size / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free in {SHM_DIR} "
            f"({error.strerror}); enlarge it (docker: --shm-size), or use a smaller picture or fewer slots"
        ) from None


def write_layout(fd: int, slots: int, height: int, width: int, cursors: int) -> None:
    """The words that never change; the magic goes last, so that a half-made ring is not taken for one."""
    values = [slots, height, width, _slot_bytes(height, width), cursors]
    os.pwrite(fd, np.array(values, "<i8").tobytes(), 8 * _SLOTS_AT)
    os.pwrite(fd, np.array([_MAGIC, _VERSION], "<i8").tobytes(), 8 * _MAGIC_AT)
