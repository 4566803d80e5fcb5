"""A long live run: drops, memory growth, latency drift. ``python bench/soak.py --seconds 600 --fps 200``.

Memory is judged over the second half (the first fills caches), per process and in all: mean of the last tenth
against the mean of the tenth after half-time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench._harness import machine, write_json
from bench._pipeline import RESULTS, Outcome, camera, event_percentiles, run_session
from bench.latency import figures, show


def growth(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Per process and in all: MB at half-time, MB at the end, growth in percent."""
    samples = [found for _, found in outcome.running()]
    half, tenth = len(samples) // 2, max(1, len(samples) // 10)
    early, late = samples[half : half + tenth], samples[-tenth:]
    found: dict[str, dict[str, float]] = {}
    for name in samples[-1]:
        found[name] = _compare([s[name][1] for s in early if name in s], [s[name][1] for s in late if name in s])
    totals = [[sum(rss for _, rss in s.values()) for s in part] for part in (early, late)]
    found["all"] = _compare(totals[0], totals[1])
    return found


def _compare(early: Sequence[float], late: Sequence[float]) -> dict[str, float]:
    before, after = sum(early) / len(early), sum(late) / len(late)
    return {
        "half_mb": round(before, 1),
        "end_mb": round(after, 1),
        "growth_percent": round(100 * (after / before - 1), 2),
    }


def drift(outcome: Outcome) -> dict[str, dict[str, dict[str, float]]]:
    """Latency percentiles of the first and of the second half of the events, ms."""
    half = len(outcome.events) // 2
    return {
        key: {
            "first_half": event_percentiles(outcome.events[:half], key),
            "second_half": event_percentiles(outcome.events[half:], key),
        }
        for key in ("decide", "total")
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--camera", help="default: an emulated camera that plays demo frames")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of merealtime")
    parser.add_argument("--json", type=Path, default=RESULTS / "soak.json")
    arguments = parser.parse_args(argv)
    width, _, height = arguments.size.partition("x")
    stamp = machine()
    with camera(arguments.camera, arguments.fps, (int(width), int(height))) as (source, environment):
        options = ["--camera", source, "--fps", f"{arguments.fps:g}", "--size", arguments.size, "--live"]
        options += ["--duration", f"{arguments.seconds:g}"]
        for assignment in arguments.set:
            options += ["--set", assignment]
        outcome = run_session(options, environment)
    row: dict[str, Any] = figures(outcome, arguments.fps, "emulated camera" if environment else source, arguments.set)
    row |= {"memory": growth(outcome), "drift_ms": drift(outcome), "machine": stamp}
    console = Console(width=120)
    show([row], [f"{arguments.seconds:g} s"], console)
    table = Table("process", "MB at half-time", "MB at the end", "growth", box=None)
    for name, memory in row["memory"].items():
        table.add_row(name, f"{memory['half_mb']:.1f}", f"{memory['end_mb']:.1f}", f"{memory['growth_percent']} %")
    console.print(table)
    path = write_json(arguments.json, row)
    console.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
