"""What native libraries write to standard error, turned away: our errors are one line, so theirs must not add to it.

TensorFlow's, MediaPipe's and some cameras' C++ parts write to file descriptor 2 whatever they are told.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator


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
