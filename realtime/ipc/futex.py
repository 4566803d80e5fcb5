"""Sleep until a shared 32-bit word changes, and wake who sleeps (Linux ``futex(2)``, by ``ctypes``).

The word lies in memory shared between processes, so the *shared* (not ``_PRIVATE``) operations are used. The
call releases the GIL. Where the futex number is not known here, or the kernel refuses the call (a sandbox),
``wait`` falls back to polling: callers depend on it for latency, never for correctness.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
import time

_SYSCALL_NUMBER = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_WAIT, _WAKE = 0, 1
_ALL = 0x7FFF_FFFF
_POLL_S = 0.0005


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _find_syscall() -> tuple[object, int] | None:
    number = _SYSCALL_NUMBER.get(platform.machine())
    if number is None or sys.platform != "linux" or sys.byteorder != "little":
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (
        ctypes.c_long,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_uint32,
    )
    return syscall, number


_found = _find_syscall()


def available() -> bool:
    """Whether waiting sleeps in the kernel (else it polls every half millisecond)."""
    return _found is not None


def wait(address: int, expected: int, timeout_s: float) -> None:
    """Sleep while the uint32 at ``address`` equals ``expected``, at most ``timeout_s`` seconds.

    May return early (signal, wake for another reason): the caller looks at its condition again.
    """
    global _found
    if _found is None:
        time.sleep(min(_POLL_S, max(timeout_s, 0.0)))
        return
    syscall, number = _found
    seconds, rest = divmod(max(timeout_s, 0.0), 1.0)
    limit = _Timespec(int(seconds), int(rest * 1e9))
    rc = syscall(number, address, _WAIT, expected & 0xFFFF_FFFF, ctypes.addressof(limit), None, 0)  # type: ignore[operator]
    if rc and ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):
        _found = None  # refused by a sandbox: poll from now on


def wake(address: int) -> None:
    """Wake every process that waits for the word at ``address``."""
    if _found is not None:
        syscall, number = _found
        syscall(number, address, _WAKE, _ALL, None, None, 0)  # type: ignore[operator]
