"""Where the page is served, and who may have it: ``HOST:PORT``, the listening socket, the token.

Nothing but the standard library: the supervisor opens the socket, so that an address that is taken is told before
anything starts, and the page's process may die and come back without a page losing its server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import NamedTuple

from realtime.errors import UserError

DEFAULT = "127.0.0.1:8410"
_NEEDED = ("starlette", "uvicorn")
_LEAST_TOKEN = 16


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    def url(self, token: str = "") -> str:
        """What to open in a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"?token={token}" if token else "")


def parse(text: str, option: str = "--web") -> Address:
    """``HOST:PORT``, ``:PORT``, ``PORT`` or ``HOST``; UserError for anything else."""
    default = Address("127.0.0.1", 8410)
    bare = text.strip()
    host, sign, port = bare.rpartition(":") if not bare.endswith("]") else (bare, "", "")
    if not sign and not host:
        host, port = ("", port) if port.isdigit() else (port, "")
    host = host.strip("[]") or default.host
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise UserError(f"{option} {text}: write HOST:PORT, the port at most 65535, as in {DEFAULT}")
    if not host.isprintable() or any(sign in host for sign in " /@?#"):
        raise UserError(f"{option} {text}: {host!r} is no host; write HOST:PORT, as in {DEFAULT}")
    return Address(host, int(port) if port else default.port)


def listen(wanted: Address, token: str = "", option: str = "--web") -> tuple[socket.socket, Address]:
    """A listening socket, and where it listens (port 0 has become one). UserError where that can't be."""
    if not wanted.is_loopback and not token:
        raise UserError(
            f"{option} {wanted.host}:{wanted.port}: goes beyond this machine and needs a token: "
            "--set output.web_token_file=FILE, or 127.0.0.1"
        )
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"{option} {wanted.host}:{wanted.port}: {error.strerror}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise UserError(f"{option} {wanted.host}:{wanted.port}: can't listen there ({error.strerror})") from error
    return opened, Address(wanted.host, opened.getsockname()[1])


def read_token(path: str | None) -> str:
    """The token in a file of the user's own; empty without a file. UserError where it holds none, or others read it."""
    if path is None:
        return ""
    key = "output.web_token_file"
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"{key}: {path}: can't read it ({getattr(error, 'strerror', None) or error})") from error
    if mode & 0o077:
        raise UserError(f"{key}: {path}: open to others (mode {mode:o}); chmod 600 it")
    if len(token) < _LEAST_TOKEN or not (token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
        raise UserError(f"{key}: {path}: must hold {_LEAST_TOKEN} letters or digits at least; openssl rand -hex 16")
    return token


def check_installed() -> None:
    """UserError unless what serves the page is installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"the page needs {' and '.join(missing)}: pip install 'merealtime[web]'")
