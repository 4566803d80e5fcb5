"""The numba decorator of the flow kernels: GIL released, fast arithmetic, compiled code kept on disk.

Numba keeps the code beside the module, or in the user's cache folder when that is read-only, apart for each CPU model.
Where neither can be written, a folder of this user alone under the system's temporary folder is used, and failing that
nothing is kept (the first call compiles).
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def jit(function: Callable[..., Any]) -> Any:
    """``numba.njit`` with this project's options for pixel loops."""
    return _jit(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As ``jit``, and always inlined by LLVM: a loop that calls it can still be vectorised."""
    return _jit(function, forceinline=True)


def _jit(function: Callable[..., Any], **more: Any) -> Any:
    options = {"nogil": True, "fastmath": True, "boundscheck": False, "error_model": "numpy", **more}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it can write
        folder = private_folder()
    if folder is not None:
        vars(numba.config)["CACHE_DIR"] = str(folder)
        return numba.njit(cache=True, **options)(function)
    return numba.njit(**options)(function)


def private_folder() -> Path | None:
    """A temporary folder that only this user can write (numba loads code from it), or None."""
    folder = Path(tempfile.gettempdir()) / f"merealtime-numba-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return folder if private and os.access(folder, os.W_OK | os.X_OK) else None
