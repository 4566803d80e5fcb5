"""What all data set loaders share: the clip record, what was skipped, tables, frame folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from realtime.errors import DatasetError

NEGATIVE, POSITIVE, SURPRISE = 0, 1, 2
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled clip. Frame numbers are the data set's own, offset inclusive."""

    dataset: str
    subject: str
    name: str
    label: int
    """0 negative, 1 positive, 2 surprise."""
    emotion: str
    """As the data set calls it."""
    onset: int
    apex: int | None
    """None: the data set does not say; it is spotted (`realtime.vision.spotting.dc_rois`)."""
    offset: int
    numbers: tuple[int, ...]
    """Frame numbers that are there, rising …"""
    files: tuple[str, ...]
    """… and their image files."""
    fps: float

    def file_of(self, number: int) -> str:
        return self.files[self.numbers.index(number)]


class Skipped(msgspec.Struct, frozen=True):
    """A clip that a loader left out, and why."""

    clip: str
    why: str


class Loaded(msgspec.Struct, frozen=True):
    """What a loader found."""

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]


class RawClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as its data set lists it, before the label is decided."""

    dataset: str
    subject: str
    name: str
    emotion: str
    onset: int | None
    apex: int | None
    offset: int | None
    folder: Path
    fps: float
    frame_pattern: str = r"(\d+)$"
    """Where the frame number stands in a file's stem."""


def complete(raw: RawClip, label: int) -> Clip | Skipped:
    """Look for the frames of a listed clip; a Skipped says what is missing.

    An apex outside the clip, or whose frame is missing, is treated as not given.
    """
    name = f"{raw.subject}/{raw.name}"
    if not raw.folder.is_dir():
        return Skipped(name, f"missing frames: no folder {raw.folder}")
    frames = numbered_images(raw.folder, raw.frame_pattern)
    if not frames:
        return Skipped(name, f"missing frames: no images in {raw.folder}")
    onset = raw.onset if raw.onset is not None else min(frames)
    offset = raw.offset if raw.offset is not None else max(frames)
    if onset not in frames:
        return Skipped(name, f"missing frames: onset {onset} is not in {raw.folder}")
    within = {n: f for n, f in frames.items() if onset <= n <= offset}
    if len(within) < 2:
        return Skipped(name, f"missing frames: {len(within)} between onset {onset} and offset {offset}")
    apex = raw.apex if raw.apex in within and raw.apex != onset else None
    numbers = tuple(sorted(within))
    return Clip(
        dataset=raw.dataset,
        subject=raw.subject,
        name=raw.name,
        label=label,
        emotion=raw.emotion,
        onset=onset,
        apex=apex,
        offset=numbers[-1],
        numbers=numbers,
        files=tuple(str(within[n]) for n in numbers),
        fps=raw.fps,
    )


def labelled(raws: Iterable[RawClip], classes: dict[str, int]) -> Loaded:
    """Decide each clip's label by its emotion word; others are skipped with the reason."""
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for raw in raws:
        label = classes.get(raw.emotion.strip().lower())
        if label is None:
            skipped.append(Skipped(f"{raw.subject}/{raw.name}", f"label {raw.emotion!r} is none of the classes"))
            continue
        found = complete(raw, label)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(found)
    return Loaded(tuple(clips), tuple(skipped))


def numbered_images(folder: Path, pattern: str = r"(\d+)$") -> dict[int, Path]:
    """Images of a folder by the number in their names; hidden files and other kinds are passed over."""
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        match = re.search(pattern, file.stem)
        if file.suffix.lower() in IMAGE_SUFFIXES and match and not file.name.startswith("."):
            found.setdefault(int(match[1]), file)
    return found


def require_folder(root: Path, layout: str) -> Path:
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; expected {layout}")
    return root


def require_file(root: Path, patterns: Iterable[str], layout: str) -> Path:
    """First file in `root`, or in a folder of it, whose name matches one of the patterns (case ignored)."""
    require_folder(root, layout)
    files = [f for folder in (root, *sorted(d for d in root.iterdir() if d.is_dir())) for f in sorted(folder.iterdir())]
    for pattern in patterns:
        for file in files:
            # "~$…" is a spreadsheet program's lock file
            if fnmatch(file.name.lower(), pattern.lower()) and file.is_file() and not file.name.startswith("~"):
                return file
    raise DatasetError(f"{root}: no {' or '.join(patterns)}; expected {layout}")


def sheet_rows(file: Path, sheet: int = 0) -> list[tuple[Any, ...]]:
    """Cells of one sheet of a spreadsheet, row by row."""
    from openpyxl import load_workbook

    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets zip, XML and key errors through
        raise DatasetError(f"{file}: not a readable .xlsx spreadsheet: {error}") from error
    rows = list(book.worksheets[sheet].iter_rows(values_only=True))
    book.close()
    return rows


def table(file: Path, wanted: dict[str, str], layout: str, sheet: int = 0) -> Iterator[dict[str, Any]]:
    """Rows below the header of a sheet, as dictionaries.

    wanted: our name → start of the header's cell, compared without case, spaces and underscores. The header
    is the first row that holds them all, so that preamble and blank columns don't matter.
    """
    rows = sheet_rows(file, sheet)
    for start, row in enumerate(rows, 1):  # noqa: B007
        header = [_plain(cell) for cell in row]
        columns = {ours: _column(header, _plain(theirs)) for ours, theirs in wanted.items()}
        if None not in columns.values():
            break
    else:
        raise DatasetError(f"{file}: no row with the columns {', '.join(wanted.values())}; expected {layout}")
    for row in rows[start:]:
        record = {ours: row[c] if c is not None and c < len(row) else None for ours, c in columns.items()}
        if any(value is not None for value in record.values()):
            yield record


def _plain(cell: Any) -> str:
    return re.sub(r"[\s_]+", "", str(cell)).lower() if cell is not None else ""


def _column(header: list[str], start: str) -> int | None:
    return next((i for i, cell in enumerate(header) if cell.startswith(start)), None)


def whole(cell: Any) -> int | None:
    """A frame number from a cell; None for blank, '/', and other non-numbers."""
    try:
        return int(float(str(cell)))
    except ValueError:
        return None


def text(cell: Any) -> str:
    """A name from a cell; 6.0 → '6', None → ''."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell).strip()
