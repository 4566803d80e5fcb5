"""What the truth file says of a clip's movements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from bench.planted.courses import Movement
from bench.planted.landmarks import STABLE
from bench.planted.moves import SIZE_PX, UNITS, main_points
from bench.planted.takes import NonEvent, Take, note

SWAPPED = {"R": "L", "L": "R", "both": "both"}
_SIDE_NAMES = {"R": "right_", "L": "left_", "both": "both_"}
LONGEST_MICRO_S = 0.5


def event(move: Movement, take: Take, mirrored: bool = False) -> dict[str, Any]:
    """One movement: frames, s, action unit, size, residual, and how far the skin really moves there at that time."""
    fps = take.fps
    onset, offset = round(move.onset_s * fps), round(move.offset_s * fps)
    if move.kind == "micro" and (offset - onset) / fps > LONGEST_MICRO_S:
        offset = onset + int(LONGEST_MICRO_S * fps)  # rounding to frames alone must not make it a macro
    side = _SIDE_NAMES[SWAPPED[move.side] if mirrored else move.side] if UNITS[move.unit].sided else ""
    found = {
        "kind": move.kind,
        "onset": onset,
        "apex": round(move.apex_s * fps),
        "offset": offset,
        "where": side + UNITS[move.unit].where,
        "au": move.unit,
        "px_at_152": round(move.px, 2),
        "residual": round(move.residual, 2),
        "during": take.during(onset, offset),
        "residual_gone_at_s": None if move.gone_s is None else round(move.gone_s, 2),
        "t_onset_s": round(float(move.onset_s), 3),
        "t_apex_s": round(float(move.apex_s), 3),
        "t_offset_s": round(float(move.offset_s), 3),
    }
    real = real_motion_px(take, onset, offset, main_points(move.unit, move.side))
    if real is not None:
        found["real_motion_there_px_at_152"] = real
    return found


def real_motion_px(take: Take, onset: int, offset: int, points: Sequence[int]) -> float | None:
    """How far the unplanted skin at ``points`` travels from 3 frames before to 3 after, head taken out, px at 152.

    Landmarks jitter by some tenths of a px, and that counts: it is an upper bound.
    """
    first, end = max(0, onset - 3), min(len(take), offset + 4)
    fixed = take.raw[first][STABLE].astype(np.float32)
    path = []
    for mesh in take.raw[first:end]:
        if not np.isfinite(mesh).all():
            continue
        move = cv2.estimateAffinePartial2D(mesh[STABLE].astype(np.float32), fixed, method=cv2.LMEDS)[0]
        if move is not None:
            path.append((mesh[points] @ move[:, :2].T + move[:, 2]).mean(0))
    if len(path) <= 2:
        return None
    return round(float(np.ptp(np.array(path), axis=0).max() * SIZE_PX / take.face_px), 2)


def non_events(take: Take, added: Sequence[NonEvent]) -> list[NonEvent]:
    """What was added that is no expression, then what the recording does by itself."""
    turns = [note("play direction turns (forward-backward source)", at, at) for at in take.turns]
    return [*added, *turns, *take.happenings()]
