"""Inner folds of ``--protocol nested``: what a fold leaves open, it chooses on its training subjects alone.

The people are dealt out to `GROUPS` groups by name, blind to labels. An outer fold's inner fold g trains without
its own test people and without group g, and is asked about group g. Where the test person is in group g the inner
fold is the same for all of that group, so that 68 folds need 139 trainings a setting, not 207: all of them are trained
at once (`offline.training.shallow`).

Choosing is by UF1 over all inner folds together; on a tie the first counts. All seeds with the same folds share the
choice, which is made with the first seed's networks.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.evaluation.calibration import fitted, unchanged
from offline.evaluation.metrics import CLASSES, metrics_of
from offline.training.grids import ADJUSTMENTS
from offline.training.protocol import Task

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
GROUPS = 3
"""More would leave the inner networks more people, and take as many times longer."""


class Inner(msgspec.Struct, frozen=True):
    """Inner folds of all outer folds."""

    hidden: Mask
    """(m, n) what each inner training must not see; no two rows are alike."""
    of: NDArray[np.int64]
    """(folds, GROUPS) row of `hidden`; −1: nobody is asked there."""
    asked: Mask
    """(folds, GROUPS, n) the clips that it is asked about."""

    def needed(self, folds: Mask) -> NDArray[np.int64]:
        """Rows of `hidden` that these outer folds (folds,) use."""
        rows = np.unique(self.of[folds])
        return rows[rows >= 0]

    def gathered(self, rows: NDArray[np.int64], answers: Float32) -> Float32:
        """(m, n, 3) answers of the trainings `rows` (m,) → (folds, n, 3) by the inner fold that hid each clip.

        NaN: the clip is held out of the outer fold, or the training was not among `rows`.
        """
        place = {int(row): k for k, row in enumerate(rows)}
        out = np.full((len(self.of), *answers.shape[1:]), np.nan, np.float32)
        for fold, own in enumerate(self.of):
            for group, row in enumerate(own):
                if int(row) in place:
                    clips = self.asked[fold, group]
                    out[fold, clips] = answers[place[int(row)], clips]
        return out


def inner(held_out: Mask, person: NDArray[np.str_]) -> Inner:
    """Of outer folds (folds, n) that hold people out; an outer fold with one training person has none."""
    group = np.unique(person, return_inverse=True)[1] % GROUPS
    rows: dict[bytes, int] = {}
    hidden: list[Mask] = []
    of = np.full((len(held_out), GROUPS), -1)
    asked = np.zeros((len(held_out), GROUPS, len(person)), bool)
    for fold, held in enumerate(held_out):
        for g in range(GROUPS):
            mask, clips = held | (group == g), ~held & (group == g)
            if mask.all() or not clips.any():
                continue
            key = np.packbits(mask).tobytes()
            if key not in rows:
                rows[key] = len(hidden)
                hidden.append(mask)
            of[fold, g], asked[fold, g] = rows[key], clips
    return Inner(np.array(hidden, bool).reshape(-1, len(person)), of, asked)


def key(held_out: Mask) -> str:
    """Of a file that depends on the folds."""
    return hashlib.sha256(np.packbits(held_out).tobytes()).hexdigest()[:8]


def log_share(label: NDArray[np.int64], train: Mask) -> Float32:
    """(3,) log of each class's share of the training clips; of a class that is not there as if it had one clip."""
    counts = np.maximum(np.bincount(label[train], minlength=CLASSES), 1)
    return np.log(counts / counts.sum()).astype(np.float32)


def adjusted(scores: Float32, shift: Float32) -> Float32:
    """(..., 3) probabilities whose logarithms lose `shift` (3,)."""
    logs = np.log(np.maximum(scores, 1e-9)) - shift
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def uf1(scores: Float32, label: NDArray[np.int64]) -> NDArray[np.float64]:
    """(options, n, 3), NaN where a clip does not count → (options,)."""
    counted = np.isfinite(scores[..., 0])
    called = np.where(counted, np.nan_to_num(scores).argmax(-1), 0)
    cells = label * CLASSES + called
    counts = [np.bincount(row[own], minlength=CLASSES**2) for row, own in zip(cells, counted, strict=True)]
    return metrics_of(np.array(counts).reshape(-1, CLASSES, CLASSES))[2]


def best(scores: Float32, label: NDArray[np.int64]) -> int:
    """The option with the highest UF1, the first of those; 0 where no clip counts."""
    return int(np.argmax(uf1(scores, label)))


def adjustments(scores: Float32, label: NDArray[np.int64], held_out: Mask) -> list[float]:
    """Of each fold, by its inner scores (folds, n, 3) and nothing that it holds out."""
    found = []
    for own, held in zip(scores, held_out, strict=True):
        shift = log_share(label, ~held)
        found.append(ADJUSTMENTS[best(np.stack([adjusted(own, by * shift) for by in ADJUSTMENTS]), label)])
    return found


def factors(scores: Float32, label: NDArray[np.int64]) -> NDArray[np.float64]:
    """(folds, 6): `calibration.fitted` of each fold's inner scores (folds, n, 3); no change without inner folds."""
    out = np.tile(unchanged(CLASSES), (len(scores), 1))
    for fold, own in enumerate(scores):
        counted = np.isfinite(own[:, 0])
        if counted.any():
            out[fold] = fitted(own[counted].astype(np.float64), label[counted])
    return out


def held_out_adjusted(scores: Float32, label: NDArray[np.int64], held_out: Mask, by: list[float]) -> Float32:
    """(n, 3) held-out scores, each fold's adjusted as it chose."""
    out = scores.copy()
    for held, own in zip(held_out, by, strict=True):
        out[held] = adjusted(scores[held], np.float32(own) * log_share(label, ~held))
    return out


def inner_adjusted(scores: Float32, label: NDArray[np.int64], held_out: Mask, by: list[float]) -> Float32:
    """The same of the inner scores (folds, n, 3)."""
    rows = zip(scores, held_out, by, strict=True)
    return np.stack([adjusted(own, np.float32(one) * log_share(label, ~held)) for own, held, one in rows])


def ticker(task: Task, before: int = 0) -> Callable[[], None]:
    """Counts the steps of a task from `before` on."""
    steps = itertools.count(before + 1)
    return lambda: task.progress(next(steps))


def encoded(choice: dict[str, Any]) -> str:
    """A choice as `Fitted.chosen` keeps it."""
    return msgspec.json.encode(choice).decode()


def decoded(choice: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(choice))


def said(choice: dict[str, Any]) -> str:
    """For people."""
    return ", ".join(f"{name} {value}" for name, value in choice.items())
