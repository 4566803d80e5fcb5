"""``merealtime keys DIR``: CURVE keys for what goes beyond this machine, a server's and one client's.

``server.key_secret`` stays with the session (``--curve-dir DIR``); ``clients/`` is the allow-list, a ``.key`` file
(public) for each who may connect. The client takes ``client.key_secret`` and ``server.key`` with it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import zmq.auth
from zmq.utils import z85

from realtime.errors import UserError
from realtime.options import OneLineParser


def make_keys(folder: Path) -> None:
    """A server key and one client key, every file for its owner alone.

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
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{folder}: can't write keys there ({why})") from error
    finally:
        os.umask(before)


def server_keys(folder: Path) -> tuple[bytes, bytes, Path]:
    """Public and secret key of the server, and the folder of the allow-list, each of its keys proven to be one.

    UserError names the file that is missing or no key.
    """
    secret, clients = folder / "server.key_secret", folder / "clients"
    allowed = sorted(clients.glob("*.key"))
    if not secret.is_file() or not allowed:
        raise UserError(f"--curve-dir {folder}: needs server.key_secret and clients/*.key (merealtime keys makes them)")
    for file in allowed:
        _read(file)
    public, private = _read(secret)
    if private is None:
        raise UserError(f"{secret}: holds no secret key")
    return public, private, clients


def _read(file: Path) -> tuple[bytes, bytes | None]:
    try:
        if file.stat().st_size > 65_536:
            raise ValueError("too large for a key")
        public, private = zmq.auth.load_certificate(file)
        for key in (public, private):
            if key is not None and len(z85.decode(key)) != 32:
                raise ValueError("a key has 40 characters")
    except Exception as error:  # whatever a parser of text and Z85 makes of random bytes
        raise UserError(f"{file}: no CURVE key ({' '.join(str(error).split()) or type(error).__name__})") from error
    return public, private


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = OneLineParser(prog="merealtime keys", description="Make CURVE keys for --curve-dir.", allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder, or an empty one of your own (mode 700)")
    folder = parser.parse_args(argv).folder
    try:
        make_keys(folder)
    except UserError as error:
        sys.stderr.write(f"merealtime: {error}\n")
        return error.exit_code
    print(f"{folder}: server.key_secret stays here; give client.key_secret and server.key to the client")
    return 0
