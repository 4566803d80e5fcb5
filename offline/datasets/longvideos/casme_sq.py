"""CAS(ME)² (Qu et al. 2017): 30 fps, 57 micro- and 300 macro-expressions.

The sheet of marks has no header: subject, video, onset, apex, offset, action units, emotion, type, self-report;
offset 0 means that it was not seen: the apex counts. The coded subject (1 to 22) is not the folder's number: the
sheet "naming rule1" has the folder in its second column and the coded subject in its third; "naming rule2" has the
videos' codes (0101) beside their names (disgust1). Three videos have no mark at all and count as negatives.
"""

from __future__ import annotations

import re
from pathlib import Path

from offline.datasets import trees
from offline.datasets.common import Note
from offline.datasets.longvideos.records import LongVideos, Marks, gather, sheet_in
from offline.datasets.spreadsheets import Page, pages, text, whole
from realtime.types import Kind

LAYOUT = "CAS(ME)^2code_final.xlsx beside rawpic/s15/15_0101disgustingteeth/img1.jpg"
FPS = 30.0
_VIDEO = re.compile(r"\d+_(\d{4})(.*)")
"""15_0101disgustingteeth: folder's number, code, words."""


def load(root: Path) -> LongVideos:
    """Videos of the sheet, and those in which nothing was marked."""
    tree = trees.walk(root)
    book = pages(sheet_in(tree, ["*code*.xlsx", "*code*.xls"], LAYOUT))
    marks = _marks(book[0]) if book else Marks()
    people, names = _people(book[1:]), _names(book[1:])
    videos, notes = _videos(tree)
    folders: dict[tuple[str, str], Path | None] = dict.fromkeys(marks.of)
    coded = {folder: subject for subject, folder in people.items()}
    for folder in videos:
        number = folder.parent.name.lower().removeprefix("s")
        # a workbook without the naming sheet: the folder's number is all there is
        subject = coded.get(f"s{number}", folder.parent.name) if people else number
        known = [name for who, name in marks.of if who == subject]
        name = next((one for one in known if _is(folder.name, {one, *names.get(one, ())})), None)
        if name is None:
            name = _name_of(folder.name, names)
        if folders.get((subject, name)) is None:
            folders[subject, name] = folder
    return gather("casme_sq", FPS, marks, folders, tree, notes)


def _marks(page: Page) -> Marks:
    marks = Marks()
    for row in page.rows:
        onset, apex, offset = (whole(cell) for cell in row[2:5]) if len(row) >= 8 else (None,) * 3
        if onset is not None:
            kind: Kind = "micro" if "micro" in text(row[7]).lower() else "macro"
            video = (text(row[0]), re.sub(r"_\d+$", "", text(row[1])))
            marks.add(video, onset, offset or apex or onset, kind, text(row[6]))
    return marks


def _people(further: list[Page]) -> dict[str, str]:
    """Coded subject → its folder's name, in small letters; by the sheet named so, or else by its content."""
    named = [page for page in further if re.search(r"naming\s*rule\s*1", page.title.lower())]
    found: dict[str, str] = {}
    for page in named or further:
        for row in page.rows:
            cells = [text(cell) for cell in row if text(cell)]
            folder, coded = cells[1:3] if len(cells) >= 3 else (*cells, "", "")[:2]
            if re.fullmatch(r"s?\d+", folder.lower()) and coded.isdecimal() and (named or not folder.isdecimal()):
                found[coded] = f"s{folder.lower().removeprefix('s')}"
    return found


def _names(further: list[Page]) -> dict[str, set[str]]:
    """Other names of a name: what stands in the same row of a sheet of videos."""
    found: dict[str, set[str]] = {}
    for row in (row for page in further for row in page.rows):
        names = {text(cell) for cell in row if len(text(cell)) > 2}
        for name in names:
            found.setdefault(name, set()).update(names - {name})
    return found


def _videos(tree: trees.Tree) -> tuple[list[Path], tuple[Note, ...]]:
    """Folders of videos in one tree of subjects' folders: whole videos before cut clips, raw before cropped."""
    by_tree: dict[Path, list[Path]] = {}
    for folder in tree.folders:
        if re.fullmatch(r"s?\d+", folder.parent.name.lower()) and tree.images(folder):
            by_tree.setdefault(folder.parent.parent, []).append(folder)

    def rank(one: Path) -> tuple[int, bool, str]:
        whole_videos = sum(_VIDEO.fullmatch(folder.name) is not None for folder in by_tree[one])
        return -whole_videos, "raw" not in one.name.lower(), str(one)

    first, *others = sorted(by_tree, key=rank) or [tree.root]
    names = ", ".join(str(one.relative_to(tree.root)) for one in others)
    what = f"frames are read from {first.relative_to(tree.root)}; passed over: {names}"
    return by_tree.get(first, []), (Note("casme_sq", what),) if others else ()


def _is(folder: str, names: set[str]) -> bool:
    """Does a folder's name say one of these: its code, its words, or the whole?"""
    match = _VIDEO.fullmatch(folder)
    said = {folder, re.sub(r"^\d+_", "", folder)} | (set(match.groups()) if match else set())
    # an .xlsx may have kept the code 0101 as the number 101
    return bool(said & names) or (match is not None and match[1].lstrip("0") in names)


def _name_of(folder: str, names: dict[str, set[str]]) -> str:
    """The sheet's name (disgust1) of a folder that has no mark; the folder's own where the sheet has none."""
    match = _VIDEO.fullmatch(folder)
    if match is None:
        return folder
    others = names.get(match[1]) or names.get(match[1].lstrip("0")) or {folder}
    return min(others, key=lambda name: (re.fullmatch(r"[A-Za-z]+\d+", name) is None, name))
