"""The session's journal: what was reported becomes lines, each given to each sink; it outlives a sink's failure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from realtime.errors import without_passwords
from realtime.ipc import messages
from realtime.sinks import Sink
from realtime.sinks.lines import (
    CAUSES,
    LATENCIES,
    AnyLine,
    GapLine,
    NoticeLine,
    SessionLine,
    State,
    TickLine,
    event_line,
    percentiles,
)
from realtime.supervisor.outlets import Outlet

_DENSE_FRESH_S = 1.0


class Journal:
    """Lines that come before the first line is known are held back; each event id is written once."""

    def __init__(self, sinks: Sequence[Sink], in_hurry: Callable[[], bool] = bool) -> None:
        """in_hurry: asked at the end, while an output is waited for."""
        self._in_hurry = in_hurry
        self._stalled: set[str] = set()
        self.dropped: dict[str, int] = dict.fromkeys(CAUSES, 0)
        self.events: set[int] = set()
        """Ids of the events that were written."""
        self.sensitivity_px: dict[str, float] = {}
        """The last that was stated."""
        self.unclassified: set[int] = set()
        """Ids of the events that failed on their way."""
        self.settled: set[int] = set()
        """Ids of the events that need no more waiting for: both."""
        self.latencies: dict[str, list[float]] = {name: [] for name in LATENCIES}
        self.failed_sinks: dict[str, str] = {}
        self.begun = False
        self._finished = False
        self._dense: tuple[messages.Dense, float] | None = None
        self._sinks = list(sinks)
        self._held: list[messages.Classified | GapLine | NoticeLine] = []

    def begin(self, line: SessionLine) -> None:
        """Write the first line, then what was held back."""
        self.begun = True
        self._write(line)
        held, self._held = self._held, []
        for item in held:
            if isinstance(item, messages.Classified):
                self.event(item)
            else:
                self._write(item)

    def event(self, done: messages.Classified) -> None:
        """Write an event; the second copy of one that was sent again is passed over."""
        if not self.begun:
            self._held.append(done)
        elif done.id not in self.events:
            self.events.add(done.id)
            self.settled.add(done.id)
            line = event_line(done, time.monotonic_ns())
            for name in LATENCIES:
                self.latencies[name].append(line.latency_ms[name])
            self._write(line)

    def unclassifiable(self, failed: messages.Unclassified) -> None:
        """An event that failed on its way: a notice, once, and nobody waits for it any longer."""
        if failed.id not in self.unclassified:
            self.unclassified.add(failed.id)
            self.settled.add(failed.id)
            self.notice("event not classified", f"event {failed.id}, {failed.stage}: {failed.reason}")

    def gap(self, gap: messages.Gap) -> None:
        self.dropped[gap.cause] += gap.count
        self._write_or_hold(GapLine(first=gap.first, last=gap.last, count=gap.count, cause=gap.cause))

    def notice(
        self, what: str, detail: str = "", t_ns: int | None = None, sensitivity_px: dict[str, float] | None = None
    ) -> None:
        detail = without_passwords(detail)
        stamp = time.monotonic_ns() if t_ns is None else t_ns
        if sensitivity_px:
            self.sensitivity_px = sensitivity_px
        self._write_or_hold(
            NoticeLine(
                what=what, detail=without_passwords(detail), t_ns=stamp, sensitivity_px=sensitivity_px or msgspec.UNSET
            )
        )

    def tick(self, tick: messages.Tick, fps: float) -> None:
        line = TickLine(
            frame=tick.frame,
            t_ns=tick.t_ns,
            difference=tick.difference,
            face=tick.face,
            found=tick.found,
            fps=fps,
            dropped=sum(self.dropped.values()),
            peak=tick.peak,
        )
        if self._dense is not None and (tick.face is True or not tick.face):  # of several it measures face 0
            line = self._with_dense(line, *self._dense)
        if self.begun:
            self._write(line)

    def dense(self, measured: messages.Dense) -> None:
        """What dense mode measured; it goes out with the next tick."""
        self._dense = measured, time.monotonic()

    def _with_dense(self, line: TickLine, measured: messages.Dense, came_s: float) -> TickLine:
        fresh = line.found and time.monotonic() - came_s < _DENSE_FRESH_S
        return msgspec.structs.replace(
            line,
            strain=measured.strain if fresh else {},
            flow=measured.flow if fresh else {},
            dense_frame=measured.frame,
            dense_fps=measured.fps if fresh else 0.0,
            dense_dropped=measured.dropped,
        )

    def finish(self, line: AnyLine) -> None:
        """The last line; nothing follows it, not even the notice that an output failed."""
        self._finished = True
        self._write(line)

    def show(self, state: State) -> None:
        for sink in self._sinks:
            with contextlib.suppress(OSError):  # a terminal that has gone; its lines report it
                sink.show(state)

    def look_after(self) -> None:
        """Tell of outputs that nobody reads, and that somebody reads again."""
        for outlet in self._outlets():
            outlet.meet_bug()
            seconds = outlet.stalled_s()
            if seconds and outlet.name not in self._stalled:
                self._stalled.add(outlet.name)
                self.notice(
                    "output stalls", f"{outlet.name}: has taken nothing for {seconds:.1f} s; the session goes on"
                )
            elif not seconds and outlet.name in self._stalled:
                self._stalled.remove(outlet.name)
                left_out = f"; {outlet.left_out} lines so far were left out" if outlet.left_out else ""
                self.notice("output goes on", outlet.name + left_out)

    @property
    def stuck(self) -> bool:
        """Whether, at the end, a thread still waits for an output."""
        return any(outlet.stuck for outlet in self._outlets())

    def _outlets(self) -> list[Outlet]:
        return [sink for sink in self._sinks if isinstance(sink, Outlet)]

    def latency_summary(self) -> dict[str, dict[str, float]]:
        return {name: percentiles(values) for name, values in self.latencies.items()}

    def connections(self) -> dict[str, int]:
        """Who came to the outputs that others reach, together: see the summary's field."""
        found: dict[str, int] = {}
        for sink in self._sinks:
            for name, count in getattr(sink, "connections", {}).items():
                found[name] = found.get(name, 0) + count
        return found

    def close(self) -> None:
        """Close every sink, whatever another one does."""
        with contextlib.ExitStack() as stack:
            for sink in reversed(self._sinks):
                stack.callback(self._close_sink, sink)

    def _close_sink(self, sink: Sink) -> None:
        name = _name_of(sink)
        try:
            if isinstance(sink, Outlet):
                sink.close(self._in_hurry)
                self.failed_sinks.pop(name, None)  # its last line was taken
            else:
                sink.close()
        except OSError as error:
            self.failed_sinks[name] = str(error)

    def _write_or_hold(self, line: GapLine | NoticeLine) -> None:
        if self.begun:
            self._write(line)
        else:
            self._held.append(line)

    def _write(self, line: AnyLine) -> None:
        failed = []
        for sink in self._sinks:
            name = _name_of(sink)
            try:
                sink.line(line)
            except OSError as error:
                if name not in self.failed_sinks and not self._finished:
                    failed.append(error.strerror or str(error))
                self.failed_sinks[name] = error.strerror or str(error)
            else:
                if not isinstance(line, TickLine) and not getattr(sink, "failing", ""):  # ticks prove nothing
                    self.failed_sinks.pop(name, None)
        for reason in failed:  # once; the sink is tried again with the next line
            self.notice("output failed", reason)


def _name_of(sink: Sink) -> str:
    return sink.name if isinstance(sink, Outlet) else type(sink).__name__
