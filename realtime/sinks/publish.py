"""``--publish ENDPOINT``: ZeroMQ PUB, two parts: topic, and the line as UTF-8 JSON with ``seq`` counted per
topic.

Labels of faces are personal data: beyond this machine (tcp on another interface than loopback) the stream is
encrypted and only known clients may subscribe (``--curve-dir``, see `realtime.ipc.keys`). Whoever connects meets the
gate first (`realtime.ipc.gate`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import get_args

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from realtime.config import OutputSettings
from realtime.ipc import bus
from realtime.ipc.endpoint import Listening
from realtime.ipc.gate import Gate
from realtime.ipc.keys import server_keys
from realtime.ipc.names import session_prefix
from realtime.sinks.lines import AnyLine, State

_MAX_BYTES = 1024
"""What a subscriber may send at a time: subscriptions, which are short, and the handshake. More cuts it off."""
_HANDSHAKE_MS = 3000

TOPICS = tuple(str(kind.__struct_config__.tag) for kind in get_args(AnyLine))


def open_sink(settings: OutputSettings) -> Publisher | None:
    return None if settings.publish is None else Publisher(settings.publish, settings.curve_dir)


class Publisher:
    """The publishing socket. Never waits for a subscriber."""

    never_waits = True

    def __init__(self, endpoint: str, curve_dir: str | None = None) -> None:
        """UserError where the endpoint can't be had, or goes beyond this machine without keys."""
        self._seq = dict.fromkeys(TOPICS, 0)
        with contextlib.ExitStack() as undo:  # undone from the end: the last lines still pass the gate
            listening = Listening("--publish", endpoint, encrypted=curve_dir is not None)
            undo.callback(listening.close)
            directory = bus.make_directory(session_prefix())
            undo.callback(bus.remove_directory, directory)
            self._gate = Gate(listening.socket, f"{directory}/publish")
            undo.callback(self._gate.close)
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(context.term)
            self._socket = context.socket(zmq.PUB)
            undo.callback(self._socket.close)
            if curve_dir is not None:
                undo.callback(self._secure(context, Path(curve_dir)).stop)
            self._socket.setsockopt(zmq.SNDHWM, 1000)
            self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
            self._socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
            self._socket.setsockopt(zmq.LINGER, 500)
            self._socket.bind(bus.address(directory, "publish"))
            self._gate.start()
            self._closing = undo.pop_all()

    def _secure(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> ThreadAuthenticator:
        """Only who is on the list of clients is let in."""
        public, private, clients = server_keys(folder)
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve(domain="*", location=str(clients))
        self._socket.curve_publickey, self._socket.curve_secretkey = public, private
        self._socket.curve_server = True
        return authenticator

    @property
    def connections(self) -> dict[str, int]:
        """How many came, were refused, left by themselves."""
        return {"came": self._gate.came, "refused": self._gate.refused, "left": self._gate.left}

    def line(self, line: AnyLine) -> None:
        content = msgspec.to_builtins(line)
        topic = content["type"]
        content["seq"] = self._seq[topic]
        self._seq[topic] += 1
        self._socket.send_multipart([topic.encode(), msgspec.json.encode(content)])

    def show(self, state: State) -> None:
        """Ticks come as lines."""

    def close(self) -> None:
        self._closing.close()
