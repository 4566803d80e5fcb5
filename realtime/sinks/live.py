"""``--view live``: the running session on the terminal; ``python -m realtime.sinks.live FILE.svg`` draws an
example.

Shows measured and asked frame rate, drops by cause, load and queue of each stage, the difference curve of
each region as it runs, the last events with their scores, and whether there is a face.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from realtime.config import OutputSettings
from realtime.sinks.lines import (
    AnyLine,
    EventLine,
    GapLine,
    NoticeLine,
    SessionLine,
    State,
    SummaryLine,
    TickLine,
)
from realtime.sinks.plain import chosen_view, describe, describe_summary

_BARS = " ▁▂▃▄▅▆▇█"
_CURVE = 60  # ticks shown: three seconds at 20 a second
_BESIDE_CURVE = 34  # columns that name and figures take
_EVENTS = 8
_NOTICES = 4
_REDRAW_S = 0.2
_ETHICS = "A label is a guess about a movement, not about a mind."
_COLOURS = {"negative": "red", "positive": "green", "surprise": "yellow", "uncertain": "dim"}


def open_sink(settings: OutputSettings) -> LiveView | None:
    return LiveView() if chosen_view(settings) == "live" else None


class LiveView:
    """Draws the state a few times a second; keeps what it needs to draw and nothing else."""

    lossy = True

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._curves: dict[str, deque[float]] = {}
        self._events: deque[EventLine] = deque(maxlen=_EVENTS)
        self._notices: deque[str] = deque(maxlen=_NOTICES)
        self._session: SessionLine | None = None
        self._summary: SummaryLine | None = None
        self._live: Live | None = None
        self._next = 0.0
        self._ticked = -1

    def line(self, line: AnyLine) -> None:
        if isinstance(line, TickLine):
            self._tick(line)
        elif isinstance(line, EventLine):
            self._events.append(line)
        elif isinstance(line, SessionLine):
            self._session = line
        elif isinstance(line, (GapLine, NoticeLine)):
            self._notices.append(describe(line))
        elif isinstance(line, SummaryLine):
            self._summary = line

    def _tick(self, line: TickLine) -> None:
        """One curve a region; of several faces one curve each, of the region that moves most."""
        if line.frame != self._ticked:  # each face in view has a tick of the same frame; the other ones stay at zero
            self._ticked = line.frame
            for curve in self._curves.values():
                curve.append(0.0)
        one = isinstance(line.face, bool)
        values = line.peak if one else {f"face {line.face}": max(line.peak.values(), default=0.0)}
        for name, value in values.items():
            curve = self._curves.setdefault(name, deque([0.0] * _CURVE, maxlen=_CURVE))
            curve[-1] = value if line.found else 0.0

    def show(self, state: State) -> None:
        now = time.monotonic()
        if now < self._next and state.phase != "ended":
            return
        if self._live is None:
            if state.phase == "starting":
                return  # the progress line is on
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self._next = now + _REDRAW_S
        self._live.update(self.render(state), refresh=True)

    def render(self, state: State) -> RenderableType:
        """The whole picture of a state."""
        top = Table.grid(padding=(0, 3))
        top.add_row(self._rates(state), self._stages(state))
        parts: list[RenderableType] = [top, self._difference(), self._last_events()]
        if self._notices:
            parts.append(Text("\n".join(self._notices), style="dim"))
        return Panel(Group(*parts), title="[b]merealtime[/b]", subtitle=f"[dim]{_ETHICS}[/dim]", border_style="cyan")

    def _rates(self, state: State) -> Table:
        session = self._session
        table = Table.grid(padding=(0, 1))
        asked = session.fps_requested or session.fps_granted if session else 0.0
        slow = session is not None and session.live and state.fps < 0.97 * asked
        table.add_row("source", Text(session.source if session else "…", style="bold"))
        if session:
            table.add_row("picture", f"{session.width}×{session.height} {session.pixel_format}")
        rate = Text.assemble(
            (f"{state.fps:.1f} fps", "bold yellow" if slow else "bold green"),
            f"  of {asked:g} asked" if asked else "",
        )
        table.add_row("rate", rate)
        table.add_row("frames", f"{state.analysed} analysed in {state.seconds:.0f} s")
        dropped = {cause: count for cause, count in state.dropped.items() if count}
        lost = ", ".join(f"{count} {cause}" for cause, count in dropped.items())
        table.add_row("dropped", Text(lost or "0", style="bold red" if dropped else "green"))
        face = {None: ("…", "dim"), True: ("found", "green"), False: ("lost", "bold yellow")}[state.face]
        table.add_row("face", Text(*face))
        if session:
            table.add_row("model", f"{session.model}, flow {session.flow_backend}, {session.detector}")
        return table

    def _stages(self, state: State) -> Table:
        table = Table("stage", "load", "", "queue", "state", box=None, header_style="dim", pad_edge=False)
        for stage, phase in state.alive.items():
            load = state.load.get(stage, 0.0)
            bar = "█" * min(10, round(load * 10))
            queue = str(state.queue[stage]) if stage in state.queue else ""
            style = {"ready": "green", "ended": "dim"}.get(phase, "bold yellow")
            label = "running" if phase == "ready" else phase
            busy = f"{load:4.0%}" if stage != "capture" else ""
            table.add_row(stage, busy, Text(f"{bar:<10}", style="cyan"), queue, Text(label, style=style))
        return table

    def _difference(self) -> Table:
        table = Table.grid(padding=(0, 1))
        scale = max((max(curve) for curve in self._curves.values()), default=0.0) or 1.0  # one for all regions
        width = max(10, min(_CURVE, self._console.width - _BESIDE_CURVE))
        for name, curve in self._curves.items():
            bars = sparkline(list(curve)[-width:], scale)
            line = Text(bars, style="magenta", no_wrap=True, overflow="crop")
            table.add_row(name, line, f"{curve[-1]:.2f}", f"↑{max(curve):.2f}")
        return table

    def _last_events(self) -> Table:
        several = self._session is not None and self._session.faces > 1
        columns = ["#", "kind", "label", "scores −  +  !", "onset", "apex", "offset", "length", "latency"]
        if several:
            columns.insert(1, "face")
        table = Table(*columns, box=None, header_style="dim", pad_edge=False)
        for event in reversed(self._events):
            scores = "  ".join(f"{score:.2f}" for score in event.scores.values())
            length_ms = (event.offset_t_ns - event.onset_t_ns) / 1e6
            table.add_row(
                str(event.id),
                *([str(event.face)] if several else []),
                event.kind,
                Text(event.label, style=f"bold {_COLOURS.get(event.label, '')}"),
                scores,
                str(event.onset),
                str(event.apex),
                str(event.offset),
                f"{length_ms:.0f} ms",
                f"{event.latency_ms['total']:.0f} ms",
            )
        return table

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._summary is not None:
            self._console.print(describe_summary(self._summary), highlight=False, soft_wrap=True)

    def export_svg(self, path: str, state: State) -> None:
        """Write a picture of the view, as the README shows it."""
        console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
        console.print(self.render(state))
        console.save_svg(path, title="merealtime")


def sparkline(values: Iterable[float], top: float) -> str:
    """One character a value, full height at ``top``."""
    last = len(_BARS) - 1
    return "".join(_BARS[max(0, min(last, round(value / top * last)))] for value in values)
