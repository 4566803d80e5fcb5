"""SMIC-HS (Li et al. 2013): 100 fps, 16 subjects, labels by folder, no apex: it is spotted.

The short version lists nothing: each folder is a clip from onset to offset. The long version (SMIC-HS-E) has
a sheet with OnsetF and OffsetF, counted from FirstF. SMIC as it is given out holds one person many times:
cropped and raw, of three cameras. One tree is read: HS, cropped before raw, short before long.
"""

from __future__ import annotations

from pathlib import Path

from offline.datasets import trees
from offline.datasets.common import (
    NEGATIVE,
    POSITIVE,
    SURPRISE,
    Listed,
    Loaded,
    Note,
    RawClip,
    Skipped,
    labelled,
    require_folder,
)
from offline.datasets.people import clip_of
from offline.datasets.spreadsheets import table, text, whole
from realtime.errors import DatasetError

LAYOUT = "s1/micro/negative/s1_ne_01/*.bmp (or SMIC-HS-E_annotation.xlsx beside s01/s01_ne_01/*)"
CLASSES = {"negative": NEGATIVE, "positive": POSITIVE, "surprise": SURPRISE}
FPS = 100.0


def load(root: Path) -> Loaded:
    """Clips of the three classes. Raises DatasetError with the expected layout."""
    return labelled(scan(root), CLASSES)


def scan(root: Path) -> Listed:
    """Every clip, of either version."""
    require_folder(root, LAYOUT)
    tree = trees.walk(root)
    below = [folder for folder in tree.folders if folder != root]
    sheets = tree.files("*annotation*.xlsx")
    classes = [d for d in below if d.parent.name.lower() == "micro" and d.name.lower() in CLASSES]
    fast = [d for d in classes if not _slow(root, d)]
    if fast:
        passed = [
            Note("smic", f"{sheet.name} is passed over: its long clips are there as short ones") for sheet in sheets
        ]
        listed = _scan_short(root, fast)
        return Listed(listed.raws, listed.skipped, (*listed.notes, *passed))
    if sheets:
        return _scan_long(root, sheets[0], below)
    if classes:
        raise DatasetError(f"{root}: only clips of the slow cameras, NIR and VIS; expected the HS ones: {LAYOUT}")
    raise DatasetError(f"{root}: no folder sN/micro/negative|positive|surprise; expected {LAYOUT}")


def _slow(root: Path, folder: Path) -> bool:
    """Of the slow cameras, by the name nearest to the clips that names a camera, that of `root` the last."""
    for name in (*reversed(folder.relative_to(root).parts), root.resolve().name):
        if said := trees.words(name) & {"hs", "nir", "vis"}:
            return "hs" not in said
    return False


def _scan_short(root: Path, classes: list[Path]) -> Listed:
    tree, notes = trees.choose(root, (d.parents[2] for d in classes), "smic")
    raws: dict[tuple[str, str], RawClip] = {}
    passed: dict[tuple[str, str], RawClip] = {}
    for folder in classes:
        for clip in trees.folders(folder):
            subject = folder.parents[1].name
            raw, key = _raw(subject, clip.name, folder.name, None, None, clip), clip_of("smic", subject, clip.name)
            if folder.parents[2] == tree:
                _once(key, raw, raws)
            else:
                passed.setdefault(key, raw)
    only = [raw for key, raw in passed.items() if key not in raws]
    skipped = [
        Skipped(f"{raw.subject}/{raw.name}", f"only in a tree that is passed over: {raw.folder}") for raw in only
    ]
    return Listed(tuple(raws.values()), tuple(skipped), notes)


def _once(key: tuple[str, str], raw: RawClip, raws: dict[tuple[str, str], RawClip]) -> None:
    first = raws.setdefault(key, raw)
    if first is not raw:
        raise DatasetError(f"{first.folder} and {raw.folder} are one clip; keep one of them")


def _scan_long(root: Path, sheet: Path, below: list[Path]) -> Listed:
    columns = {
        "subject": "Subject",
        "name": "Filename",
        "onset": "OnsetF",
        "offset": "OffsetF",
        "emotion": "Emotion",
        "first": "FirstF",
    }
    rows = list(table(sheet, columns, LAYOUT))
    keys = [clip_of("smic", text(row["subject"]), text(row["name"])) for row in rows]
    there = [(clip_of("smic", d.parent.name, d.name), d) for d in below if not _slow(root, d)]
    listed = set(keys)
    wanted = [d.parents[1] for key, d in there if key in listed]
    tree, notes = trees.choose(root, wanted, "smic") if wanted else (root, ())
    folders = {key: d for key, d in there if d.parents[1] == tree}
    raws: list[RawClip] = []
    skipped: list[Skipped] = []
    for key, row in zip(keys, rows, strict=True):
        subject, name = text(row["subject"]), text(row["name"])
        subject = subject if subject[:1].lower() == "s" else f"s{subject}"
        onset, offset, first = (whole(row[field]) for field in ("onset", "offset", "first"))
        if onset is None or offset is None or first is None:
            skipped.append(Skipped(f"{subject}/{name}", "no OnsetF, OffsetF or FirstF in the sheet"))
            continue
        folder = folders.get(key, trees.below(trees.below(tree, subject), name))
        raws.append(_raw(subject, name, text(row["emotion"]), onset - first, offset - first, folder))
    return Listed(tuple(raws), tuple(skipped), notes)


def _raw(subject: str, name: str, emotion: str, onset: int | None, offset: int | None, folder: Path) -> RawClip:
    return RawClip(
        dataset="smic",
        subject=subject,
        name=name,
        emotion=emotion,
        onset=onset,
        apex=None,
        offset=offset,
        folder=folder,
        fps=FPS,
    )
