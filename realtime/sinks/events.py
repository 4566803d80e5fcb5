"""``--events FILE.jsonl``: one JSON object a line, written and flushed as it happens."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import stat

import msgspec

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.sinks.lines import AnyLine, State, TickLine


def open_sink(settings: OutputSettings) -> EventLog | None:
    return None if settings.events is None else EventLog(settings.events)


def _private(path: str, flags: int) -> int:
    """What is told of faces is for their owner."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _claim(descriptor: int) -> bool:
    """Whether a log file is ours alone until it is closed; also where nobody can know: a pipe, some network disks."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


class EventLog:
    """The log file, for its owner alone (0600). A full disk is reported once (OSError); later lines are tried again.

    An older log makes way with the first line, not before, and is kept as ``FILE.1``, ``FILE.2`` …
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._made = not os.path.lexists(path)
        self._begun = False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(f"{path}: can't write the event log ({error.strerror})") from error
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        if not _claim(descriptor):
            self._file.close()
            raise UserError(f"{path}: another session writes its log there; name another file")
        self._encoder = msgspec.json.Encoder()
        self._pending = b""

    def line(self, line: AnyLine) -> None:
        if isinstance(line, TickLine):
            return
        self._pending += self._encoder.encode(line) + b"\n"
        self._write()

    def _keep_older(self) -> None:
        """Move a log that is there out of the way. Raises OSError where that can't be done; it may be tried again."""
        there = os.fstat(self._file.fileno())
        if not stat.S_ISREG(there.st_mode) or there.st_size == 0:
            return
        path = os.path.realpath(self.path)
        if os.path.lexists(path):  # not there: moved already, when the new one could not be opened
            free = next(n for n in itertools.count(1) if not os.path.lexists(f"{path}.{n}"))
            os.rename(path, f"{path}.{free}")
        older, self._file = self._file, open(path, "wb", buffering=0, opener=_private)  # noqa: SIM115  (closed by close)
        older.close()
        _claim(self._file.fileno())

    def _write(self) -> None:
        """Write what is pending; what the disk did not take stays pending, so no line is cut in two."""
        if self._pending and not self._begun:
            self._keep_older()
            self._begun = True
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
            if self._made and not self._begun:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
