"""Names of what a session leaves in the system, and removal of what a killed one left behind.

A name carries PID namespace, process id and start time of the supervisor, so that "is its owner alive?" has
an exact answer even when the id has been given to another process since.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile

from realtime.stages import procfs

PREFIX = "merealtime-"
_NAME = re.compile(r"^merealtime-([0-9a-f]+)-(\d+)-(\d+)-")


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return f"{os.stat('/proc/self/ns/pid').st_ino:x}"
    return "0"


def session_prefix() -> str:
    """Prefix of everything that belongs to this process: ``merealtime-NAMESPACE-PID-START-``."""
    return f"{PREFIX}{_namespace()}-{os.getpid()}-{procfs.start_ticks('self') or 0}-"


def _is_stale(name: str) -> bool:
    """Whether the owner named by ``name`` lived in our PID namespace and is dead."""
    match = _NAME.match(name)
    if match is None or match[1] != _namespace():
        return False
    return procfs.start_ticks(match[2]) != int(match[3])


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
