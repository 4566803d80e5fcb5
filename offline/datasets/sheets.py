"""Data sets whose clips stand in a coding sheet beside folders of frames: CASME II and SAMM.

The sheet's columns are found by name, because the versions of a sheet differ in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from offline.datasets import trees
from offline.datasets.common import Listed, Note, RawClip, Skipped, require_file
from offline.datasets.people import person_of
from offline.datasets.spreadsheets import table, text, whole
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
    """Regular expression of the subjects' folders, case ignored."""
    layout: str
    """What a good folder looks like, for the error line."""
    subject: Callable[[str], str]
    """The cell's text → name of the subject."""
    fps: float


def scan(root: Path, sheet: Sheet) -> Listed:
    """Every clip of the sheet; a preamble is passed over. Raises DatasetError with the expected layout."""
    file = require_file(root, [sheet.file], sheet.layout)
    tree, notes = _frames_root(root, sheet)
    people = trees.subjects(tree, sheet.dataset, sheet.folders)
    raws: list[RawClip] = []
    skipped: list[Skipped] = []
    for row in table(file, COLUMNS, sheet.layout):
        subject, name = sheet.subject(text(row["subject"])), text(row["name"])
        onset, offset = whole(row["onset"]), whole(row["offset"])
        if onset is None or offset is None:
            which = "onset" if onset is None else "offset"
            skipped.append(Skipped(f"{subject}/{name}", f"no {which} in the sheet: {text(row[which])!r}"))
            continue
        person = people.get(person_of(sheet.dataset, subject), trees.below(tree, subject))
        raws.append(
            RawClip(
                dataset=sheet.dataset,
                subject=subject,
                name=name,
                emotion=text(row["emotion"]),
                onset=onset,
                apex=whole(row["apex"]),
                offset=offset,
                folder=trees.inside(person, name),
                fps=sheet.fps,
            )
        )
    return Listed(tuple(raws), tuple(skipped), notes)


def _frames_root(root: Path, sheet: Sheet) -> tuple[Path, tuple[Note, ...]]:
    """The folder that holds the subjects' folders: `root`, or one of the folders in it (Cropped, RAW …)."""
    outer = [root, *trees.folders(root)]
    found = [
        folder
        for folder in [*outer, *(d for one in outer[1:] for d in trees.folders(one))]
        if trees.matching(folder, sheet.folders)
    ]
    if not found:
        raise DatasetError(f"{root}: no folders of subjects with frames; expected {sheet.layout}")
    return trees.choose(root, found, sheet.dataset)
