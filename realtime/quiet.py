"""Standard error: our own lines, which wait for no reader, and what native libraries write there, turned away.

Our errors are one line, so theirs must not add to it: TensorFlow's, MediaPipe's and some cameras' C++ parts write to
file descriptor 2 whatever they are told.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

_PATIENCE_S = 1.0
_saying: threading.Thread | None = None


def say(text: str) -> None:
    """Write to standard error, but wait for one who does not read it (a paused terminal) once, for a second at most."""
    global _saying
    try:
        is_ours = sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        is_ours = False
    if not is_ours:
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    if _saying is not None and _saying.is_alive():
        return  # what was said before is not read yet
    _saying = threading.Thread(target=_write_all, args=(text.encode(errors="replace"),), daemon=True)
    _saying.start()
    _saying.join(_PATIENCE_S)


def _write_all(data: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody is there
        while data:
            data = data[os.write(2, data) :]


def drop_native_log() -> None:
    """For the rest of this process, also what Python writes there: for a worker whose errors come back otherwise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


@contextlib.contextmanager
def native_log_dropped(*, python_passes: bool = False) -> Iterator[None]:
    """Inside, what is written to descriptor 2 goes nowhere; with ``python_passes`` what Python writes is shown.

    ``python_passes`` replaces ``sys.stderr`` meanwhile: not for the import of a library that keeps it (absl does).
    """
    python = sys.stderr
    python.flush()
    kept = os.dup(2)
    drop_native_log()
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, ValueError):  # a replaced stream may have no file
                if python_passes and python.fileno() == 2:
                    sys.stderr = stack.enter_context(
                        open(kept, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
                    )
            yield
    finally:
        sys.stderr = python
        os.dup2(kept, 2)
        os.close(kept)


def open_closed_streams() -> None:
    """Give a closed stdin, stdout or stderr back as nowhere: else the next file opened takes its number, and whatever a
    library prints goes into that file.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if not descriptor else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without × and µ is no reason to end
            stream.reconfigure(errors="backslashreplace")
