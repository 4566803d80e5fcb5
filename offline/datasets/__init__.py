"""Data sets by name: clips with frames, feature maps, and long videos for spotting."""

from __future__ import annotations

from pathlib import Path

from offline.datasets import casme2, ckplus, composite, flowmaps, samm, sessions, smic, synthetic
from offline.datasets.common import Clip, Loaded, Note, Skipped
from offline.datasets.flowmaps import MapSet
from realtime.errors import DatasetError

__all__ = ["CLIP_DATASETS", "NAMES", "Clip", "Loaded", "MapSet", "Note", "Skipped", "flowmaps", "load_clips"]

CLIP_DATASETS = {
    "casme2": casme2.load,
    "casme2_emotions": casme2.load_emotions,
    "smic": smic.load,
    "samm": samm.load,
    "ckplus": ckplus.load,
    "composite": composite.load,
    "synthetic": synthetic.load,
    sessions.NAME: sessions.load,
}
NAMES = (*CLIP_DATASETS, "flowmaps")

NOTICE = (
    "Note: these recordings show people. Use them within the licence you signed and the consent they gave, "
    "keep them out of repositories, and do not publish faces the licence does not allow."
)
"""Printed by the tools whenever they read recordings."""


def load_clips(name: str, root: Path) -> Loaded:
    """Clips of a data set of recordings. Raises DatasetError with path and expected layout."""
    if name not in CLIP_DATASETS:
        raise DatasetError(f"{name}: unknown data set of recordings; there are {', '.join(sorted(CLIP_DATASETS))}")
    loaded = CLIP_DATASETS[name](root)
    if not loaded.clips:
        why = f" (first: {loaded.skipped[0].clip}: {loaded.skipped[0].why})" if loaded.skipped else ""
        raise DatasetError(f"{root}: no usable clip of {name}, {len(loaded.skipped)} skipped{why}")
    return loaded
