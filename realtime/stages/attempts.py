"""An event that cannot be handled costs that event, not the stage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from realtime.errors import BackendError
from realtime.ipc import messages

log = logging.getLogger(__name__)

T = TypeVar("T")

_IN_A_ROW = 3
"""So many failures one after the other are the stage's, not the events': then it is started again."""


class Reporter(Protocol):
    """Who tells of an event that failed: a stage's context, or a session in one process."""

    @property
    def stage(self) -> str: ...

    def report(self, message: messages.Unclassified) -> None: ...


class Attempts:
    """Tries each event once; what fails is told to the supervisor, which then no longer waits for that event."""

    def __init__(self, context: Reporter) -> None:
        self._context = context
        self._failed = 0

    def make(self, event: int, work: Callable[[], T]) -> T | None:
        """What ``work()`` gives, or None when it failed. BackendError, and the last of many failures, go on up."""
        try:
            made = work()
        except BackendError:
            raise
        except Exception as error:  # whatever an event's content can provoke in a library
            log.debug("event %d failed", event, exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self._context.report(messages.Unclassified(id=event, stage=self._context.stage, reason=reason))
            self._failed += 1
            if self._failed >= _IN_A_ROW:
                raise
            return None
        self._failed = 0
        return made
