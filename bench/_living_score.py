"""Runs a spotter over the living suite and scores it, a row a factor."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _clip_store as store
import cv2
import living
import numpy as np
import numpy.typing as npt
from rich.table import Table

from offline.evaluation.megc import hits
from offline.rivals import RIVALS
from realtime.config import SpotSettings
from realtime.synthesis.living import TruthMove
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.spotting.face_meter import FaceMeter

OFFSET_TOLERANCE_S = 0.04
TURNED, USABLE = "head turned away", ("head back", "face anchored again", "face found", "face lost")
"""Notices between which the spotter tells frames to be unusable: a face that is found anew is judged anew."""


@dataclass(frozen=True)
class Found:
    """One spotted movement; frame numbers, offset inclusive."""

    kind: str
    onset: int
    apex: int
    offset: int


@dataclass(frozen=True)
class ClipResult:
    """What a spotter made of one clip."""

    name: str
    factor: str
    fps: float
    frames: int
    spent_s: float
    truth: list[TruthMove]
    found: list[Found]
    unusable: list[tuple[int, int]]
    """Frames, the last included, that the system itself told are no use: the head is turned away."""


def spot_clip(clip: living.SuiteClip, systems: tuple[str, ...]) -> dict[str, ClipResult]:
    """Feed one clip to each system: a detector of ours or one of ``offline.rivals``. It is drawn once."""
    cv2.setNumThreads(1)
    with clip.kept() as path:
        return {system: _spot(clip, path, system) for system in systems}


def _spot(clip: living.SuiteClip, path: Path, system: str) -> ClipResult:
    fps, frames = clip.settings.fps, Reading(store.read(path))
    begun = time.perf_counter()
    found, unusable = (_rival(frames, fps, system), []) if system in RIVALS else ours(frames, fps, system)
    spent = time.perf_counter() - begun - frames.spent_s
    return ClipResult(clip.name, clip.factor, fps, frames.count, spent, clip.clip().truth.moves, found, unusable)


def ours(frames: Reading, fps: float, detector: str) -> tuple[list[Found], list[tuple[int, int]]]:
    meter = FaceMeter(SpotSettings(detector=detector), fps)  # type: ignore[arg-type]
    events: list[SpotEvent] = []
    turned: list[tuple[str, int]] = []
    try:
        for number, frame in enumerate(frames):
            measurement, told = meter.process(frame, number, round(number * 1e9 / fps))
            events += told
            if measurement is not None:  # a frame that is whole is always measured
                turned += [(what, number) for what, _ in measurement.notices if what in (TURNED, *USABLE)]
        events += meter.flush()
    finally:
        meter.close()
    return [Found(event.kind, event.onset, event.apex, event.offset) for event in events], spans(turned, frames.count)


def spans(turned: list[tuple[str, int]], count: int) -> list[tuple[int, int]]:
    """From each "head turned away" to the frame before what ends it, or to the last of ``count`` frames."""
    found: list[tuple[int, int]] = []
    since = -1
    for what, number in [*turned, (USABLE[0], count)]:
        if what == TURNED and since < 0:
            since = number
        elif what in USABLE and since >= 0:
            found, since = [*found, (since, number - 1)], -1
    return found


def _rival(frames: Iterable[npt.NDArray[np.uint8]], fps: float, name: str) -> list[Found]:
    mesh = FaceMesh()
    try:
        return [Found(one.kind, one.onset, one.apex, one.offset) for one in RIVALS[name](frames, fps, mesh.detect)]
    finally:
        mesh.close()


class Reading:
    """A clip's frames one by one, their number and the time that reading them took (it is not the spotter's)."""

    def __init__(self, frames: Iterator[npt.NDArray[np.uint8]]) -> None:
        self._frames, self.count, self.spent_s = frames, 0, 0.0

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            begun = time.perf_counter()
            frame = next(self._frames, None)
            self.spent_s += time.perf_counter() - begun
            if frame is None:
                return
            self.count += 1
            yield frame


def run(todo: list[living.SuiteClip], systems: tuple[str, ...], jobs: int) -> Iterator[dict[str, ClipResult]]:
    """All clips in order, ``jobs`` at a time; each is said on standard error when it is done."""
    with ProcessPoolExecutor(max_workers=jobs, mp_context=living.SPAWN) as pool:
        for done, result in enumerate(pool.map(spot_clip, todo, [systems] * len(todo)), 1):
            print(f"{done}/{len(todo)} {todo[done - 1].name}", file=sys.stderr, flush=True)
            yield result


class _Tally:
    """Counts of some clips, added one by one."""

    def __init__(self) -> None:
        names = ("micros", "micros_unusable", "macros", "hits", "hits_micro", "macros_found", "micro_found")
        self.counts = dict.fromkeys(names, 0)
        self.false = {"micro": 0, "macro": 0}
        self.apex_ms: list[float] = []
        self.offset_ms: list[float] = []
        self.true_called_micro = 0

    def add(self, result: ClipResult) -> None:
        micros = [move for move in result.truth if move.kind == "micro"]
        macros = [move for move in result.truth if move.kind == "macro"]
        called_micro = [found for found in result.found if found.kind == "micro"]
        pairs, macro_pairs = _pairs(result.found, micros), _pairs(result.found, macros)
        for j, i in pairs:
            self.apex_ms.append(1000 * abs(result.found[j].apex - micros[i].apex) / result.fps)
            self.offset_ms.append(1000 * (result.found[j].offset - micros[i].offset) / result.fps)
        self.true_called_micro += len(_pairs(called_micro, micros))
        counts = self.counts
        counts["micros"] += len(micros)
        counts["micros_unusable"] += sum(_in_spans(move, result.unusable) for move in micros)
        counts["macros"] += len(macros)
        counts["hits"] += len(pairs)
        counts["hits_micro"] += sum(result.found[j].kind == "micro" for j, _ in pairs)
        called_macro = [found for found in result.found if found.kind == "macro"]
        counts["macros_found"] += len(_pairs(called_macro, macros))
        counts["micro_found"] += len(called_micro)
        right = {id(result.found[j]) for j, _ in (*pairs, *macro_pairs)}
        for found in result.found:
            self.false[found.kind] += id(found) not in right


def score(results: list[ClipResult]) -> dict[str, Any]:
    """Figures of one factor.

    A hit is a one-to-one match of IoU ≥ 0.5 with a true micro-expression, whatever the spotter calls it; F1 counts
    only what it calls micro. False is what matches no true movement of either kind. Movements in frames that the
    spotter told are no use count as any others; how many there were stands beside (``micros_unusable``: half of the
    movement and more), as does the share of such frames.
    """
    tally = _Tally()
    for result in results:
        tally.add(result)
    counts, apex_ms, offset_ms = tally.counts, tally.apex_ms, tally.offset_ms
    minutes = sum(result.frames / result.fps for result in results) / 60
    frames = sum(result.frames for result in results)
    unusable = sum(last - first + 1 for result in results for first, last in result.unusable)
    total = counts["micros"] + counts["micro_found"]
    return {
        **counts,
        "f1_micro": 2 * tally.true_called_micro / total if counts["micros"] else None,
        "false_micro_per_minute": tally.false["micro"] / minutes,
        "false_macro_per_minute": tally.false["macro"] / minutes,
        "macro_recall": counts["macros_found"] / counts["macros"] if counts["macros"] else None,
        "apex_error_p50_ms": float(np.median(apex_ms)) if apex_ms else None,
        "apex_error_p90_ms": float(np.percentile(apex_ms, 90)) if apex_ms else None,
        "offset_within_40ms": _share_within(offset_ms, 1000 * OFFSET_TOLERANCE_S),
        "offset_error_p50_ms": float(np.median(offset_ms)) if offset_ms else None,
        "unusable_share": unusable / max(frames, 1),
        "minutes": minutes,
        "ms_per_frame": 1000 * sum(result.spent_s for result in results) / max(frames, 1),
    }


def rows(results: list[ClipResult]) -> dict[str, dict[str, Any]]:
    """Factor → figures, in the suite's order."""
    factors = list(dict.fromkeys(result.factor for result in results))
    return {factor: score([result for result in results if result.factor == factor]) for factor in factors}


def table(figures: dict[str, dict[str, Any]], title: str) -> Table:
    """One row a factor."""
    out = Table(title=title)
    heads = ("factor", "hits", "called micro", "F1 micro", "false micro/min", "false macro/min", "macros")
    for head in (*heads, "apex p50 · p90 ms", "offset ≤ 40 ms", "told unusable", "ms/frame"):
        out.add_column(head, justify="left" if head == "factor" else "right")
    for factor, row in figures.items():
        apex = "—"
        if row["apex_error_p50_ms"] is not None:
            apex = "{apex_error_p50_ms:.0f} · {apex_error_p90_ms:.0f}".format(**row)
        out.add_row(
            factor,
            "—" if not row["micros"] else "{hits}/{micros}".format(**row),
            "—" if not row["micros"] else str(row["hits_micro"]),
            _shown(row["f1_micro"], 2),
            _shown(row["false_micro_per_minute"], 1),
            _shown(row["false_macro_per_minute"], 1),
            "—" if not row["macros"] else "{macros_found}/{macros}".format(**row),
            apex,
            _shown(row["offset_within_40ms"], 2),
            _told_unusable(row),
            _shown(row["ms_per_frame"], 2),
        )
    return out


def _in_spans(move: TruthMove, spans: list[tuple[int, int]]) -> bool:
    """Whether half of the movement and more lies in them."""
    inside = sum(max(0, min(last, move.offset) - max(first, move.onset) + 1) for first, last in spans)
    return 2 * inside >= move.offset - move.onset + 1


def _pairs(found: list[Found], truth: list[TruthMove]) -> list[tuple[int, int]]:
    return hits([(f.onset, f.offset) for f in found], [(m.onset, m.offset) for m in truth])


def _share_within(errors: list[float], limit: float) -> float | None:
    return float((np.abs(errors) <= limit + 1e-6).mean()) if errors else None


def _told_unusable(row: dict[str, Any]) -> str:
    """Share of the frames, and the movements in them."""
    share = row.get("unusable_share")  # results of before 2026-11-29 don't say
    return "—" if not share else f"{share:.2f} ({row['micros_unusable']})"


def _shown(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"
