"""Small movements planted into real video: what merealtime finds of them, and what it reports besides.

    python bench/real_planted.py [--only c01 hs …] [--seed N] [--jobs N] [--keep]

Each clip of ``bench/planted`` is drawn, goes through ``merealtime --camera CLIP --events …`` as a user would run it, is
scored, and deleted unless ``--keep``. Recordings come from ``../shared/media``; the tracks of their faces are made once
(a minute) and kept in the user's cache folder. Another seed gives other times, rises, residuals and places.

Found is a planted movement that a report overlaps with IoU ≥ 0.5, a report counting once; *called micro* is one found
as what it is. A planted micro is ``clear`` where the person's own skin moves by less than half of it meanwhile (by
landmarks, the head's movement taken out), else ``covered``: nobody could say from the picture which of both it was.

False is every report that answers to no planted movement. The recordings hold movements of their own that nobody has
labelled, and some of them are real micro-expressions or look like them: a false report is not always wrong. What counts
is the comparison with the control of the same frames: c04 is that of c01 and c03 (and of c07, c13 and c15, whose
picture differs), c19 that of c06, c08 and c09 (mirrored). ``controls`` sums up all clips without a planted movement.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench._harness import ROOT, machine, write_json
from bench.planted import tracks
from bench.planted.recipes import chosen
from bench.planted.sources import RECORDINGS
from bench.real import watch

IOU = 0.5
CLEAR = 0.5
"""Share of a planted micro below which the real movement there leaves it clear."""
COUNTS = ("micros", "micros_found", "micros_called_micro", "macros", "macros_found", "false_micro", "false_macro")
_OF_TRUTH = ("kind", "au", "where", "px_at_152", "residual", "during", "onset", "apex", "offset")
_OF_REPORT = ("kind", "onset", "apex", "offset", "magnitude_px", "during", "rois")

Row = dict[str, Any]


def iou(one: Row, other: Row) -> float:
    """Overlap of two movements in time, by onset and offset."""
    shared = min(one["offset"], other["offset"]) - max(one["onset"], other["onset"])
    whole = max(one["offset"], other["offset"]) - min(one["onset"], other["onset"])
    return max(0, shared) / max(1, whole)


def is_clear(event: Row) -> bool:
    """Whether the real movement at the place of a planted one is small beside it."""
    return bool(event.get("real_motion_there_px_at_152", 0) < CLEAR * event["px_at_152"])


def score(truth: Sequence[Row], reports: Sequence[Row]) -> Row:
    """Counts of one clip; each planted movement with what was found of it; each report that answers to none."""
    left, planted = dict(enumerate(reports)), []
    for event in truth:
        best = max(left, key=lambda i: iou(event, left[i]), default=None)
        overlap = 0.0 if best is None else iou(event, left[best])
        found = left.pop(best) if best is not None and overlap >= IOU else None
        planted.append(
            {
                **{key: event[key] for key in _OF_TRUTH},
                "clear": is_clear(event),
                "iou": round(overlap, 3),
                "found": found and {key: found.get(key) for key in _OF_REPORT},
            }
        )
    micros = [one for one in planted if one["kind"] == "micro"]
    macros = [one for one in planted if one["kind"] == "macro"]
    return {
        "micros": len(micros),
        "micros_found": sum(one["found"] is not None for one in micros),
        "micros_called_micro": sum(_called_micro(one) for one in micros),
        "macros": len(macros),
        "macros_found": sum(one["found"] is not None for one in macros),
        "false_micro": sum(report["kind"] == "micro" for report in left.values()),
        "false_macro": sum(report["kind"] == "macro" for report in left.values()),
        "planted": planted,
        "false": [{key: report.get(key) for key in _OF_REPORT} for report in left.values()],
    }


def _called_micro(one: Row) -> bool:
    return one["found"] is not None and one["found"]["kind"] == "micro"


def summed(rows: Sequence[Row]) -> Row:
    """Counts over clips, false reports a minute, the split of the micros, the clips without a planted movement."""
    micros = [one for row in rows for one in row["planted"] if one["kind"] == "micro"]
    split = {"clear": [m for m in micros if m["clear"]], "covered": [m for m in micros if not m["clear"]]}
    return {
        **_counted(rows),
        **{
            name: {
                "micros": len(some),
                "micros_found": sum(one["found"] is not None for one in some),
                "micros_called_micro": sum(map(_called_micro, some)),
            }
            for name, some in split.items()
        },
        "controls": _counted([row for row in rows if not row["planted"]]),
    }


def _counted(rows: Sequence[Row]) -> Row:
    seconds = sum(row["seconds"] for row in rows)
    counts: Row = {name: sum(row[name] for row in rows) for name in COUNTS}
    for kind in ("micro", "macro"):
        counts[f"false_{kind}_per_minute"] = 60 * counts[f"false_{kind}"] / seconds if seconds else None
    return {"clips": len(rows), "seconds": seconds, **counts}


@contextlib.contextmanager
def folder_for(seed: int, keep: bool) -> Iterator[Path]:
    """Where clips are drawn: a folder that goes with the run, or one by seed and code whose clips are used again."""
    base = tracks.folder()
    base.mkdir(parents=True, exist_ok=True)
    if not keep:
        with tempfile.TemporaryDirectory(prefix="run-", dir=base) as name:
            yield Path(name)
        return
    code = hashlib.sha256()
    for path in sorted((ROOT / "bench" / "planted").glob("*.py")):
        code.update(path.read_bytes())
    yield base / f"seed{seed}-{code.hexdigest()[:10]}"


def draw(*words: str) -> None:
    """Run ``bench.planted.draw`` in a process of its own: one thread, so that a seed gives the same bits each time."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "bench.planted.draw", *words]
    environment = {**os.environ, **one, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} was not drawn:\n{done.stderr[-2000:]}")


def of_clip(name: str, seed: int, folder: Path, keep: bool) -> Row:
    """Draw, watch and score one clip."""
    video, told = folder / f"{name}.avi", folder / f"{name}.json"
    if not (video.exists() and told.exists()):
        draw(name, "--seed", str(seed), "--out", str(folder))
    truth = json.loads(told.read_text(encoding="utf-8"))
    watched = watch(video, None)
    if not keep:
        video.unlink()
    return {
        "clip": name,
        "what": truth["what"],
        "source": truth["source"],
        "fps": truth["fps"],
        "frames": watched["frames"],
        "seconds": watched["frames"] / truth["fps"],
        "face_px": truth.get("face_width_out", truth["face_width_px"]),
        "exit_code": watched["exit_code"],
        "not_placed": truth["not_placed"],
        **score(truth["events"], watched["events"]),
        "non_events": truth["non_events"],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="clips whose names begin so")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="clips at a time")
    parser.add_argument("--keep", action="store_true", help="leave the clips (1.3 GB) in the cache, and use them again")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "real_planted.json")
    arguments = parser.parse_args(argv)
    try:
        names = [recipe.name for recipe in chosen(arguments.only)]
    except ValueError as error:
        parser.error(str(error))
    missing = [name for name in RECORDINGS if not (tracks.MEDIA / name).exists()]
    if missing:
        sys.exit(f"not in ../shared/media: {', '.join(missing)}")
    stamp, console = machine(), Console(width=150)
    draw("--track")
    with folder_for(arguments.seed, arguments.keep) as folder, ThreadPoolExecutor(arguments.jobs) as pool:

        def one(name: str) -> Row:
            row = of_clip(name, arguments.seed, folder, arguments.keep)
            console.print(f"{name} done", style="dim")
            return row

        rows = list(pool.map(one, names))
    totals = summed(rows)
    show(rows, totals, console)
    result = {"seed": arguments.seed, "iou": IOU, "clear": CLEAR, "rows": rows, "totals": totals, "machine": stamp}
    console.print(f"written: {write_json(arguments.json, result)}")
    return max(row["exit_code"] for row in rows)


def show(rows: Sequence[Row], totals: Row, console: Console) -> None:
    """A line a clip, one for all, and what the totals say."""
    table = Table(title="Planted in real video", box=None)
    table.add_column("clip", no_wrap=True)
    for head in ("fps", "s", "micros", "found", "called micro", "macros", "found", "false micro", "false macro"):
        table.add_column(head, justify="right")
    table.add_column("what", max_width=36, no_wrap=True)
    for row in (*rows, {**totals, "clip": "all", "what": "", "fps": None}):
        rate = "" if row["fps"] is None else f"{row['fps']:.4g}"
        table.add_row(row["clip"], rate, f"{row['seconds']:.0f}", *(str(row[name]) for name in COUNTS), row["what"])
    console.print(table)
    for name in ("clear", "covered"):
        some = totals[name]
        console.print(
            f"{name} micros: {some['micros_found']} of {some['micros']} found, "
            f"{some['micros_called_micro']} called micro"
        )
    for name, some in (("all clips", totals), ("clips without a planted movement", totals["controls"])):
        if some["clips"]:
            console.print(
                f"{name}: {some['false_micro_per_minute']:.2f} false micros and "
                f"{some['false_macro_per_minute']:.2f} false macros a minute over {some['seconds']:.0f} s"
            )
    for row in rows:
        if row["not_placed"]:
            console.print(f"{row['clip']}: {row['not_placed']} movements found no place")
        if row["exit_code"]:
            console.print(f"{row['clip']}: merealtime ended with {row['exit_code']}", style="bold red")


if __name__ == "__main__":
    raise SystemExit(main())
