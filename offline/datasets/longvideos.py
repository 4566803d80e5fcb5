"""Long videos with marked movements, for spotting: CAS(ME)², SAMM Long Videos, CAS(ME)³ part A."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from offline.datasets.common import (
    Skipped,
    numbered_images,
    require_file,
    require_folder,
    sheets_of,
    table,
    text,
    whole,
)
from realtime.errors import DatasetError
from realtime.types import LABELS, Kind

LAYOUTS = {
    "casme_sq": "CAS(ME)^2code_final.xlsx beside rawpic/s15/15_0101disgustingteeth/img1.jpg",
    "samm_lv": "SAMM_LongVideos_V2_Release.xlsx beside 006_1/006_1_0001.jpg",
    "casme3": "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx beside spNO.1/b/color/175.jpg",
}
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


class LongVideos(msgspec.Struct, frozen=True):
    """What a loader found."""

    videos: tuple[LongVideo, ...]
    skipped: tuple[Skipped, ...]


def load(dataset: str, root: Path) -> LongVideos:
    """Videos of `casme_sq`, `samm_lv` or `casme3`. Raises DatasetError with the expected layout."""
    require_folder(root, LAYOUTS[dataset])
    found = _LOADERS[dataset](root)
    if not found.videos:
        why = f" (first: {found.skipped[0].clip}: {found.skipped[0].why})" if found.skipped else ""
        raise DatasetError(f"{root}: no video with frames{why}; expected {LAYOUTS[dataset]}")
    return found


def label_of(emotion: str) -> int | None:
    """Class of an emotion word; None for others."""
    word = emotion.strip().lower()
    for label, stems in enumerate((_NEGATIVE, _POSITIVE, _SURPRISE)):
        if word.startswith(stems):
            return label
    return None


def _casme_sq(root: Path) -> LongVideos:
    """No header; offset 0 means that it was not seen: the apex counts. Further sheets translate the names."""
    sheet = require_file(root, ["*code*.xlsx"], LAYOUTS["casme_sq"])
    pages = sheets_of(sheet)
    aliases = _aliases(pages[1:3])
    rows: dict[tuple[str, str], list[Marked]] = {}
    for row in pages[0] if pages else []:
        onset, apex, offset = (whole(cell) for cell in row[2:5]) if len(row) >= 8 else (None,) * 3
        if onset is None:
            continue
        kind: Kind = "micro" if "micro" in text(row[7]).lower() else "macro"
        last = offset or apex or onset
        key = (text(row[0]), re.sub(r"_\d+$", "", text(row[1])))
        rows.setdefault(key, []).append(Marked(onset, last, kind, label_of(text(row[6]))))

    def folder(subject: str, video: str) -> Path | None:
        people = {subject, *aliases.get(subject, ()), f"s{subject}"}
        names = {video, *aliases.get(video, ())}
        for person in (d for d in sorted(root.rglob("*")) if d.is_dir() and d.name in people):
            for inside in sorted(d for d in person.iterdir() if d.is_dir()):
                plain = re.sub(r"^\d+_", "", inside.name)
                if plain in names or any(len(n) > 2 and n in plain for n in names):
                    return inside
        return None

    return _gather("casme_sq", 30.0, rows, folder)


def _aliases(pages: list[list[tuple[Any, ...]]]) -> dict[str, set[str]]:
    """Other names of a name: what stands in the same row of the sheets behind the first."""
    found: dict[str, set[str]] = {}
    for row in (row for rows in pages for row in rows):
        names = {text(cell) for cell in row if text(cell)}
        for name in names:
            found.setdefault(name, set()).update(names - {name})
    return found


def _samm_lv(root: Path) -> LongVideos:
    sheet = require_file(root, ["*LongVideos*.xlsx", "*Long*.xlsx"], LAYOUTS["samm_lv"])
    columns = {"name": "Filename", "onset": "Onset", "offset": "Offset", "kind": "Type"}
    rows: dict[tuple[str, str], list[Marked]] = {}
    for row in table(sheet, columns, LAYOUTS["samm_lv"]):
        onset, offset, name = whole(row["onset"]), whole(row["offset"]), text(row["name"])
        if onset is None or offset is None:
            continue
        kind: Kind = "micro" if text(row["kind"]).lower().startswith("micro") else "macro"
        video = "_".join(name.split("_")[:2])
        rows.setdefault((video.split("_")[0], video), []).append(Marked(onset, offset, kind, None))
    for folder in root.rglob("[0-9][0-9][0-9]_*"):  # videos in which nothing was marked count too
        if folder.is_dir():
            rows.setdefault((folder.name.split("_")[0], folder.name), [])
    return _gather("samm_lv", 200.0, rows, lambda _, video: _first_folder(root, video))


def _casme3(root: Path) -> LongVideos:
    micro = require_file(root, ["*ME_label*.xlsx", "*me_label*.xlsx"], LAYOUTS["casme3"])
    columns = {
        "subject": "Subject",
        "name": "Filename",
        "onset": "Onset",
        "apex": "Apex",
        "offset": "Offset",
        "emotion": "emotion",
    }
    rows: dict[tuple[str, str], list[Marked]] = {}
    sheets: list[tuple[Path, Kind]] = [(micro, "micro")]
    sheets += [(f, "macro") for f in sorted(root.glob("*MaE*.xlsx"))]
    for sheet, kind in sheets:
        for row in table(sheet, columns, LAYOUTS["casme3"]):
            onset, offset = whole(row["onset"]), whole(row["offset"]) or whole(row["apex"])
            if onset is None or offset is None:
                continue
            one = Marked(onset, offset, kind, label_of(text(row["emotion"])))
            rows.setdefault((text(row["subject"]), text(row["name"])), []).append(one)
    return _gather("casme3", 30.0, rows, lambda subject, video: _colour(root / subject / video))


def _colour(folder: Path) -> Path | None:
    return next((f for f in (folder / "color", folder) if f.is_dir()), None)


def _first_folder(root: Path, name: str) -> Path | None:
    return next((d for d in sorted(root.rglob(name)) if d.is_dir()), None)


def _gather(
    dataset: str,
    fps: float,
    rows: dict[tuple[str, str], list[Marked]],
    folder_of: Callable[[str, str], Path | None],
) -> LongVideos:
    videos: list[LongVideo] = []
    skipped: list[Skipped] = []
    for (subject, name), marked in sorted(rows.items()):
        folder = folder_of(subject, name)
        frames = numbered_images(folder) if folder is not None else {}
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
                marked=tuple(marked),
            )
        )
    return LongVideos(tuple(videos), tuple(skipped))


_LOADERS: dict[str, Callable[[Path], LongVideos]] = {
    "casme_sq": _casme_sq,
    "samm_lv": _samm_lv,
    "casme3": _casme3,
}
NAMES = tuple(_LOADERS)


def summary(videos: Iterable[LongVideo]) -> dict[str, Any]:
    """Counts: videos, micro, macro, by class."""
    marked = [m for v in videos for m in v.marked]
    counts: dict[str, Any] = {kind: sum(m.kind == kind for m in marked) for kind in ("micro", "macro")}
    return counts | {name: sum(m.label == i for m in marked) for i, name in enumerate(LABELS)}
