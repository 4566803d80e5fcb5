"""Outputs: event log, views, publication. One file a kind.

To add one: a class with ``line(line)``, ``show(state)`` and ``close()``, and a branch in ``open_sinks``.
"""

from __future__ import annotations

import sys
from typing import Protocol

from realtime.config import OutputSettings
from realtime.sinks.lines import AnyLine, State


class Sink(Protocol):
    """Where lines go. A sink that can't go on says so by an OSError, once; the session survives it."""

    def line(self, line: AnyLine) -> None:
        """Take one line, as it happens."""

    def show(self, state: State) -> None:
        """Draw the state; called some ten times a second, from the supervisor's thread."""

    def close(self) -> None:
        """Write what is left and let go."""


def open_sinks(settings: OutputSettings) -> list[Sink]:
    """The sinks that the settings ask for. UserError where one can't be opened (before anything starts)."""
    sinks: list[Sink] = []
    if settings.publish is not None:
        from realtime.sinks.publish import Publisher

        sinks.append(Publisher(settings.publish, settings.curve_dir))
    if settings.events is not None:
        from realtime.sinks.events import EventLog

        sinks.append(EventLog(settings.events))
    view = settings.view
    if view == "auto":
        view = "live" if sys.stdout.isatty() else "plain"
    if view == "live":
        from realtime.sinks.live import LiveView

        sinks.append(LiveView())
    elif view == "plain":
        from realtime.sinks.plain import PlainView

        sinks.append(PlainView())
    return sinks
