"""Files that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike


def write_bytes(file: Path, data: bytes) -> None:
    with _whole(file) as stream:
        stream.write(data)


def write_npz(file: Path, **arrays: ArrayLike) -> None:
    with _whole(file) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """The file, whole at the end of the block or not there. Two that write it at once, on any machines, don't meet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            yield stream
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
