"""Recordings in a folder tree: video files, folders of images, and the folders that ``--record`` makes.

Whatever stands in the tree is either found, told as unusable, or counted as passed over: nothing is left out silently.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from realtime.errors import DatasetError, SourceError
from realtime.session.read import table_beside
from realtime.sources.images import image_names

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".divx", ".dv", ".flv", ".h264", ".h265", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg",
    ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm",
    ".wmv", ".y4m",
})  # fmt: skip
RECORDED = "frames.mkv"
"""In the folder of a recorded session."""
_LEAST_IMAGES = 2

Kind = Literal["video", "images", "session"]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording of the tree."""

    path: str
    """Below the root, with ``/``."""
    kind: Kind
    bytes: int
    digest: str
    """Of its files' names, sizes and times of change: another one is another recording."""


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """What can't even be tried."""

    path: str
    why: str


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """What one walk found, by path."""

    root: Path
    recordings: tuple[Recording, ...]
    unusable: tuple[Unusable, ...]
    passed_over: dict[str, int]
    """Files that are no recordings, by suffix."""


def walk(root: Path, leave_out: Path | None = None) -> Tree:
    """All recordings below `root`; links are followed, each folder is entered once; `leave_out` is not entered.

    Raises DatasetError where `root` can't be read, or holds no recording.
    """
    walker = _Walker(root, leave_out)
    walker.run()
    if not walker.recordings and not walker.unusable:
        seen = ", ".join(f"{count} {suffix}" for suffix, count in walker.passed_over.most_common(5))
        raise DatasetError(
            f"{root}: no recording below it (videos such as .mp4 .avi .mkv, folders of images); "
            f"there is {seen or 'nothing'}"
        )
    return Tree(
        root=root,
        recordings=tuple(sorted(walker.recordings, key=lambda one: one.path)),
        unusable=tuple(sorted(walker.unusable, key=lambda one: one.path)),
        passed_over=dict(walker.passed_over),
    )


def look(root: Path, path: str, kind: Kind) -> Recording:
    """The recording as it is now. Raises OSError, SourceError."""
    whole = root / path
    if kind == "images":
        files = [whole / name for name in image_names(str(whole))]
    else:
        video = whole / RECORDED if kind == "session" else whole
        table = table_beside(str(video))
        files = [video, *([Path(table)] if table else [])]
    hashed, size = hashlib.sha256(kind.encode()), 0
    for file in files:
        status = file.stat()
        size += status.st_size
        hashed.update(f"\0{file.name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
    return Recording(path=path, kind=kind, bytes=size, digest=hashed.hexdigest()[:32])


def plain(text: str) -> str:
    """In one line, without what a terminal would obey: names of files may hold anything."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(text.split()))


class _Walker:
    def __init__(self, root: Path, leave_out: Path | None) -> None:
        self.recordings: list[Recording] = []
        self.unusable: list[Unusable] = []
        self.passed_over: Counter[str] = Counter()
        self._root = root
        self._entered: set[tuple[int, int]] = set()
        self._linked: list[str] = []
        if leave_out is not None and leave_out.exists():
            self._entered.add(_identity(leave_out.stat()))

    def run(self) -> None:
        """Folders first, then those that only links lead to: the path of a recording does not depend on the order."""
        try:
            list(os.scandir(self._root))
        except OSError as error:
            raise DatasetError(f"{self._root}: can't be read: {error.strerror or error}") from error
        waiting = [""]
        while waiting:
            self._enter(waiting.pop(0), waiting)
            if not waiting and self._linked:
                waiting, self._linked = sorted(self._linked), []

    def _enter(self, path: str, inner: list[str]) -> None:
        folder = self._root / path
        try:
            own = _identity(folder.stat())
            if own in self._entered:
                return
            self._entered.add(own)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._refuse(path, f"this folder can't be read: {error.strerror or error}")
            return
        names = [entry.name for entry in entries]
        if RECORDED in names:
            self._take(path, "session")
            return
        videos = [entry for entry in entries if _suffix(entry.name) in VIDEO_SUFFIXES and not _is_folder(entry)]
        for entry in videos:
            if not entry.name.startswith("."):
                self._take_video(_below(path, entry.name), entry)
        images = [] if videos else _images(folder)  # pictures beside videos are thumbnails
        if len(images) >= _LEAST_IMAGES:
            self._take(path, "images")
        self._count(entries, {*(video.name for video in videos), *(images if len(images) >= _LEAST_IMAGES else [])})
        for entry in entries:
            if _is_folder(entry) and not entry.name.startswith("."):
                (self._linked if entry.is_symlink() else inner).append(_below(path, entry.name))

    def _take_video(self, path: str, entry: os.DirEntry[str]) -> None:
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            what = "this link leads nowhere" if entry.is_symlink() else "can't be looked at"
            self._refuse(path, f"{what}: {error.strerror or error}")
            return
        if stat.S_ISREG(mode):
            self._take(path, "video")
        else:
            self._refuse(path, "no file but a device, a pipe or a socket")

    def _take(self, path: str, kind: Kind) -> None:
        try:
            path.encode()
            self.recordings.append(look(self._root, path, kind))
        except UnicodeEncodeError:
            self._refuse(path, "its name is no UTF-8; give the file or folder another one")
        except OSError as error:
            self._refuse(path, f"can't be looked at: {error.strerror or error}")
        except SourceError as error:
            self._refuse(path, str(error))

    def _refuse(self, path: str, why: str) -> None:
        self.unusable.append(Unusable(path=path.encode(errors="backslashreplace").decode() or ".", why=why))

    def _count(self, entries: list[os.DirEntry[str]], taken: set[str]) -> None:
        for entry in entries:
            if entry.name not in taken and not entry.name.startswith(".") and not _is_folder(entry):
                self.passed_over[_suffix(entry.name).encode(errors="replace").decode() or "without suffix"] += 1


def _images(folder: Path) -> list[str]:
    try:
        return image_names(str(folder))
    except SourceError:  # it has gone meanwhile
        return []


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
