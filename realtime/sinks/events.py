"""``--events FILE.jsonl``: one JSON object a line, written and flushed as it happens."""

from __future__ import annotations

import contextlib
import os

import msgspec

from realtime.errors import UserError
from realtime.sinks.lines import AnyLine, State, TickLine


class EventLog:
    """The log file. A full disk is reported once (OSError); later lines are tried again."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 (closed in close())
        except OSError as error:
            raise UserError(f"{path}: can't write the event log ({error.strerror})") from error
        self._encoder = msgspec.json.Encoder()
        self._pending = b""

    def line(self, line: AnyLine) -> None:
        if isinstance(line, TickLine):
            return
        self._pending += self._encoder.encode(line) + b"\n"
        self._write()

    def _write(self) -> None:
        """Write what is pending; what the disk did not take stays pending, so no line is cut in two."""
        while self._pending:
            try:
                written = self._file.write(self._pending)
            except OSError as error:
                raise OSError(error.errno, f"{self.path}: {error.strerror}") from error
            self._pending = self._pending[written or 0 :]

    def show(self, state: State) -> None:
        """A log shows nothing."""

    def close(self) -> None:
        try:
            self._write()
            with contextlib.suppress(OSError):  # a pipe can't be synced
                os.fsync(self._file.fileno())
        finally:
            self._file.close()
