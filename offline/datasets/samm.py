"""SAMM (Davison et al. 2018): spontaneous micro-movements, 200 fps, grey 2040×1088, 28 subjects of the
composite.
"""

from __future__ import annotations

from pathlib import Path

from offline.datasets import sheets
from offline.datasets.common import NEGATIVE, POSITIVE, SURPRISE, Listed, Loaded, labelled

CLASSES = {
    "happiness": POSITIVE,
    "surprise": SURPRISE,
    **dict.fromkeys(["anger", "contempt", "disgust", "fear", "sadness"], NEGATIVE),
}
SHEET = sheets.Sheet(
    dataset="samm",
    file="*FACS*.xlsx",
    folders=r"s?\d{1,3}",
    layout="SAMM_Micro_FACS_Codes_v2.xlsx beside 006/006_1_2/006_05562.jpg",
    subject=lambda cell: cell.zfill(3),
    fps=200.0,
)


def load(root: Path) -> Loaded:
    """Clips of the three classes ('other' is left out). Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def scan(root: Path) -> Listed:
    """Every clip of the FACS sheet; its preamble is passed over."""
    return sheets.scan(root, SHEET)
