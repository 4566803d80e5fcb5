"""Metrics of MEGC 2019 on pooled predictions (LAENet paper, equations 7–14), from confusion matrices.

confusion[i, j]: clips of class i that were called j. UF1 and UAR are means over the classes that occur; F1 is
the harmonic mean of macro precision and macro recall.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASSES = 3
NAMES = ("acc", "f1", "uf1", "uar")


def confusion(label: ArrayLike, predicted: ArrayLike, classes: int = CLASSES) -> NDArray[np.int64]:
    """(classes, classes) counts from two (n,) arrays of 0 … classes − 1."""
    pairs = np.asarray(label, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def metrics(matrix: ArrayLike) -> dict[str, float]:
    """acc, f1, uf1, uar of (3, 3) counts."""
    return {name: float(value) for name, value in zip(NAMES, metrics_of(np.asarray(matrix)), strict=True)}


def metrics_of(matrices: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """The same for a stack (..., 3, 3): four arrays (...)."""
    counts = matrices.astype(np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    actual, called = counts.sum(-1), counts.sum(-2)
    there = actual > 0
    classes = np.maximum(there.sum(-1), 1)
    recall = _ratio(hits, actual)
    precision = _ratio(hits, called)
    f1_each = _ratio(2 * hits, actual + called)
    uar = (recall * there).sum(-1) / classes
    macro_precision = (precision * there).sum(-1) / classes
    uf1 = (f1_each * there).sum(-1) / classes
    acc = _ratio(hits.sum(-1), actual.sum(-1))
    return acc, _ratio(2 * macro_precision * uar, macro_precision + uar), uf1, uar


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
