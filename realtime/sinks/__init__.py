"""Outputs: event log, views, publication. One file a kind.

To add one: a class with ``line(line)``, ``show(state)`` and ``close()``, and a branch in ``open_sinks``.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Protocol

from realtime.config import OutputSettings
from realtime.errors import UserError
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
    try:
        _open_each(settings, sinks)
    except UserError:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _open_each(settings: OutputSettings, sinks: list[Sink]) -> None:
    """Append each sink as it is opened."""
    if settings.record is not None:
        _check_folder(settings.record)
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


def _check_folder(folder: str) -> None:
    """The recorder is a process of its own and starts late: find out now whether it can write."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"--record {folder}: can't write there ({error.strerror})") from error
