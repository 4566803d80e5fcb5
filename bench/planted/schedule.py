"""When each movement happens: at a place of the recording that fits what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.planted.courses import Movement
from bench.planted.takes import Take

Condition = float | str
"""``any``; ``rest``, ``speech``: what the person does then; ``afterblink``: from 1 to 4 frames after the end of a real
blink; a number: the onset in s."""

_TRIES = 1500
_BLINK_TRIES, _DOING_TRIES, _GAP_TRIES = 1400, 1300, 800
"""Tries after which a condition, then the distance to its neighbours, is given up."""
_CLOSEST_S = 0.4


@dataclass(frozen=True)
class Spacing:
    """s before the first onset, and s between two movements."""

    lead_s: float = 3.0
    gap_s: float = 1.3


def scheduled(
    take: Take,
    rng: np.random.Generator,
    moves: Sequence[Movement],
    conditions: Sequence[Condition],
    spacing: Spacing = Spacing(),
) -> list[Movement]:
    """The movements with an onset each, in order of time; one that finds no place is left out."""
    placed: list[Movement] = []
    for move, condition in sorted(zip(moves, conditions, strict=True), key=lambda pair: pair[1] == "any"):
        onset_s = _place(take, rng, move, condition, placed, spacing)
        if onset_s is not None:
            placed.append(move.at(onset_s))
    return sorted(placed, key=lambda move: move.onset_s)


def _place(
    take: Take,
    rng: np.random.Generator,
    move: Movement,
    condition: Condition,
    placed: Sequence[Movement],
    spacing: Spacing,
) -> float | None:
    """An onset (s) that fits, drawn until one does."""
    fps, given = take.fps, isinstance(condition, (int, float))
    for attempt in range(_TRIES):
        if given:
            onset_s = float(condition) + rng.uniform(0, 0.5) / fps
        else:
            onset_s = rng.uniform(spacing.lead_s, (len(take) - 2) / fps - move.length_s - 0.6)
        first, last = int(onset_s * fps), int(np.ceil((onset_s + move.length_s) * fps))
        if last >= len(take) - 1 or first < 0:
            continue
        if given:
            return onset_s
        if not take.seen[max(0, first - int(0.7 * fps)) : last + 8].all():
            continue
        gap_s = spacing.gap_s if attempt < _GAP_TRIES else min(spacing.gap_s, _CLOSEST_S)
        if any(
            onset_s < other.offset_s + gap_s and other.onset_s < onset_s + move.length_s + gap_s for other in placed
        ):
            continue
        if _fits(take, first, last, condition, attempt):
            return onset_s
    return None


def _fits(take: Take, first: int, last: int, condition: Condition, attempt: int) -> bool:
    """Whether what really happens around these frames is what was asked for."""
    if condition == "afterblink":
        if attempt >= _BLINK_TRIES:
            return True
        return bool(not take.blink[first : last + 3].any() and take.blink[max(0, first - 4) : first].any())
    if condition == "any" or attempt >= _DOING_TRIES:
        return True
    if take.during(first, last) != condition:
        return False
    return bool(condition != "rest" or not take.turn[max(0, first - 4) : last + 4].any())
