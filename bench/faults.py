"""Real faults against a live session, counted: ``python bench/faults.py [--times 20] [--only WORDS]``.

Sessions of real processes read an emulated V4L2 camera (needs a C compiler) that plays a clip without end. Each kill
is done ``--times`` times, every other fault a quarter as often; the table says how often all went on by itself, after
how long, and what was lost: events against an undisturbed session on the same clip, frames by the log's own account
(captured − analysed − Σ dropped, and frames that nobody had counted before the end). ``--soak MINUTES``: a random fault
every ten seconds, and what the session then holds. A full run is ``--times 20`` and then ``--soak 30``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import _pipeline
from bench._fault_kinds import IN_SESSION, Fault
from bench._fault_session import Account, Trial, compare, doubled_in
from bench._fault_soak import soak
from bench._fault_starts import STARTS, Place
from bench._harness import machine, write_json
from bench._pipeline import RESULTS
from realtime.sinks.lines import percentiles

Row = dict[str, Any]


@contextlib.contextmanager
def place(fps: float, size: tuple[int, int]) -> Iterator[tuple[Place, int]]:
    """Where sessions run, and after how many frames the camera's clip begins anew."""
    with _pipeline.camera(None, fps, size) as (source, environment), tempfile.TemporaryDirectory() as folder:
        if source != "0":
            raise SystemExit("bench/faults.py needs a C compiler, for the emulated camera")
        period = os.path.getsize(environment["FAKECAM_FILE"]) // (size[0] * size[1])
        yield Place(Path(folder), environment, ["--size", f"{size[0]}x{size[1]}"], fps), period


def undisturbed(where: Place, period: int) -> tuple[np.ndarray, Row]:
    """Events (n, 3) onset, apex, offset, seen in both of two turns of the clip; and the session's row."""
    session = where.session()
    seconds = (2 * period) / where.fps + 3
    session.wait(lambda: session.get("capture", "frames") > 2 * period + 2 * where.fps, seconds * 2)
    told = session.end()
    spans = np.array([[e["onset"], e["apex"], e["offset"]] for e in told.events]).reshape(-1, 3)
    again = np.abs(spans[:, 1, None] + period - spans[None, :, 1]) <= 0.04 * where.fps
    return spans[again.any(1)], summed("undisturbed", [Trial(True)], [told])


def do_in_session(fault: Fault, where: Place, times: int, rng: random.Random, clip: tuple[np.ndarray, int]) -> Row:
    """A session, and the fault again and again."""
    options = ("--record", str(where.folder / "kept")) if fault.record else ()
    session = where.session(*options)
    trials = []
    for _ in range(times):
        time.sleep(rng.uniform(2.0, 3.0))
        trials.append(fault.do(session, rng))
    time.sleep(3.0)
    told = session.end()
    row = summed(fault.name, trials, [told])
    if fault.keeps_events:
        row |= compare(told.events, clip[0], clip[1], told.captured, where.fps)
    else:
        row["doubled"] = doubled_in(told.events)
    return row


def do_start(name: str, where: Place, times: int, rng: random.Random) -> Row:
    """Sessions of its own for each."""
    done = [STARTS[name](where, rng) for _ in range(times)]
    accounts = [told for _, told in done if told is not None]
    row = summed(name, [trial for trial, _ in done], accounts)
    row["doubled"] = sum(doubled_in(told.events) for told in accounts)
    return row


def summed(name: str, trials: Sequence[Trial], accounts: Sequence[Account]) -> Row:
    """The row of one fault."""
    dropped: dict[str, int] = {}
    for told in accounts:
        for cause, count in told.dropped.items():
            dropped[cause] = dropped.get(cause, 0) + count
    return {
        "fault": name,
        "times": len(trials),
        "recovered": sum(trial.recovered for trial in trials),
        "recover_s": percentiles([round(t.seconds, 3) for t in trials if t.seconds is not None]),
        "noticed_s": percentiles([round(t.noticed_s, 3) for t in trials if t.noticed_s is not None]),
        "frames": sum(told.captured for told in accounts),
        "dropped": dropped,
        "unaccounted": sum(told.unaccounted for told in accounts),
        "left": [path for told in accounts for path in told.left],
        "why": sorted({trial.why for trial in trials if not trial.recovered}),
    }


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(
        "fault", "times", "recovered", "back p50 / max", "noticed max", "events lost", "doubled", "invented",
        "dropped", "unaccounted", box=None,
    )  # fmt: skip
    for row in rows:
        back, noticed = row["recover_s"], row["noticed_s"]
        lost = f"{row['lost']} of {row['expected']}" if "lost" in row else "–"
        table.add_row(
            row["fault"],
            str(row["times"]),
            str(row["recovered"]),
            f"{back['p50']:.2f} / {back['max']:.2f} s" if back else "–",
            f"{noticed['max']:.2f} s" if noticed else "–",
            lost,
            str(row.get("doubled", "–")),
            str(row.get("invented", "–")),
            ", ".join(f"{count} {cause}" for cause, count in row["dropped"].items() if count) or "0",
            str(row["unaccounted"]),
        )
        for why in row["why"]:
            table.add_row(f"  [red]{why[:200]}[/red]")
    console.print(table)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--times", type=int, default=5, help="of each kill; other faults a quarter; 20 for the full table"
    )
    parser.add_argument("--only", default="", help="faults whose name holds these words")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="instead of the table: a random fault every 10 s")
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--size", default="480x360")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="default: bench/results/faults.json, or faults_soak.json")
    return parser.parse_args(argv)


def table_of(where: Place, period: int, arguments: argparse.Namespace, rng: random.Random) -> Iterator[Row]:
    """Row after row. A session that does not even end is a row too."""
    reference, quiet = undisturbed(where, period)
    yield {**quiet, "expected": 2 * len(reference), "lost": 0}
    faults = {fault.name: fault for fault in IN_SESSION}
    for name in (*faults, *STARTS):
        if arguments.only not in name:
            continue
        times = arguments.times if "kill" in name else -(-arguments.times // 4)
        try:
            if name in faults:
                yield do_in_session(faults[name], where, times, rng, (reference, period))
            else:
                yield do_start(name, where, times, rng)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            yield summed(name, [Trial(False, why=f"the trials broke off: {error}")], [])


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    path = arguments.json or RESULTS / ("faults_soak.json" if arguments.soak else "faults.json")
    width, _, height = arguments.size.partition("x")
    console, rng, stamp = Console(width=150), random.Random(arguments.seed), machine()
    with place(arguments.fps, (int(width), int(height))) as (where, period):
        rows: list[Row] = []
        result: Row = {"fps": arguments.fps, "size": arguments.size, "times": arguments.times, "machine": stamp}
        if arguments.soak:
            result |= soak(where, arguments.soak * 60, rng, console)
        else:
            result["faults"] = rows
            for row in table_of(where, period, arguments, rng):
                rows.append(row)
                show([row], console)
                write_json(path, result)  # what has been measured is not lost with the rest
            console.rule()
            show(rows, console)
    console.print(f"written: {write_json(path, result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
