"""Many experiments at once: ``python -m offline.sweep SWEEP.toml``.

SWEEP.toml names data sets, models, protocols and seeds; each seed of each combination (or a block of its folds) is a
job, known by the digest of data, input, code, recipe, protocol and seed. What is done is not done again, so that the
same command goes on after a stop at any moment. A run's numbers are those of `offline.train` with the same options.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from offline.commands import cli
from offline.jobs import Bar, Job, Outcome, Summary, add_options, check_options, run_jobs, shard
from offline.sweeps import plan, settings, table
from offline.sweeps.plan import Sweep
from realtime.errors import ConfigError, MerealtimeError


def main(argv: list[str]) -> None:
    parser = cli.Parser(prog="offline.sweep", description="Data sets × models × protocols × seeds, in one table.")
    parser.add_argument("sweep", type=Path, metavar="SWEEP.toml", help="what to run (docs/howto/sweep.md)")
    parser.add_argument("--out", type=Path, help="default runs/NAME, after SWEEP.toml")
    add_options(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an earlier sweep: refuse to begin one")
    parser.add_argument("--dry-run", action="store_true", help="show what would run, and leave")
    parser.add_argument("--prepare", action="store_true", help="make the data ready, and leave")
    parser.add_argument("--debug", action="store_true", help="tracebacks")
    options = parser.parse_args(argv)
    check_options(options)
    asked = settings.read(options.sweep)
    base = options.sweep.resolve().parent
    plan.check_all(asked, base, options.sweep)
    out = (options.out or Path("runs") / options.sweep.stem).absolute()
    if options.resume and not (out / "rows").is_dir():
        raise ConfigError(f"--resume: {out} holds no sweep; leave --resume out to begin one")
    cli.check_writable("--out", out)
    console = Console(stderr=True)
    planned = plan.plan(asked, base, out, console)
    if options.prepare:
        print(f"{out}/cache: ready for {len(planned.runs)} runs, {len(planned.jobs)} jobs")
        return
    mine = _share(planned, options.shard)
    if options.dry_run:
        _print_plan(planned, mine, out)
        return
    summary = _run(planned, mine, out, options, console)
    _report(planned, summary, out, console)


def is_done(out: Path, job: Job) -> bool:
    if job.run.endswith(":join"):
        return table.is_joined(out, job.arguments["name"], job.key)
    return table.read_row(out, job.key) is not None


def _share(planned: Sweep, which: str | None) -> dict[str, Job]:
    """The jobs of this share: those that begin anything are shared out, and what comes after follows."""
    if which is None:
        return planned.jobs
    first = [key for key, job in planned.jobs.items() if not job.after]
    own = set(shard(which, first))
    return {key: job for key, job in planned.jobs.items() if job.after or key in own}


def _possible(jobs: dict[str, Job], out: Path, failed: set[str]) -> list[Job]:
    """Without those that failed, and those that come after jobs which failed or are another share's and not done."""
    possible: dict[str, Job] = {}
    for key, job in jobs.items():  # in the order in which they depend
        if key not in failed and all(one in possible or table.read_row(out, one) for one in job.after):
            possible[key] = job
    return list(possible.values())


def _run(planned: Sweep, mine: dict[str, Job], out: Path, options: argparse.Namespace, console: Console) -> Summary:
    """Run this share; then what could not begin before other shares were done."""
    summaries: list[Summary] = []
    failed: tuple[Outcome, ...] = ()
    with Bar(console, "sweep") as bar:
        while True:
            jobs = _possible(mine, out, {one.job.key for one in failed})
            summary = run_jobs(
                jobs, done=lambda job: is_done(out, job), ray=options.ray, workers=options.workers, progress=bar,
                needs=plan.needs(planned), out=out,
            )  # fmt: skip
            summaries.append(summary)
            failed += summary.failed
            if not summary.finished or {job.key for job in _possible(mine, out, set())} == {job.key for job in jobs}:
                break
    last = summaries[-1]
    return Summary(
        before=summaries[0].before, finished=sum(one.finished for one in summaries), failed=failed,
        waiting=last.waiting,
    )  # fmt: skip


def _report(planned: Sweep, summary: Summary, out: Path, console: Console) -> None:
    """Table, page, and what is missing. Raises MerealtimeError where jobs failed."""
    rows, whole = table.write(planned, out)
    page = ", results.html" if whole else ""
    print(
        f"{out}/results.parquet{page}: {rows} rows, {whole} of {len(planned.runs)} runs whole; {summary.finished} jobs "
        f"done now, {summary.before} before"
    )
    if summary.failed:
        first = summary.failed[0]
        raise MerealtimeError(
            f"{len(summary.failed)} jobs failed, first {first.job.name}: {first.error}; "
            "the same command tries them again"
        )
    if whole < len(planned.runs):
        console.print(
            f"{len(planned.runs) - whole} runs wait for jobs of other shares: the share that ends last joins them",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def _print_plan(planned: Sweep, mine: dict[str, Job], out: Path) -> None:
    """What would run, a line a run."""
    shown = Table("run", "seeds", "jobs", "done", "to do here", title=str(out))
    for run in planned.runs:
        own = {key for keys in run.units.values() for key in keys}
        own |= {key for unit in own for key in planned.jobs[unit].after} | {run.join}
        state = Counter(
            "done" if is_done(out, planned.jobs[key]) else "here" if key in mine else "elsewhere" for key in own
        )
        shown.add_row(run.name, str(len(run.seeds)), str(len(own)), str(state["done"]), str(state["here"]))
    Console(width=None).print(shown)
    todo = sum(not is_done(out, job) for job in mine.values())
    print(f"{todo} of {len(planned.jobs)} jobs would run")
