"""What runs beside a job's function, on any machine. Imports the standard library alone.

`offline.jobs.cluster` ships this file by value, so that a node without our code says so in a line of ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

MOST_RECEIPT = 64 << 10
"""Bytes that a function may return; what is larger belongs in a file."""
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
PACKAGES = ("offline", "realtime")
_DIGESTS: dict[str, str] = {}
"""Of code that this process has looked at."""


def limit_threads(cores: int) -> dict[str, str]:
    """Variables that keep numerical libraries to so many threads, where they are loaded later; 0: as they are here."""
    if cores < 1:
        return {name: os.environ[name] for name in THREADS if name in os.environ}
    return dict.fromkeys(THREADS, str(cores))


def call(run: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Import and call; {"value" or "error", "seconds", "where"}: an error is one line."""
    begun = time.monotonic()
    receipt: dict[str, Any] = {"where": socket.gethostname()}
    try:
        module, _, name = run.partition(":")
        value = getattr(importlib.import_module(module), name)(**arguments)
        if len(json.dumps(value)) > MOST_RECEIPT:
            raise ValueError(f"{run} returned more than {MOST_RECEIPT >> 10} KiB: it has to write a file")
        receipt["value"] = value
    except Exception as error:
        receipt["error"] = one_line(error)
    return receipt | {"seconds": time.monotonic() - begun}


def task(root: str, digest: str, run: str, arguments: dict[str, Any], threads: dict[str, str]) -> dict[str, Any]:
    """`call` on a node of a cluster, with the code found; threads: what `limit_threads` says where the job is from."""
    _have_threads(threads)
    wrong = find_code(root, digest)
    if wrong:
        host = socket.gethostname()
        return {"error": f"node {host}: {wrong}", "where": host}
    return call(run, arguments)


def _have_threads(threads: dict[str, str]) -> None:
    """Undo Ray's own limit, one OpenMP thread a declared core: another number of threads rounds otherwise."""
    for name in THREADS:
        os.environ.pop(name, None)
    os.environ.update(threads)
    count = threads.get("OPENBLAS_NUM_THREADS") or threads.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))
    with contextlib.suppress(ImportError):  # Ray has loaded NumPy by now, with its limit
        importlib.import_module("threadpoolctl").threadpool_limits(int(count))


def one_line(error: BaseException) -> str:
    """Ours says all in its message; of others the type does."""
    ours = any(kind.__name__ == "MerealtimeError" for kind in type(error).__mro__)
    return " ".join((str(error) if ours else f"{type(error).__name__}: {error}").split())


def find_code(root: str, digest: str) -> str:
    """Make our code importable, from `root` or from where it is installed; "" or what is wrong."""
    if Path(root, PACKAGES[0], "__init__.py").exists():
        if root not in sys.path:
            sys.path.insert(0, root)
    elif importlib.util.find_spec(PACKAGES[0]) is None:
        return f"there is no {root} and merealtime is not installed: share the folder, or install it there"
    spec = importlib.util.find_spec(PACKAGES[0])
    own = Path(str(spec.origin)).parent.parent if spec and spec.origin else Path(root)
    if str(own) not in _DIGESTS:
        _DIGESTS[str(own)] = code_digest(str(own))
    if _DIGESTS[str(own)] != digest:
        return f"{own} holds another version of merealtime: install the same one on every node"
    return ""


def code_digest(root: str) -> str:
    """SHA-256 over our packages' sources below `root`."""
    hashed = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted(Path(root, package).rglob("*.py")):
            hashed.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return hashed.hexdigest()


def inspect(root: str, digest: str, needs: list[str], token: str | None) -> str:
    """Is a node fit for the jobs: the code, what they read, and the folder that holds `token`? "" or what is wrong."""
    wrong = find_code(root, digest)
    if wrong:
        return wrong
    for path in needs:
        if not os.access(path, os.R_OK):
            return f"{path} is not there, or not readable: mount it at the same path on every node"
    if token is None:
        return ""
    file = Path(token)
    if not file.exists():
        return f"{file.parent} is not the folder of results that the others see: share it at the same path"
    try:
        file.with_name(f"{file.name}.{os.getpid()}-{time.monotonic_ns()}").touch()
    except OSError as error:
        return f"{file.parent}: can't be written ({error.strerror})"
    return ""
