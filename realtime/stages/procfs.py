"""What ``psutil`` does not tell of a process, read from ``/proc``: its exact start, its place in memory, its peak."""

from __future__ import annotations

from pathlib import Path

from realtime.ipc.names import start_ticks, stat_fields

__all__ = ["is_stopped", "own_arguments", "peak_rss_mb", "start_ticks"]

_STATE, _ARG_START, _ARG_END = 0, 45, 46  # of proc(5)'s fields, counted from the state


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped it: not slow, not waiting."""
    fields = stat_fields(pid)
    return fields is not None and fields[_STATE] in "Tt"


def own_arguments() -> tuple[int, int]:
    """Where our own command line lies in our memory: first address and the one behind the last; (0, 0) if unknown."""
    fields = stat_fields("self")
    return (0, 0) if fields is None else (int(fields[_ARG_START]), int(fields[_ARG_END]))


def peak_rss_mb(pid: int) -> float:
    """Largest resident memory that it ever had, MB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM:")), 0.0)
