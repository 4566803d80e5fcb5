"""Files that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np


def _beside(file: Path) -> Path:
    """A name that no other process has, on another machine neither."""
    return file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")


def write_bytes(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(file)
    part.write_bytes(data)
    part.replace(file)


def write_npz(file: Path, **arrays: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(file)
    with part.open("wb") as stream:
        np.savez(stream, **arrays)
    part.replace(file)
