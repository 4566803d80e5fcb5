"""``--dry-run``: what a command would read, make and write, without making anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offline.commands.prepare import clip_key, is_made
from offline.datasets import Clip, Loaded, MapSet, load_clips
from offline.evaluation import splits
from offline.inputs import Input
from offline.training import nested
from realtime.errors import DatasetError, UserError

_FLOAT_BYTES = 4


def what_there_is(labels: Sequence[str], label: Sequence[int], people: set[str], skipped: int) -> str:
    """``130 clips of 10 subjects (80 negative, …), 3 skipped``."""
    counts = ", ".join(f"{sum(one == k for one in label)} {name}" for k, name in enumerate(labels))
    return f"{len(label)} clips of {len(people)} subjects ({counts}), {skipped} skipped"


def clips_of(name: str, root: Path) -> Loaded:
    """Recordings that are there. UserError for those that reading would make."""
    if name == "synthetic":
        raise UserError("--dry-run: synthetic clips are made in --data when they are read; leave --dry-run out")
    return load_clips(name, root)


def of_loaded(loaded: Loaded) -> str:
    """Of recordings."""
    people = {f"{clip.dataset}/{clip.subject}" for clip in loaded.clips}
    return what_there_is(loaded.labels, [clip.label for clip in loaded.clips], people, len(loaded.skipped))


def of_maps(data: MapSet) -> str:
    """Of arrays that are made already."""
    return what_there_is(data.labels, data.label.tolist(), set(data.person.tolist()), len(data.skipped))


def to_make(clips: Sequence[Clip], cache: Path, shown: Input, frames: int) -> str:
    """How many clips' arrays are still to be made, and the disk that they take at most."""
    missing = [clip for clip in clips if not _is_there(clip, cache, shown, frames)]
    arrays = sum(min(frames, len(clip.numbers)) for clip in missing)
    megabytes = arrays * math.prod(shown.shape) * _FLOAT_BYTES / 1e6
    return (
        f"{len(missing)} of {len(clips)} clips still to be made ({shown.title}), {megabytes:.1f} MB at most in {cache}"
    )


def _is_there(clip: Clip, cache: Path, shown: Input, frames: int) -> bool:
    try:
        return is_made(cache / f"{clip_key(clip, shown, frames)}.npz")
    except OSError:  # a frame that can't be read: told when it is made
        return True


def trainings(protocol: str, person: Sequence[str], seeds: int) -> str:
    """``leave-one-subject-out: 11 trainings × 3 seeds``; the last of each is the one that is served."""
    people = np.asarray(person)
    if protocol == "frame-split":
        return f"frame-split: 2 trainings × {seeds} seeds, and the honest protocol beside it"
    kind, _, count = protocol.partition(":")
    if len(set(people.tolist())) < 2:
        raise DatasetError(f"{protocol} needs two subjects or more; there is {len(set(people.tolist()))}")
    folds = len(list(splits.loso(people) if kind in ("loso", "nested") else splits.subject_folds(people, int(count))))
    name = "leave-one-subject-out" if kind == "loso" else protocol
    if kind == "nested":
        name = "leave-one-subject-out, settings chosen in inner folds"
    return f"{name}: {folds + 1} trainings × {seeds} seeds"


def of_grid(grid: dict[str, list[Any]], person: Sequence[str]) -> str:
    """``; before, 277 inner trainings a setting, to choose network (12), …``: what nested folds choose from."""
    people = np.asarray(person)
    held = [fold.held_out() for fold in splits.loso(people)]
    inner = nested.inner(np.stack([*held, np.zeros(len(people), bool)]), people)
    options = ", ".join(f"{name} ({len(values)})" for name, values in grid.items())
    return f"; before, {len(inner.hidden)} inner trainings a setting, to choose {options}"
