"""``--lsl-markers NAME``: other programs' marker streams, each read by a thread of its own.

A stream that is not there yet, is lost or comes back is told; its markers carry the time at which they were made, on
our clock: their stamp, LSL's correction between the two machines' clocks, and LSL's clock against the monotonic one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import msgspec

from realtime.errors import UserError
from realtime.ipc import lsl

_LOOK_S, _PULL_S, _OPEN_S = 0.5, 0.2, 5.0
_MISSING_S = 10.0


class Taken(msgspec.Struct, frozen=True):
    """A marker, or with ``what`` a notice about its stream."""

    name: str
    text: str
    t_ns: int
    what: str = ""


class MarkerInlets:
    """The streams called ``names``; nothing without any."""

    def __init__(self, names: Sequence[str]) -> None:
        """UserError where LSL is missing, or a name can't be one."""
        self._queue: queue.SimpleQueue[Taken] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        for name in names:
            if not name or "'" in name:
                raise UserError(f"--lsl-markers {name}: not the name of a stream")
        if names:
            pylsl = lsl.load("--lsl-markers")
            for name in dict.fromkeys(names):
                self._threads.append(threading.Thread(target=self._follow, args=(pylsl, name), daemon=True))
        for thread in self._threads:
            thread.start()

    def take(self) -> Iterator[Taken]:
        """What has come since the last call."""
        while not self._queue.empty():
            yield self._queue.get()

    def close(self) -> None:
        """Leave the streams."""
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * _LOOK_S)

    def _tell(self, name: str, what: str, detail: str) -> None:
        self._queue.put(Taken(name, detail, time.monotonic_ns(), what))

    def _follow(self, pylsl: ModuleType, name: str) -> None:
        """Look for the stream, read it, look again when it is lost."""
        begun_s, told = time.monotonic(), False
        while not self._ending.is_set():
            streams = pylsl.resolve_byprop("name", name, timeout=_LOOK_S)
            if not streams:
                if not told and time.monotonic() - begun_s > _MISSING_S:
                    told = True
                    self._tell(name, "markers missing", f"no LSL stream {name} yet; it is looked for")
                continue
            told = True
            try:
                self._read(pylsl, name, streams[0], others=len(streams) - 1)
            except RuntimeError as error:
                why = str(error) or type(error).__name__
                self._tell(name, "markers lost", f"LSL stream {name}: {why}; it is looked for")

    def _read(self, pylsl: ModuleType, name: str, found: Any, others: int) -> None:
        inlet = pylsl.StreamInlet(found, recover=False)
        inlet.open_stream(timeout=_OPEN_S)
        correction_s = inlet.time_correction(timeout=_OPEN_S)
        more = f"; {others} more of that name are passed over" if others else ""
        self._tell(name, "markers found", f"LSL stream {name} of {found.hostname()}, clock {correction_s:+.6f} s{more}")
        while not self._ending.is_set():
            sample, stamp = inlet.pull_sample(timeout=_PULL_S)
            if sample is None:
                continue
            with contextlib.suppress(RuntimeError):  # then that of before
                correction_s = inlet.time_correction(timeout=_PULL_S)
            t_s = stamp + correction_s - lsl.clock_offset(pylsl).seconds
            self._queue.put(Taken(name, ", ".join(map(str, sample)), round(t_s * 1e9)))
