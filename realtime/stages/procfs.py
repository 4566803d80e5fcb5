"""What ``psutil`` does not tell of a process, read from ``/proc``: its exact start, its place in memory, its peak."""

from __future__ import annotations

from pathlib import Path

_STATE, _START, _ARG_START, _ARG_END = 0, 19, 45, 46  # of proc(5)'s fields, counted from the state


def _stat(pid: int | str) -> list[str] | None:
    """Fields of ``/proc/PID/stat`` behind the name, which may itself hold blanks and brackets; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def start_ticks(pid: int | str) -> int | None:
    """When it was started, clock ticks since boot: tells processes of one id apart, whatever the wall clock does.

    None if it is gone or a zombie. ``psutil.Process.create_time`` moves when the clock is set.
    """
    fields = _stat(pid)
    return None if fields is None or fields[_STATE] in "ZX" else int(fields[_START])


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped it: not slow, not waiting."""
    fields = _stat(pid)
    return fields is not None and fields[_STATE] in "Tt"


def own_arguments() -> tuple[int, int]:
    """Where our own command line lies in our memory: first address and the one behind the last; (0, 0) if unknown."""
    fields = _stat("self")
    return (0, 0) if fields is None else (int(fields[_ARG_START]), int(fields[_ARG_END]))


def peak_rss_mb(pid: int) -> float:
    """Largest resident memory that it ever had, MB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM:")), 0.0)
