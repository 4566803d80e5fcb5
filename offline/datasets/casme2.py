"""CASME II (Yan et al. 2014): spontaneous micro-expressions, 200 fps, 24 subjects of the composite."""

from __future__ import annotations

from pathlib import Path

import msgspec

from offline.datasets import sheets
from offline.datasets.common import NEGATIVE, POSITIVE, SURPRISE, Listed, Loaded, labelled
from offline.datasets.people import number_of

CLASSES = {"happiness": POSITIVE, "surprise": SURPRISE, "disgust": NEGATIVE, "repression": NEGATIVE}
"""The classes of the paper's table 3; 'others', 'fear' and 'sadness' are left out, as in MEGC 2019."""
EMOTIONS = ("happiness", "sadness", "surprise", "disgust", "fear", "repression", "others")


def _subject(cell: str) -> str:
    number = number_of(cell)
    return cell if number is None else f"sub{number:02d}"


SHEET = sheets.Sheet(
    dataset="casme2",
    file="*coding*.xlsx",
    folders=r"(sub|s)\d+",
    layout="CASME2-coding-*.xlsx beside sub01/EP02_01f/img46.jpg (or reg_img46.jpg)",
    subject=_subject,
    fps=200.0,
)


def load(root: Path) -> Loaded:
    """Clips of the three classes. Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def load_emotions(root: Path) -> Loaded:
    """All clips by the seven words of the coding sheet, as the six-CNN paper tells them apart."""
    return msgspec.structs.replace(labelled(scan(root), {w: i for i, w in enumerate(EMOTIONS)}), labels=EMOTIONS)


def scan(root: Path) -> Listed:
    """Every clip of the coding sheet."""
    return sheets.scan(root, SHEET)
