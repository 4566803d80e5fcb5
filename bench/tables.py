"""Draws the tables of README.md and docs from bench/results: ``python bench/tables.py [--check]``.

A table stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->``; NAME is a function below. ``--check`` changes
nothing and fails if a table is stale. A result that was measured on a tree with uncommitted changes is refused:
nobody could measure it again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._table_parts import ROOT, UnclearResultError, load, markdown, number
from bench._tables_faults import faults, faults_soak
from bench._tables_live import (
    cameras,
    check,
    cost,
    faces,
    habits,
    latency,
    lsl,
    own,
    page,
    patches,
    soak,
    start_up,
    sweep,
    throughput,
)
from bench._tables_models import (
    by_unit,
    calibrated,
    faint,
    flow,
    labels,
    loso,
    paired,
    real_flow,
    real_motion,
    recognition,
)
from bench._tables_scale import scale_archive, scale_codecs, scale_cost
from bench._tables_scale_live import scale_decoding, scale_live, scale_lossless
from bench._tables_spotting import (
    blind,
    cut,
    living,
    living_rivals,
    living_talk,
    real,
    real_planted,
    spotting,
)
from bench._tables_zoo import zoo, zoo_clips

PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "zoo.md", ROOT / "docs" / "scale.md")
BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)
MOVING = ("yaw-1", "yaw-2", "yaw-5", "nod-5", "posture-1", "lean", "jerk")


def summary() -> str:
    """The README's few lines: of each benchmark what a newcomer asks first."""
    faces = load("living-heldout")["systems"]["motion"]
    live, sweeps, real_video = load("latency"), load("latency_sweep"), load("real")["recordings"]
    models = {row["model"]: row["metrics"]["full"] for row in load("recognition")["rows"]}
    total = live["latency_ms"]["total"]
    seconds = sum(row["video_seconds"] for row in real_video)
    talk, idle = faces["speech-full-brows"], faces["idle-living"]
    rows = [
        ("micro-expressions found, generated faces that turn up to ±5°, nod, shift, jerk",
         f"{sum(faces[name]['hits_micro'] for name in MOVING)} of {sum(faces[name]['micros'] for name in MOVING)}"),
        ("the same in the brows of a face that talks", f"{talk['hits_micro']} of {talk['micros']}"),
        ("false alarms on such a face at rest, with blinks, gaze and swallowing",
         f"{number(idle['false_micro_per_minute'], 2)} a minute"),
        ("called micro in real video of talk and posed faces, none known",
         f"{number(60 * sum(row['micro'] for row in real_video) / seconds)} a minute"),
        *(
            (f"right label on a person left out of training, the built-in `{name}`",
             f"{found['acc']['mean']:.0%} (UF1 {found['uf1']['mean']:.2f}, UAR {found['uar']['mean']:.2f})")
            for name, found in ((name, models[f"{name}, re-cut"]) for name in ("laenet", "fusion"))
        ),
        (f"last frame of a movement → line written, {live['fps_measured']:.0f} fps",
         f"{number(total['p50'])} ms, 99 % within {number(total['p99'])} ms"),
        ("highest camera rate held, 640×480, two cores", f"{sweeps['highest_held']:g} fps"),
        ("a recording, lossless", f"{load('throughput')['fps']:.0f} frames a second"),
    ]  # fmt: skip
    return markdown(("", "measured"), rows)


TABLES: dict[str, Callable[[], str]] = {
    table.__name__.replace("_", "-"): table
    for table in (
        summary,
        latency,
        cost,
        sweep,
        throughput,
        soak,
        habits,
        start_up,
        page,
        patches,
        faces,
        check,
        own,
        cameras,
        lsl,
        spotting,
        living,
        living_talk,
        living_rivals,
        blind,
        cut,
        real,
        real_planted,
        flow,
        real_flow,
        labels,
        by_unit,
        real_motion,
        recognition,
        faint,
        paired,
        calibrated,
        loso,
        zoo,
        zoo_clips,
        faults,
        faults_soak,
        scale_archive,
        scale_codecs,
        scale_cost,
        scale_live,
        scale_lossless,
        scale_decoding,
    )
}


def redraw(text: str, tables: dict[str, Callable[[], str]] | None = None) -> str:
    """The text with every table drawn anew; KeyError for an unknown name."""
    known = TABLES if tables is None else tables
    return BLOCK.sub(lambda found: found[1] + "\n" + known[found[2]]() + "\n" + found[4], text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=PAGES, help="default: README and all pages with tables")
    parser.add_argument("--check", action="store_true", help="only say whether the tables are up to date")
    arguments = parser.parse_args(argv)
    return max(_draw(file, arguments.check) for file in arguments.files)


def _draw(file: Path, check: bool) -> int:
    """Draw one page, or say whether it is as it would be drawn; exit code."""
    before = file.read_text(encoding="utf-8")
    try:
        after = redraw(before)
    except (KeyError, FileNotFoundError, UnclearResultError) as error:
        sys.stderr.write(f"{file}: {error.args[0]}\n")
        return 1
    if check:
        if after != before:
            sys.stderr.write(f"{file}: tables and bench/results disagree; python bench/tables.py draws them\n")
        return int(after != before)
    file.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
