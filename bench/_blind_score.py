"""Draws clips of the blind bed and runs the spotter on them, a process a clip."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _living_score import ClipResult, Reading, ours

from bench.blind_bed.clip import Clip, Spec
from bench.blind_bed.portraits import Face
from bench.blind_bed.speech import Track
from realtime.config import SpotSettings
from realtime.synthesis.living import TruthMove

REFERENCE_PX = 152
"""Width of the face that a true movement's size is said for."""
Row = dict[str, Any]
_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Drawing:
    """A clip to draw, with what another process needs for it."""

    spec: Spec
    face: Face
    tracks: tuple[Track, Track] | None


@dataclass(frozen=True)
class Scored:
    """What the spotter made of one clip, and who talks in it."""

    result: ClipResult
    voices: tuple[str, ...]


def moves(truth: Row) -> list[TruthMove]:
    """The truth file's movements as the living suite tells its own. Its onset is the first frame above 5 % of the peak.

    Sides become the person's: the portraits are not mirrored.
    """
    sides = {"l": "right", "r": "left"}
    return [
        TruthMove(
            kind=event["kind"],
            onset=event["onset_frame"],
            apex=event["apex_frame"],
            offset=event["offset_frame"],
            au="+".join(unit.partition(" ")[0] for unit in event["aus"]),  # type: ignore[arg-type]
            side=sides.get(event["field"][-1], "both"),  # type: ignore[arg-type]
            region=event["regions"][0],
            px=event["amplitude_px"] * REFERENCE_PX / truth["face_px"],
            residual=event["residual"],
        )
        for event in truth["events"]
    ]


def score_clip(told: Path) -> Scored:
    """Spot the video beside a truth file. OSError: it is not there, or not as long as the truth says."""
    cv2.setNumThreads(1)
    truth = json.loads(told.read_text(encoding="utf-8"))
    frames = Reading(_read(told.with_suffix(".avi")))
    begun = time.perf_counter()
    found, unusable = ours(frames, truth["fps"], SpotSettings().detector)
    spent = time.perf_counter() - begun - frames.spent_s
    if frames.count != truth["frames"]:
        raise OSError(f"{told.with_suffix('.avi')}: {frames.count} frames, {truth['frames']} in its truth")
    name, factor, fps = told.stem, truth["condition"], truth["fps"]
    result = ClipResult(name, factor, fps, frames.count, spent, moves(truth), found, unusable)
    heard = {one["source"].partition(" from frame ")[0] for one in truth["other"] if "source" in one}
    return Scored(result, tuple(sorted(heard)))


def _read(video: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """(H, W) gray frames."""
    reader = cv2.VideoCapture(str(video))
    try:
        while True:
            read, frame = reader.read()
            if not read:
                return
            yield frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)  # type: ignore[misc]
    finally:
        reader.release()


def save_clip(drawing: Drawing, folder: Path) -> Path:
    """Draw one into a folder; the path of its truth."""
    cv2.setNumThreads(1)
    return Clip(drawing.spec, drawing.face, drawing.tracks).save(folder)


def draw_and_score(drawing: Drawing) -> Scored:
    """Draw one, score it, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="merealtime-blind-") as folder:
        return score_clip(save_clip(drawing, Path(folder)))


def each(do: Callable[[_Work], _Result], todo: Sequence[_Work], names: Sequence[str], jobs: int) -> Iterator[_Result]:
    """All in order, ``jobs`` at a time, each in a process of its own; each is said on standard error when done."""
    # a fork of a process whose landmark threads run hangs
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        for done, result in enumerate(pool.map(do, todo), 1):
            print(f"{done}/{len(todo)} {names[done - 1]}", file=sys.stderr, flush=True)
            yield result
