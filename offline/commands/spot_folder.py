"""Spotting over an archive, as ``merealtime --camera FILE --events …`` would spot each of its recordings.

``python -m offline.spot --dataset folder --data VIDEOS [--shard I/N] [--ray [ADDRESS]] [--out DIR]``: any folder tree;
a job a recording, one core each. A rerun does what is missing, has failed, or was done for another file, with other
settings or by other code. Exit code 1, with one line, where a recording failed (all others are done); 0 with
``--failures-ok``.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from offline import jobs
from offline.archive import index, records
from offline.archive.job import RUN
from offline.archive.records import Digests, Record, Row
from offline.archive.tree import Recording, Tree, plain, walk
from offline.commands import cli
from realtime import __version__, config
from realtime.config import Settings
from realtime.errors import ConfigError, DatasetError, MerealtimeError

MEMORY_MB = 700
"""That one job needs, 1920×1080 with it."""
_SHOWN = 12


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that only an archive has."""
    add = parser.add_argument_group("--dataset folder").add_argument
    add("--config", metavar="FILE.toml", help="settings, as of merealtime: spot, flow, recognition, source.fps")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as spot.detector=lbp")
    add("--fps", type=float, help="the true capture rate, where the files state none or a wrong one; of all of them")
    add("--faces", type=int, help="follow the N largest faces")
    add("--dry-run", action="store_true", help="say what would be done, and leave")
    add("--failures-ok", action="store_true", help="exit code 0 though recordings failed; index.parquet lists them")
    jobs.add_options(parser)


def refuse_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """A data set of the MEGC takes none of them: UserError for the first that was given."""
    for name in ("config", "set", "fps", "faces", "dry_run", "failures_ok", "shard", "ray"):
        if getattr(options, name) != parser.get_default(name):
            raise ConfigError(f"--{name.replace('_', '-')} goes with --dataset folder, not with {options.dataset}")


def main(options: argparse.Namespace) -> None:
    """The command; raises MerealtimeError where a recording failed."""
    jobs.check_options(options)
    root = Path(os.path.abspath(options.data))
    out = Path(os.path.abspath(options.out or Path("runs") / "spot-folder"))
    if not root.is_dir():
        raise DatasetError(f"--data {options.data}: no such folder; give the one that the recordings are in")
    cli.check_writable("--out", out)
    settings = _settings(options)
    archive = _Archive(root, out, settings, options.shard)
    console = Console(stderr=True)
    archive.tell(console, names=options.dry_run)
    if options.dry_run:
        return
    try:
        summary = archive.run(options, console)
    finally:
        rows = archive.write_index()
    _print(rows, archive, summary)
    failed = archive.failed(rows)
    if failed and not options.failures_ok:
        first = failed[0]
        raise MerealtimeError(
            f"{len(failed)} of {len(archive.mine)} recordings failed; first: {plain(first.path)}: {first.error}; "
            f"{out / index.FILE} lists them, and the same command tries them again"
        )


def _settings(options: argparse.Namespace) -> Settings:
    """What the jobs need of the settings: nothing of outputs or processes."""
    overrides = dict(config.parse_assignment(text) for text in options.set)
    given = {"source.fps": options.fps, "spot.faces": options.faces, "recognition.bundle": options.model}
    overrides |= {key: value for key, value in given.items() if value is not None}
    read = config.load(options.config, overrides)
    if read.source.live:
        raise ConfigError("source.live: an archive is analysed frame by frame; leave it out")
    from realtime.recognition.bundle import BUILTIN_DIR, find

    found = find(read.recognition.bundle)
    if found.parent != BUILTIN_DIR:  # a folder of the user's: other processes are elsewhere
        read = msgspec.structs.replace(
            read, recognition=msgspec.structs.replace(read.recognition, bundle=str(found.absolute()))
        )
    source = config.SourceSettings(
        fps=read.source.fps, frames=read.source.frames, duration_s=read.source.duration_s, camera=""
    )
    return Settings(source=source, spot=read.spot, flow=read.flow, recognition=read.recognition)


class _Archive:
    """The tree, this shard's part of it, and how it stands."""

    def __init__(self, root: Path, out: Path, settings: Settings, shard: str | None) -> None:
        self.out, self._settings = out, settings
        self.digest = records.settings_digest(settings)
        self.tree: Tree = walk(root, leave_out=out)
        paths = [one.path for one in self.tree.recordings] + [one.path for one in self.tree.unusable]
        self.mine = set(paths if shard is None else jobs.shard(shard, paths))
        self._table: dict[str, Any] = msgspec.to_builtins(settings)
        self._by_key = {self.job(one).key: one for one in self.tree.recordings if one.path in self.mine}

    def job(self, recording: Recording) -> jobs.Job:
        """The job of a recording. Its key changes with whatever decides the events."""
        arguments = {
            "data": str(self.tree.root),
            "path": recording.path,
            "kind": recording.kind,
            "out": str(self.out),
            "settings": self._table,
        }
        return jobs.Job(
            key=jobs.content_digest(recording.path, self._digests(recording)),
            run=RUN,
            arguments=arguments,
            memory_mb=MEMORY_MB,
            title=plain(recording.path),
            group=os.path.splitext(recording.path)[1].lower() if recording.kind == "video" else recording.kind,
            size=float(max(1, recording.bytes)),
        )

    def _digests(self, recording: Recording) -> Digests:
        return Digests(file=recording.digest, settings=self.digest, code=records.code_digest())

    def standing(self, recording: Recording) -> tuple[records.State, str]:
        """How it stands, and what has changed where it is outdated."""
        state, _, changed = records.standing(self.out, recording.path, self._digests(recording))
        return state, changed

    def run(self, options: argparse.Namespace, console: Console) -> jobs.Summary:
        """Do what is not done."""
        todo = [self.job(one) for one in self._by_key.values()]
        bundle = Path(self._settings.recognition.bundle)
        with jobs.Bar(console, "spotting") as bar:
            return jobs.run_jobs(
                todo,
                done=lambda job: self.standing(self._by_key[job.key])[0] == "done",
                on_result=self._on_result,
                ray=options.ray,
                workers=options.workers,
                progress=bar,
                needs=[self.tree.root, *([bundle] if bundle.is_absolute() else [])],
                out=self.out,
            )

    def _on_result(self, outcome: jobs.Outcome) -> None:
        """What died, or could not even begin, has left no record: write it in its place."""
        recording = self._by_key[outcome.job.key]
        if not outcome.error or self.standing(recording)[0] in ("done", "failed"):
            return
        digests = self._digests(recording)
        row = Row(
            path=recording.path,
            state="failed",
            error=outcome.error,
            kind=recording.kind,
            bytes=recording.bytes,
            digest=jobs.content_digest(digests),
            version=__version__,
            wall_s=round(outcome.seconds, 3),
            host=outcome.where or None,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        records.write(self.out, Record(digests=digests, log_bytes=None, row=row))

    def write_index(self) -> list[Row]:
        """Rows of the whole tree, of other shards too."""
        return index.write(self.out, self.tree, self.digest)

    def failed(self, rows: list[Row]) -> list[Row]:
        """Of this shard."""
        return [row for row in rows if row.state == "failed" and row.path in self.mine]

    def tell(self, console: Console, *, names: bool) -> None:
        """What there is, and what is to be done; with the first names."""
        tree, states = self.tree, Counter[str]()
        todo: list[tuple[str, str]] = []
        for one in self._by_key.values():
            state, changed = self.standing(one)
            why = f"{changed} changed" if changed else "failed before" if state == "failed" else "new"
            states["done" if state == "done" else why] += 1
            if state != "done":
                todo.append((one.path, why))
        size = sum(one.bytes for one in self._by_key.values())
        counts = ", ".join(f"{count} {why}" for why, count in sorted(states.items()))
        unusable = [one for one in tree.unusable if one.path in self.mine]
        lines = [f"{tree.root}: {len(self._by_key)} recordings, {size / 1e9:.2f} GB: {counts or 'nothing to do'}"]
        lines += [f"  can't be used: {one.path}: {one.why}" for one in unusable[:_SHOWN]]
        if len(unusable) > _SHOWN:
            lines.append(f"  … and {len(unusable) - _SHOWN} more, listed in {index.FILE}")
        if tree.passed_over:
            seen = sorted(tree.passed_over.items(), key=lambda item: -item[1])
            lines.append("  passed over, no recordings: " + ", ".join(f"{n} {suffix}" for suffix, n in seen[:8]))
        if names:
            lines += [f"  to do: {path} ({why})" for path, why in todo[:_SHOWN]]
            if len(todo) > _SHOWN:
                lines.append(f"  … and {len(todo) - _SHOWN} more")
        for line in lines:
            console.print("  " * line.startswith("  ") + plain(line), highlight=False, markup=False, soft_wrap=True)


def _print(rows: list[Row], archive: _Archive, summary: jobs.Summary) -> None:
    """The archive in a table: states, footage, events; and where it stands."""
    table = Table("", "recordings", "hours", "micro", "macro", box=None)
    for state in ("done", "failed", "outdated", "missing"):
        those = [row for row in rows if row.state == state]
        if those:
            hours = sum(row.seconds or 0.0 for row in those) / 3600
            micro, macro = (sum(getattr(row, kind) or 0 for row in those) for kind in ("micro", "macro"))
            table.add_row(state, str(len(those)), f"{hours:.2f}", str(micro), str(macro))
    Console().print(table)
    print(f"{archive.out / index.FILE}: {len(rows)} recordings; {summary.finished} done now, {summary.before} before")
