"""The MEGC 2019 composite: clips and labels of the challenge's key, frames of the user's three data sets.

The key decides, not the emotion words: it holds, for example, CASME II sub05/EP12_03f as surprise, which
re-mapping the words drops. Any clip of the key that is not found is reported.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from offline.datasets import casme2, samm, smic
from offline.datasets.common import (
    Clip,
    Loaded,
    RawClip,
    Skipped,
    complete,
    require_file,
    sheet_rows,
    text,
    whole,
)
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
    known = {
        (name, *_identity(raw.subject, raw.name)): raw
        for name in _SCANNERS
        for raw in _SCANNERS[name](_folder(root, name))
    }
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for row in rows:
        raw: RawClip | None = known.get((row.dataset, *_identity(row.subject, row.clip)))
        if raw is None:
            skipped.append(Skipped(f"{row.dataset}/{row.subject}/{row.clip}", "in the key, not in the data"))
            continue
        found = complete(raw, row.label)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(Skipped(f"{row.dataset}/{found.clip}", found.why))
    if not clips:
        raise DatasetError(f"{root}: none of the key's {len(rows)} clips was found; expected {LAYOUT}")
    return Loaded(tuple(clips), tuple(skipped))


def read_key(file: Path) -> Iterator[KeyRow]:
    """Lines of the key, with or without a header."""
    rows = sheet_rows(file) if file.suffix.lower() == ".xlsx" else list(csv.reader(file.open(newline="")))
    for number, row in enumerate(rows, 1):
        cells = [text(cell) for cell in row]
        if not any(cells) or (number == 1 and len(cells) >= 4 and whole(cells[3]) is None):
            continue
        label = whole(cells[3]) if len(cells) >= 4 else None
        dataset = re.sub(r"[^a-z0-9]", "", cells[0].lower()).replace("casmeii", "casme2").removesuffix("hs")
        if label not in (0, 1, 2) or dataset not in _SCANNERS:
            raise DatasetError(f"{file}:{number}: {row}; expected dataset, subject, clip, label 0, 1 or 2")
        yield KeyRow(dataset, cells[1], cells[2], label)


def _identity(subject: str, clip: str) -> tuple[int, str]:
    """Subject's number and clip's name without it: sub05, sub05_EP12_03f and EP12_03f, s5 and s05 agree."""
    number = int(re.sub(r"\D", "", subject) or 0)
    prefix = re.match(r"(?:sub|s)?0*(\d+)_", clip)
    name = clip[prefix.end() :] if prefix and int(prefix[1]) == number else clip
    return number, name.lower()


def _folder(root: Path, name: str) -> Path:
    wanted = {"casme2": "casme", "smic": "smic", "samm": "samm"}[name]
    for folder in sorted(d for d in root.iterdir() if d.is_dir()):
        if wanted in re.sub(r"[^a-z0-9]", "", folder.name.lower()):
            return folder
    raise DatasetError(f"{root}: no folder for {name}; expected {LAYOUT}")
