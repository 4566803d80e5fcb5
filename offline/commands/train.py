"""Train and judge a model: ``python -m offline.train --dataset NAME --data DIR …``.

Leave-one-subject-out over all subjects and seeds; metrics on pooled predictions; a report; a bundle trained
on everybody. Within a run no epoch, threshold or setting is chosen on a test subject: the last epoch counts.
(The models' default recipes are older than the run: `offline.zoo` says what was in view when they were
settled.) A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from offline.commands import cli
from offline.commands.prepare import prepare, print_notice, print_skipped
from offline.datasets import CLIP_DATASETS, NAMES, MapSet, flowmaps, load_clips
from offline.evaluation import calibration, report, results, splits
from offline.inputs import Input
from offline.training import fit
from offline.training.protocol import recipe_with
from offline.zoo import ZOO, get
from realtime.errors import ConfigError, DatasetError, UserError

DEFAULT_OUT = Path("runs")
FRAMES_EACH = 10
"""Frames a clip in the frame-split protocol."""


def arguments() -> argparse.ArgumentParser:
    parser = cli.Parser(prog="offline.train", description="Train and judge a model.")
    parser.add_argument("--dataset", required=True, choices=NAMES)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, or an .npz of maps")
    parser.add_argument("--model", default="laenet", help=f"one of {', '.join(ZOO)} (default laenet)")
    parser.add_argument("--protocol", default="loso", choices=("loso", "frame-split"))
    parser.add_argument("--seeds", type=int, default=1, help="how many; 0, 1, …")
    parser.add_argument("--pretrain", choices=NAMES, help="data set to train on first")
    parser.add_argument("--pretrain-data", type=Path, help="its folder")
    parser.add_argument("--freeze", type=float, default=0.0, choices=(0.0, 0.2, 0.5), help="share of layers")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="of the model's recipe (an unknown key lists them)")  # fmt: skip
    parser.add_argument("--variant", help="of a model that has some (default nested: inner folds)")
    parser.add_argument("--name", help="name of the bundle (default MODEL-DATASET)")
    parser.add_argument("--out", type=Path, help="default runs/MODEL-DATASET-PROTOCOL")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    return parser


def main(argv: list[str]) -> None:
    options = arguments().parse_args(argv)
    console = Console(stderr=True)
    _check(options)
    job = fit.Job(
        entry=get(options.model),
        recipe=recipe_of(options),
        frozen=options.freeze,
        variant=options.variant or "nested",
    )
    out = options.out or DEFAULT_OUT / f"{options.model}-{options.dataset}-{options.protocol}"
    cli.check_writable("--out", out)
    frames = FRAMES_EACH if options.protocol == "frame-split" else 1
    data = load(options.dataset, options.data, job.entry.input, out, console, frames)
    if options.pretrain:
        source = load(options.pretrain, options.pretrain_data, job.entry.input, out, console)
        fit.check_source(data, source)
        job = msgspec.structs.replace(job, source=source)
    seeds = list(range(options.seeds))
    if not job.entry.trainer.seeded and options.protocol == "loso" and len(seeds) > 1:
        console.print(f"{job.entry.name} has nothing random: one seed says it all")
        seeds = seeds[:1]
    run = Run(job, data, options, out, seeds, console)
    run.execute()


def _check(options: argparse.Namespace) -> None:
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least 1")
    if options.epochs is not None and options.epochs < 1:
        raise ConfigError(f"--epochs {options.epochs}: at least 1")
    if bool(options.pretrain) != bool(options.pretrain_data):
        raise ConfigError("--pretrain and --pretrain-data go together")
    if options.freeze and not options.pretrain:
        raise ConfigError("--freeze keeps pre-trained layers: give --pretrain too")
    trainer = get(options.model).trainer
    if options.variant and options.variant not in trainer.variants:
        known = f"its variants are {', '.join(trainer.variants)}" if trainer.variants else "it has no variants"
        raise ConfigError(f"--variant {options.variant}: not of {options.model}: {known}")
    trainer.check(options.model, recipe_of(options), bool(options.pretrain))


def recipe_of(options: argparse.Namespace) -> Any:
    """The model's own recipe with --epochs and --set laid over it."""
    changes = cli.key_values(options.set) | ({} if options.epochs is None else {"epochs": options.epochs})
    return recipe_with(get(options.model), changes)


def load(name: str, path: Path, shown: Input, out: Path, console: Console, frames: int = 1) -> MapSet:
    """What the model is shown of a data set, made from recordings where needed (cached below `out`)."""
    if name == "flowmaps":
        data = flowmaps.load(path)
        if data.feature_digest not in ("", shown.digest()):
            raise DatasetError(f"{path}: made with other feature settings than this version's; prepare it again")
        print_skipped(data.skipped, console)
        return data
    if name not in CLIP_DATASETS:
        raise UserError(f"{name}: not a data set for training")
    loaded = load_clips(name, path)
    print_notice(name, console)
    data = prepare(loaded, out / "cache", shown, frames=frames, console=console)
    print_skipped(data.skipped, console)
    return data


class Run:
    """One training run and its folder."""

    def __init__(
        self,
        job: fit.Job,
        data: MapSet,
        options: argparse.Namespace,
        out: Path,
        seeds: list[int],
        console: Console,
    ) -> None:
        self.job, self.data, self.out, self.seeds, self.console = job, data, out, seeds, console
        self.protocol: str = options.protocol
        self.dataset: str = options.dataset
        self.name: str = options.name or f"{job.entry.name}-{options.dataset}"
        settings = job.entry.trainer.settings(job)
        self.config = {
            "recipe": settings["recipe"],
            "pretrain": options.pretrain,
            "pretrain_clips": None if job.source is None else len(job.source),
            "freeze": options.freeze,
            "data_digest": digest(data),
            "pretrain_digest": digest(job.source) if job.source is not None else None,
        } | settings
        self.state = out / ".state" / identity(job, self.config)

    def execute(self) -> None:
        loso = np.stack([fold.held_out() for fold in splits.loso(self.data.person)])
        fitted = self.fit_all([loso] * len(self.seeds), "loso")
        leak, scores = "", self.scores(fitted)
        outcome, honest = fitted, None
        if self.protocol == "frame-split":
            folds = [splits.frame_split(len(self.data), seed) for seed in self.seeds]
            leak = str(splits.leak(folds[0], self.data.person, self.data.clip))
            self.console.print(f"frame-split leaks: {leak}", style="yellow")
            outcome = self.fit_all([f.held_out()[None] for f in folds], "frame-split")
            honest = self.measured(scores)[0]["full"]
        seconds = sum(one.seconds for one in (fitted if outcome is fitted else [*fitted, *outcome]))
        self.write(outcome, fitted, seconds, leak, honest)

    def fit_all(self, held_out: list[NDArray[np.bool_]], what: str) -> list[fit.Fitted]:
        fitted = []
        with cli.progress(self.console) as bar:
            total = sum(fit.units(self.job, len(held) + 1) for held in held_out)
            task = bar.add_task(f"{self.job.entry.name}, {what}", total=total)
            for seed, held in zip(self.seeds, held_out, strict=True):
                before = int(bar.tasks[0].completed)
                fitted.append(
                    fit.fit(
                        self.job, self.data, held, seed, self.state / what,
                        lambda done, start=before: bar.update(task, completed=start + done),  # type: ignore
                    )
                )  # fmt: skip
        return fitted

    @staticmethod
    def scores(fitted: list[fit.Fitted]) -> NDArray[np.float32]:
        return np.stack([one.scores for one in fitted])

    def measured(self, scores: NDArray[np.float32]) -> tuple[Any, Any]:
        return results.summarise(scores, self.data.label, np.array(self.data.dataset))

    def write(
        self,
        outcome: list[fit.Fitted],
        loso: list[fit.Fitted],
        seconds: float,
        leak: str,
        honest: dict[str, dict[str, float]] | None,
    ) -> None:
        from offline.export import bundle

        data, scores = self.data, self.scores(outcome)
        measured, counts = self.measured(scores)
        warning = None
        if outcome[0].curves is not None and not leak:
            curves = np.stack([one.curves for one in outcome if one.curves is not None])
            warning = results.best_epoch_on_test(curves, data.label, data.person)
        summary = results.Results(
            model=self.job.entry.name,
            parameters=fit.parameters(self.job, loso[0]),
            dataset=self.dataset,
            protocol=self.protocol,
            selection=self.job.selection,
            seeds=self.seeds,
            metrics=measured,
            confusion=counts,
            seconds=round(seconds, 2),
            config=self.config,
            leak=leak,
            warning_best_epoch_on_test=warning,
            loso=honest,
            calibration=None if leak else calibration.judge(scores, data.label, data.person),
            chosen=None if outcome[0].chosen is None else dict(Counter(outcome[0].chosen[:-1].tolist())),
        )
        results.write_results(self.out, summary)
        results.write_predictions(self.out, data, self.seeds, scores)
        report.write(self.out, summary, data, outcome)
        bundle.write(self.out / "bundle", self.job, self.state / "loso", self.name, data, loso, summary)
        report.print_table(self.console, summary)
        print(f"{self.out}/results.json, predictions.csv, report.html, bundle/ ({seconds:.1f} s of training)")


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
