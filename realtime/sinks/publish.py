"""``--publish ENDPOINT``: ZeroMQ PUB, two parts: topic, and the line as UTF-8 JSON with ``seq`` counted per
topic.

Labels of faces are personal data: beyond this machine (tcp on another interface than loopback) the stream is
encrypted and only known clients may subscribe. ``--curve-dir`` then holds ``server.key_secret`` and, in
``clients/``, a ``.key`` file for each client (``python -m realtime.sinks.publish DIR`` makes a set).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
import sys
from pathlib import Path
from typing import get_args

import msgspec
import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.options import ModuleParser
from realtime.sinks.lines import AnyLine, State

_MAX_BYTES = 1024
"""What a subscriber may send at a time: subscriptions, which are short, and the handshake. More cuts it off."""

TOPICS = tuple(str(kind.__struct_config__.tag) for kind in get_args(AnyLine))


def open_sink(settings: OutputSettings) -> Publisher | None:
    return None if settings.publish is None else Publisher(settings.publish, settings.curve_dir)


class Publisher:
    """The publishing socket. Never waits for a subscriber."""

    never_waits = True

    def __init__(self, endpoint: str, curve_dir: str | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._seq = dict.fromkeys(TOPICS, 0)
        self._authenticator: ThreadAuthenticator | None = None
        self._socket = self._context.socket(zmq.PUB)
        self._bound: tuple[str, os.stat_result] | None = None
        try:
            self._open(endpoint, curve_dir)
        except UserError:
            self.close()
            raise

    def _open(self, endpoint: str, curve_dir: str | None) -> None:
        if not endpoint.startswith(("tcp://", "ipc://")):
            raise UserError(f"--publish {endpoint}: write tcp://HOST:PORT or ipc://PATH")
        if endpoint.startswith("tcp://"):
            _check_port(endpoint)
        path = _socket_path(endpoint)
        if path:
            _check_free(endpoint, path)
        if curve_dir is not None:
            self._secure(Path(curve_dir))
        elif endpoint.startswith("tcp://") and not is_loopback(endpoint):
            raise UserError(
                f"--publish {endpoint}: goes beyond this machine and needs keys: add --curve-dir DIR "
                "(python -m realtime.sinks.publish DIR makes them), or use tcp://127.0.0.1:PORT"
            )
        self._socket.setsockopt(zmq.SNDHWM, 1000)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
        self._socket.setsockopt(zmq.LINGER, 500)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise UserError(f"--publish {endpoint}: {error.strerror}") from error
        if path:
            self._bound = path, os.stat(path)

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
        if self._bound is not None:  # ZeroMQ leaves it; another session may have put its own there meanwhile
            path, made = self._bound
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), made):
                    os.unlink(path)


def _socket_path(endpoint: str) -> str:
    """The file of an ``ipc://`` endpoint; empty where there is none (tcp, an abstract name ``ipc://@NAME``)."""
    path = endpoint.removeprefix("ipc://")
    return "" if path == endpoint or path.startswith("@") else path


def _check_port(endpoint: str) -> None:
    """UserError unless a ``tcp://`` endpoint names a port; ZeroMQ takes any number, modulo 65 536."""
    port = re.search(r":(\d+|\*)$", endpoint)
    if port is None:
        raise UserError(f"--publish {endpoint}: the port is missing; write tcp://HOST:PORT")
    if port[1] != "*" and int(port[1]) > 65535:
        raise UserError(f"--publish {endpoint}: port {port[1]}; the highest is 65535")


def _check_free(endpoint: str, path: str) -> None:
    """UserError unless the path is free, or a socket that nobody serves: ZeroMQ removes whatever is there."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # free, or bind() says what is wrong
    if not stat.S_ISSOCK(mode):
        raise UserError(f"--publish {endpoint}: {path} is there and is no socket; name another path")
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(path)
        raise UserError(f"--publish {endpoint}: another program publishes there; name another path")


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
    """A server key and one client key; the client takes ``client.key_secret`` and ``server.key`` with it.

    Raises UserError for a folder that others may enter, that holds keys already, or that can't be written.
    """
    clients = folder / "clients"
    before = os.umask(0o077)  # secrets are the owner's alone, from their first byte
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077:
            raise UserError(f"{folder}: open to others (mode {mode:o}); chmod 700 it, or name a new folder")
        if (folder / "server.key_secret").exists():
            raise UserError(f"{folder}: holds keys already; name a new folder, or remove them")
        clients.mkdir(exist_ok=True)
        zmq.auth.create_certificates(folder, "server")
        zmq.auth.create_certificates(folder, "client")
        (folder / "client.key").rename(clients / "client.key")
    except OSError as error:
        raise UserError(f"{folder}: can't write keys there ({error.strerror})") from error
    finally:
        os.umask(before)


def main() -> int:
    """Command line: make a set of keys."""
    parser = ModuleParser(prog="realtime.sinks.publish", description="Make CURVE keys for --curve-dir.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder, or an empty one of your own (mode 700)")
    folder = parser.parse_args().folder
    try:
        make_keys(folder)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(f"{folder}: server.key_secret stays here; give client.key_secret and server.key to the client")
    return 0


if __name__ == "__main__":
    sys.exit(main())
