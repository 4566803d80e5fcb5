"""Frames a second of a lossless recording: whole pipeline, each stage, and the spotter's budget by step.

``python bench/throughput.py`` records demo frames as raw video, plays them through ``merealtime`` as fast as it can,
and splits each analysed frame's time into waiting for it, the steps of the spotter, waiting for the landmark network
(which has half a tenth of a second at a camera's pace, and none here), and the rest (ring, accounting).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
from rich.console import Console
from rich.table import Table

from bench._harness import machine, write_json
from bench._pipeline import RESULTS, demo_frames, run_session


def write_clip(path: Path, fps: float, size: tuple[int, int], frames: int, seed: int) -> None:
    """Raw gray video of the demo."""
    fourcc = cv2.VideoWriter.fourcc(*"Y800")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, size, False)
    for frame in demo_frames(fps, size, seed, frames):
        writer.write(frame)
    writer.release()


def measure(path: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """One lossless run over the clip."""
    options = ["--camera", str(path)]
    for assignment in settings:
        options += ["--set", assignment]
    outcome = run_session(options)
    summary = outcome.summary
    stages, frames = summary["stages"], summary["frames_analysed"]
    spot = stages["spot"]
    seconds = spot["span_s"]
    steps = {name.removesuffix("_s"): spot[name] for name in spot if name.endswith("_s")}
    busy = steps.pop("busy")
    for other in ("cpu", "span"):
        steps.pop(other, None)
    network = steps.pop("network")
    per_frame = {name: value / frames * 1e6 for name, value in steps.items()}
    per_frame["rest (ring, events, account)"] = (busy - network - sum(steps.values())) / frames * 1e6
    cost_us = (busy - network) / frames * 1e6
    per_frame["wait for the landmark network"] = network / frames * 1e6
    per_frame["wait for a frame"] = (seconds - busy) / frames * 1e6
    events = max(1, summary["events"])
    return {
        "frames": frames,
        "dropped": sum(summary["frames_dropped"].values()),
        "seconds": seconds,
        "fps": round(frames / seconds, 1),
        "stage_fps": {
            "capture": round(frames / stages["capture"]["busy_s"], 1) if stages["capture"]["busy_s"] else None,
            "spot": round(frames / busy, 1),
        },
        "ms_an_event": {
            "motion": round(stages["motion"]["busy_s"] / events * 1e3, 2),
            "classify": round(stages["classify"]["busy_s"] / events * 1e3, 2),
        },
        "spot_ms_a_frame": round(cost_us / 1e3, 3),
        "spot_us_a_frame": {name: round(value, 1) for name, value in per_frame.items()},
        "events": summary["events"],
        "detector": outcome.session["detector"],
        "start_up_s": outcome.session["start_up_s"],
        "settings": list(settings),
    }


def show(row: dict[str, Any], console: Console) -> None:
    console.print(f"{row['fps']:.0f} frames a second ({row['frames']} in {row['seconds']:.2f} s)")
    table = Table("stage", "alone", box=None)
    for name, fps in row["stage_fps"].items():
        table.add_row(name, f"{fps or 0:.0f} fps")
    for name, ms in row["ms_an_event"].items():
        table.add_row(name, f"{ms:.1f} ms an event")
    console.print(table)
    table = Table("step of the spotter", "µs a frame", "share", box=None)
    total = sum(row["spot_us_a_frame"].values())
    for name, value in row["spot_us_a_frame"].items():
        table.add_row(name, f"{value:.0f}", f"{value / total:.0%}")
    console.print(table)
    console.print(
        f"a frame costs the spotter {row['spot_ms_a_frame']:.2f} ms; the network runs beside it, in a thread of its own"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--fps", type=float, default=200.0, help="of the clip")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=3, help="the median round is reported")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of merealtime")
    parser.add_argument("--json", type=Path, default=RESULTS / "throughput.json")
    arguments = parser.parse_args(argv)
    width, _, height = arguments.size.partition("x")
    size = (int(width), int(height))
    stamp = machine()
    # in memory where there is room: the pipeline is measured, not the disk
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-throughput-", dir=base) as folder:
        clip = Path(folder) / "clip.mkv"
        write_clip(clip, arguments.fps, size, arguments.frames, arguments.seed)
        rows = [measure(clip, arguments.set) for _ in range(arguments.rounds)]
    rows.sort(key=lambda row: row["fps"])
    row = {**rows[len(rows) // 2], "rounds_fps": [r["fps"] for r in rows], "size": arguments.size}
    console = Console(width=100)
    show(row, console)
    path = write_json(arguments.json, {**row, "machine": stamp})
    console.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
