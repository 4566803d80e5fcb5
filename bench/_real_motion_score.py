"""Figures of the real-motion benchmark: how like the maps are; labels by models that never saw the subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from _fold_models import MODELS, FoldModels
from _real_motion import Maps, Shown, alike
from rich.table import Table

from offline.datasets import MapSet
from offline.evaluation.metrics import confusion, metrics

CHANNELS = ("u", "v", "strain")
ITSELF = "the map itself"
Row = dict[str, Any]


def rows(shown: list[Shown], data: MapSet, models: FoldModels, only: tuple[str, ...] = ()) -> list[Row]:
    """A row a stage (of ``only``), over the maps that were spotted, so that all rows are of the same maps.

    data: what the stages are held against, and what the models have learnt from.
    """
    spotted = [one for one in shown if one.score > 0]
    if not spotted:
        return []
    stages: dict[str, Callable[[Shown], Maps]] = {ITSELF: lambda one: data.maps[one.number]}
    stages |= {name: (lambda one, name=name: one.stages[name]) for name in spotted[0].stages}  # type: ignore[misc]
    return [
        {"stage": name} | _row(spotted, [stage(one) for one in spotted], data, models)
        for name, stage in stages.items()
        if not only or name in only
    ]


def _row(shown: list[Shown], maps: list[Maps], data: MapSet, models: FoldModels) -> Row:
    numbers = [one.number for one in shown]
    likeness = np.array([alike(data.maps[one.number], cells) for one, cells in zip(shown, maps, strict=True)])
    sets = np.array([one.dataset for one in shown])
    scores = models.predict(np.stack(maps), [str(data.person[k]) for k in numbers])
    return {
        "maps": len(shown),
        "correlation": _means(likeness),
        "correlation_by_set": {str(name): _means(likeness[sets == name]) for name in np.unique(sets)},
        "labels": {name: right(scores[name], data.label[numbers]) for name in MODELS},
    }


def _means(likeness: npt.NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(CHANNELS, likeness.mean(0), strict=True)}


def right(scores: npt.NDArray[np.float32], label: npt.NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and UAR of scores (seeds, n, 3): the mean over the seeds."""
    found = [metrics(confusion(label, each.argmax(1))) for each in scores]
    return {name: round(float(np.mean([each[name] for each in found])), 3) for name in ("acc", "uar")}


def table(found: list[Row], title: str) -> Table:
    """As the terminal shows it."""
    shown = Table("stage", *CHANNELS, *(f"{name} {what}" for name in MODELS for what in ("acc", "uar")), title=title)
    for row in found:
        likeness = [f"{row['correlation'][name]:.2f}" for name in CHANNELS]
        labels = [f"{row['labels'][name][what]:.3f}" for name in MODELS for what in ("acc", "uar")]
        shown.add_row(row["stage"], *likeness, *labels)
    return shown
