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
    """A source that waits, and can go to a frame without making its picture."""

    info: SourceInfo
    notices: list[tuple[str, str]]

    def advance(self) -> Stamp | None:
        """Go to the next frame: its number and its time in the recording; None at the end."""

    def picture(self, out: Gray) -> bool:
        """Make that frame's picture; False if it is broken."""

    def read(self, out: Gray) -> Stamp | None: ...

    def close(self) -> None: ...


class PacedSource:
    """Each frame comes when its time has come, counted from the first; one that is late by a period is a hole."""

    def __init__(
        self,
        recording: Recording,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._recording = recording
        self._clock_ns, self._sleep = clock_ns, sleep
        self._period_ns = 1e9 / recording.info.fps
        self._zero_ns: int | None = None  # on our clock, when the recording's clock is 0
        self.last_number = -1
        """Frame gone to last, shown or not: at the end of the recording, those behind the last one shown were late."""
        self.info = msgspec.structs.replace(recording.info, live=True)
        self.notices = recording.notices

    def read(self, out: Gray) -> Stamp | None:
        """Wait until the next frame is due, and decode it into ``out`` (height, width) uint8."""
        while (stamp := self._recording.advance()) is not None:
            self.last_number = stamp.number
            if self._zero_ns is None:
                self._zero_ns = self._clock_ns() - stamp.t_ns
            due_ns = self._zero_ns + stamp.t_ns
            if self._clock_ns() - due_ns > self._period_ns or not self._recording.picture(out):
                continue
            wait_ns = due_ns - self._clock_ns()
            if wait_ns > 0:
                self._sleep(wait_ns / 1e9)
            return Stamp(stamp.number, due_ns)
        return None

    def resume(self, number: int, t_ns: int, alive: Callable[[], None]) -> None:
        """Go on behind frame ``number``, which was due at ``t_ns``: what was due since then is late.

        The way there is decoded again, which takes time: ``alive`` is called at each frame.
        """
        while (stamp := self._recording.advance()) is not None:
            alive()
            self.last_number = stamp.number
            if stamp.number >= number:
                self._zero_ns = t_ns - stamp.t_ns
                return

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()
