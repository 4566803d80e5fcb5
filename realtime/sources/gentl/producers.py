"""Where GenTL producers are, and the library that loads them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from realtime.errors import SourceError

PREFIX = "gentl:"
_INSTALL = "gentl: cameras need harvesters and genicam: pip install 'merealtime[gentl]'"


def find_producer(spec: str) -> tuple[Path, str]:
    """The producer's file and the serial number (maybe empty) of ``gentl:PRODUCER.cti[#SERIAL]``.

    A name without a folder is looked for in the folders of GENICAM_GENTL64_PATH, where vendors register theirs.
    """
    name, _, serial = spec.removeprefix(PREFIX).partition("#")
    path = Path(name).expanduser()
    if name and path.is_file():
        return path.resolve(), serial
    registered = registered_producers()
    for producer in registered if name and path.name == name else ():
        if producer.name == name:
            return producer, serial
    known = [producer.name for producer in registered]
    wanted = f"no GenTL producer {name}" if name else "gentl: needs a producer, as in gentl:/opt/vendor/producer.cti"
    here = f"; producers in GENICAM_GENTL64_PATH: {', '.join(known)}" if known else "; it comes with the vendor's SDK"
    raise SourceError(wanted + here)


def registered_producers() -> list[Path]:
    """Every producer in the folders of GENICAM_GENTL64_PATH, in their order."""
    folders = [Path(folder) for folder in os.environ.get("GENICAM_GENTL64_PATH", "").split(os.pathsep) if folder]
    return [producer for folder in folders if folder.is_dir() for producer in sorted(folder.glob("*.cti"))]


def load() -> tuple[Any, tuple[type[Exception], ...]]:
    """A Harvester, and what it and its producers raise. Raises SourceError that says what to install."""
    try:
        from genicam import genapi, gentl
        from harvesters.core import Harvester
    except (ImportError, OSError):
        raise SourceError(_INSTALL) from None
    return Harvester(), (gentl.GenericException, genapi.GenericException)


def names_of(device: Any, failures: tuple[type[Exception], ...]) -> list[str]:
    """What a device may be called: serial number first."""
    found = []
    for key in ("serial_number", "id_", "user_defined_name"):
        with contextlib.suppress(*failures, AttributeError):
            found.append(str(getattr(device, key) or ""))
    return [*filter(None, found)] or [""]
