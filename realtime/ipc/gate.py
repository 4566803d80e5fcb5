"""The gate before a socket that others reach: who may hold a connection, how many, and how much they may send.

ZeroMQ keeps what a subscriber subscribes to, some 50 bytes a byte, and takes in whatever comes before it sends the next
message: 5 s of short subscriptions over loopback held the sender for 9 s and cost gigabytes. So strangers reach
ZeroMQ only through a thread that copies bytes both ways and knows nothing of what they mean: at most ``MOST``
connections, each with an allowance of bytes a subscriber never needs more of. What is sent is never held back here:
behind a peer that does not read, ZeroMQ's own limit drops.

``came`` counts connections, ``refused`` those that the gate or ZeroMQ ended (no ZeroMQ, no key, too much, too
many), ``left`` those that went by themselves.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time

MOST = 64
"""Connections at a time."""
ALLOWED_BYTES = 8192
"""What a peer may send at once: the handshake (CURVE: 650 bytes) and its subscriptions."""
ALLOWED_A_SECOND = 256
"""And later on: a few subscriptions, heartbeats."""
_PAUSE_S = 0.005  # between two connections: a flood of them costs no core
_LAST_S = 0.5  # for the last words, to all peers together
_STARVED_S = 0.5  # without a free descriptor
_HELD_BYTES = 1 << 16
_ERROR = b"\x05ERROR"
"""Command by which ZeroMQ refuses a key, unencrypted."""


class _Pair:
    """A peer's connection and ours to ZeroMQ."""

    def __init__(self, outer: socket.socket, inner: socket.socket) -> None:
        self.outer, self.inner = outer, inner
        self.up, self.down = bytearray(), bytearray()
        """What is on its way to ZeroMQ, and to the peer."""
        self.heard = bytearray()
        """The first that ZeroMQ said."""
        self._allowed, self._since = float(ALLOWED_BYTES), time.monotonic()

    def spend(self, count: int) -> bool:
        """Whether the peer may send so much more."""
        now = time.monotonic()
        self._allowed = min(ALLOWED_BYTES, self._allowed + (now - self._since) * ALLOWED_A_SECOND) - count
        self._since = now
        return self._allowed >= 0


class Gate:
    """``listener`` (bound) is connected to the Unix socket ``inner``, in a thread of its own after ``start``."""

    def __init__(self, listener: socket.socket, inner: str) -> None:
        self.came = self.refused = self.left = 0
        self._listener, self._inner = listener, inner
        self._selector = selectors.DefaultSelector()
        self._pairs: set[_Pair] = set()
        self._listens_at: float | None = None
        """When connections are taken again; None: they are."""
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def start(self) -> None:
        """``inner`` is there: connections may come."""
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """End every connection; what a peer takes at once still goes out."""
        if self._thread.is_alive():
            self._wake.send(b"x")
            self._thread.join(timeout=2.0)
        for thing in (self._selector, self._wake, self._woken):
            thing.close()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._listen_again()
            for key, events in self._selector.select(None if self._listens_at is None else _PAUSE_S):
                if key.fileobj is self._woken:
                    stopping = True
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._pairs:
                    self._serve(key.data, key.fileobj is key.data.outer, events)
        deadline = time.monotonic() + _LAST_S
        for pair in list(self._pairs):
            self._finish(pair, deadline)
            self._close(pair)

    def _listen_again(self) -> None:
        if self._listens_at is not None and time.monotonic() >= self._listens_at:
            self._listens_at = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self) -> None:
        pause_s = _PAUSE_S
        outer: socket.socket | None = None
        try:
            outer, _ = self._listener.accept()
            self.came += 1
            if len(self._pairs) >= MOST:
                raise ConnectionRefusedError
            self._add(outer)
        except BlockingIOError:
            pass
        except OSError as error:
            if outer is not None:
                self.refused += 1
                outer.close()
            elif not isinstance(error, ConnectionError):
                pause_s = _STARVED_S
        self._selector.unregister(self._listener)
        self._listens_at = time.monotonic() + pause_s

    def _add(self, outer: socket.socket) -> None:
        if outer.family != socket.AF_UNIX:
            outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            outer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        inner = socket.socket(socket.AF_UNIX)
        try:
            inner.connect(self._inner)
        except OSError:
            inner.close()
            raise
        pair = _Pair(outer, inner)
        for end in (outer, inner):
            end.setblocking(False)
            self._selector.register(end, selectors.EVENT_READ, pair)
        self._pairs.add(pair)

    def _serve(self, pair: _Pair, outer: bool, events: int) -> None:
        """What one end has to give or can take. Whoever ends it decides how the connection is counted."""
        try:
            if events & selectors.EVENT_READ and not (self._from_peer(pair) if outer else self._from_zmq(pair)):
                return
            self._send(pair.outer, pair.down)
        except OSError:
            self._end(pair, refused=False)
            return
        try:
            self._send(pair.inner, pair.up)
        except OSError:
            self._drain(pair)
            self._end(pair, refused=True)
            return
        self._watch(pair, pair.outer, pair.down, room=len(pair.up) < _HELD_BYTES)
        self._watch(pair, pair.inner, pair.up, room=len(pair.down) < _HELD_BYTES)

    def _from_peer(self, pair: _Pair) -> bool:
        data = pair.outer.recv(4096)
        if data and pair.spend(len(data)):
            pair.up += data
            return True
        self._end(pair, refused=bool(data))
        return False

    def _from_zmq(self, pair: _Pair) -> bool:
        try:
            data = pair.inner.recv(_HELD_BYTES)
        except ConnectionError:
            data = b""
        pair.down += data
        if len(pair.heard) < 512:
            pair.heard += data[:512]
        if data:
            return True
        self._drain(pair)
        self._end(pair, refused=True)
        return False

    def _finish(self, pair: _Pair, deadline: float) -> None:
        """ZeroMQ has said its last: pass it on to a peer that takes it."""
        with contextlib.suppress(OSError):
            pair.inner.settimeout(0.0)
            while True:
                pair.outer.settimeout(max(0.001, deadline - time.monotonic()))
                pair.outer.sendall(pair.down)
                pair.down[:] = pair.inner.recv(_HELD_BYTES)
                if not pair.down:
                    return

    def _drain(self, pair: _Pair) -> None:
        """The last words, as far as the peer takes them at once."""
        with contextlib.suppress(OSError):
            pair.outer.send(pair.down)

    @staticmethod
    def _send(end: socket.socket, waiting: bytearray) -> None:
        with contextlib.suppress(BlockingIOError):
            if waiting:
                del waiting[: end.send(waiting)]

    def _watch(self, pair: _Pair, end: socket.socket, waiting: bytearray, *, room: bool) -> None:
        """Wait until ``end`` takes what waits for it, and for what it gives where there is room for that."""
        wanted = (selectors.EVENT_READ if room else 0) | (selectors.EVENT_WRITE if waiting else 0)
        known = self._selector.get_map().get(end)
        if known is None and wanted:
            self._selector.register(end, wanted, pair)
        elif known is not None and not wanted:
            self._selector.unregister(end)
        elif known is not None and known.events != wanted:
            self._selector.modify(end, wanted, pair)

    def _end(self, pair: _Pair, *, refused: bool) -> None:
        if refused or _ERROR in pair.heard:
            self.refused += 1
        else:
            self.left += 1
        self._close(pair)

    def _close(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for end in (pair.outer, pair.inner):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
