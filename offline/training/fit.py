"""One seed of one model over a set of folds, whatever trains it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.files import write_bytes, write_npz
from offline.training.protocol import Fitted, Job, Task
from realtime.errors import DatasetError

__all__ = ["CODE_VERSION", "Clock", "Fitted", "Job", "check_source", "fit", "parameters", "units"]

CODE_VERSION = 1
"""Of all that training computes (splits, batches, networks, machines): raise it when the same command would give
other numbers, or checkpoints another content. State of another version is not used.
"""


def units(job: Job, folds: int) -> int:
    """Steps of the progress bar in one seed."""
    trainer = job.entry.trainer
    return trainer.units_nested(job.recipe, folds) if job.nested else trainer.units(job.recipe, folds)


def fit(
    job: Job,
    data: MapSet,
    held_out: NDArray[np.bool_],
    seed: int,
    state: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Fitted:
    """Train one seed for all rows of `held_out` (folds, n), and on everything, which is kept to be served.

    state: folder for checkpoints; a finished seed is read back from there, an interrupted one goes on.
    """
    trainer = job.entry.trainer
    trainer.check(job.entry.name, job.recipe, job.source is not None)
    done = state / f"seed-{seed}.npz"
    if done.exists():
        progress(units(job, len(held_out) + 1))
        return _read(done)
    everything = np.vstack([held_out, np.zeros((1, len(data)), bool)])
    clock = Clock(state / f"seed-{seed}.seconds")

    def tick(done: int) -> None:
        clock.note()
        progress(done)

    task = Task(job, data, everything, seed, state, tick)
    fitted = trainer.fit_nested(task) if job.nested else trainer.fit(task)
    fitted = msgspec.structs.replace(fitted, seconds=clock.note())
    arrays = {name: getattr(fitted, name) for name in fitted.__struct_fields__}
    write_npz(done, **{name: value for name, value in arrays.items() if value is not None})
    return fitted


class Clock:
    """Seconds spent on a seed, kept in a file so that a resumed run adds to them."""

    def __init__(self, file: Path) -> None:
        self._file, self._begun = file, time.perf_counter()
        self._before = float(file.read_text()) if file.exists() else 0.0

    def note(self) -> float:
        seconds = self._before + time.perf_counter() - self._begun
        write_bytes(self._file, f"{seconds:.3f}".encode())
        return seconds


def _read(file: Path) -> Fitted:
    with np.load(file) as saved:
        arrays = {name: saved[name] for name in saved.files if name not in ("seconds", "trained")}
        trained = int(saved["trained"]) if "trained" in saved.files else None
        return Fitted(**arrays, seconds=float(saved["seconds"]), trained=trained)


def parameters(job: Job, fitted: Fitted) -> int:
    """Numbers that were learnt for what is served."""
    if fitted.trained is not None:
        return fitted.trained
    chosen = None if fitted.chosen is None else str(fitted.chosen[-1])
    return job.entry.trainer.parameters(job.recipe, chosen)


def check_source(data: MapSet, source: MapSet) -> None:
    """A person of the target must not be in the source: pre-training would have seen the test subject."""
    shared = sorted(set(data.person) & set(source.person))
    if shared:
        raise DatasetError(f"pre-training data hold subject {shared[0]}, who is to be tested: use others")
