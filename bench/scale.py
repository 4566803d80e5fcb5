"""Beyond one rig: resolution, faces and rates live, and an archive by workers and nodes.

``python bench/scale.py [--only archive|live]`` writes bench/results/scale.json: ``archive`` (hours of footage an hour,
shares, two Ray nodes of which one is killed, the cost model of docs/scale.md), and ``live`` (what ``_scale_live.py``
measures).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench import _scale_archive
from bench._harness import machine, write_json
from bench._pipeline import RESULTS

PARTS = ("archive", "live")


def show(found: dict[str, Any], console: Console) -> None:
    """The archive's part, for people."""
    table = Table("", *(f"{row['workers']} workers" for row in found["workers"]), box=None)
    table.add_row("hours of footage an hour", *(f"{row['hours_an_hour']:.1f}" for row in found["workers"]))
    table.add_row("the same, long recordings", *(f"{row['hours_an_hour_long']:.1f}" for row in found["workers"]))
    for step in (*_scale_archive.STEPS, "rest"):
        table.add_row(step, *(f"{row['share'][step]:.0%}" for row in found["workers"]))
    console.print(table)
    console.print(f"bottleneck: {found['bottleneck']}")
    console.print(f"Ray: {found['ray']}", highlight=False)
    table = Table(
        "codec", "decoding fps", "GB an hour", "hours an hour, a core", "10 000 h: core-hours", "TB", box=None
    )
    for row in found["model"]["rows"]:
        codec, last = found["codecs"][row["codec"]], row["archives"][-1]
        cells = (f"{codec['fps']:.0f}", f"{codec['gb_an_hour']:.1f}", f"{row['hours_an_hour_a_core']:.1f}")
        table.add_row(row["codec"], *cells, f"{last['core_hours']:.0f}", f"{last['storage_tb']:.1f}")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part; the other is kept as it stands in the JSON")
    parser.add_argument("--frames", type=int, default=1600, help="of the archive's recording")
    parser.add_argument("--recordings", type=int, default=6, help="in the archive")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each live session")
    parser.add_argument("--json", type=Path, default=RESULTS / "scale.json")
    arguments = parser.parse_args(argv)
    console = Console(width=120)
    found: dict[str, Any] = {}
    if arguments.only and arguments.json.exists():
        found = json.loads(arguments.json.read_text(encoding="utf-8"))
    if arguments.only != "live":
        stamp = machine()
        found["archive"] = {
            **_scale_archive.run(arguments.frames, arguments.recordings, console.print),
            "machine": stamp,
        }
        show(found["archive"], console)
    if arguments.only != "archive" and importlib.util.find_spec("bench._scale_live") is not None:
        stamp = machine()
        live = importlib.import_module("bench._scale_live")
        found["live"] = {**live.run(arguments.seconds, console.print), "machine": stamp}
        for table in live.tables(found["live"]):
            console.print(table)
    stamps = [found[part]["machine"] for part in PARTS if part in found]
    found["machine"] = max(stamps, key=lambda one: one["commit"].endswith("-dirty"))  # one that is not clean counts
    console.print(f"written: {write_json(arguments.json, found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
