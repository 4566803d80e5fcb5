"""Long videos with marked movements, for spotting: CAS(ME)², SAMM Long Videos, CAS(ME)³ part A.

One file a data set, with `LAYOUT` and `load`; a new one is such a file and a line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from offline.datasets.common import require_folder
from offline.datasets.longvideos import casme3, casme_sq, samm_lv
from offline.datasets.longvideos.records import LongVideo, LongVideos, Marked
from realtime.errors import DatasetError
from realtime.types import LABELS

__all__ = ["LAYOUTS", "NAMES", "LongVideo", "LongVideos", "Marked", "load", "summary"]

_MODULES = {"casme_sq": casme_sq, "samm_lv": samm_lv, "casme3": casme3}
NAMES = tuple(_MODULES)
LAYOUTS: dict[str, str] = {name: module.LAYOUT for name, module in _MODULES.items()}


def load(dataset: str, root: Path) -> LongVideos:
    """Videos of `casme_sq`, `samm_lv` or `casme3`. Raises DatasetError with the expected layout."""
    found = _MODULES[dataset].load(require_folder(root, LAYOUTS[dataset]))
    if not found.videos:
        why = f" (first: {found.skipped[0].clip}: {found.skipped[0].why})" if found.skipped else ""
        raise DatasetError(f"{root}: no video with frames{why}; expected {LAYOUTS[dataset]}")
    return found


def summary(videos: Iterable[LongVideo]) -> dict[str, Any]:
    """Counts: videos, micro, macro, by class."""
    marked = [m for v in videos for m in v.marked]
    counts: dict[str, Any] = {kind: sum(m.kind == kind for m in marked) for kind in ("micro", "macro")}
    return counts | {name: sum(m.label == i for m in marked) for i, name in enumerate(LABELS)}
