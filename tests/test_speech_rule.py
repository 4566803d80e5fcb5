"""When movements of the mouth are speech: a state, and no events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from realtime.vision.spotting.assemble import Assembler

STEP_NS = 5_000_000


class Mouth:
    """As much of a spotter as the rule looks at."""

    def __init__(self, moves: list[tuple[float, float]], *, jaw: bool = False) -> None:
        self._moves = [(round(begin * 1e9), round(end * 1e9)) for begin, end in moves]
        self.peaks = np.array([0.5, 0.5, 2.0]) if jaw else np.array([1.0, 1.0, 0.1])
        self.reach = float(self.peaks.max())
        self.ended_hold = False
        self.now_ns = 0

    @property
    def began_ns(self) -> int | None:
        return next((begin for begin, end in self._moves if begin <= self.now_ns < end), None)


def states(moves: list[tuple[float, float]], seconds: float, *, jaw: bool = False) -> list[str]:
    """What is told while the mouth moves so (begin, end; s)."""
    assembler, mouth, told = Assembler(), Mouth(moves, jaw=jaw), []
    groups: dict[str, Any] = {"mouth": mouth}
    for now_ns in range(0, round(seconds * 1e9), STEP_NS):
        mouth.now_ns = now_ns
        _, notices = assembler.push(now_ns, [], groups)
        told += notices
    return told


def every(gap_s: float, lasting_s: float, count: int = 9) -> list[tuple[float, float]]:
    return [(1.0 + i * (gap_s + lasting_s), 1.0 + i * (gap_s + lasting_s) + lasting_s) for i in range(count)]


@pytest.mark.parametrize("gap_s", [0.6, 0.9])
def test_expressions_with_rest_between_them_are_none_however_many(gap_s: float) -> None:
    assert states(every(gap_s, 0.25), 12.0) == []


@pytest.mark.parametrize(("gap_s", "lasting_s"), [(0.1, 0.2), (0.4, 0.5)])
def test_syllables_and_words_are(gap_s: float, lasting_s: float) -> None:
    assert states(every(gap_s, lasting_s), 12.0) == ["speech", "speech over"]


def test_what_the_jaw_leads_may_be_slower() -> None:
    assert states(every(0.9, 0.25), 14.0, jaw=True) == ["speech", "speech over"]


def test_expressions_and_a_word_among_them_are_not_speech_yet() -> None:
    assert states([(1.0, 1.2), (2.0, 2.3), (2.5, 2.7), (3.6, 3.8)], 8.0) == []
