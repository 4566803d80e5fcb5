"""Files from elsewhere are read up to a size: a device, or a file larger than its kind, can't fill the memory."""

from __future__ import annotations

import os
from pathlib import Path


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes:
    """The whole file. ValueError where it has more than ``most`` bytes, or its name can be no file's; OSError."""
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most >> 20} MiB")
    return data
