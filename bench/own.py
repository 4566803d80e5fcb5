"""A lab's day, whole: record own people, say what was true, train on it, judge the new model on people left out.

    python bench/own.py [--subjects 10] [--seconds 30] [--seeds 3] [--json bench/results/own.json]

Generated people (each with a face and a way to move of their own) are recorded by ``merealtime --record``, their events
are reviewed by the truth that the generator knows, ``merealtime train --dataset sessions --weights laenet-composite``
trains with leave-one-subject-out, and every clip is judged by the bundle as it is and by the network that has not seen
its subject. The same from scratch stands beside it. Nothing was chosen on these people: recipe and seeds are the
defaults. What it shows is that the loop works, not how well it does on real faces.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._harness import ROOT, machine, write_json
from bench._people import film
from offline.evaluation.megc import iou
from realtime.session import review
from realtime.session.load import load
from realtime.session.review import Verdict
from realtime.synthesis import TruthEvent

FIRST_SEED = 4200
SIZE = (480, 360)
START = "laenet-composite"
LEAST_IOU = 0.5


@dataclass
class Spent:
    """Seconds of each part."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, what: str, do: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        try:
            return do()
        finally:
            self.seconds[what] = round(self.seconds.get(what, 0.0) + time.perf_counter() - begun, 1)


def merealtime(*words: object) -> None:
    """A command as a user would give it. RuntimeError with its last lines where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "realtime", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"merealtime {words[0]} left with {done.returncode}: {done.stderr[-600:]}")


def record(person: int, video: Path, kept: Path, fps: float) -> Path:
    """One session of one person; its folder."""
    before = set(kept.glob("*")) if kept.exists() else set()
    merealtime(
        "--camera", video, "--fps", fps, "--record", kept, "--subject", f"S{person:02d}", "--view", "none",
        "--set", "output.record_format=ffv1",
    )  # fmt: skip
    (folder,) = set(kept.iterdir()) - before
    return folder


def review_by_truth(folder: Path, truth: list[TruthEvent]) -> dict[str, int]:
    """As a reviewer who knows: each event is true (with its label and true frames) or false; the missed are added."""
    session, left = load(folder), list(truth)
    counts = {"true": 0, "false": 0, "missed": 0}
    for event in session.events:
        best = max(left, key=lambda made: _overlap(event, made), default=None)
        if best is None or _overlap(event, best) < LEAST_IOU:
            _say(folder, event.id, "false", None, event.onset, event.apex, event.offset)
            counts["false"] += 1
            continue
        left.remove(best)
        _say(folder, event.id, "true", best.label, best.onset, best.apex, best.offset)
        counts["true"] += 1
    for made in left:
        _say(folder, None, "true", made.label, made.onset, made.apex, made.offset)
        counts["missed"] += 1
    return counts


def _overlap(event: Any, made: TruthEvent) -> float:
    return iou((event.onset, event.offset), (made.onset, made.offset))


def _say(
    folder: Path, event: int | None, verdict: review.Said, label: str | None, onset: int, apex: int, offset: int
) -> None:
    said = Verdict(
        event=event, verdict=verdict, label=label, onset=onset, apex=apex, offset=offset, reviewer="truth",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    review.append(folder, said)


def train(kept: Path, out: Path, seeds: int, epochs: int | None, *options: object) -> dict[str, Any]:
    """What ``results.json`` says."""
    more = ("--epochs", epochs) if epochs else ()
    merealtime("train", "--dataset", "sessions", "--data", kept, "--seeds", seeds, "--out", out, *more, *options)
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def judged(results: dict[str, Any]) -> dict[str, Any]:
    """UAR and UF1 before and after, and the test between them."""
    tests = {test["metric"]: test for test in results["beside_bundle"]["tests"]}
    return {
        name: {
            "before": test["second"],
            "after": test["first"],
            "difference": test["difference"],
            "low": test["low"],
            "high": test["high"],
            "p_value": test["p_value"],
        }
        for name, test in tests.items()
    }


def day(arguments: argparse.Namespace, work: Path, console: Console) -> dict[str, Any]:
    """The whole loop in a folder that goes again."""
    kept, spent = work / "recordings", Spent()
    counts = {"true": 0, "false": 0, "missed": 0}
    movements = 0
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("recording", total=arguments.subjects)
        for person in range(arguments.subjects):
            video = work / "film.mkv"
            seed = FIRST_SEED + person

            def made(file: Path = video, number: int = seed) -> list[TruthEvent]:
                return film(number, file, arguments.seconds, arguments.fps, SIZE)

            truth = spent.time("film", made)
            folder = spent.time("record", lambda n=person, v=video: record(n, v, kept, arguments.fps))
            for name, count in review_by_truth(folder, truth).items():
                counts[name] += count
            movements += len(truth)
            video.unlink()
            bar.advance(task)
    tuned = spent.time(
        "train", lambda: train(kept, work / "tuned", arguments.seeds, arguments.epochs, "--weights", START)
    )
    scratch = {}
    if not arguments.tuned_only:
        plain = spent.time("train", lambda: train(kept, work / "scratch", arguments.seeds, arguments.epochs))
        scratch = judged(plain)
    labels = {name: sum(row) for name, row in zip(tuned["labels"], tuned["beside_bundle"]["confusion"], strict=True)}
    return {
        "subjects": arguments.subjects,
        "seconds_each": arguments.seconds,
        "fps": arguments.fps,
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "movements": movements,
        "reviewed": counts,
        "clips": labels,
        "seeds": tuned["seeds"],
        "recipe": tuned["config"]["recipe"],
        "tuned": judged(tuned),
        "scratch": scratch,
        "verdict": _verdict(tuned),
        "seconds": spent.seconds,
    }


def _verdict(results: dict[str, Any]) -> str:
    first = results["beside_bundle"]["tests"][0]
    return "better" if first["low"] > 0 else "worse" if first["high"] < 0 else "no difference shown"


def show(result: dict[str, Any], console: Console) -> None:
    """The tables."""
    table = Table(title=f"{sum(result['clips'].values())} clips of {result['subjects']} people, each left out in turn")
    for head in ("", START, "after training", "difference", "95 %", "p"):
        table.add_column(head, justify="right" if head else "left")
    for name, rows in (("fine-tuned", result["tuned"]), ("from scratch", result["scratch"])):
        for metric, row in rows.items():
            span = f"{row['low']:+.3f} … {row['high']:+.3f}"
            values = (f"{row['before']:.3f}", f"{row['after']:.3f}", f"{row['difference']:+.3f}", span)
            table.add_row(f"{metric.upper()}, {name}", *values, f"{row['p_value']:.4f}")
    console.print(table)
    said = ", ".join(f"{count} {name}" for name, count in result["reviewed"].items())
    console.print(f"{result['movements']} movements; reviewed: {said}. Seconds: {result['seconds']}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each recording")
    parser.add_argument("--fps", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--tuned-only", action="store_true", help="not from scratch as well")
    parser.add_argument("--work", type=Path, help="keep everything there; default: a folder that goes again")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "own.json")
    arguments = parser.parse_args(argv)
    stamp, console = machine(), Console(width=110)
    work = arguments.work or Path(tempfile.mkdtemp(prefix="merealtime-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        result = day(arguments, work, console)
    finally:
        if arguments.work is None:
            shutil.rmtree(work, ignore_errors=True)
    show(result, console)
    console.print(f"written: {write_json(arguments.json, result | {'machine': stamp})}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
