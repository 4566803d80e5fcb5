"""Outputs in threads of their own: whoever does not read them (a stalled ssh, a paused pager, a hung disk) holds up
himself, never the loop that watches the stages.

An ``Outlet`` takes what a sink is given and hands it on in its thread. What is for people (``lossy`` sinks) is dropped
where it is not read; the event log's lines wait, all of them.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from realtime.sinks import Sink
from realtime.sinks.lines import AnyLine, State, TickLine

_STALL_S = 2.0
"""An output that takes so long over one line has stalled."""
_FEW, _MANY = 64, 2000
"""Waiting lines at which ticks are left out, and at which a lossy output leaves out everything."""
_LEAVE_S = {True: 1.0, False: 5.0}
"""How long the end waits, by whether the output is lossy: in all, or for one that is not, since it took a line."""
_LOOK_S = 0.02


class Outlet:
    """A sink in a thread of its own. What a line meets with comes out of a later ``line``, as an OSError."""

    def __init__(self, sink: Sink) -> None:
        self.name = type(sink).__name__
        self.lossy = bool(getattr(sink, "lossy", False))
        self.stuck = False
        """It did not take everything before the end: its thread still waits for whoever does not read."""
        self.left_out = 0
        """Lines, not ticks, that a lossy output did not get."""
        self.failing = ""
        """Why the last line was not taken; empty where it was."""
        self._sink = sink
        self._lines: deque[AnyLine] = deque()
        self._state: State | None = None
        self._failure: OSError | None = None
        self._bug: Exception | None = None
        self._busy_since = 0.0
        self._moved = 0
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"output {self.name}", daemon=True)
        self._thread.start()

    def line(self, line: AnyLine) -> None:
        """Take a line; OSError where an earlier one was refused."""
        is_tick = isinstance(line, TickLine)
        with self._wake:
            waiting = len(self._lines)
            if self.lossy and waiting >= _MANY:
                self.left_out += not is_tick
            elif not is_tick or waiting < _FEW:
                self._lines.append(line)
                self._wake.notify()
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def show(self, state: State) -> None:
        """Take the newest state; one that was not drawn makes way for it."""
        with self._wake:
            self._state = state
            self._wake.notify()

    def stalled_s(self) -> float:
        """For how long it has been busy with one and the same line, where that is too long; else 0."""
        since = self._busy_since
        busy_s = time.monotonic() - since if since else 0.0
        return busy_s if busy_s > _STALL_S else 0.0

    def close(self, in_hurry: Callable[[], bool] = bool) -> None:
        """Have everything written, as long as it gets on; then let go of the sink, or leave its thread where it is."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        begun, moved, moved_at = time.monotonic(), -1, 0.0
        while self._thread.is_alive() and not self.stuck:
            now = time.monotonic()
            if self._moved != moved:
                moved, moved_at = self._moved, now
            self.stuck = in_hurry() or now - (begun if self.lossy else moved_at) > _LEAVE_S[self.lossy]
            self._thread.join(_LOOK_S)
        self.meet_bug()
        if self.stuck and not self.lossy:
            waiting = len(self._lines) + 1
            raise OSError(
                f"{getattr(self._sink, 'path', self.name)}: takes nothing; the last {waiting} lines are missing"
            )
        if self.failing:
            raise OSError(self.failing)

    def meet_bug(self) -> None:
        """Raise what is a mistake of ours: here and in ``close`` alone, elsewhere it would cost others their lines."""
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._lines or self._state or self._closing):
                    self._wake.wait()
                line = self._lines.popleft() if self._lines else None
                state = None
                if line is None:
                    state, self._state = self._state, None
                self._busy_since = time.monotonic()
            if line is not None:
                self._write(line)
            elif state is not None:
                with contextlib.suppress(OSError):  # a terminal that has gone; its lines report it
                    self._call(functools.partial(self._sink.show, state))
            else:
                break
            self._busy_since, self._moved = 0.0, self._moved + 1
        try:
            self._call(self._sink.close)
        except OSError as error:
            self.failing = str(error)

    def _write(self, line: AnyLine) -> None:
        try:
            self._call(functools.partial(self._sink.line, line))
        except OSError as error:
            self.failing = error.strerror or str(error)
            with self._wake:
                self._failure = error
        else:
            if not isinstance(line, TickLine):  # many outputs pass over those: that proves nothing
                self.failing = ""

    def _call(self, work: Callable[[], None]) -> None:
        """Do it; a mistake of ours is met in the supervisor's thread."""
        try:
            work()
        except OSError:
            raise
        except Exception as error:
            self._bug = self._bug or error


def apart(sinks: Sequence[Sink]) -> list[Sink]:
    """Each sink in a thread of its own, but those that say that they never wait."""
    return [sink if getattr(sink, "never_waits", False) else Outlet(sink) for sink in sinks]
