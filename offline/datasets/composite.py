"""The MEGC 2019 composite: clips and labels of the challenge's key, frames of the user's three data sets.

The key decides, not the emotion words: it holds, for example, CASME II sub05/EP12_03f as surprise, which
re-mapping the words drops. Any clip of the key that is not found is reported.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import msgspec

from offline.datasets import casme2, samm, smic, trees
from offline.datasets.common import (
    Clip,
    Loaded,
    Note,
    RawClip,
    Skipped,
    complete,
    require_file,
    without_repeats,
)
from offline.datasets.people import SPELLINGS, clip_of, dataset_named, plain
from offline.datasets.spreadsheets import pages, text, whole
from realtime.errors import DatasetError

LAYOUT = (
    "folders casme2, smic and samm, each as its own loader expects it, and the challenge's key "
    "(*.csv or *.xlsx with columns dataset, subject, clip, label 0 negative, 1 positive, 2 surprise)"
)
_SCANNERS = {"casme2": casme2.scan, "smic": smic.scan, "samm": samm.scan}


class KeyRow(msgspec.Struct, frozen=True):
    """One line of the challenge's key."""

    dataset: str
    subject: str
    clip: str
    label: int


def load(root: Path) -> Loaded:
    """The clips of the key. Raises DatasetError with the expected layout."""
    rows = list(read_key(require_file(root, ["*key*.csv", "*gt*.csv", "*.csv", "*key*.xlsx"], LAYOUT)))
    known: dict[tuple[str, str], RawClip] = {}
    left_out: dict[tuple[str, str], str] = {}
    notes: list[Note] = []
    for name, scan in _SCANNERS.items():
        listed = scan(_folder(root, name))
        raws, repeated = without_repeats(listed.raws)
        known |= {clip_of(name, raw.subject, raw.name): raw for raw in raws}
        left_out |= {clip_of(name, *one.clip.split("/", 1)): one.why for one in (*listed.skipped, *repeated)}
        notes += listed.notes
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for row in rows:
        key = clip_of(row.dataset, row.subject, row.clip)
        if key not in known:
            why = left_out.get(key, "in the key, not in the data")
            skipped.append(Skipped(f"{row.dataset}/{row.subject}/{row.clip}", why))
            continue
        found = complete(known[key], row.label)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(Skipped(f"{row.dataset}/{found.clip}", found.why))
    if not clips:
        raise DatasetError(f"{root}: none of the key's {len(rows)} clips was found; expected {LAYOUT}")
    return Loaded(tuple(clips), tuple(skipped), tuple(notes))


def read_key(file: Path) -> Iterator[KeyRow]:
    """Lines of the key, with or without a header, each clip once. Raises DatasetError with file and line."""
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for number, row in enumerate(_key_cells(file), 1):
        cells = [text(cell) for cell in row]
        if not any(cells) or (number == 1 and len(cells) >= 4 and whole(cells[3]) is None):
            continue
        label = whole(cells[3]) if len(cells) >= 4 else None
        dataset = dataset_named(cells[0])
        if label not in (0, 1, 2) or dataset is None or dataset not in _SCANNERS:
            raise DatasetError(f"{file}:{number}: {row}; expected dataset, subject, clip, label 0, 1 or 2")
        first, before = seen.setdefault(clip_of(dataset, cells[1], cells[2]), (number, label))
        if before != label:
            raise DatasetError(f"{file}:{number}: {cells[2]} has label {label} here and {before} in line {first}")
        if first == number:
            yield KeyRow(dataset, cells[1], cells[2], label)


def _key_cells(file: Path) -> list[tuple[object, ...]]:
    if file.suffix.lower() == ".xlsx":
        return next((page.rows for page in pages(file)), [])
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return [tuple(row) for row in csv.reader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file}: not a table in UTF-8 ({error}); save it again as CSV, UTF-8") from error


def _folder(root: Path, name: str) -> Path:
    """The data set's folder: the one that is named like it alone, or else the shortest name with it in."""
    found = [d for d in trees.folders(root) if any(spelt in plain(d.name) for spelt in SPELLINGS[name])]
    if name == "samm":  # SAMM Long Videos is another data set
        found = [d for d in found if "long" not in plain(d.name)]
    if not found:
        raise DatasetError(f"{root}: no folder for {name}; expected {LAYOUT}")
    return min(found, key=lambda d: (dataset_named(d.name) != name, len(d.name), d.name))
