"""Milliseconds that the demo source takes to draw a frame, by what is in it, and what it delivers live.

    python bench/demo.py [--seconds 10] [--fps 200] [--size 640x480] [--json FILE]

In the live run the source is read as a capture process would read it. CPU is process time: waiting costs none.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._harness import machine, write_json  # noqa: E402
from realtime.sources.demo import DemoSource  # noqa: E402
from realtime.synthesis import ACTION_UNITS, FaceRenderer, Portrait, SynthesisSettings  # noqa: E402
from realtime.types import SourceRequest  # noqa: E402

ROUNDS = 200


def drawing_ms(size: tuple[int, int], fps: float) -> dict[str, dict[str, float]]:
    """{what the frame holds: {"median", "p99"}}, ms of process time, one thread; cases in turn."""
    portrait = Portrait.packaged()
    cases: dict[str, tuple[FaceRenderer, list[int]]] = {}
    rest = FaceRenderer(portrait, SynthesisSettings(events=False, blinks=False), 0, size, fps)
    cases["head at work, no movement"] = (rest, list(range(ROUNDS)))
    for au in ACTION_UNITS:
        settings = SynthesisSettings(action_units=(au,), blinks=False)
        cases[f"micro {au}"] = _movement(FaceRenderer(portrait, settings, 0, size, fps), fps)
    macro = SynthesisSettings(action_units=("AU1+2",), blinks=False, macro_share=1.0)
    cases["macro AU1+2"] = _movement(FaceRenderer(portrait, macro, 0, size, fps), fps)
    blinking = FaceRenderer(portrait, SynthesisSettings(events=False), 0, size, fps)
    blinks = blinking.schedule.blinks_until(round(60 * fps))
    cases["blink"] = blinking, [k for b in blinks for k in range(b.onset, b.offset)][:ROUNDS]
    out = np.empty((size[1], size[0]), np.uint8)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for renderer, numbers in cases.values():
        renderer.prepare()
        renderer.render(numbers[0], out)
    for k in range(ROUNDS):
        for name, (renderer, numbers) in cases.items():
            start = time.process_time_ns()
            renderer.render(numbers[k % len(numbers)], out)
            times[name].append((time.process_time_ns() - start) / 1e6)
    return {
        name: {"median": float(np.median(spent)), "p99": float(np.quantile(spent, 0.99))}
        for name, spent in times.items()
    }


def _movement(renderer: FaceRenderer, fps: float) -> tuple[FaceRenderer, list[int]]:
    """The renderer, and the numbers of frames in which something moves."""
    events = renderer.schedule.events_until(round(60 * fps))
    return renderer, [k for event in events for k in range(event.onset + 1, event.offset)][:ROUNDS]


def live(size: tuple[int, int], fps: float, seconds: float) -> dict[str, float]:
    """Read the source for so long: frames, holes, CPU a frame, share of a core, lateness of delivery."""
    source = DemoSource("demo", SourceRequest(fps=fps, size=size))
    out = np.empty((size[1], size[0]), np.uint8)
    first = source.read(out)
    cpu, began = time.process_time(), time.monotonic()
    late_ms, last, frames = [], first.number, 0
    while time.monotonic() - began < seconds:
        stamp = source.read(out)
        late_ms.append((time.monotonic_ns() - stamp.t_ns) / 1e6)
        last, frames = stamp.number, frames + 1
    spent = time.process_time() - cpu
    source.close()
    return {
        "frames": frames,
        "skipped": last - first.number - frames,
        "fps": frames / (time.monotonic() - began),
        "cpu_ms_per_frame": 1e3 * spent / frames,
        "share_of_a_core": spent / (time.monotonic() - began),
        "late_ms_p50": float(np.median(late_ms)),
        "late_ms_p99": float(np.quantile(late_ms, 0.99)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of the live run")
    parser.add_argument("--fps", type=float, default=200.0)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT, px")
    parser.add_argument("--json", default=str(ROOT / "bench" / "results" / "demo.json"))
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    result: dict[str, Any] = {"size": options.size, "fps_target": options.fps, "machine": machine()}
    result["drawing_ms"] = drawing_ms((width, height), options.fps)
    result["live"] = live((width, height), options.fps, options.seconds)
    table = Table("frame holds", "median ms", "p99 ms", title=f"Drawing one frame, {options.size}, one thread")
    for name, row in result["drawing_ms"].items():
        table.add_row(name, f"{row['median']:.2f}", f"{row['p99']:.2f}")
    console = Console()
    console.print(table)
    console.print("live: " + ", ".join(f"{name} {value:.4g}" for name, value in result["live"].items()))
    console.print(f"written: {write_json(options.json, result)}")


if __name__ == "__main__":
    main()
