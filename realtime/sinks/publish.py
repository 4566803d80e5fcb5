"""``--publish ENDPOINT``: ZeroMQ PUB, two parts: topic, and the line as UTF-8 JSON with ``seq`` counted per
topic.

Labels of faces are personal data: beyond this machine (tcp on another interface than loopback) the stream is
encrypted and only known clients may subscribe. ``--curve-dir`` then holds ``server.key_secret`` and, in
``clients/``, a ``.key`` file for each client (``python -m realtime.sinks.publish DIR`` makes a set).
"""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import msgspec
import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from realtime.errors import UserError
from realtime.sinks.lines import AnyLine, State

TOPICS = ("event", "gap", "notice", "tick", "session", "summary")


class Publisher:
    """The publishing socket. Never waits for a subscriber."""

    def __init__(self, endpoint: str, curve_dir: str | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._seq = dict.fromkeys(TOPICS, 0)
        self._authenticator: ThreadAuthenticator | None = None
        self._socket = self._context.socket(zmq.PUB)
        try:
            self._open(endpoint, curve_dir)
        except UserError:
            self.close()
            raise

    def _open(self, endpoint: str, curve_dir: str | None) -> None:
        if not endpoint.startswith(("tcp://", "ipc://")):
            raise UserError(f"--publish {endpoint}: write tcp://HOST:PORT or ipc://PATH")
        if curve_dir is not None:
            self._secure(Path(curve_dir))
        elif endpoint.startswith("tcp://") and not is_loopback(endpoint):
            raise UserError(
                f"--publish {endpoint}: goes beyond this machine and needs keys: add --curve-dir DIR "
                "(python -m realtime.sinks.publish DIR makes them), or use tcp://127.0.0.1:PORT"
            )
        self._socket.setsockopt(zmq.SNDHWM, 1000)
        self._socket.setsockopt(zmq.LINGER, 500)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise UserError(f"--publish {endpoint}: {error.strerror}") from error

    def _secure(self, folder: Path) -> None:
        secret, clients = folder / "server.key_secret", folder / "clients"
        if not secret.is_file() or not any(clients.glob("*.key")):
            raise UserError(f"--curve-dir {folder}: needs server.key_secret and clients/*.key")
        try:
            public, private = zmq.auth.load_certificate(secret)
        except (OSError, ValueError) as error:
            raise UserError(f"{secret}: no CURVE key ({error})") from error
        if private is None:
            raise UserError(f"{secret}: holds no secret key")
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve(domain="*", location=str(clients))
        self._socket.curve_publickey, self._socket.curve_secretkey = public, private
        self._socket.curve_server = True

    def line(self, line: AnyLine) -> None:
        content = msgspec.to_builtins(line)
        topic = content["type"]
        content["seq"] = self._seq[topic]
        self._seq[topic] += 1
        self._socket.send_multipart([topic.encode(), msgspec.json.encode(content)])

    def show(self, state: State) -> None:
        """Ticks come as lines."""

    def close(self) -> None:
        self._socket.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.term()


def is_loopback(endpoint: str) -> bool:
    """Whether a ``tcp://`` endpoint stays on this machine."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host in ("localhost", "lo"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_keys(folder: Path) -> None:
    """A server key and one client key; the client takes ``client.key_secret`` and ``server.key`` with it."""
    clients = folder / "clients"
    clients.mkdir(mode=0o700, parents=True, exist_ok=True)
    zmq.auth.create_certificates(folder, "server")
    zmq.auth.create_certificates(folder, "client")
    (folder / "client.key").rename(clients / "client.key")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m realtime.sinks.publish DIR")
    make_keys(Path(sys.argv[1]))
    print(f"{sys.argv[1]}: server.key_secret stays here; give client.key_secret and server.key to the client")
