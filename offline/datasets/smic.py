"""SMIC-HS (Li et al. 2013): 100 fps, 16 subjects, labels by folder, no apex: it is spotted.

The short version lists nothing: each folder is a clip from onset to offset. The long version (SMIC-HS-E) has
a sheet with OnsetF and OffsetF, counted from FirstF.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from offline.datasets.common import (
    NEGATIVE,
    POSITIVE,
    SURPRISE,
    Loaded,
    RawClip,
    labelled,
    require_folder,
    table,
    text,
    whole,
)
from realtime.errors import DatasetError

LAYOUT = "s1/micro/negative/s1_ne_01/*.bmp (or SMIC-HS-E_annotation.xlsx beside s01/s01_ne_01/*)"
CLASSES = {"negative": NEGATIVE, "positive": POSITIVE, "surprise": SURPRISE}
FPS = 100.0


def load(root: Path) -> Loaded:
    """Clips of the three classes. Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def scan(root: Path) -> Iterator[RawClip]:
    """Every clip, of either version."""
    require_folder(root, LAYOUT)
    sheets = sorted(root.glob("**/*annotation*.xlsx"))
    yield from _scan_long(root, sheets[0]) if sheets else _scan_short(root)


def _scan_short(root: Path) -> Iterator[RawClip]:
    classes = [d for d in sorted(root.glob("**/micro/*")) if d.is_dir() and d.name.lower() in CLASSES]
    if not classes:
        raise DatasetError(f"{root}: no folder sN/micro/negative|positive|surprise; expected {LAYOUT}")
    for folder in classes:
        for clip in sorted(d for d in folder.iterdir() if d.is_dir()):
            subject = folder.parent.parent.name
            yield _raw(subject, clip.name, folder.name, None, None, clip)


def _scan_long(root: Path, sheet: Path) -> Iterator[RawClip]:
    columns = {
        "subject": "Subject",
        "name": "Filename",
        "onset": "OnsetF",
        "offset": "OffsetF",
        "emotion": "Emotion",
        "first": "FirstF",
    }
    for row in table(sheet, columns, LAYOUT):
        name, first = text(row["name"]), whole(row["first"])
        subject = text(row["subject"])
        subject = subject if subject.startswith("s") else f"s{subject}"
        onset, offset = whole(row["onset"]), whole(row["offset"])
        folder = next((d for d in sorted(root.glob(f"**/{name}")) if d.is_dir()), root / subject / name)
        if first is not None and onset is not None and offset is not None:
            onset, offset = onset - first, offset - first
        yield _raw(subject, name, text(row["emotion"]), onset, offset, folder)


def _raw(subject: str, name: str, emotion: str, onset: int | None, offset: int | None, folder: Path) -> RawClip:
    return RawClip(
        dataset="smic",
        subject=subject,
        name=name,
        emotion=emotion,
        onset=onset,
        apex=None,
        offset=offset,
        folder=folder,
        fps=FPS,
    )
