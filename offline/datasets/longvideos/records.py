"""What the loaders of long videos share: a movement as it was marked, a video, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from offline.datasets.common import Note, Skipped
from offline.datasets.trees import Tree
from realtime.errors import DatasetError
from realtime.types import Kind

_POSITIVE, _SURPRISE = ("happ", "positive", "joy"), ("surprise",)
_NEGATIVE = ("disgust", "anger", "fear", "sad", "contempt", "repression", "negative", "helpless", "pain")


class Marked(msgspec.Struct, frozen=True):
    """A movement as the coders marked it; frame numbers, offset inclusive."""

    onset: int
    offset: int
    kind: Kind
    label: int | None
    """0 negative, 1 positive, 2 surprise; None: none of them."""


class LongVideo(msgspec.Struct, frozen=True, kw_only=True):
    """One video and what was marked in it."""

    dataset: str
    subject: str
    name: str
    fps: float
    numbers: tuple[int, ...]
    files: tuple[str, ...]
    marked: tuple[Marked, ...]
    """Empty: nothing moved, so that all that is spotted there is a false alarm."""


class LongVideos(msgspec.Struct, frozen=True):
    """What a loader found."""

    videos: tuple[LongVideo, ...]
    skipped: tuple[Skipped, ...]
    """Videos without frames, and single marks that can't be (their video stays)."""
    notes: tuple[Note, ...] = ()


class Marks:
    """The marks of a coding sheet, gathered by video; those that can't be are kept apart."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], list[Marked]] = {}
        self.skipped: list[Skipped] = []

    def add(self, video: tuple[str, str], onset: int | None, offset: int | None, kind: Kind, emotion: str) -> None:
        """One row; video: (subject, name). A row that is there twice counts once."""
        own = self.of.setdefault(video, [])
        name = "/".join(video)
        if onset is None or offset is None:
            which = "onset" if onset is None else "offset or apex"
            self.skipped.append(Skipped(name, f"a {kind} mark without {which} is left out"))
            return
        if onset > offset:
            self.skipped.append(Skipped(name, f"the {kind} mark with onset {onset} > offset {offset} is left out"))
            return
        one = Marked(onset, offset, kind, label_of(emotion))
        if one not in own:
            own.append(one)


def label_of(emotion: str) -> int | None:
    """Class of an emotion word; None for others."""
    word = emotion.strip().lower()
    for label, stems in enumerate((_NEGATIVE, _POSITIVE, _SURPRISE)):
        if word.startswith(stems):
            return label
    return None


def gather(
    dataset: str,
    fps: float,
    marks: Marks,
    folders: dict[tuple[str, str], Path | None],
    tree: Tree,
    notes: tuple[Note, ...] = (),
) -> LongVideos:
    """Put marks and frames together; folders: of each video, marked or not, where its frames are."""
    videos: list[LongVideo] = []
    skipped = list(marks.skipped)
    for subject, name in sorted(folders):
        folder = folders[subject, name]
        frames = tree.images(folder)
        if not frames:
            skipped.append(Skipped(f"{subject}/{name}", f"missing frames: {folder or 'no folder'}"))
            continue
        numbers = tuple(sorted(frames))
        videos.append(
            LongVideo(
                dataset=dataset,
                subject=subject,
                name=name,
                fps=fps,
                numbers=numbers,
                files=tuple(str(frames[n]) for n in numbers),
                marked=tuple(marks.of.get((subject, name), ())),
            )
        )
    return LongVideos(tuple(videos), tuple(skipped), notes)


def sheet_in(tree: Tree, patterns: Iterable[str], layout: str) -> Path:
    """The file nearest to the root that matches the first pattern that any does."""
    wanted = list(patterns)
    for pattern in wanted:
        if found := tree.files(pattern):
            return found[0]
    raise DatasetError(f"{tree.root}: no {' or '.join(wanted)}; expected {layout}")
