"""From SWEEP.toml to runs and jobs, each job by the digest of all that decides its numbers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

import offline
from offline.commands import train
from offline.commands.training_run import LEAKY, Plan, Run, held_of
from offline.datasets import MapSet
from offline.jobs import Job, content_digest
from offline.sweeps import work
from offline.sweeps.settings import DataSettings, ModelSettings, SweepSettings
from offline.training import fit
from offline.zoo import get
from realtime.errors import ConfigError, UserError

VERSION = 1
"""Of what `offline.sweeps.work` keeps: raise it when rows or states get another content."""
CODE = (
    "training", "zoo", "datasets/people.py", "evaluation/splits.py", "evaluation/metrics.py", "evaluation/results.py",
    "evaluation/calibration.py",
)  # fmt: skip
"""What decides the numbers, given the arrays: in the keys."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One run: a model on a data set by a protocol, all seeds."""

    name: str
    """Of its folder."""
    data: str
    model: str
    protocol: str
    seeds: list[int]
    argv: tuple[str, ...]
    units: dict[str, list[str]]
    """Protocol → keys of the jobs that fit its seeds."""
    join: str
    """Key of the job that joins them."""


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """All runs, and all jobs by key: blocks of folds, seeds, joins, in the order in which they depend."""

    runs: list[Planned]
    jobs: dict[str, Job]


def plan(settings: SweepSettings, base: Path, out: Path, console: Console) -> Sweep:
    """Read (or make) all data, and say what is to be done. base: folder of SWEEP.toml."""
    runs: list[Planned] = []
    jobs: dict[str, Job] = {}
    shown: set[str] = set()
    for data, model, protocol in combinations(settings):
        speaks = console if data.called not in shown else work.quiet()  # of a data set's notes once
        shown.add(data.called)
        runs.append(_run(settings, base, out, (data, model, protocol), jobs, speaks))
    return Sweep(runs=runs, jobs=jobs)


def combinations(settings: SweepSettings) -> Iterator[tuple[DataSettings, ModelSettings, str]]:
    """Those of one data set and model follow each other."""
    for data in settings.data:
        for model in settings.model_list:
            for protocol in settings.protocols:
                yield data, model, protocol


def check_all(settings: SweepSettings, base: Path, file: Path) -> None:
    """Refuse what a run would refuse, before any data is read. Raises ConfigError that names the model."""
    for data, model, protocol in combinations(settings):
        try:
            options = _options(arguments(data, model, protocol, settings, base))
            train.check(options)
            train.input_of(get(model.model), model.input)
        except UserError as error:
            raise ConfigError(f"{file}: {data.called}, {model.called}, {protocol}: {error}") from error


def arguments(
    data: DataSettings, model: ModelSettings, protocol: str, settings: SweepSettings, base: Path
) -> tuple[str, ...]:
    """The options with which `offline.train` does the same, seeds and folder aside."""
    weights = model.weights if model.weights in (None, "none", "keras", "imagenet") else _beside(base, model.weights)
    given = {
        "dataset": data.dataset, "data": _beside(base, data.path), "model": model.model, "protocol": protocol,
        "beside": settings.beside, "input": model.input, "frames": model.frames, "variant": model.variant,
        "epochs": model.epochs, "weights": weights, "freeze": model.freeze or None, "pretrain": model.pretrain,
        "pretrain-data": None if model.pretrain_path is None else _beside(base, model.pretrain_path),
    }  # fmt: skip
    words = [f"--{option}={value}" for option, value in given.items() if value is not None]
    recipe = settings.set | model.set
    if recipe:
        words += ["--set", *(f"{key}={msgspec.json.encode(value).decode()}" for key, value in recipe.items())]
    return tuple(words)


def _beside(base: Path, path: str | None) -> str:
    return str((base / (path or "")).resolve())


def _options(argv: tuple[str, ...]) -> Any:
    return train.arguments().parse_args(argv)


def needs(sweep: Sweep) -> list[Path]:
    """Paths that the jobs read."""
    options = [_options(run.argv) for run in sweep.runs]
    found = [path for one in options for path in (one.data, one.pretrain_data) if path is not None]
    weights = [Path(one.weights) for one in options if one.weights not in (None, "none", "keras", "imagenet")]
    return list(dict.fromkeys([*found, *weights]))


def _run(
    settings: SweepSettings,
    base: Path,
    out: Path,
    what: tuple[DataSettings, ModelSettings, str],
    jobs: dict[str, Job],
    console: Console,
) -> Planned:
    data, model, protocol = what
    argv = arguments(data, model, protocol, settings, base)
    options = _options(argv)
    job, maps = train.resolved(options, out / "cache", console)
    seeds = train.seeds_of(settings.seed_list, job.entry, protocol, console)
    described = Plan(
        dataset=options.dataset, protocol=protocol, beside=settings.beside, name=f"{model.called}-{data.called}",
        out=out, seeds=seeds, config={"pretrain": options.pretrain}, bundle=settings.bundles,
    )  # fmt: skip
    fitting = _Fitting(settings, job, maps, argv, out, f"{model.called}, {data.called}", described)
    units = {protocol: fitting.seeds(protocol, seeds, jobs) for protocol in dict.fromkeys([described.honest, protocol])}
    name = f"{data.called}-{model.called}-{protocol.replace(':', '-')}"
    key = content_digest("join", VERSION, code_digest(), name, described.name, settings.bundles, units)
    told = {name: value for name, value in msgspec.structs.asdict(described).items() if name != "out"}
    jobs[key] = Job(
        key=key,
        run="offline.sweeps.work:join",
        arguments={"share": fitting.share(protocol, seeds[0]), "name": name, "mark": key, "plan": told, "units": units},
        after=tuple(one for keys in units.values() for one in keys),
        cores=settings.jobs.cores,
        title=f"join {name}",
        group=f"join {model.called}",
    )
    return Planned(
        name=name, data=data.called, model=model.called, protocol=protocol, seeds=seeds, argv=argv, units=units,
        join=key,
    )  # fmt: skip


class _Fitting:
    """The jobs that fit one model on one data set."""

    def __init__(
        self,
        settings: SweepSettings,
        job: fit.Job,
        data: MapSet,
        argv: tuple[str, ...],
        out: Path,
        title: str,
        described: Plan,
    ) -> None:
        self.settings, self.job, self.data, self.argv, self.out, self.title = settings, job, data, argv, out, title
        self.digest = work.data_digest(job, data)
        config = Run(job, data, described, work.quiet()).config
        self.decides = [
            VERSION, code_digest(), fit.CODE_VERSION, job.entry.name, job.shown.digest(), config, data.labels,
            job.entry.trainer.depends(),
        ]  # fmt: skip

    def share(self, protocol: str, seed: int) -> dict[str, Any]:
        """What its jobs are told."""
        told = work.Share(
            argv=self.argv, out=str(self.out), data_digest=self.digest, protocol=protocol, seed=seed
        )  # fmt: skip
        return dict(msgspec.to_builtins(told))

    def seeds(self, protocol: str, seeds: list[int], jobs: dict[str, Job]) -> list[str]:
        """Keys of the jobs of these seeds, which are added to `jobs`."""
        settings, trainer = self.settings, self.job.entry.trainer
        folds = len(held_of(protocol, self.data, seeds[0]))
        each = settings.jobs.folds if trainer.by_fold and protocol != LEAKY else 0
        starts = range(0, folds, each) if each and each < folds else ()
        keys = []
        for seed in seeds:
            blocks = [self._block(protocol, seed, at, min(at + each, folds), jobs) for at in starts]
            key = content_digest(*self.decides, protocol, seed)
            keys.append(key)
            jobs[key] = self._job(
                key, "fit_seed", protocol, seed, {"blocks": blocks}, after=tuple(blocks),
                size=(1 if blocks else folds + 1), title=f"{self.title}, {protocol}, seed {seed}",
            )  # fmt: skip
        return keys

    def _block(self, protocol: str, seed: int, first: int, last: int, jobs: dict[str, Job]) -> str:
        key = content_digest(*self.decides, protocol, seed, [first, last])
        jobs[key] = self._job(
            key, "fit_folds", protocol, seed, {"first": first, "last": last}, size=last - first,
            title=f"{self.title}, {protocol}, seed {seed}, folds {first + 1} to {last}",
        )  # fmt: skip
        return key

    def _job(self, key: str, function: str, protocol: str, seed: int, more: dict[str, Any], **settings: Any) -> Job:
        take = self.settings.jobs
        return Job(
            key=key,
            run=f"offline.sweeps.work:{function}",
            arguments={"share": self.share(protocol, seed), "key": key} | more,
            cores=take.cores,
            gpus=take.gpus,
            memory_mb=take.memory_mb,
            group=self.title,
            **settings,
        )


@functools.cache
def code_digest() -> str:
    """SHA-256 of the sources that decide the numbers."""
    root = Path(str(offline.__file__)).parent
    hashed = hashlib.sha256()
    for place in CODE:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hashed.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return hashed.hexdigest()
