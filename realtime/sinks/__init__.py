"""Outputs: event log, views, publication. One file a kind.

To add one: a file in this folder with a class that has ``line(line)``, ``show(state)`` and ``close()``, and a function
``open_sink(settings)`` that gives such a sink where the settings ask for it; and its keys in ``OutputSettings``. Every
file here that has the function is found by itself. What only this output needs is imported inside the function.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Protocol

from realtime.config import OutputSettings
from realtime.sinks.lines import AnyLine, State


class Sink(Protocol):
    """Where lines go. A sink that can't go on says so by an OSError, once; the session survives it.

    It is called from a thread of its own, so it may wait: for a disk, for whoever reads. ``lossy = True`` in its class:
    lines that it does not take may be left out (a view). ``never_waits = True``: it needs no thread.
    """

    def line(self, line: AnyLine) -> None:
        """Take one line, as it happens."""

    def show(self, state: State) -> None:
        """Draw the state; called some ten times a second at most."""

    def close(self) -> None:
        """Write what is left and let go."""


def open_sinks(settings: OutputSettings) -> list[Sink]:
    """The sinks that the settings ask for. UserError where one can't be opened; those before it are closed again."""
    sinks: list[Sink] = []
    with contextlib.ExitStack() as undo:
        for open_sink in _openers():
            sink = open_sink(settings)
            if sink is not None:
                sinks.append(sink)
                undo.callback(sink.close)
        undo.pop_all()
    return sinks


def _openers() -> Iterator[Callable[[OutputSettings], Sink | None]]:
    """``open_sink`` of each file in this folder that has one, by name."""
    for info in pkgutil.iter_modules(__path__):
        open_sink = getattr(importlib.import_module(f"{__name__}.{info.name}"), "open_sink", None)
        if open_sink is not None:
            yield open_sink
