"""Logging: one thread in the supervisor reads what the stages write on standard error, and prints it or
keeps it.

A pipe, not a socket, because it also carries what no Python handler sees: a crash dump of faulthandler, the
chatter of TensorFlow's and MediaPipe's C++ parts, the last words of a process that dies. The last lines of
each stage are kept for the report of a failure; all are shown with ``--debug``.
"""

from __future__ import annotations

import os
import re
import selectors
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

_KEEP = 60
_ERROR = re.compile(r"(Fatal Python error|(ERROR|CRITICAL) |[\w.]*(Error|Exception)\b|terminate called)")
_CHATTER = re.compile(r"([IWEF]\d{4} |\d{4}-\d\d-\d\d |(INFO|WARNING|DEBUG)\b|WARNING: All log|  )")
"""glog of MediaPipe, TensorFlow's dated lines, ordinary log lines, lines of a traceback or a dump."""


class LogThread:
    """Reads the standard error of all stages until each has closed it."""

    def __init__(self, show: Callable[[str], None] | None) -> None:
        """``show`` gets each line (``--debug``), or None to keep them only. It runs in this thread."""
        self._show = show
        self._selector = selectors.DefaultSelector()
        self._tails: dict[str, deque[str]] = {}
        self._partial: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._new: list[tuple[str, IO[bytes]]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def follow(self, stage: str, stream: IO[bytes]) -> None:
        """Read ``stream`` from now on, under the name of its stage."""
        with self._lock:
            self._tails.setdefault(stage, deque(maxlen=_KEEP))
            self._new.append((stage, stream))
        os.write(self._wake_write, b"x")

    def tail(self, stage: str) -> list[str]:
        """The last lines of a stage."""
        with self._lock:
            return list(self._tails.get(stage, ()))

    def close(self) -> None:
        """Read what is left, then stop."""
        self._stopping = True
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=2.0)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(timeout=0.2 if self._stopping else None):
                if key.data is None:
                    os.read(self._wake_read, 4096)
                else:
                    self._read(key.data, key.fileobj)  # type: ignore[arg-type]
            with self._lock:
                new, self._new = self._new, []
            for stage, stream in new:
                self._selector.register(stream, selectors.EVENT_READ, stage)
            if self._stopping and len(self._selector.get_map()) == 1:
                return
            if self._stopping and not self._selector.select(timeout=0):
                return

    def _read(self, stage: str, stream: IO[bytes]) -> None:
        fd = stream.fileno()
        data = os.read(fd, 65536)
        *lines, rest = (self._partial.pop(fd, b"") + data).split(b"\n")
        if data:
            self._partial[fd] = rest
        else:
            lines += [rest] if rest else []
            self._selector.unregister(stream)
            stream.close()
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if not text:
                continue
            with self._lock:
                self._tails[stage].append(text)
            if self._show is not None:
                self._show(f"[{stage}] {text}")


def telling(tail: Sequence[str]) -> str:
    """Of a stage's last lines the one that says why it died: an error, else the last that is no library's chatter."""
    for found in (_ERROR.match, lambda line: not _CHATTER.match(line)):
        for line in reversed(tail):
            if found(line):
                return line
    return tail[-1] if tail else ""
