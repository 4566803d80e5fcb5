"""The one numba decorator of all kernels: GIL released, fast arithmetic, compiled code kept on disk.

Numba keeps the code beside the module, or in the user's cache folder when that is read-only, apart for each CPU model.
Where neither can be written, a folder of this user alone under the system's temporary folder is used, and failing that
nothing is kept (the first call compiles).

Numba looks only at a kernel's own file to see whether kept code is stale. A kernel that is made of others' (functions,
intrinsics, constants of other files) would go on with their old code, so these are put into the stamp too.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

import numba
import numpy as np
from numba.extending import is_jitted

P = ParamSpec("P")
R = TypeVar("R")

OPTIONS = {"nogil": True, "fastmath": True, "boundscheck": False, "error_model": "numpy"}


@overload
def jit(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def jit(**more: Any) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def jit(function: Callable[..., Any] | None = None, **more: Any) -> Any:
    """``numba.njit`` with this project's options for pixel loops; as ``@jit(…)`` ``more`` adds to or overrides them.

    To the type checker a kernel has the signature of its function.
    """
    return (lambda later: _jit(later, **more)) if function is None else _jit(function, **more)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As ``jit``, and always inlined by LLVM: a loop that calls it can still be vectorised."""
    kernel: Callable[P, R] = _jit(function, forceinline=True)
    return kernel


def _jit(function: Callable[..., Any], **more: Any) -> Any:
    options = {**OPTIONS, **more}
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it can write
        folder = private_folder()
        if folder is None:
            return numba.njit(**options)(function)
        vars(numba.config)["CACHE_DIR"] = str(folder)
        kernel = numba.njit(cache=True, **options)(function)
    ordered = sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items())
    stamp = hashlib.sha256(repr(ordered).encode())
    _add_globals(stamp, function, {inspect.getfile(function)})
    try:
        index = kernel._cache._cache_file  # numba has no public way
        index._source_stamp = (index._source_stamp, stamp.hexdigest())
    except AttributeError:  # another numba: rather compiled at each start than stale
        return numba.njit(**options)(function)
    return kernel


def _add_globals(digest: Any, function: Callable[..., Any], seen: set[str]) -> None:
    """All constants of the function's module, and the files of kernels and modules that it imported, theirs in turn.

    All, not those that the function names: it may call others of its file, which are compiled into it.
    """
    for name, value in sorted(getattr(function, "__globals__", {}).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, np.ndarray):
            digest.update(f"{name}{value.dtype}{value.shape}".encode() + value.tobytes())
        elif _is_constant(value):
            digest.update(f"{name}={value!r};".encode())
        else:
            _add_file(digest, value, seen)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, (bool, int, float, complex, str, np.generic))


def _add_file(digest: Any, value: Any, seen: set[str]) -> None:
    """The file of a kernel, an intrinsic or a module of ours, unless it is there already."""
    if inspect.ismodule(value):
        ours = value.__name__.startswith(("realtime.", "offline."))
        made_of, file = None, (value.__file__ if ours else None) or ""
    else:
        made_of = value.py_func if is_jitted(value) else getattr(value, "_defn", None)
        file = inspect.getfile(made_of) if inspect.isfunction(made_of) else ""
    if not file or file in seen:
        return
    seen.add(file)
    digest.update(Path(file).read_bytes())
    if made_of is not None:
        _add_globals(digest, made_of, seen)


def leave_blas_out() -> None:
    """For a process whose kernels are ours alone: the first kernel is ready 0.3 s earlier.

    Before Numba loads any code it imports SciPy to find a BLAS for ``np.dot``, which none of our kernels calls.
    """
    name = "scipy.linalg.cython_blas"
    if name in sys.modules:
        return
    vars(sys)["modules"][name] = None  # to import it is an ImportError now, which Numba takes for "no SciPy here"
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[name]


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
