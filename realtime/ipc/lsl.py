"""Lab Streaming Layer: the library, loaded once, and its clock against ours.

``pylsl`` brings liblsl (MIT). What goes over it is not encrypted, and anybody on the network may take it: who may is
told by LSL's own settings (``lsl_api.cfg``, ``SessionID``, ``ResolveScope``), which are read as always.
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from pathlib import Path
from types import ModuleType

import msgspec

from realtime.errors import UserError
from realtime.quiet import native_log_dropped

_TRIES = 9
_SETTINGS = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")
_QUIET = "[log]\nlevel = -2\n"


class ClockOffset(msgspec.Struct, frozen=True):
    """LSL's clock less the monotonic clock."""

    seconds: float
    error_s: float
    """Half the time that the comparison took."""


@functools.cache
def load(option: str) -> ModuleType:
    """``pylsl``. Raises UserError that says what to install; ``option``: who needs it."""
    try:
        with native_log_dropped():
            pylsl = importlib.import_module("pylsl")
            if "LSLAPICFG" not in os.environ and not any(Path(path).expanduser().exists() for path in _SETTINGS):
                pylsl.set_config_content(_QUIET)  # its log goes to the terminal otherwise
            pylsl.local_clock()
    except ImportError:
        raise UserError(f"{option} needs pylsl: pip install 'merealtime[lsl]'") from None
    except (RuntimeError, OSError) as error:
        why = " ".join(str(error).split())[:120]
        raise UserError(f"{option}: liblsl can't be loaded ({why}); pip install 'merealtime[lsl]'") from None
    return pylsl


def clock_offset(pylsl: ModuleType) -> ClockOffset:
    """By the quickest of some comparisons: on Linux both are the same clock, to the microsecond."""
    best = ClockOffset(0.0, float("inf"))
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        theirs = pylsl.local_clock()
        after = time.monotonic_ns()
        if (after - before) / 2e9 < best.error_s:
            best = ClockOffset(theirs - (before + after) / 2e9, (after - before) / 2e9)
    return best
