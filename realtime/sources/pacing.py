"""A recording played in real time (``--live``): what is late is passed over, as a camera would."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.types import SourceInfo, Stamp

Gray = npt.NDArray[np.uint8]


class Recording(Protocol):
    """A source that waits, and can pass over frames without decoding them."""

    info: SourceInfo
    notices: list[tuple[str, str]]

    def read(self, out: Gray) -> Stamp | None: ...

    def skip(self, count: int) -> int: ...

    def close(self) -> None: ...


class PacedSource:
    """Frame ``number`` comes at its time stamp, ``start + number / fps``; late ones are holes."""

    def __init__(
        self,
        recording: Recording,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._recording = recording
        self._clock_ns, self._sleep = clock_ns, sleep
        self._period_ns = 1e9 / recording.info.fps
        self._start_ns: int | None = None
        self._next = 0
        self.info = msgspec.structs.replace(recording.info, live=True)
        self.notices = recording.notices

    def read(self, out: Gray) -> Stamp | None:
        """Wait until the next frame is due, and decode it into ``out`` (height, width) uint8."""
        if self._start_ns is None:
            self._start_ns = self._clock_ns()
        behind = (self._clock_ns() - self._start_ns) / self._period_ns - self._next
        if behind > 1:
            self._next += self._recording.skip(int(behind))
        stamp = self._recording.read(out)
        if stamp is None:
            return None
        self._next = stamp.number + 1
        due_ns = self._start_ns + round(stamp.number * self._period_ns)
        wait_ns = due_ns - self._clock_ns()
        if wait_ns > 0:
            self._sleep(wait_ns / 1e9)
        return Stamp(stamp.number, due_ns)

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()
