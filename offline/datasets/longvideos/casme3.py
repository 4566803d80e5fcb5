"""CAS(ME)³ part A (Li et al. 2022): 30 fps; micro-expressions in one workbook, macro-expressions in another.

The macro marks come in the old ``CAS(ME)3_part_A_v2.xls`` alone, whose column "Expression type" tells the two
kinds apart; its micro marks count only where the workbook of these is not there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from offline.datasets import trees
from offline.datasets.common import Note
from offline.datasets.longvideos.records import LongVideos, Marks, gather
from offline.datasets.spreadsheets import SUFFIXES, table, text, whole
from realtime.errors import DatasetError
from realtime.types import Kind

LAYOUT = (
    "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx and CAS(ME)3_part_A_v2.xls (the macro marks) "
    "beside spNO.1/b/color/175.jpg"
)
FPS = 30.0
_COLUMNS = {
    "subject": "Subject",
    "name": "Filename",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "emotion": "emotion",
}
_TYPE = {"kind": "Expression type"}


def load(root: Path) -> LongVideos:
    """Videos of the sheets, and those in which nothing was marked. Raises DatasetError where no sheet is found."""
    tree = trees.walk(root)
    micro, macro, both = _sheets(tree)
    if not (micro or both):
        raise DatasetError(f"{root}: no *ME_label*.xlsx and no *part_A*.xls; expected {LAYOUT}")
    folders, spelt = _folders(tree)
    marks = Marks()
    for sheet, kind in [*((f, "micro") for f in micro[:1]), *((f, "macro") for f in macro)]:
        for row in table(sheet, _COLUMNS, LAYOUT):
            _add(marks, row, kind, spelt)  # type: ignore[arg-type]
    for sheet in both[:1]:
        for row in table(sheet, _COLUMNS | _TYPE, LAYOUT):
            word = text(row["kind"]).lower()
            if word.startswith("macro"):
                _add(marks, row, "macro", spelt)
            elif word.startswith("micro") and not micro:
                _add(marks, row, "micro", spelt)
    notes = () if macro or both else (Note("casme3", "no sheet of macro marks: each spotted macro counts as false"),)
    return gather("casme3", FPS, marks, dict.fromkeys(marks.of) | folders, tree, notes)


def _sheets(tree: trees.Tree) -> tuple[list[Path], list[Path], list[Path]]:
    """Workbooks of micro marks, of macro marks, and of both, of part A, wherever they are; the newest first.

    Those whose frame numbers are those of the images (JpgIndex) come before those that count video frames.
    """
    books = [file for suffix in SUFFIXES for file in tree.files(f"*{suffix}")]
    own = [file for file in books if not re.search(r"part[_\s-]*[b-z](?![a-z])", file.name.lower())]
    own.sort(key=lambda file: ("jpgindex" in file.name.lower(), file.name.lower()), reverse=True)
    macro = [f for f in own if re.search(r"mae(?![a-z])|macro", f.name.lower())]
    micro = [f for f in own if f not in macro and re.search(r"me_label|micro", f.name.lower())]
    both = [f for f in own if f not in macro + micro and re.search(r"part[_\s-]*a(?![a-z])", f.name.lower())]
    return micro, macro, both


def _folders(tree: trees.Tree) -> tuple[dict[tuple[str, str], Path | None], dict[tuple[str, str], tuple[str, str]]]:
    """Where each video's colour frames are; and (subject, name) in small letters → as the folders spell it."""
    found: dict[tuple[str, str], Path | None] = {}
    spelt: dict[tuple[str, str], tuple[str, str]] = {}
    people = set(tree.matching(r"spno\.?\d+"))
    for folder in tree.folders:
        colour = folder.name.lower() == "color"
        video = folder.parent if colour else folder
        if video.parent not in people or not tree.images(folder):
            continue
        key = (video.parent.name, video.name)
        if colour or key not in found:
            found[key] = folder
        spelt[key[0].lower(), key[1].lower()] = key
    return found, spelt


def _add(marks: Marks, row: dict[str, Any], kind: Kind, spelt: dict[tuple[str, str], tuple[str, str]]) -> None:
    subject, name = text(row["subject"]), text(row["name"])
    if subject and name:
        key = spelt.get((subject.lower(), name.lower()), (subject, name))
        marks.add(key, whole(row["onset"]), whole(row["offset"]) or whole(row["apex"]), kind, text(row["emotion"]))
