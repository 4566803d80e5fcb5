"""A small study: shows trials, keeps their times, and joins them with the events that merealtime found meanwhile.

    merealtime --camera 0 --fps 200 --events study.jsonl            # in one terminal; ask the person first
    python examples/mark_trials.py run trials.csv marks.csv         # in another, on the same machine
    python examples/mark_trials.py join marks.csv study.jsonl table.csv

trials.csv has the columns trial, text, seconds. marks.csv has a row a trial: when it began and ended on the monotonic
clock, in ns: the clock of a live session's events (``onset_t_ns``), which no change of the wall clock moves. It is one
clock a machine, so both programs must run on the same one, without a restart of the machine in between.

table.csv has a row an event within a trial, and a row without an event for each trial that had none: that nothing was
found is a result too. ``since_trial_ms`` is onset of the event minus begin of its trial.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

MARKS = ("trial", "begin_t_ns", "end_t_ns", "begin_utc")
TABLE = ("trial", "event", "kind", "label", "since_trial_ms", "duration_ms", "face_lost")


def run(trials: Iterable[dict[str, str]], marks: Path, show: Callable[[str], None]) -> None:
    """Show each trial for its time. A row is written as soon as it is over: a broken-off study keeps its rows."""
    with marks.open("x", newline="") as file:  # never over an older study
        writer = csv.writer(file)
        writer.writerow(MARKS)
        for trial in trials:
            begin_utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            begin_ns = time.monotonic_ns()
            show(trial["text"])
            time.sleep(max(0.0, float(trial["seconds"]) - (time.monotonic_ns() - begin_ns) / 1e9))
            writer.writerow((trial["trial"], begin_ns, time.monotonic_ns(), begin_utc))
            file.flush()


def join(marks: Iterable[dict[str, str]], lines: Iterable[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    """Rows of the table. An event belongs to the trial in which its onset lies."""
    logged = list(lines)
    if not any(line["type"] == "session" and line["live"] for line in logged):
        raise SystemExit("error: not the log of a live session: a recording's times are its own, not the machine's")
    events = [line for line in logged if line["type"] == "event"]
    notices = [line for line in logged if line["type"] == "notice"]
    for mark in marks:
        begin, end = int(mark["begin_t_ns"]), int(mark["end_t_ns"])
        lost = sum(line["what"] == "face lost" and begin <= line["t_ns"] < end for line in notices)
        inside = [event for event in events if begin <= event["onset_t_ns"] < end]
        for event in inside:
            duration_ms = (event["offset_t_ns"] - event["onset_t_ns"]) / 1e6
            since_ms = (event["onset_t_ns"] - begin) / 1e6
            row = (event["id"], event["kind"], event["label"], f"{since_ms:.1f}", f"{duration_ms:.1f}")
            yield (mark["trial"], *row, lost)
        if not inside:
            yield (mark["trial"], "", "", "", "", "", lost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    running = what.add_parser("run", help="show the trials and keep their times")
    running.add_argument("trials", type=Path)
    running.add_argument("marks", type=Path)
    joining = what.add_parser("join", help="marks and events as one table")
    for name in ("marks", "events", "table"):
        joining.add_argument(name, type=Path)
    arguments = parser.parse_args()
    if arguments.what == "run":
        with arguments.trials.open(newline="") as file:
            run(csv.DictReader(file), arguments.marks, lambda text: print(text, flush=True))
        return 0
    with arguments.marks.open(newline="") as marks, arguments.events.open() as events:
        rows = list(join(csv.DictReader(marks), map(json.loads, events)))
    with arguments.table.open("w", newline="") as file:
        csv.writer(file).writerows([TABLE, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
