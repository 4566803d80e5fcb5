"""Sockets: one class for each delivery guarantee, all over ``ipc://`` in a private directory.

* ``Sender`` / ``Receiver`` (PUSH/PULL): reliable. A full queue makes the sender wait, at most ``timeout_s``,
  and then raises; nothing is dropped silently. Messages sent before the peer is up are kept.
* ``Broadcaster`` / ``Listener`` (PUB/SUB): lossy. What does not fit is dropped; ``seq`` in the messages
  shows it.
* ``Broadcaster`` / ``Subscriber``: the same between two stages.
* ``Caller`` / ``Answerer`` (REQ/REP): control, request and reply with a time-out.

What is no message of ours is passed over and counted (``refused``); whoever sends a larger one is cut off.

Who binds is who lives longest: the supervisor for reports and ticks, each stage for its own work and control.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq

from realtime.errors import MerealtimeError
from realtime.ipc import messages

_LINGER_MS = 2000
_HIGH_WATER = 1000
_MAX_BYTES = 4 << 20
"""Far above the largest message (an event with its crops, 60 kB)."""

T = TypeVar("T")


class BusError(MerealtimeError):
    """A message could not be delivered in time."""


def make_directory(prefix: str) -> Path:
    """A new directory for sockets, mode 0700, with a path short enough for a Unix socket (107 bytes)."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    if not os.access(base, os.W_OK) or len(base) > 50:
        base = "/tmp"
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    except OSError as error:
        raise BusError(f"{base}: can't make a directory for sockets there ({error.strerror})") from error


def remove_directory(path: Path) -> None:
    """Remove the directory with its sockets."""
    shutil.rmtree(path, ignore_errors=True)


def address(directory: Path | str, name: str) -> str:
    """Endpoint of a named channel."""
    return f"ipc://{directory}/{name}"


class Sender:
    """Reliable sending end. Not to be shared between threads."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, timeout_s: float = 30.0) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._socket = context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.SNDTIMEO, int(timeout_s * 1000))
        self._socket.connect(endpoint)

    def send(self, message: messages.Message) -> None:
        """Queue a message; BusError if the receiver takes nothing for ``timeout_s``."""
        try:
            self._socket.send(messages.encode(message), copy=True)
        except zmq.Again as error:
            name = self._endpoint.rsplit("/", 1)[-1]
            raise BusError(f"{name}: nobody took a message for {self._timeout_s:g} s") from error

    def close(self) -> None:
        """Close; what is queued is still delivered for up to two seconds."""
        self._socket.close()


class Receiver:
    """Reliable receiving end."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.refused = 0
        """What came and was no message."""
        self.socket = context.socket(zmq.PULL)
        self.socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
        self.socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(endpoint)

    def receive(self, timeout_s: float = 0.0) -> bytes | None:
        """The next message, or None when the time is out."""
        if self.socket.poll(round(timeout_s * 1000)):
            return self.socket.recv(zmq.NOBLOCK)
        return None

    def take(self, decode: Callable[[bytes], T], timeout_s: float = 0.0) -> T | None:
        """The next message, decoded, or None when the time is out."""
        while (data := self.receive(timeout_s)) is not None:
            try:
                return decode(data)
            except msgspec.DecodeError:
                self.refused += 1
        return None

    def close(self) -> None:
        self.socket.close()


class Broadcaster:
    """Lossy sending end: never waits."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._socket = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, 100)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def send(self, message: messages.Message) -> None:
        self._socket.send(messages.encode(message))

    def close(self) -> None:
        self._socket.close()


def _hearing_all(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """The bound end of a lossy channel."""
    made = context.socket(zmq.SUB)
    made.setsockopt(zmq.RCVHWM, 100)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
    made.setsockopt(zmq.SUBSCRIBE, b"")
    made.bind(endpoint)
    return made


class Listener:
    """Lossy receiving end: newest messages, those lost are counted by ``seq``."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = _hearing_all(context, endpoint)
        self.lost = 0
        """Ticks that were sent and never came."""
        self.refused = 0
        self._next: dict[type, int] = {}
        self._hearing: set[str] = set()

    def receive(self, timeout_s: float = 0.0) -> messages.Tick | messages.Dense | None:
        """The next tick; handshakes are noted and passed over."""
        while self.socket.poll(round(timeout_s * 1000)):
            try:
                message = messages.decode_broadcast(self.socket.recv(zmq.NOBLOCK))
            except msgspec.DecodeError:
                self.refused += 1
                continue
            if isinstance(message, messages.Hello):
                self._hearing.add(message.token)
                continue
            expected = self._next.get(type(message), 0)
            if message.seq > expected > 0:
                self.lost += message.seq - expected
            self._next[type(message)] = message.seq + 1
            return message
        return None

    def heard(self, token: str) -> bool:
        """Whether the handshake ``token`` has come through."""
        return token in self._hearing

    def close(self) -> None:
        self.socket.close()


class Subscriber:
    """Lossy receiving end of poses, oldest first; those that never came are counted by ``seq``."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, decode: Callable[[bytes], messages.Pose]
    ) -> None:
        self.socket = _hearing_all(context, endpoint)
        self.lost = self.refused = 0
        self._decode = decode
        self._next = 0

    def receive(self) -> messages.Pose | None:
        """The next message, or None."""
        while True:
            try:
                message = self._decode(self.socket.recv(zmq.NOBLOCK))
                break
            except zmq.Again:
                return None
            except msgspec.DecodeError:
                self.refused += 1
        if message.seq > self._next > 0:
            self.lost += message.seq - self._next
        self._next = message.seq + 1
        return message

    def close(self) -> None:
        self.socket.close()


def hear_itself(context: zmq.Context[zmq.Socket[bytes]], listener: Listener, endpoint: str, timeout_s: float) -> None:
    """Send handshakes to our own listener until one comes back: PUB/SUB is silent until it is connected."""
    token = secrets.token_hex(8)
    sender = Broadcaster(context, endpoint)
    deadline = time.monotonic() + timeout_s
    try:
        while not listener.heard(token):
            if time.monotonic() > deadline:
                raise BusError(f"{endpoint}: the handshake did not come back within {timeout_s:g} s")
            sender.send(messages.Hello(token=token))
            listener.receive(0.01)
    finally:
        sender.close()


class Caller:
    """Asks one stage. A fresh socket for each request: a REQ socket that missed its answer is unusable."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._context = context
        self._endpoint = endpoint

    def ask(self, order: messages.Control, timeout_s: float = 5.0) -> messages.Reply:
        """The stage's reply; BusError when none comes in time."""
        name = self._endpoint.rsplit("/", 1)[-1]
        try:
            socket = self._context.socket(zmq.REQ)
        except zmq.ZMQError as error:  # no descriptor left
            raise BusError(f"{name}: no socket to ask it by ({error.strerror})") from error
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.connect(self._endpoint)
            socket.send(messages.encode(order))
            if not socket.poll(round(timeout_s * 1000)):
                raise BusError(f"{name}: no answer to {order.order!r} within {timeout_s:g} s")
            return messages.decode_reply(socket.recv())
        finally:
            socket.close()


class Answerer:
    """Answers control requests in a thread of its own; ``handle`` runs there and must be quick."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        handle: Callable[[messages.Control], messages.Reply],
    ) -> None:
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self._handle = handle
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="control", daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while not self._stopping.is_set():
            if not self._socket.poll(200):
                continue
            try:
                parts = self._socket.recv_multipart()
                reply = self._handle(messages.decode_control(parts[0] if len(parts) == 1 else b""))
            except msgspec.MsgspecError as error:
                reply = messages.Reply(ok=False, detail=f"not understood: {error}")
            self._socket.send(messages.encode(reply))
        self._socket.close()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2.0)
