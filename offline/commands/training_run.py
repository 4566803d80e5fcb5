"""One training run and its folder: all seeds by the protocol, figures, predictions, report and bundle."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from offline.commands import cli
from offline.datasets import MapSet
from offline.evaluation import beside, calibration, report, results, splits
from offline.training import fit, nested
from realtime.errors import ConfigError

LEAKY = "frame-split"
NESTED = "nested"
"""Leave-one-subject-out, each fold's settings chosen from the trainer's grid in inner folds."""
WARNING = "leaky: not by subject"
"""Stands in each line of a leaky run's predictions."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is besides its model and data."""

    dataset: str
    protocol: str
    beside: str = "loso"
    """Honest protocol that is run beside a leaky one, and whose network is served."""
    name: str
    out: Path
    seeds: list[int]
    against: Path | None = None
    """Folder of a bundle to be judged on the same clips; None: none."""
    config: dict[str, Any] = {}
    """What else stands in ``results.json`` under "config"."""
    bundle: bool = True
    """Whether what was trained on everybody is served."""

    @property
    def honest(self) -> str:
        return self.beside if self.protocol == LEAKY else self.protocol


def check_protocol(option: str, protocol: str, leaky: bool = True) -> None:
    """ConfigError unless it is a protocol; leaky False: one that may stand beside a leaky one."""
    kind, separator, count = protocol.partition(":")
    if kind == "subject-folds" and separator and count.isdecimal() and int(count) >= 2:
        return
    known = ["loso", "subject-folds:K (2 or more)", *([NESTED, LEAKY] if leaky else [])]
    if separator or protocol not in known:
        raise ConfigError(f"{option} {protocol}: give {', '.join(known)}")


def folds_of(protocol: str, person: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(folds, n) whom each fold holds out, by an honest protocol."""
    kind, _, count = protocol.partition(":")
    folds = splits.loso(person) if kind in ("loso", NESTED) else splits.subject_folds(person, int(count))
    return np.stack([fold.held_out() for fold in folds])


def held_of(what: str, data: MapSet, seed: int) -> NDArray[np.bool_]:
    """(folds, n) whom each fold holds out, by any protocol; the leaky one splits each seed otherwise."""
    if what == LEAKY:
        return splits.frame_split(len(data), seed).held_out()[None]
    return folds_of(what, data.person)


class Run:
    """One training run and its folder."""

    def __init__(self, job: fit.Job, data: MapSet, plan: Plan, console: Console) -> None:
        self.job, self.data, self.plan, self.console = job, data, plan, console
        settings = job.entry.trainer.settings(job)
        self.config = {
            "recipe": settings["recipe"],
            "pretrain": plan.config.get("pretrain"),
            "pretrain_clips": None if job.source is None else len(job.source),
            "freeze": job.frozen,
            "data_digest": digest(data),
            "pretrain_digest": digest(job.source) if job.source is not None else None,
        } | settings
        if plan.config.get("recut"):
            self.config["recut"] = plan.config["recut"]
        if job.nested:
            self.config |= {"grid": job.entry.trainer.grid(), "inner_groups": nested.GROUPS}
        self.state = plan.out / ".state" / identity(job, self.config)

    def execute(self) -> None:
        """Train, judge, write."""
        plan, data = self.plan, self.data
        fitted = self.fit_all(plan.honest)
        leak, outcome, honest = "", fitted, None
        if plan.protocol == LEAKY:
            leak = str(splits.leak(splits.frame_split(len(data), plan.seeds[0]), data.person, data.clip))
            self.console.print(f"{LEAKY} leaks: {leak}", style="yellow")
            outcome = self.fit_all(LEAKY)
            honest = self.measured(self.scores(fitted))[0]["full"]
        seconds = sum(one.seconds for one in (fitted if outcome is fitted else [*fitted, *outcome]))
        self.write(outcome, fitted, seconds, leak, honest)

    def fit_all(self, what: str) -> list[fit.Fitted]:
        """All seeds; what: the protocol, which names the folder of their state."""
        fitted, seeds = [], self.plan.seeds
        held_out = [held_of(what, self.data, seed) for seed in seeds]
        with cli.progress(self.console) as bar:
            total = sum(fit.units(self.job, len(held) + 1) for held in held_out)
            task = bar.add_task(f"{self.job.entry.name}, {what}", total=total)
            for seed, held in zip(seeds, held_out, strict=True):
                before = int(bar.tasks[0].completed)
                fitted.append(
                    fit.fit(
                        self.job, self.data, held, seed, self.folder(what),
                        lambda done, start=before: bar.update(task, completed=start + done),  # type: ignore
                    )
                )  # fmt: skip
        return fitted

    def folder(self, what: str) -> Path:
        """Of a protocol's checkpoints."""
        return self.state / what.replace(":", "-")

    @staticmethod
    def scores(fitted: list[fit.Fitted]) -> NDArray[np.float32]:
        return np.stack([one.scores for one in fitted])

    def measured(self, scores: NDArray[np.float32]) -> tuple[Any, Any]:
        return results.summarise(scores, self.data.label, np.array(self.data.dataset))

    def chosen(self, chosen: NDArray[np.str_] | None) -> dict[str, Any]:
        """What the first seed's folds chose, as results.json has it."""
        if chosen is None:
            return {}
        own = chosen[:-1].tolist()
        if not self.job.nested:
            return {"chosen": dict(Counter(own))}
        found = [nested.decoded(one) for one in own]
        people = np.unique(self.data.person).tolist()
        return {"chosen": dict(Counter(map(nested.said, found))), "choices": dict(zip(people, found, strict=True))}

    def write(
        self,
        outcome: list[fit.Fitted],
        honest: list[fit.Fitted],
        seconds: float,
        leak: str,
        figures: dict[str, dict[str, float]] | None,
    ) -> None:
        """Figures, predictions, report and bundle. honest: the seeds whose network is served; figures: theirs."""
        from offline.export import bundle

        data, plan, scores = self.data, self.plan, self.scores(outcome)
        measured, counts = self.measured(scores)
        inner = [one.factors[:-1] for one in outcome if one.factors is not None]
        factors = np.stack(inner) if inner else None
        warning = None
        if outcome[0].curves is not None and not leak:
            curves = np.stack([one.curves for one in outcome if one.curves is not None])
            warning = results.best_epoch_on_test(curves, data.label, data.person)
        summary = results.Results(
            model=self.job.entry.name,
            parameters=fit.parameters(self.job, honest[0]),
            dataset=plan.dataset,
            protocol=plan.protocol,
            selection=self.job.selection,
            seeds=plan.seeds,
            metrics=measured,
            confusion=counts,
            seconds=round(seconds, 2),
            config=self.config,
            labels=list(data.labels),
            leak=leak,
            warning_best_epoch_on_test=warning,
            loso=figures,
            beside=plan.beside if leak else "",
            calibration=None if leak else calibration.judge(scores, data.label, data.person, factors),
            beside_bundle=None if leak or plan.against is None else beside.beside(plan.against, data, scores),
            **self.chosen(outcome[0].chosen),
        )
        results.write_results(plan.out, summary)
        results.write_predictions(plan.out, data, plan.seeds, scores, WARNING if leak else "")
        report.write(plan.out, summary, data, outcome)
        written = ["results.json", "predictions.csv", "report.html"]
        if plan.bundle:
            bundle.write(plan.out / "bundle", self.job, self.folder(plan.honest), plan.name, data, honest, summary)
            written.append("bundle/")
        report.print_table(self.console, summary)
        print(f"{plan.out}/{', '.join(written)} ({seconds:.1f} s of training)")


def identity(job: fit.Job, config: dict[str, Any]) -> str:
    """Name of the folder that holds a run's state: what its content depends on, seeds and folds aside."""
    parts = [fit.CODE_VERSION, job.entry.name, config, job.entry.trainer.depends()]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def digest(data: MapSet) -> str:
    """SHA-256 of maps, labels and names."""
    hashed = hashlib.sha256(np.ascontiguousarray(data.maps).tobytes())
    hashed.update(np.ascontiguousarray(data.label).tobytes())
    hashed.update(msgspec.json.encode([data.subject, data.dataset, data.clip]))
    return hashed.hexdigest()
