"""``merealtime export``: a session for the tools that everybody has. One file a format, each with
``write(session, place)``, which returns the files that it made.
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import UserError
from realtime.session.load import Session

FORMATS = {
    "csv": "tables",
    "openface": "openface",
    "elan": "elan",
    "boris": "boris",
    "bids": "bids",
    "parquet": "tables",
}
"""Format -> module."""
_SUFFIXES = {
    "csv": (".csv",),
    "openface": (".csv",),
    "elan": (".eaf",),
    "boris": (".tsv", ".txt"),
    "parquet": (".parquet",),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where files go."""

    folder: Path
    stem: str
    """How their names begin."""
    suffix: str
    named: bool = False
    """The user gave the main file's name."""

    def file(self, what: str = "") -> Path:
        """``STEM.csv``, or for what is beside the main file ``STEM_events.csv``."""
        return self.folder / f"{self.stem}{'_' + what if what else ''}{self.suffix}"


def would_write(session: Session, form: str, out: Path | None = None) -> list[tuple[Path, int]]:
    """The files that ``export`` would make, with their bytes: written elsewhere, and gone again. UserError as there."""
    place = _place(session, form, out)
    with tempfile.TemporaryDirectory(prefix="merealtime-export-") as elsewhere:
        there = Path(elsewhere)
        made = _write(session, form, Place(there, place.stem, place.suffix, place.named))
        return [(place.folder / path.relative_to(there), path.stat().st_size) for path in made]


def export(session: Session, form: str, out: Path | None = None) -> list[Path]:
    """Write a session as one of ``FORMATS``. UserError where that can't be done.

    out: a folder, or the name of the main file; None: ``export/`` in the session's folder, or beside the log.
    """
    return _write(session, form, _place(session, form, out))


def _write(session: Session, form: str, place: Place) -> list[Path]:
    module = importlib.import_module(f"{__name__}.{FORMATS[form]}")
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        made: list[Path] = getattr(module, f"write_{form}")(session, place)
    except OSError as error:
        raise UserError(f"{error.filename or place.folder}: can't write there ({error.strerror})") from error
    return made


def _place(session: Session, form: str, out: Path | None) -> Place:
    suffixes = _SUFFIXES.get(form, ("",))
    if out is not None and out.suffix and out.suffix in suffixes and not out.is_dir():
        return Place(out.parent, out.stem, out.suffix, named=True)
    if out is None:
        out = session.folder / "export" if session.folder else session.path.parent
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; name a folder, or a new {suffixes[0] or 'folder'}")
    return Place(out, session.name, suffixes[0])
