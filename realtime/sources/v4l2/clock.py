"""Frame numbers and times from a driver's 32-bit sequence and time stamps, checked against our own clock.

A number never repeats and a time never runs backwards, whatever the driver says; what had to be mended is
noticed.
"""

from __future__ import annotations

from realtime.types import Stamp

_HALF = 1 << 31
_JUMP_NS = 100_000_000  # a stamp further than this from both expectations has jumped


class CameraClock:
    """Turns (sequence, driver's time, arrival) into a Stamp; state of one streaming session."""

    def __init__(self, period_ns: int, notices: list[tuple[str, str]]) -> None:
        self._period_ns = period_ns
        self._notices = notices
        self._sequence: int | None = None
        self._number = 0
        self._raw_ns = self._t_ns = self._arrival_ns = 0
        self._offset_ns = 0
        self._counter_bad = False

    def stamp(self, sequence: int, raw_ns: int, arrival_ns: int) -> Stamp:
        """``sequence``: driver's counter, wraps at 2^32; ``raw_ns``: its time; ``arrival_ns``: our time."""
        if self._sequence is None:
            self._t_ns = raw_ns
        else:
            step = self._step(sequence)
            self._number += step
            self._t_ns = self._time(raw_ns, arrival_ns, step)
        self._sequence, self._raw_ns, self._arrival_ns = sequence, raw_ns, arrival_ns
        return Stamp(self._number, self._t_ns)

    def _step(self, sequence: int) -> int:
        step = (sequence - (self._sequence or 0)) & 0xFFFF_FFFF
        if 0 < step < _HALF:
            return step
        if not self._counter_bad:
            self._counter_bad = True
            detail = f"driver's counter went from {self._sequence} to {sequence}: lost frames may go unnoticed"
            self._notices.append(("camera sequence", detail))
        return 1

    def _time(self, raw_ns: int, arrival_ns: int, step: int) -> int:
        """A real pause shows on both clocks; a stamp that jumps shows on one, and is pulled back."""
        moved = raw_ns - self._raw_ns
        expected = step * self._period_ns
        waited = arrival_ns - self._arrival_ns
        jumped = abs(moved - expected) > _JUMP_NS and abs(moved - waited) > _JUMP_NS
        if moved <= 0 or jumped:
            new = self._t_ns + expected
            self._offset_ns = new - raw_ns
            jump = f"driver's time jumped by {(moved - expected) / 1e6:+.1f} ms"
            self._notices.append(("camera time", f"{jump} at frame {self._number}: evened out"))
            return new
        return max(raw_ns + self._offset_ns, self._t_ns + 1)
