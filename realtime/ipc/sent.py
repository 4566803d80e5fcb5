"""The last spotted events, in shared memory, so that a spotter that dies takes none with it.

Its successor reads them: it knows what was sent, sends again what is missed, and does not tell a movement twice. One
writer at a time. Memory, not a file: crops of faces touch no disk. The file is its creator's to remove.

Layout, little-endian: slots of 64 KiB, ``[id + 1, length] [message]``; 0 while a slot is written or empty.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from typing import Self

import msgspec

from realtime.errors import RingError
from realtime.ipc import messages
from realtime.ipc._ring_memory import SHM_DIR, fence

SLOTS = 32
_SLOT_BYTES = 64 * 1024
"""An event with its two crops takes 49 kB."""
_HEAD = struct.Struct("<qq")


class SentEvents:
    """``create`` in the supervisor, ``attach`` in the spotter."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._memory = mmap.mmap(fd, SLOTS * _SLOT_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    @classmethod
    def create(cls, name: str) -> Self:
        """Make it; RingError if the name is taken or /dev/shm is full. Pages are taken as they are written."""
        return cls._open(name, os.O_CREAT | os.O_EXCL)

    @classmethod
    def attach(cls, name: str) -> Self:
        return cls._open(name, 0)

    @classmethod
    def _open(cls, name: str, flags: int) -> Self:
        path = os.path.join(SHM_DIR, name)
        try:
            fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RingError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            if flags:
                os.posix_fallocate(fd, 0, SLOTS * _SLOT_BYTES)  # a page that is not there later is a SIGBUS
            return cls(name, fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise RingError(f"{path}: cannot be made ({error.strerror})") from error
        finally:
            os.close(fd)

    def keep(self, message: messages.Spotted) -> None:
        """Before it is sent. One that is too large is not kept."""
        data = messages.encode(message)
        if len(data) > _SLOT_BYTES - _HEAD.size:
            return
        at = message.id % SLOTS * _SLOT_BYTES
        _HEAD.pack_into(self._memory, at, 0, 0)
        fence()
        self._memory[at + _HEAD.size : at + _HEAD.size + len(data)] = data
        fence()
        _HEAD.pack_into(self._memory, at, message.id + 1, len(data))

    def all(self) -> list[messages.Spotted]:
        """What is kept, by id; what was being written when the spotter died is left out."""
        found = []
        for slot in range(SLOTS):
            at = slot * _SLOT_BYTES
            number, length = _HEAD.unpack_from(self._memory, at)
            if not number or not 0 < length <= _SLOT_BYTES - _HEAD.size:
                continue
            with contextlib.suppress(msgspec.DecodeError):
                message = messages.decode_work(self._memory[at + _HEAD.size : at + _HEAD.size + length])
                if isinstance(message, messages.Spotted) and message.id + 1 == number:
                    found.append(message)
        return sorted(found, key=lambda message: message.id)

    def close(self) -> None:
        with contextlib.suppress(BufferError):
            self._memory.close()

    def unlink(self) -> None:
        """Remove it (its creator only)."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(SHM_DIR, self.name))
