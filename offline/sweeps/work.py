"""What a sweep's jobs do, wherever they run: fit a seed, or some of its folds; join seeds to a run.

Everything is read and written below the sweep's folder, by the keys of the jobs:

    rows/KEY.json      a job that is done: its figures, where and how long it ran
    state/KEY/         checkpoints, then scores and networks
    runs/NAME/         as `offline.train` writes it
    cache/             arrays made from recordings
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from offline.commands import train
from offline.commands.training_run import Plan, Run, digest, held_of
from offline.datasets import MapSet
from offline.evaluation import results
from offline.files import write_bytes, write_npz
from offline.training import fit
from offline.training.protocol import Task
from realtime.errors import DatasetError, MerealtimeError

SCRATCH = ("*.part.npz", "*.part", "inner-*.npz", "outer-*.npz", "features.npy")
"""What a finished job leaves that nobody reads."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One model on one data set by one protocol with one seed: what all its jobs are told."""

    argv: tuple[str, ...]
    """Of `offline.train`: data set, model and recipe."""
    out: str
    """The sweep's folder."""
    data_digest: str
    """And of what is trained on first."""
    protocol: str
    seed: int


def quiet() -> Console:
    return Console(quiet=True)


@functools.lru_cache(maxsize=1)
def resolved(argv: tuple[str, ...], out: str) -> tuple[fit.Job, MapSet]:
    """As `offline.train` has it; jobs of the same model and data in one process share it."""
    return train.resolved(train.arguments().parse_args(argv), Path(out) / "cache", quiet())


def _own(share: Share) -> tuple[fit.Job, MapSet]:
    job, data = resolved(share.argv, share.out)
    if data_digest(job, data) != share.data_digest:
        raise DatasetError(
            f"{socket.gethostname()}: the data of {' '.join(share.argv)} are not those that the sweep began with: "
            "were they changed meanwhile, or do nodes hold different copies? give the same command again"
        )
    return job, data


def data_digest(job: fit.Job, data: MapSet) -> str:
    return digest(data) + ("" if job.source is None else digest(job.source))


def row_file(out: str | Path, key: str) -> Path:
    return Path(out) / "rows" / f"{key}.json"


def state_of(out: str | Path, key: str) -> Path:
    """Two deep, because trainers keep what seeds share in the parent."""
    return Path(out) / "state" / key / "fit"


def fit_folds(share: dict[str, Any], key: str, first: int, last: int) -> dict[str, Any]:
    """Folds first … last − 1 of a seed, of a trainer that goes fold by fold: their scores and losses in a file.

    The same numbers as a run of all folds has there: what is random depends on seed and fold alone.
    """
    own = msgspec.convert(share, Share)
    job, data = _own(own)
    state = state_of(own.out, key)
    checkpoint = state / f"seed-{own.seed}.part.npz"
    held = held_of(own.protocol, data, own.seed)[:last]
    if not checkpoint.exists():  # as of a run that was stopped at the first of them
        scores, losses = _blank(job, data, last)
        write_npz(checkpoint, scores=scores, losses=losses, folds=first)
    seconds = _timed(job, data, held, own.seed, state)
    with np.load(checkpoint) as saved:
        (state / f"network-{own.seed}.npz").unlink(missing_ok=True)  # of the last of them: nobody's
        write_npz(state / "folds.npz", scores=saved["scores"], losses=saved["losses"][first:last])
    return _finish(own, key, {"folds": [first, last], "seconds": seconds})


def _blank(job: fit.Job, data: MapSet, folds: int) -> tuple[Any, Any]:
    """Scores and losses of so many folds, none of them done."""
    scores = np.full((len(data), len(data.labels)), np.nan, np.float32)
    return scores, np.full((folds, job.recipe.epochs), np.nan, np.float32)


def _timed(job: fit.Job, data: MapSet, held: Any, seed: int, state: Path) -> float:
    """Fit these folds and no more; the seconds of all tries."""
    clock = fit.Clock(state / f"seed-{seed}.seconds")
    job.entry.trainer.check(job.entry.name, job.recipe, job.source is not None)
    job.entry.trainer.fit(Task(job, data, held, seed, state, lambda done: _note(clock)))
    return clock.note()


def _note(clock: fit.Clock) -> None:
    clock.note()


def fit_seed(share: dict[str, Any], key: str, blocks: list[str]) -> dict[str, Any]:
    """One seed over all folds and on everything; blocks: keys of jobs that have its folds already."""
    own = msgspec.convert(share, Share)
    job, data = _own(own)
    state, held = state_of(own.out, key), held_of(own.protocol, data, own.seed)
    if blocks and not (state / f"seed-{own.seed}.part.npz").exists():
        _gather(own, job, data, state, blocks, len(held))
    fitted = fit.fit(job, data, held, own.seed, state)
    measured, _ = results.summarise(fitted.scores[None], data.label, np.array(data.dataset))
    return _finish(
        own,
        key,
        {
            "seconds": fitted.seconds,
            "clips": len(data),
            "subjects": len(set(data.person.tolist())),
            "parameters": fit.parameters(job, fitted),
            "metrics": {part: {name: v["mean"] for name, v in own.items()} for part, own in measured.items()},
        },
    )


def _gather(share: Share, job: fit.Job, data: MapSet, state: Path, blocks: list[str], folds: int) -> None:
    """The blocks' folds as a checkpoint of a run that was stopped before its last network, which is for all."""
    (scores, losses), seconds, at = _blank(job, data, folds + 1), 0.0, 0
    for block in blocks:
        with np.load(state_of(share.out, block) / "folds.npz") as saved:
            tested = np.isfinite(saved["scores"][:, 0])
            scores[tested] = saved["scores"][tested]
            losses[at : at + len(saved["losses"])] = saved["losses"]
            at += len(saved["losses"])
        seconds += msgspec.json.decode(row_file(share.out, block).read_bytes())["seconds"]
    write_bytes(state / f"seed-{share.seed}.seconds", f"{seconds:.3f}".encode())
    write_npz(state / f"seed-{share.seed}.part.npz", scores=scores, losses=losses, folds=folds)


def _finish(share: Share, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """Write the row, then throw away what was for a killed run."""
    known = {
        "key": key,
        "where": socket.gethostname(),
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or len(os.sched_getaffinity(0)),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_bytes(row_file(share.out, key), msgspec.json.encode(row | known))
    for pattern in SCRATCH:
        for file in state_of(share.out, key).parent.rglob(pattern):
            file.unlink(missing_ok=True)
    return {"seconds": row["seconds"]}


def join(share: dict[str, Any], name: str, mark: str, plan: dict[str, Any], units: dict[str, list[str]]) -> None:
    """A run's folder from its seeds. units: protocol → keys in the order of the seeds; mark: written when it is done.

    It is `offline.train` that writes it, which finds every seed finished.
    """
    own = msgspec.convert(share, Share)
    job, data = _own(own)
    folder = Path(own.out) / "runs" / name
    run = Run(job, data, Plan(**plan, out=folder), quiet())
    try:
        for protocol, keys in units.items():
            for key, seed in zip(keys, run.plan.seeds, strict=True):
                _link(state_of(own.out, key), run.folder(protocol), f"seed-{seed}.npz")
        run.execute()
    finally:
        shutil.rmtree(folder / ".state", ignore_errors=True)
    write_bytes(mark_file(own.out, name), mark.encode())


def mark_file(out: str | Path, name: str) -> Path:
    return Path(out) / "runs" / name / ".joined"


def _link(source: Path, target: Path, needed: str) -> None:
    """The finished files of a seed, in the place where a run has them."""
    if not (source / needed).exists():
        row = row_file(source.parents[2], source.parent.name)
        raise MerealtimeError(f"{source / needed}: gone; remove {row} too, and it is fitted again")
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.npz"):
        place = target / file.name
        place.unlink(missing_ok=True)
        try:
            os.link(file, place)
        except OSError:  # a folder that knows no links
            shutil.copyfile(file, place)
