"""What a page is told of a running session: lines as they come, and for one that comes late, or was behind, the whole.

One log for all pages, of fixed length. A page has no queue here, only a place in the log: one that stalls costs
nothing, and when it goes on it is given the whole again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

_LOG = 1200  # lines; a page that is further behind begins anew
_EVENTS, _OTHERS = 300, 100
_CURVE_S = 10.0


class _Kind(msgspec.Struct):
    """What is looked at of a line here."""

    type: str
    t_ns: int = 0


class Story:
    """The session so far. Lines are JSON, as they were sent."""

    def __init__(self) -> None:
        self.lost = 0
        """Lines that the supervisor sent and that never came."""
        self.ended = False
        self._log: deque[bytes] = deque(maxlen=_LOG)
        self._next = 0
        self._expected: int | None = None
        self._seen: set[int] = set()
        self._latest: dict[str, bytes] = {}
        """Session, state, summary, the threshold of each face."""
        self._events: deque[bytes] = deque(maxlen=_EVENTS)
        self._others: deque[bytes] = deque(maxlen=_OTHERS)
        self._ticks: deque[tuple[int, bytes]] = deque()
        self._changed = asyncio.Event()

    def tell(self, line: bytes, seq: int | None = None, *, again: bool = False) -> None:
        """Add a line; ``seq``: the sender's number; ``again``: it may have come before."""
        kind = msgspec.json.decode(line, type=_Kind)
        if seq is not None and kind.type not in ("tick", "state"):
            if again and seq in self._seen:
                return
            self._seen.add(seq)
        if seq is not None and not again:
            if self._expected is not None and seq > self._expected:
                self.lost += seq - self._expected
            self._expected = seq + 1
        if kind.type == "tick":
            self._ticks.append((kind.t_ns, line))
            while kind.t_ns - self._ticks[0][0] > _CURVE_S * 1e9:
                self._ticks.popleft()
        elif kind.type in ("session", "state", "summary", "threshold"):
            self._latest[kind.type] = line
        elif kind.type == "event":
            self._events.append(line)
        else:
            self._others.append(line)
        self._log.append(line)
        self._next += 1
        self._wake()

    def end(self) -> None:
        """Nothing follows."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def whole(self) -> tuple[bytes, int]:
        """Everything that a page begins with, as a JSON list, and the place from which to go on."""
        ticks = (line for _, line in self._ticks)
        return _listed((*self._latest.values(), *self._others, *self._events, *ticks)), self._next

    def since(self, place: int) -> tuple[bytes | None, int]:
        """The lines from ``place`` on, as a JSON list, and the next place; None where they have left the log."""
        behind = self._next - place
        if behind > len(self._log):
            return None, self._next
        new = [self._log[k] for k in range(len(self._log) - behind, len(self._log))]
        return _listed(new), self._next

    async def wait(self, place: int, timeout_s: float) -> bool:
        """Until there is something from ``place`` on, or the end; False when the time is out."""
        if self._next > place or self.ended:
            return True
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


def _listed(lines: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(lines) + b"]"
