"""Frame numbers and times from a driver's 32-bit sequence and time stamps, checked against our own clock.

A number never repeats and a time never runs backwards, whatever the driver says; what had to be mended is
noticed. The driver's clock is ours (CLOCK_MONOTONIC), so a frame's time is before its arrival, and not longer
before than buffers can hold it: times are kept between these two, so no fault of a driver adds up. A counter that
claims more frames than the time since the last one has room for is not believed.
"""

from __future__ import annotations

from realtime.types import Stamp

_HALF = 1 << 31
_WRAP = 0xFFFF_FFFF
_FASTER = 2  # a camera may be that much faster than granted
_MEMORY = 32  # frames
_JUMP_NS = 100_000_000  # a stamp further than this from what it should be has jumped
_LATE_NS, _LATE_PERIODS = 1_000_000_000, 64  # the most that a frame may wait in buffers
_NOTICES = 20  # after so many a driver is known to be bad


class CameraClock:
    """Turns (sequence, driver's time, arrival) into a Stamp; state of one streaming session."""

    def __init__(self, period_ns: int, notices: list[tuple[str, str]]) -> None:
        self._period_ns = period_ns
        self._late_ns = max(_LATE_NS, _LATE_PERIODS * period_ns)
        self._notices = notices
        self._sequence: int | None = None
        self._number = 0
        self._raw_ns = self._t_ns = self._arrival_ns = 0
        self._repeats = 0  # frames since the driver's stamp last changed
        self._offset_ns = 0  # added to the driver's stamps since one jumped
        self._counter_bad = False
        self._odd: int | None = None  # a count that was not believed, as long as the next frame may confirm it
        self._period_seen_ns = float(period_ns)  # what a frame really takes, lately
        self._jumps = 0

    def stamp(self, sequence: int, raw_ns: int, arrival_ns: int) -> Stamp:
        """``sequence``: driver's counter, wraps at 2^32; ``raw_ns``: its time; ``arrival_ns``: our time."""
        if self._sequence is None:
            self._t_ns = raw_ns
            if not self._possible(raw_ns, arrival_ns):
                self._t_ns = arrival_ns
                self._jump(arrival_ns - raw_ns)
        else:
            before_ns = self._t_ns
            step = self._step(sequence, raw_ns, arrival_ns)
            self._number += step
            self._repeats = self._repeats + step if raw_ns == self._raw_ns else 0
            self._t_ns = max(self._time(raw_ns, arrival_ns, step), self._t_ns + 1)
            self._period_seen_ns += ((self._t_ns - before_ns) / step - self._period_seen_ns) / _MEMORY
        self._raw_ns, self._arrival_ns = raw_ns, arrival_ns
        self._sequence = sequence if self._sequence is None else self._sequence
        return Stamp(self._number, self._t_ns)

    def _step(self, sequence: int, raw_ns: int, arrival_ns: int) -> int:
        """Frames since the last one: the counter's word where time has room for it, else time's."""
        before = self._sequence or 0
        step = (sequence - before) & _WRAP
        if 0 < step <= self._room(arrival_ns):
            self._odd, self._sequence = None, sequence
            return step
        if not self._counter_bad:
            self._counter_bad = True
            detail = f"driver's counter went from {before} to {sequence}: lost frames may go unnoticed"
            self._notices.append(("camera sequence", detail))
        if step == 0:
            return 1
        after_odd = 0 if self._odd is None else (sequence - self._odd) & _WRAP
        if 0 < after_odd <= self._room(arrival_ns):  # it has begun anew, and goes on from there
            self._odd, self._sequence = None, sequence
            return after_odd
        passed_ns = raw_ns - self._raw_ns
        if not 0 < passed_ns <= arrival_ns - self._t_ns + _JUMP_NS:
            passed_ns = arrival_ns - self._arrival_ns
        step = max(1, round(passed_ns / self._period_seen_ns))
        self._odd, self._sequence = sequence, (before + step) & _WRAP
        return step

    def _room(self, arrival_ns: int) -> int:
        """The most frames that there can be since the last one: it was exposed then, this one before it arrived."""
        passed_ns = max(0, arrival_ns - self._t_ns) + _JUMP_NS
        return min(_HALF, int(_FASTER * passed_ns / self._period_ns) + 1)

    def _time(self, raw_ns: int, arrival_ns: int, step: int) -> int:
        """A real pause shows on both clocks; a stamp that jumps shows on one, and is pulled back.

        A stamp that repeats (a coarse clock) is counted on by periods, from that stamp: the next one takes it back.
        """
        repeated_ns = self._repeats * self._period_ns
        if repeated_ns > _JUMP_NS:  # the driver's clock stands still: ours is all there is
            return arrival_ns
        claimed = raw_ns + self._offset_ns + repeated_ns
        expected = self._t_ns + step * self._period_ns
        waited = self._t_ns + arrival_ns - self._arrival_ns
        jumped = min(abs(claimed - right) for right in (expected, waited, arrival_ns)) > _JUMP_NS
        if not jumped and self._possible(claimed, arrival_ns):
            return claimed
        new = expected if self._possible(expected, arrival_ns) else arrival_ns
        self._jump(new - raw_ns - repeated_ns)
        return new

    def _possible(self, t_ns: int, arrival_ns: int) -> bool:
        return -self._late_ns <= t_ns - arrival_ns <= _JUMP_NS

    def _jump(self, offset_ns: int) -> None:
        moved_ms = (self._offset_ns - offset_ns) / 1e6
        self._offset_ns = offset_ns
        self._jumps += 1
        if self._jumps <= _NOTICES:
            more = "; further jumps are not told" if self._jumps == _NOTICES else ""
            detail = f"driver's time jumped by {moved_ms:+.1f} ms at frame {self._number}: evened out{more}"
            self._notices.append(("camera time", detail))
