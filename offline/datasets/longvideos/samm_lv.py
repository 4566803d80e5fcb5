"""SAMM Long Videos (Yap et al. 2020): 147 videos at 200 fps, 159 micro- and 343 macro-expressions, no emotions."""

from __future__ import annotations

from pathlib import Path

from offline.datasets import trees
from offline.datasets.longvideos.records import LongVideos, Marks, gather, sheet_in
from offline.datasets.spreadsheets import table, text, whole
from realtime.types import Kind

LAYOUT = "SAMM_LongVideos_V2_Release.xlsx beside 006_1/006_1_0001.jpg"
FPS = 200.0
_COLUMNS = {"name": "Filename", "onset": "Onset", "offset": "Offset", "kind": "Type"}


def load(root: Path) -> LongVideos:
    """Videos of the sheet, and those in which nothing was marked."""
    tree = trees.walk(root)
    marks = Marks()
    for row in table(sheet_in(tree, ["*LongVideos*.xlsx", "*Long*.xlsx"], LAYOUT), _COLUMNS, LAYOUT):
        video = "_".join(text(row["name"]).split("_")[:2])
        kind: Kind = "micro" if text(row["kind"]).lower().startswith("micro") else "macro"
        marks.add((video.split("_")[0], video), whole(row["onset"]), whole(row["offset"]), kind, "")
    folders: dict[tuple[str, str], Path | None] = dict.fromkeys(marks.of)
    for folder in tree.matching(r"\d{3}_\d+"):  # 006_1; the short clips of SAMM are 006_1_2
        key = (folder.name.split("_")[0], folder.name)
        if folders.get(key) is None or not tree.images(folders[key]):
            folders[key] = folder
    return gather("samm_lv", FPS, marks, folders, tree)
