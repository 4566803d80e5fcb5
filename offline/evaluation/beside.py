"""A new model beside a bundle that is there already, on the same clips: is it better on people that neither has seen?

The bundle has learnt from none of these recordings, so every clip is held out for it; the new model is judged by the
network that had not seen the clip's subject.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from offline.evaluation.compare import Metric, Paired, by_person, paired_test
from offline.evaluation.metrics import metrics
from realtime.recognition import bundle

METRICS: tuple[Metric, ...] = ("uar", "uf1")


class Beside(msgspec.Struct, frozen=True):
    """Of ``results.json``."""

    bundle: str
    sha256: str
    """Of its network."""
    metrics: dict[str, float]
    """Of the bundle on these clips: acc, f1, uf1, uar."""
    confusion: list[list[int]]
    tests: list[Paired]
    """This run − the bundle, over subjects."""

    @property
    def verdict(self) -> str:
        """In words, by the UAR's interval."""
        first = self.tests[0]
        if first.low > 0:
            return f"better than {self.bundle} on these subjects"
        if first.high < 0:
            return f"worse than {self.bundle} on these subjects: keep that one"
        return f"no better than {self.bundle} as far as these subjects tell: record and review more"

    def lines(self) -> list[str]:
        """One a test."""
        return [
            f"{test.metric.upper()} {test.second:.4f} ({self.bundle}) → {test.first:.4f} (this run): "
            f"{test.difference:+.4f} (95 % {test.low:+.4f} … {test.high:+.4f}), p = {test.p_value:.4f}, "
            f"{test.subjects} subjects"
            for test in self.tests
        ]


def beside(folder: Path, data: MapSet, scores: NDArray[np.float32]) -> Beside:
    """scores: (seeds, n, 3) of the new model, by the fold that held each clip out. Raises BundleError."""
    old = bundle.load(folder)
    theirs = old.predict(data.maps).argmax(-1)
    first = by_person(data.person, data.label, scores.argmax(-1))
    second = by_person(data.person, data.label, theirs[None])
    counts = second[0].sum(0)
    tests = [paired_test(first, second, metric) for metric in METRICS]
    return Beside(old.card.name, old.card.network.sha256, metrics(counts), counts.tolist(), tests)
