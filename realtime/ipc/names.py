"""Names of what a session leaves in the system: whose they are can be told from them, exactly.

A name carries PID namespace, process id and start time of the supervisor, so that "is its owner alive?" has
an exact answer even when the id has been given to another process since.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PREFIX = "merealtime-"
_STATE, _START = 0, 19  # of proc(5)'s fields, counted from the state


def stat_fields(pid: int | str) -> list[str] | None:
    """Fields of ``/proc/PID/stat`` behind the name, which may itself hold blanks and brackets; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def start_ticks(pid: int | str) -> int | None:
    """When it was started, clock ticks since boot: tells processes of one id apart, whatever the wall clock does.

    None if it is gone or a zombie. ``psutil.Process.create_time`` moves when the clock is set.
    """
    fields = stat_fields(pid)
    return None if fields is None or fields[_STATE] in "ZX" else int(fields[_START])


def namespace() -> str:
    """The PID namespace that we live in."""
    with contextlib.suppress(OSError):
        return f"{os.stat('/proc/self/ns/pid').st_ino:x}"
    return "0"


def session_prefix() -> str:
    """Prefix of everything that belongs to this process: ``merealtime-NAMESPACE-PID-START-``."""
    return f"{PREFIX}{namespace()}-{os.getpid()}-{start_ticks('self') or 0}-"
