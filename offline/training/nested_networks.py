"""Networks of LAENet's shape whose settings each fold chooses in inner folds (`offline.training.nested`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.files import write_npz
from offline.training import nested, shallow
from offline.training.grids import Setting, normalised, settings
from offline.training.nested import Inner
from offline.training.protocol import Task

Float32 = NDArray[np.float32]
Tick = Callable[[], None]


class Search(msgspec.Struct, frozen=True):
    """What the inner folds of one task said of each setting."""

    inner: Inner
    chosen: NDArray[np.int64]
    """(folds,) place of the setting with the highest UF1."""
    answers: Float32
    """(folds, n, 3) of one network with that setting, by inner folds."""


def search(task: Task, streams: tuple[int, ...], tick: Tick) -> Search:
    """Train one network a setting and inner fold, with the seed 0; each setting is kept in a file of its own."""
    folds = nested.inner(task.held_out, task.data.person)
    rows = np.arange(len(folds.hidden))
    each = []
    for k in range(len(settings())):
        each.append(folds.gathered(rows, answers(task, streams, folds, rows, k, 0)))
        tick()
    stacked = np.stack(each)
    chosen = np.array([nested.best(stacked[:, fold], task.data.label) for fold in range(len(task.held_out))])
    return Search(folds, chosen, stacked[chosen, np.arange(len(chosen))])


def together(task: Task, streams: tuple[int, ...], found: Search, members: int, tick: Tick) -> Float32:
    """(folds, n, 3) by inner folds, of as many networks together as are served."""
    every = [found.answers]
    for member in range(1, members):
        out = np.full_like(found.answers, np.nan)
        for k in np.unique(found.chosen):
            own = found.chosen == k
            rows = found.inner.needed(own)
            if len(rows):
                out[own] = found.inner.gathered(rows, answers(task, streams, found.inner, rows, int(k), member))[own]
        every.append(out)
        tick()
    return shallow.averaged(np.stack(every))


def answers(
    task: Task, streams: tuple[int, ...], folds: Inner, rows: NDArray[np.int64], number: int, seed: int
) -> Float32:
    """(rows, n, 3) of what each inner training must not see; NaN elsewhere. Read back where it was made before."""
    data, hidden = task.data, folds.hidden[rows]
    file = task.state / f"inner-{nested.key(hidden)}-{number}-{seed}.npz"
    if not file.exists():
        setting = settings()[number]
        part = file.with_suffix(".part.npz")
        trained = train(task, streams, setting, hidden, seed, part)
        seen = shallow.patches(normalised(data.maps, setting.spread))
        out = np.full((len(rows), len(data), 3), np.nan, np.float32)
        for k, own in enumerate(hidden):
            one = shallow.Weights(trained.rows[k], trained.moving[k])
            out[k, own] = shallow.probabilities(one, seen[own])
        write_npz(file, answers=out)
        part.unlink(missing_ok=True)
    with np.load(file) as saved:
        return np.asarray(saved["answers"], np.float32)


def train(
    task: Task,
    streams: tuple[int, ...],
    setting: Setting,
    hidden: NDArray[np.bool_],
    seed: int,
    checkpoint: Path | None,
) -> shallow.Weights:
    """One network a row of `hidden` (m, n)."""
    data, recipe = task.data, setting.recipe(task.job.recipe)
    return shallow.train_folds(
        normalised(data.maps, setting.spread), data.label, hidden, recipe, shallow.initial(streams, seed), seed,
        checkpoint=checkpoint, curves=False,
    ).weights  # fmt: skip


def outer(task: Task, streams: tuple[int, ...], chosen: NDArray[np.int64], tick: Tick) -> tuple[Float32, Any]:
    """Train each fold with its setting: (n, 3) by the fold that held each clip out, and the last fold's networks."""
    members = []
    for number, seed in enumerate(task.job.recipe.member_seeds(task.seed)):
        file = task.state / f"outer-{nested.key(task.held_out)}-{seed}.npz"
        if not file.exists():
            write_npz(file, **_member(task, streams, chosen, number, seed))
        with np.load(file) as saved:
            members.append({name: saved[name] for name in saved.files})
        tick()
    scores = shallow.averaged(np.stack([one["scores"] for one in members]))
    return scores, [shallow.Weights(one["rows"], one["moving"]) for one in members]


def _member(
    task: Task, streams: tuple[int, ...], chosen: NDArray[np.int64], number: int, seed: int
) -> dict[str, Float32]:
    data, served = task.data, {}
    scores = np.full((len(data), 3), np.nan, np.float32)
    for k in np.unique(chosen):
        setting, own = settings()[int(k)], np.flatnonzero(chosen == k)
        part = task.state / f"seed-{task.seed}.{number}.{k}.part.npz"
        trained = train(task, streams, setting, task.held_out[own], seed, part)
        seen = shallow.patches(normalised(data.maps, setting.spread))
        for place, fold in enumerate(own):
            one, held = shallow.Weights(trained.rows[place], trained.moving[place]), task.held_out[fold]
            if held.any():
                scores[held] = shallow.probabilities(one, seen[held])
            if fold == len(chosen) - 1:
                served = {"rows": one.rows, "moving": one.moving}
        part.unlink(missing_ok=True)
    return {"scores": scores} | served
