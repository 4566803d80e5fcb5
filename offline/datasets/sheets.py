"""Data sets whose clips stand in a coding sheet beside folders of frames: CASME II and SAMM.

The sheet's columns are found by name; corrections are keyed by (subject, clip), never by row, because the
versions of a sheet differ in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from offline.datasets.common import RawClip, require_file, table, text, whole
from realtime.errors import DatasetError

COLUMNS = {
    "subject": "Subject",
    "name": "Filename",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "emotion": "Estimated Emotion",
}


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Where one data set keeps what."""

    dataset: str
    file: str
    """Pattern of the sheet's name."""
    folders: str
    """Pattern of the subjects' folders."""
    layout: str
    """What a good folder looks like, for the error line."""
    subject: Callable[[str], str]
    """The cell's text → name of the subject's folder."""
    fps: float


def scan(root: Path, sheet: Sheet) -> Iterator[RawClip]:
    """Every clip of the sheet; a preamble is passed over. Raises DatasetError with the expected layout."""
    file = require_file(root, [sheet.file], sheet.layout)
    frames = _frames_root(root, sheet.folders, sheet.layout)
    for row in table(file, COLUMNS, sheet.layout):
        subject, name = sheet.subject(text(row["subject"])), text(row["name"])
        yield RawClip(
            dataset=sheet.dataset,
            subject=subject,
            name=name,
            emotion=text(row["emotion"]),
            onset=whole(row["onset"]),
            apex=whole(row["apex"]),
            offset=whole(row["offset"]),
            folder=frames / subject / name,
            fps=sheet.fps,
        )


def _frames_root(root: Path, pattern: str, layout: str) -> Path:
    """The folder that holds the subjects' folders: `root`, or one of the folders in it (Cropped, RAW …)."""
    inside = [d for d in sorted(root.iterdir()) if d.is_dir()]
    for folder in [root, *inside, *(d for i in inside for d in sorted(i.iterdir()) if d.is_dir())]:
        if any(d.is_dir() for d in folder.glob(pattern)):
            return folder
    raise DatasetError(f"{root}: no folder {pattern} with frames; expected {layout}")
