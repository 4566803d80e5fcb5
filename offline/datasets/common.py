"""What all data set loaders share: the clip record, what was skipped, frame folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from offline.datasets.people import clip_of
from realtime.errors import DatasetError
from realtime.types import LABELS

NEGATIVE, POSITIVE, SURPRISE = 0, 1, 2
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
MARGIN_S = 0.1
"""A clip's record holds the frames so near outside it: `FeatureSpec.average_s` reaches no further."""
_END_MISSING = 3
"""So many frames at most may be missing at a clip's end."""


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled clip. Frame numbers are the data set's own, offset inclusive."""

    dataset: str
    subject: str
    name: str
    label: int
    """0 negative, 1 positive, 2 surprise, or of a data set with other classes."""
    emotion: str
    """As the data set calls it."""
    onset: int
    apex: int | None
    """None: the data set does not say; it is spotted (`realtime.vision.spotting.dc_rois`)."""
    offset: int
    numbers: tuple[int, ...]
    """Frame numbers that are there, rising …"""
    files: tuple[str, ...]
    """… and their image files, or places in a session's video (`frame_in`)."""
    margin_numbers: tuple[int, ...] = ()
    """Frames before the onset and after the offset, at most `MARGIN_S` away, that are there, rising: onset and
    offset are averaged with them, as the camera does …"""
    margin_files: tuple[str, ...] = ()
    """… and their image files."""
    fps: float
    note: str = ""
    """What is amiss, and what was done about it."""


_FRAME = re.compile(r"(?P<video>.+\.mkv)\?frame=(?P<number>\d+)")


def frame_in(video: Path, number: int) -> str:
    """What stands for an image file where a frame is one of a session's video."""
    return f"{video}?frame={number}"


def video_of(file: str) -> tuple[str, int] | None:
    """Video and frame number; None for an image file."""
    found = _FRAME.fullmatch(file)
    return None if found is None else (found["video"], int(found["number"]))


def on_disk(file: str) -> str:
    """The file that holds the frame."""
    found = video_of(file)
    return file if found is None else found[0]


class Skipped(msgspec.Struct, frozen=True):
    """A clip that a loader left out, and why."""

    clip: str
    why: str


class Note(msgspec.Struct, frozen=True):
    """Something to know about a clip, or about a whole data set, that is used."""

    clip: str
    """Subject and clip, or the data set's name."""
    what: str


class Loaded(msgspec.Struct, frozen=True):
    """What a loader found; the notes are of the data set, each clip has its own."""

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[Note, ...] = ()
    labels: tuple[str, ...] = LABELS
    """Names of the classes."""


class RawClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as its data set lists it, before the label is decided."""

    dataset: str
    subject: str
    name: str
    emotion: str
    onset: int | None
    apex: int | None
    offset: int | None
    folder: Path
    fps: float


class Listed(msgspec.Struct, frozen=True):
    """What a data set lists."""

    raws: tuple[RawClip, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[Note, ...] = ()


def complete(raw: RawClip, label: int) -> Clip | Skipped:
    """Look for the frames of a listed clip; a Skipped says what is missing.

    The onset's frame must be there, half of the clip's frames, and all but the last few before its end. An apex
    outside the clip, or whose frame is missing, is treated as not given; the clip's note says so.
    """
    name = f"{raw.subject}/{raw.name}"
    if not raw.folder.is_dir():
        return Skipped(name, f"missing frames: no folder {raw.folder}")
    frames = numbered_images(raw.folder)
    if not frames:
        return Skipped(name, f"missing frames: no images in {raw.folder}")
    onset = raw.onset if raw.onset is not None else min(frames)
    offset = raw.offset if raw.offset is not None else max(frames)
    if why := too_few(frames, onset, offset):
        return Skipped(name, f"missing frames: {why} {raw.folder}")
    return _clip(raw, label, frames, onset, offset)


def _clip(raw: RawClip, label: int, frames: dict[int, Path], onset: int, offset: int) -> Clip:
    """The record of a clip whose frames are there."""
    numbers = tuple(n for n in sorted(frames) if onset <= n <= offset)
    reach = round(MARGIN_S * raw.fps)
    margin = tuple(n for n in sorted(frames) if onset - reach <= n < onset or offset < n <= offset + reach)
    apex, notes = raw.apex, []
    if len(numbers) < offset - onset + 1:
        notes.append(f"{offset - onset + 1 - len(numbers)} of its {offset - onset + 1} frames are missing")
    if apex is not None and (apex not in numbers or apex == onset):
        where = "missing" if onset < apex <= offset else f"not between onset {onset} and offset {offset}"
        notes.append(f"the frame of its apex, {apex}, is {where}")
        apex = None
    return Clip(
        dataset=raw.dataset,
        subject=raw.subject,
        name=raw.name,
        label=label,
        emotion=raw.emotion,
        onset=onset,
        apex=apex,
        offset=numbers[-1],
        numbers=numbers,
        files=tuple(str(frames[n]) for n in numbers),
        margin_numbers=margin,
        margin_files=tuple(str(frames[n]) for n in margin),
        fps=raw.fps,
        note="; ".join(notes),
    )


def too_few(frames: Iterable[int], onset: int, offset: int) -> str:
    """What makes a clip unusable with these frames; empty: nothing."""
    within = [n for n in frames if onset <= n <= offset]
    if offset <= onset:
        return f"offset {offset} is not after onset {onset} in"
    if onset not in within:
        return f"onset {onset} is not in"
    if len(within) < 2:
        return f"none between onset {onset} and offset {offset} in"
    if offset - max(within) > _END_MISSING:
        return f"offset is {offset}, the last one is {max(within)} in"
    if 2 * len(within) < offset - onset + 1:
        return f"only {len(within)} of {offset - onset + 1} are in"
    return ""


def labelled(listed: Listed, classes: dict[str, int]) -> Loaded:
    """Decide each clip's label by its emotion word; others are skipped with the reason."""
    raws, repeated = without_repeats(listed.raws)
    clips: list[Clip] = []
    skipped = [*listed.skipped, *repeated]
    for raw in raws:
        label = classes.get(raw.emotion.strip().lower())
        if label is None:
            skipped.append(Skipped(f"{raw.subject}/{raw.name}", f"label {raw.emotion!r} is none of the classes"))
            continue
        found = complete(raw, label)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(found)
    return Loaded(tuple(clips), tuple(skipped), listed.notes)


def without_repeats(raws: Iterable[RawClip]) -> tuple[list[RawClip], list[Skipped]]:
    """Clips listed once, and the reasons for the others: of equal rows the first counts, of unequal ones none."""
    groups: dict[tuple[str, str], list[RawClip]] = {}
    for raw in raws:
        groups.setdefault(clip_of(raw.dataset, raw.subject, raw.name), []).append(raw)
    kept: list[RawClip] = []
    skipped: list[Skipped] = []
    for first, *more in groups.values():
        rows = {(one.onset, one.apex, one.offset, one.emotion.strip().lower()) for one in (first, *more)}
        name = f"{first.subject}/{first.name}"
        if len(rows) > 1:
            skipped.append(Skipped(name, f"listed {1 + len(more)} times with different frames or emotions"))
            continue
        kept.append(first)
        skipped += [Skipped(name, "listed again: the first row counts")] * len(more)
    return kept, skipped


def numbered_images(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number in their names; hidden files and other kinds are passed over."""
    return numbered(folder, sorted(file.name for file in folder.iterdir()))


def numbered(folder: Path, names: Iterable[str]) -> dict[int, Path]:
    """The same of the files `names` in `folder`; of two with one number the first counts."""
    found: dict[int, Path] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        match = re.search(r"(\d+)$", stem)
        if suffix.lower() in IMAGE_SUFFIXES and match and not name.startswith("."):
            found.setdefault(int(match[1]), folder / name)
    return found


def require_folder(root: Path, layout: str) -> Path:
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; expected {layout}")
    return root


def require_file(root: Path, patterns: Iterable[str], layout: str) -> Path:
    """First file in `root`, or in a folder of it, whose name matches one of the patterns (case ignored)."""
    require_folder(root, layout)
    files = [f for folder in (root, *sorted(d for d in root.iterdir() if d.is_dir())) for f in sorted(folder.iterdir())]
    for pattern in patterns:
        for file in files:
            # "~$…" is a spreadsheet program's lock file, "._…" a file system's
            if fnmatch(file.name.lower(), pattern.lower()) and file.is_file() and file.name[0] not in "~.":
                return file
    raise DatasetError(f"{root}: no {' or '.join(patterns)}; expected {layout}")
