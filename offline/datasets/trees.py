"""Folders of frames: walked once, however many files they hold, and which of them is read.

A data set is often unpacked more than once (cropped and raw, three cameras).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from offline.datasets.common import Note, numbered
from offline.datasets.people import person_of
from realtime.errors import DatasetError


class Tree(msgspec.Struct, frozen=True):
    """A folder and all below it, as one walk found them."""

    root: Path
    folders: dict[Path, list[str]]
    """Every folder, by name from the root down, and the names of its files, in order."""

    def files(self, pattern: str) -> list[Path]:
        """Files whose name matches (case ignored), the nearest to the root first."""
        found = [
            folder / name
            for folder, names in self.folders.items()
            for name in names
            # "~$…" is a spreadsheet program's lock file, "._…" a file system's
            if name[0] not in "~." and fnmatch(name.lower(), pattern.lower())
        ]
        return sorted(found, key=lambda file: (len(file.parts), file))

    def matching(self, pattern: str) -> list[Path]:
        """Folders below the root whose whole name matches, case ignored."""
        return [d for d in self.folders if d != self.root and re.fullmatch(pattern, d.name, re.IGNORECASE)]

    def images(self, folder: Path | None) -> dict[int, Path]:
        """Images of a folder by the number in their names; none where there is no folder."""
        return {} if folder is None else numbered(folder, self.folders.get(folder, ()))


def walk(root: Path) -> Tree:
    """Look once at each folder below `root`; links are followed, hidden folders passed over.

    Raises DatasetError with the folder that can't be read.
    """
    found: dict[Path, list[str]] = {}

    def visit(folder: Path, above: frozenset[tuple[int, int]]) -> None:
        stat = folder.stat()
        own = (stat.st_dev, stat.st_ino)
        if own in above:  # a link to a folder that it lies in
            return
        inner, files = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    files.append(entry.name)
                elif not entry.name.startswith("."):
                    inner.append(entry.name)
        found[folder] = sorted(files)
        for name in sorted(inner):
            visit(folder / name, above | {own})

    try:
        visit(root, frozenset())
    except OSError as error:
        raise DatasetError(f"{error.filename or root}: can't be read: {error.strerror or error}") from error
    return Tree(root, found)


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


def below(parent: Path, name: str) -> Path:
    """Where the folder `name` in `parent` should be. DatasetError for a name that leads elsewhere, as ``/etc``."""
    if name in (".", "..") or "/" in name or "\0" in name:
        raise DatasetError(f"{parent}: {name!r}, which the sheet names, is no name of a folder in it")
    return parent / name


def inside(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`, exactly so or else in another case; where there is none, where it should be."""
    exact = below(parent, name)
    if exact.is_dir() or not parent.is_dir():
        return exact
    return next((d for d in folders(parent) if d.name.lower() == name.lower()), exact)
