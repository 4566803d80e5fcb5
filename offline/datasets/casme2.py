"""CASME II (Yan et al. 2014): spontaneous micro-expressions, 200 fps, 24 subjects of the composite.

The coding sheet's columns are found by name; corrections are keyed by (subject, clip), never by row, because
the versions of the sheet differ in their order.
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
    require_file,
    table,
    text,
    whole,
)
from realtime.errors import DatasetError

LAYOUT = "CASME2-coding-*.xlsx beside sub01/EP02_01f/img46.jpg (or reg_img46.jpg)"
CLASSES = {"happiness": POSITIVE, "surprise": SURPRISE, "disgust": NEGATIVE, "repression": NEGATIVE}
"""The classes of the paper's table 3; 'others', 'fear' and 'sadness' are left out, as in MEGC 2019."""
FPS = 200.0


def load(root: Path) -> Loaded:
    """Clips of the three classes. Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def scan(root: Path) -> Iterator[RawClip]:
    """Every clip of the coding sheet."""
    sheet = require_file(root, ["*coding*.xlsx"], LAYOUT)
    frames = frames_root(root, "sub*", LAYOUT)
    columns = {
        "subject": "Subject",
        "name": "Filename",
        "onset": "Onset",
        "apex": "Apex",
        "offset": "Offset",
        "emotion": "Estimated Emotion",
    }
    for row in table(sheet, columns, LAYOUT):
        subject = f"sub{text(row['subject']).removeprefix('sub').zfill(2)}"
        name = text(row["name"])
        yield RawClip(
            dataset="casme2",
            subject=subject,
            name=name,
            emotion=text(row["emotion"]),
            onset=whole(row["onset"]),
            apex=whole(row["apex"]),
            offset=whole(row["offset"]),
            folder=frames / subject / name,
            fps=FPS,
        )


def frames_root(root: Path, pattern: str, layout: str) -> Path:
    """The folder that holds the subjects' folders: `root`, or one of the folders in it (Cropped, RAW …)."""
    inside = [d for d in sorted(root.iterdir()) if d.is_dir()]
    for folder in [root, *inside, *(d for i in inside for d in sorted(i.iterdir()) if d.is_dir())]:
        if any(d.is_dir() for d in folder.glob(pattern)):
            return folder
    raise DatasetError(f"{root}: no folder {pattern} with frames; expected {layout}")
