"""How far all jobs are, and the time left."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from offline.jobs.job import Job, Outcome

_LINE_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run of jobs is."""

    total: int
    done: int
    """Failed ones too, and those that were done before."""
    failed: int
    left_s: float | None
    """None: nothing is known yet."""
    last: Outcome | None = None
    """What ended just now."""


class Estimate:
    """Time left, from what jobs of the same group took; of a group without any, from what the average job did."""

    def __init__(self, jobs: Sequence[Job], total: int) -> None:
        self._todo: dict[str, float] = defaultdict(float)
        for job in jobs:
            self._todo[job.group] += job.size
        self._took: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._begun = time.monotonic()
        self.total, self.done, self.failed = total, total - len(jobs), 0

    def take(self, outcome: Outcome) -> None:
        job = outcome.job
        self._todo[job.group] -= job.size
        self.done += 1
        if outcome.error:
            self.failed += 1
        else:
            self._took[job.group][0] += outcome.seconds
            self._took[job.group][1] += job.size

    def standing(self, last: Outcome | None = None) -> Standing:
        return Standing(total=self.total, done=self.done, failed=self.failed, left_s=self._left_s(), last=last)

    def _left_s(self) -> float | None:
        if self.done == self.total:
            return 0.0
        seconds, sizes = (sum(column) for column in zip(*self._took.values(), strict=True)) if self._took else (0, 0)
        if not seconds or not sizes:
            return None
        rates = {group: took / size for group, (took, size) in self._took.items() if size}
        work = sum(size * rates.get(group, seconds / sizes) for group, size in self._todo.items())
        side_by_side = seconds / max(time.monotonic() - self._begun, 1e-6)
        return max(0.0, work / max(side_by_side, 1e-6))


class Bar:
    """The bar of all jobs; failures stand above it, in a line each. Without a terminal a line now and then."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=None, left="")
        self._said = time.monotonic()

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, now: Standing) -> None:
        if now.last is not None and now.last.error:
            line = f"failed {now.last.job.name}: {now.last.error}"
            self._console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
        left = "" if now.left_s is None else f"{in_words(now.left_s)} left"
        failed = f", {now.failed} failed" if now.failed else ""
        self._bar.update(
            self._task, total=now.total, completed=now.done, description=f"{self._what}{failed}", left=left
        )
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY_S:
            self._said = time.monotonic()
            words = ", ".join(filter(None, [f"{self._what}: {now.done} of {now.total}{failed}", left]))
            self._console.print(words, highlight=False, soft_wrap=True)


def in_words(seconds: float) -> str:
    """1:02:03, 2 days, 3:04:05."""
    return str(timedelta(seconds=round(seconds)))
