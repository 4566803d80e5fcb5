"""What a session needs of the machine, asked before anything is started: descriptors and memory.

Without them it would die somewhere in the midst of a library. Shared memory is asked for when the ring is made, whole.
"""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

import psutil

from realtime.config import Settings
from realtime.errors import UserError
from realtime.ipc.gate import MOST

_FILES = 128
"""Pipes, sockets and files of the supervisor: 48 were counted."""
_MEMORY = 700 << 20
_FACE = 100 << 20
_ADDRESSES = 2 << 30
"""A stage maps 1.3 GB, most of it libraries."""
_CGROUP = Path("/sys/fs/cgroup")


def files(settings: Settings) -> str:
    """How many files may be open, the limit raised as far as we may. UserError where that is too few."""
    needed = _FILES + (3 * MOST if settings.output.publish else 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft < needed:
            raise UserError(f"{soft} files may be open at a time, a session needs {needed}: raise ulimit -n")
    return "any number of files may be open" if soft == resource.RLIM_INFINITY else f"{soft} files may be open"


def memory(settings: Settings) -> str:
    """How much memory there is. UserError where a session takes more."""
    width, height = settings.source.size or (640, 480)
    ring = settings.ring.least_slots(settings.source.fps or 200.0, height, width) * height * width
    needed = _MEMORY + _FACE * (settings.spot.faces - 1) + ring
    free = _free()
    text = f"{free / 1e6:.0f} MB free, a session takes {needed / 1e6:.0f} MB"
    if free < needed:
        raise UserError(f"{text}: end other programs, follow fewer faces, or give the container more")
    for name, option in (("AS", "v"), ("DATA", "d")):
        limit = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]
        if limit not in (resource.RLIM_INFINITY, -1) and limit < _ADDRESSES:
            raise UserError(
                f"a process may take {limit / 1e6:.0f} MB, a stage needs {_ADDRESSES / 1e6:.0f}: raise ulimit -{option}"
            )
    return text


def _free() -> int:
    """Bytes that can be had, swap too; in a container no more than it leaves."""
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    with contextlib.suppress(OSError, ValueError):  # no cgroup 2, or "max"
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        kept = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(kept.get("inactive_file", 0)) + int(kept.get("active_file", 0)))
    return free


def met(settings: Settings) -> None:
    """UserError for the first that is missing."""
    files(settings)
    memory(settings)
