"""SAMM (Davison et al. 2018): spontaneous micro-movements, 200 fps, grey 2040×1088, 28 subjects of the
composite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from offline.datasets.casme2 import frames_root
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

LAYOUT = "SAMM_Micro_FACS_Codes_v2.xlsx beside 006/006_1_2/006_05562.jpg"
CLASSES = {
    "happiness": POSITIVE,
    "surprise": SURPRISE,
    **dict.fromkeys(["anger", "contempt", "disgust", "fear", "sadness"], NEGATIVE),
}
FPS = 200.0


def load(root: Path) -> Loaded:
    """Clips of the three classes ('other' is left out). Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def scan(root: Path) -> Iterator[RawClip]:
    """Every clip of the FACS sheet; its preamble is passed over."""
    sheet = require_file(root, ["*FACS*.xlsx"], LAYOUT)
    frames = frames_root(root, "[0-9][0-9][0-9]", LAYOUT)
    columns = {
        "subject": "Subject",
        "name": "Filename",
        "onset": "Onset",
        "apex": "Apex",
        "offset": "Offset",
        "emotion": "Estimated Emotion",
    }
    for row in table(sheet, columns, LAYOUT):
        subject, name = text(row["subject"]).zfill(3), text(row["name"])
        yield RawClip(
            dataset="samm",
            subject=subject,
            name=name,
            emotion=text(row["emotion"]),
            onset=whole(row["onset"]),
            apex=whole(row["apex"]),
            offset=whole(row["offset"]),
            folder=frames / subject / name,
            fps=FPS,
        )
