"""Removal of what a killed session left in the system; its names (`realtime.ipc.names`) say whose it was."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile

from realtime.ipc.names import PREFIX, namespace, session_prefix, start_ticks

__all__ = ["session_prefix", "sweep"]
_NAME = re.compile(r"^merealtime-([0-9a-f]+)-(\d+)-(\d+)-")


def _is_stale(name: str) -> bool:
    """Whether the owner named by ``name`` lived in our PID namespace and is dead."""
    match = _NAME.match(name)
    if match is None or match[1] != namespace():
        return False
    return start_ticks(match[2]) != int(match[3])


def sweep() -> list[str]:
    """Remove shared memory and socket directories of dead sessions; returns what was removed."""
    removed = []
    for base in {"/dev/shm", os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), "/tmp"}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(base):
                if not entry.name.startswith(PREFIX) or not _is_stale(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
                if not os.path.lexists(entry.path):
                    removed.append(entry.path)
    return sorted(removed)
