"""Where other programs reach us: ``tcp://HOST:PORT`` and ``ipc://PATH``, checked and bound.

Who names an endpoint is told what is wrong with it in one line, which begins with ``option``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat

import psutil

from realtime.errors import UserError


class Listening:
    """A bound socket; for ``ipc://PATH`` its file, which only its owner may connect to."""

    def __init__(self, option: str, endpoint: str, *, encrypted: bool) -> None:
        """UserError for what is no endpoint, is taken, can't be had, or goes beyond this machine unencrypted."""
        self._says = f"{option} {endpoint}"
        self._file: tuple[str, os.stat_result] | None = None
        address: tuple[str, int] | str
        if endpoint.startswith("tcp://"):
            host, port = self._host_and_port(endpoint.removeprefix("tcp://"))
            if not encrypted and not is_loopback(endpoint):
                raise UserError(
                    f"{self._says}: goes beyond this machine and needs keys: add --curve-dir DIR "
                    "(merealtime keys DIR makes them), or use tcp://127.0.0.1:PORT"
                )
            family, address = self._resolved(host, port)
        elif endpoint.startswith("ipc://"):
            family, address = socket.AF_UNIX, self._ipc(endpoint.removeprefix("ipc://"))
        else:
            raise UserError(f"{self._says}: write tcp://HOST:PORT or ipc://PATH")
        self.socket = socket.socket(family)
        try:
            self._bind(family, address)
        except OSError as error:
            self.socket.close()
            raise UserError(f"{self._says}: {(error.strerror or str(error)).splitlines()[0]}") from error

    def close(self) -> None:
        """Close, and remove the file: another program may have put its own there meanwhile."""
        self.socket.close()
        if self._file is not None:
            path, made = self._file
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(path), made):
                    os.unlink(path)

    def _bind(self, family: int, address: tuple[str, int] | str) -> None:
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif isinstance(address, str) and not address.startswith("\0"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)  # a socket that nobody serves: _ipc has looked
        before = os.umask(0o077)
        try:
            self.socket.bind(address)
        finally:
            os.umask(before)
        if isinstance(address, str) and not address.startswith("\0"):
            self._file = address, os.lstat(address)

    def _host_and_port(self, place: str) -> tuple[str, int]:
        """Of HOST:PORT; PORT ``*``: whichever is free."""
        found = re.fullmatch(r"(.*):(\d+|\*)", place, re.ASCII)
        if found is None:
            raise UserError(f"{self._says}: the port is missing; write tcp://HOST:PORT")
        port = 0 if found[2] == "*" else int(found[2])
        if port > 65535:
            raise UserError(f"{self._says}: port {port}; the highest is 65535")
        return found[1].strip("[]"), port

    def _resolved(self, host: str, port: int) -> tuple[int, tuple[str, int]]:
        """Family and address; HOST ``*``: every IPv4 interface."""
        name = "0.0.0.0" if host == "*" else _of_interface(host) or host
        try:
            info = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "no name of a host"
            raise UserError(f"{self._says}: {host}: {why}") from error
        return info[0][0], (str(info[0][4][0]), port)

    def _ipc(self, path: str) -> str:
        """The path, free or of a socket that nobody serves; ``@NAME`` is an abstract one."""
        if path.startswith("@"):
            return "\0" + path[1:]
        if not path or len(os.fsencode(path)) > 107:
            raise UserError(f"{self._says}: a socket's path has 1 to 107 bytes, this one {len(os.fsencode(path))}")
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            return path  # free, or bind() says what is wrong
        if not stat.S_ISSOCK(mode):
            raise UserError(f"{self._says}: {path} is there and is no socket; name another path")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(path)
            raise UserError(f"{self._says}: another program publishes there; name another path")
        return path


def _of_interface(name: str) -> str:
    """The IPv4 address of a network interface; empty if there is none of that name."""
    with contextlib.suppress(OSError):
        if name in dict(map(reversed, socket.if_nameindex())):  # type: ignore[arg-type]
            addresses = psutil.net_if_addrs().get(name, [])
            return next((a.address for a in addresses if a.family == socket.AF_INET), "")
    return ""


def is_loopback(endpoint: str) -> bool:
    """Whether a ``tcp://`` endpoint stays on this machine."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host in ("localhost", "lo"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
