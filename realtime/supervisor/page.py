"""The page's feed: each line, each tick and the state a few times a second, as JSON, to the process that serves it.

It never waits: what that process does not take is dropped. What a page needs to begin with is kept and told again when
the process had to be started again.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Self

import msgspec

from realtime.config import OutputSettings
from realtime.ipc import bus, messages
from realtime.sinks.lines import AnyLine, SessionLine, State, TickLine
from realtime.supervisor.resources import Resources
from realtime.web import address

_KEEP = 1000
_EVERY = 2  # states shown between two that are told


class PageFeed:
    """A sink."""

    never_waits = True

    def __init__(self, sender: bus.Feeder) -> None:
        self._sender = sender
        self._encoder = msgspec.json.Encoder()
        self._seq = self._shown = 0
        self._session: messages.Told | None = None
        self._kept: deque[messages.Told] = deque(maxlen=_KEEP)

    def line(self, line: AnyLine) -> None:
        told = self._tell(self._encoder.encode(line))
        if isinstance(line, SessionLine):
            self._session = told
        elif not isinstance(line, TickLine):
            self._kept.append(told)

    def show(self, state: State) -> None:
        self._shown += 1
        if self._shown % _EVERY and state.phase != "ended":
            return
        told = msgspec.to_builtins(state)
        del told["session"]
        self._tell(self._encoder.encode({"type": "state", "t_ns": time.monotonic_ns(), **told}))

    def tell_again(self) -> None:
        """All that a page needs, to a process that begins with nothing."""
        for told in filter(None, (self._session, *self._kept)):
            self._sender.send(msgspec.structs.replace(told, again=True))

    def _tell(self, text: bytes) -> messages.Told:
        told = messages.Told(seq=self._seq, line=text)
        self._sender.send(told)
        self._seq += 1
        return told

    def close(self) -> None:
        self._sender.close()


class Page:
    """What the parent holds of the page: its socket and its feed; nothing of both without ``--web``."""

    def __init__(self, feed: PageFeed | None, listening: socket.socket | None, url: str) -> None:
        self.url = url
        self._feed, self._socket = feed, listening

    @classmethod
    def open(cls, settings: OutputSettings, resources: Resources) -> Self:
        """UserError where it can't be served there."""
        if settings.web is None:
            return cls(None, None, "")
        address.check_installed()
        token = address.read_token(settings.web_token_file)
        listening, where = address.listen(address.parse(settings.web), token)
        return cls(PageFeed(resources.feeder("page")), listening, where.url(token))

    @property
    def sinks(self) -> list[PageFeed]:
        """For the journal."""
        return [] if self._feed is None else [self._feed]

    @property
    def listening(self) -> int:
        """The socket's descriptor, −1 without one."""
        return -1 if self._socket is None else self._socket.fileno()

    def tell_again(self) -> None:
        """As of ``PageFeed``."""
        if self._feed is not None:
            self._feed.tell_again()

    def close(self) -> None:
        """Nobody is served from here on. The feed is the journal's to close."""
        if self._socket is not None:
            self._socket.close()
