"""Latency, drops and cost of the real pipeline, live: ``python bench/latency.py --fps 200 --seconds 30``.

Frames come from an emulated V4L2 camera (demo frames; needs a C compiler), or from ``--camera``. ``--fps
100,200,300,500`` sweeps and finds the highest rate held without a drop; ``--habits`` measures each real-time habit
with and without.
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
from bench._pipeline import RESULTS, Outcome, camera, event_percentiles, run_session, waiting_ms

LATENCIES = ("decide", "flow", "classify", "total")
PARTS = ("transfer", "queue", "spot")
HABITS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "heap not frozen": ("runtime.freeze_gc=false",),
    "two threads each": ("runtime.threads=2",),
    "pinned: capture 0, spot 1": ("runtime.cpus={capture=[0],spot=[1]}",),
    "events in ordinary turns": ("runtime.event_priority=0",),
    "SCHED_FIFO 50": ("runtime.fifo_priority=50",),
    "memory locked": ("runtime.lock_memory=true",),
    "all": ("runtime.cpus={capture=[0],spot=[1]}", "runtime.fifo_priority=50", "runtime.lock_memory=true"),
}


def measure(
    fps: float,
    seconds: float,
    size: tuple[int, int],
    spec: str | None = None,
    settings: Sequence[str] = (),
    flow: str = "auto",
) -> dict[str, Any]:
    """One live session; the row of its figures."""
    with camera(spec, fps, size) as (source, environment):
        options = ["--camera", source, "--fps", f"{fps:g}", "--size", f"{size[0]}x{size[1]}", "--flow", flow]
        options += ["--duration", f"{seconds:g}", "--live"]
        for assignment in settings:
            options += ["--set", assignment]
        outcome = run_session(options, environment)
    return figures(outcome, fps, "emulated camera" if environment else source, settings)


def figures(outcome: Outcome, fps: float, source: str, settings: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON row of a session."""
    summary, spot = outcome.summary, outcome.summary["stages"]["spot"]
    cpu, seconds = outcome.cpu()
    dropped = sum(summary["frames_dropped"].values())
    return {
        "fps_target": fps,
        "fps_measured": summary["fps_measured"],
        "frames": summary["frames_captured"],
        "dropped": dropped,
        "dropped_by": summary["frames_dropped"],
        "held": dropped == 0 and summary["fps_measured"] >= 0.99 * fps,
        "events": summary["events"],
        "latency_ms": {name: event_percentiles(outcome.events, name) for name in LATENCIES},
        "decide_parts_ms": {name: event_percentiles(outcome.events, name) for name in PARTS},
        "frame_ms": {name: spot.get(f"frame_{name}_ms") for name in ("p50", "p95", "p99", "max")},
        "algorithm_waits_ms": waiting_ms(outcome.events, summary["fps_measured"] or fps),
        "cpu_seconds": cpu,
        "cpu_over_s": round(seconds, 1),
        "cores_used": round(sum(cpu.values()) / seconds, 3) if seconds else None,
        "rss_mb": outcome.memory(),
        "start_up_s": outcome.session["start_up_s"],
        "seconds": summary["seconds"],
        "source": source,
        "size": f"{outcome.session['width']}x{outcome.session['height']}",
        "flow_backend": outcome.session["flow_backend"],
        "detector": outcome.session["detector"],
        "settings": list(settings),
        "refused": [n["detail"] for n in outcome.notices if n["what"] == "refused"],
    }


def show(rows: Sequence[dict[str, Any]], names: Sequence[str], console: Console) -> None:
    """The table for people."""
    titles = (
        "",
        "fps",
        "frames",
        "dropped",
        "events",
        "frame p99",
        "decide p99",
        "classify p99",
        "total p50",
        "total p99",
        "cores",
        "MB",
    )
    table = Table(*titles, box=None)
    for name, row in zip(names, rows, strict=True):
        latency = row["latency_ms"]
        cells = [
            name,
            f"{row['fps_measured']:.1f}",
            str(row["frames"]),
            str(row["dropped"]),
            str(row["events"]),
            f"{row['frame_ms']['p99'] or 0:.2f}",
            f"{latency['decide'].get('p99', 0):.1f}",
            f"{latency['classify'].get('p99', 0):.2f}",
            f"{latency['total'].get('p50', 0):.1f}",
            f"{latency['total'].get('p99', 0):.1f}",
            f"{row['cores_used'] or 0:.2f}",
            f"{sum(row['rss_mb'].values()):.0f}",
        ]
        table.add_row(*cells)
    console.print(table)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", default="200", help="one rate, or several with commas")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--camera", help="a real source instead of the emulated camera")
    parser.add_argument("--flow", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of merealtime")
    parser.add_argument("--habits", action="store_true", help="each real-time habit with and without")
    parser.add_argument("--json", type=Path, help="default: bench/results/latency[_sweep|_habits].json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    width, _, height = arguments.size.partition("x")
    size = (int(width), int(height))
    rates = [float(text) for text in arguments.fps.split(",")]
    console = Console(width=120)
    stamp = machine()
    result: dict[str, Any]
    if arguments.habits:
        rows = [
            measure(rates[0], arguments.seconds, size, arguments.camera, (*arguments.set, *habit), arguments.flow)
            for habit in HABITS.values()
        ]
        show(rows, list(HABITS), console)
        result = {"habits": dict(zip(HABITS, rows, strict=True)), "machine": stamp}
    else:
        rows = []
        for fps in rates:
            rows.append(measure(fps, arguments.seconds, size, arguments.camera, arguments.set, arguments.flow))
            show(rows[-1:], [f"{fps:g} fps"], console)
        result = {**rows[0], "machine": stamp}
        if len(rows) > 1:
            held = [row["fps_target"] for row in rows if row["held"]]
            result = {"sweep": rows, "highest_held": max(held, default=None), "machine": stamp}
            show(rows, [f"{fps:g} fps" for fps in rates], console)
            console.print(f"highest rate held for {arguments.seconds:g} s: {result['highest_held']} fps")
    kind = "_habits" if arguments.habits else "_sweep" if len(rates) > 1 else ""
    path = write_json(arguments.json or RESULTS / f"latency{kind}.json", result)
    console.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
