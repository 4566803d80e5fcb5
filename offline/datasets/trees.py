"""Which folder of frames is read: a data set is often unpacked more than once (cropped and raw, three cameras)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from offline.datasets.common import Note
from offline.datasets.people import person_of
from realtime.errors import DatasetError


def words(name: str) -> set[str]:
    """What a folder's name says: SMIC_all_raw → smic, all, raw."""
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def choose(root: Path, trees: Iterable[Path], dataset: str) -> tuple[Path, tuple[Note, ...]]:
    """One of the trees: HS before what does not say it, cropped before raw. The note names those passed over."""

    def rank(tree: Path) -> tuple[bool, int, str]:
        said = words(os.path.relpath(tree, root))
        return "hs" not in said, 0 if "cropped" in said else 2 if "raw" in said else 1, str(tree)

    first, *others = sorted(set(trees), key=rank)
    if not others:
        return first, ()
    names = ", ".join(os.path.relpath(tree, root) for tree in others)
    return first, (Note(dataset, f"frames are read from {os.path.relpath(first, root)}; passed over: {names}"),)


def subjects(tree: Path, dataset: str, pattern: str) -> dict[str, Path]:
    """Folders of `tree` whose name matches, by person. Raises DatasetError where two are one person."""
    found: dict[str, Path] = {}
    for folder in matching(tree, pattern):
        first = found.setdefault(person_of(dataset, folder.name), folder)
        if first != folder:
            raise DatasetError(f"{first} and {folder} are one person; put the clips into one folder")
    return found


def matching(parent: Path, pattern: str) -> list[Path]:
    """Folders whose whole name matches, case ignored."""
    return [d for d in folders(parent) if re.fullmatch(pattern, d.name, re.IGNORECASE)]


def folders(parent: Path) -> list[Path]:
    """Folders in a folder, by name; hidden ones are passed over."""
    try:
        with os.scandir(parent) as entries:
            return sorted(parent / e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{parent}: can't be read: {error.strerror or error}") from error


def inside(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`, exactly so or else in another case; where there is none, where it should be."""
    exact = parent / name
    if exact.is_dir() or not parent.is_dir():
        return exact
    return next((d for d in folders(parent) if d.name.lower() == name.lower()), exact)
