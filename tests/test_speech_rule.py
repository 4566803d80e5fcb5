"""When movements of the mouth are speech: a state, and no events."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from realtime.config import SpotSettings
from realtime.types import Kind, SpotEvent
from realtime.vision.spotting.assemble import Assembler
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.detectors import LBP_PX, LbpDetector, MotionDetector
from realtime.vision.spotting.talk import Talk

STEP_NS = 5_000_000


class Mouth:
    """As much of a spotter as the rule looks at."""

    def __init__(self, moves: list[tuple[float, float]], *, jaw: bool = False) -> None:
        self._moves = [(round(begin * 1e9), round(end * 1e9)) for begin, end in moves]
        self.peaks = np.array([0.5, 0.5, 2.0]) if jaw else np.array([1.0, 1.0, 0.1])
        self.reach = float(self.peaks.max())
        self.ended_hold = self.holding = False
        self.now_ns = 0

    def reach_with(self, event: SpotEvent, *, together: bool) -> float:
        return 0.0

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


def told(moves: list[tuple[float, float]], seconds: float, *found: tuple[str, SpotEvent]) -> list[SpotEvent]:
    """The events that are told while the mouth moves so; what the groups found comes with its offset."""
    assembler, mouth, events = Assembler(), Mouth(moves), []
    groups: dict[str, Any] = {"mouth": mouth}
    for now_ns in range(0, round(seconds * 1e9), STEP_NS):
        mouth.now_ns = now_ns
        new = [one for one in found if now_ns - STEP_NS < one[1].offset_t_ns <= now_ns]
        events += assembler.push(now_ns, new, groups)[0]
    return events


def event(begin_s: float, apex_s: float, end_s: float, kind: Kind, **rois: float) -> SpotEvent:
    onset, apex, offset = (round(200 * at) for at in (begin_s, apex_s, end_s))
    return SpotEvent(
        kind=kind,
        onset=onset,
        apex=apex,
        offset=offset,
        onset_t_ns=onset * STEP_NS,
        apex_t_ns=apex * STEP_NS,
        offset_t_ns=offset * STEP_NS,
        score=20.0,
        rois=rois,
        decided=offset,
    )


SMILE = event(1.0, 1.5, 2.0, "macro", left_mouth=2.0, right_mouth=2.0, chin=0.5)


def test_a_smile_is_told_and_the_first_long_word_of_a_sentence_is_not() -> None:
    found = ("mouth", SMILE)
    assert [e.onset for e in told([(1.0, 2.0)], 5.0, found)] == [SMILE.onset]
    assert [e.onset for e in told([(1.0, 2.0), (2.6, 2.9)], 6.0, found)] == [SMILE.onset], "one other is no sentence"
    assert told([(1.0, 2.0), (2.4, 2.7), (2.8, 3.1), (3.2, 3.5)], 6.0, found) == []


def test_a_brow_that_twitches_while_the_mouth_opens_for_long_stands_alone() -> None:
    opens = event(1.0, 1.4, 1.9, "macro", left_mouth=0.5, right_mouth=0.5, chin=4.0)
    brow = event(1.3, 1.42, 1.6, "micro", left_eye_brow=1.0, right_eye_brow=1.0)
    (only,) = told([(1.0, 1.9)], 5.0, ("left_brow", brow), ("mouth", opens))
    assert (only.kind, only.onset, only.rois) == ("micro", brow.onset, brow.rois)
    (both,) = told([(1.2, 1.7)], 5.0, ("left_brow", brow), ("mouth", event(1.2, 1.4, 1.7, "micro", chin=1.5)))
    assert set(both.rois) == {"left_eye_brow", "right_eye_brow", "chin"}


@pytest.mark.parametrize("then", [[], [(5.5, 15.0)], [(5.9, 6.0), (6.2, 15.0)]])
@pytest.mark.parametrize("group", ["mouth", "nose"])
def test_no_movement_waits_longer_than_its_frames_are_kept(then: list[tuple[float, float]], group: str) -> None:
    longest = SpotSettings().max_duration_s
    lasts = event(1.0, 1.5, 1.0 + longest, "macro", left_mouth=2.0, right_mouth=2.0, chin=0.5)
    assembler, mouth = Assembler(), Mouth([(1.0, 1.0 + longest), *then])
    ready = None
    for now_ns in range(0, 15 * 10**9, STEP_NS):
        mouth.now_ns = now_ns
        found = [(group, lasts)] if now_ns == lasts.offset_t_ns else []
        if assembler.push(now_ns, found, {"mouth": mouth})[0]:  # type: ignore[dict-item]
            ready = now_ns
            break
    assert ready is not None
    assert (ready - lasts.onset_t_ns) / 1e9 < SpotSettings().known_s() - 0.1


def short(begin_s: float, **rois: float) -> SpotEvent:
    return event(begin_s, begin_s + 0.15, begin_s + 0.3, "micro", **rois)


@pytest.mark.parametrize(
    ("rois", "is_told"),
    [
        ({"left_mouth": 4.0, "right_mouth": 3.0, "chin": 4.4}, False),
        ({"left_mouth": 2.0, "right_mouth": 1.4, "chin": 9.0}, False),
        ({"left_mouth": 1.5, "right_mouth": 1.2, "chin": 1.6}, True),  # AU15+17 are that small
        ({"left_mouth": 1.8, "right_mouth": 1.8, "chin": 0.4}, True),  # the lips alone
        ({"left_mouth": 3.0, "right_mouth": 3.0, "chin": 0.6}, False),  # twice as far as any micro-expression
    ],
)
def test_one_word_is_no_expression(rois: dict[str, float], is_told: bool) -> None:
    assert bool(told([(1.0, 1.3)], 5.0, ("mouth", short(1.0, **rois)))) == is_told


@pytest.mark.parametrize(
    ("left", "right", "chin", "is_told"),
    [
        ((1.8, -2.4), (-1.8, -2.4), 0.4, True),  # smiled
        ((1.8, -2.4), (0.1, 0.02), 0.4, True),  # smirked
        ((1.8, -2.4), (-1.8, -2.4), 1.8, False),  # the jaw closes
        ((1.8, 2.4), (-1.8, 2.4), 0.4, False),  # the corners go down: pressed
        ((2.9, -0.8), (-2.9, -0.8), 0.4, False),  # drawn apart, hardly up: "ee"
        ((1.8, -2.4), (-1.8, 1.2), 0.4, False),  # one up, one down: to a side
    ],
)
def test_a_smile_that_flashes_up_is_no_word(
    left: tuple[float, float], right: tuple[float, float], chin: float, is_told: bool
) -> None:
    """However large; where no way of the corners is known, as with histograms, it is one."""
    smile = short(1.0, left_mouth=3.0, right_mouth=3.0, chin=chin)
    ways = msgspec.structs.replace(smile, moved={"left_mouth": left, "right_mouth": right})
    assert bool(told([(1.0, 1.3)], 5.0, ("mouth", ways))) == is_told
    assert not told([(1.0, 1.3)], 5.0, ("mouth", smile))


def test_a_long_word_is_one_too_and_a_smile_or_a_long_laugh_is_none() -> None:
    for lasting_s, chin, is_told in ((0.9, 2.5, False), (0.9, 1.2, True), (1.4, 2.5, True)):
        one = event(1.0, 1.3, 1.0 + lasting_s, "macro", left_mouth=2.6, right_mouth=2.2, chin=chin)
        assert bool(told([(1.0, 1.0 + lasting_s)], 6.0, ("mouth", one))) == is_told


def test_what_the_lips_do_a_second_after_the_jaw_is_their_own() -> None:
    for at_s, is_told in ((1.8, False), (2.2, True)):
        talk, mouth, one = (
            Talk(MotionDetector.word),
            Mouth([(1.0, 1.2)], jaw=True),
            short(at_s, left_mouth=1.0, chin=0.1),
        )
        for now_ns in range(0, one.offset_t_ns, STEP_NS):
            mouth.now_ns = now_ns
            talk.listen(now_ns, mouth)  # type: ignore[arg-type]
        assert talk.has(one) != is_told


def test_a_word_in_the_unit_of_another_detector() -> None:
    word = short(1.0, left_mouth=4.0 / LBP_PX, right_mouth=3.0 / LBP_PX, chin=4.4 / LBP_PX)
    for detector, is_told in ((LbpDetector, False), (MotionDetector, True)):
        assembler = Assembler(detector.word)
        events = assembler.push(word.offset_t_ns, [("mouth", word)], {})[0] + assembler.flush([])
        assert bool(events) == is_told


def test_a_word_while_a_brow_rises_leaves_the_brow() -> None:
    brow = short(1.0, left_eye_brow=1.0)
    (only,) = told([(1.0, 1.3)], 5.0, ("left_brow", brow), ("mouth", short(1.0, left_mouth=4.0, chin=4.0)))
    assert set(only.rois) == {"left_eye_brow"}


def test_how_far_the_lips_alone_go_says_no_histogram() -> None:
    lips, jaw = (short(1.0, left_mouth=4.0 / 25, right_mouth=3.0 / 25, chin=chin / 25) for chin in (0.6, 4.4))
    assert [Talk(LbpDetector.word).has(one) for one in (lips, jaw)] == [False, True]


def test_what_follows_a_movement_of_the_jaw_is_its_word() -> None:
    small = short(1.6, left_mouth=1.0, right_mouth=1.0, chin=0.1)
    assembler, mouth, events = Assembler(), Mouth([(1.0, 1.2), (1.6, 1.9)], jaw=True), []
    for now_ns in range(0, 5 * 10**9, STEP_NS):
        mouth.now_ns = now_ns
        if now_ns > 1.3e9:
            mouth.peaks = np.array([1.0, 1.0, 0.1])
        found = [("mouth", small)] if now_ns == small.offset_t_ns else []
        events += assembler.push(now_ns, found, {"mouth": mouth})[0]  # type: ignore[dict-item]
    assert events == []
    assert told([(1.0, 1.2), (1.6, 1.9)], 5.0, ("mouth", small)), "lips alone before it"


@pytest.mark.parametrize(
    ("left", "right", "chin", "is_told"),
    [
        ((0.3, 1.3), (0.5, 1.1), (0.2, 0.9), False),  # the jaw opens: all goes down
        ((-0.2, -1.2), (-0.6, -1.1), (-0.2, -1.4), False),  # and closes
        ((1.3, 0.9), (1.1, 1.0), (0.1, -0.1), False),  # the mouth goes to one side
        ((0.1, 0.3), (-0.1, 0.3), (0.1, 0.3), True),  # less than a jaw moves
        ((1.2, -1.0), (-1.1, -0.9), (0.0, -0.3), True),  # AU12: the corners part and rise, the chin a little
        ((0.1, 0.9), (-0.1, 0.8), (0.0, 0.1), True),  # AU15: the corners alone go down
        ((0.1, 0.9), (-0.1, 0.8), (0.0, -0.7), True),  # AU15+17: and the chin up
        ((0.0, -0.1), (0.0, -0.1), (0.2, -1.2), True),  # AU17 alone
        ((1.2, -0.9), (0.2, 0.0), (0.0, 0.0), True),  # one-sided AU12 takes the other corner along
    ],
)
def test_the_jaw_takes_lips_and_chin_along_and_no_muscle_of_expression_does(
    left: tuple[float, float], right: tuple[float, float], chin: tuple[float, float], is_told: bool
) -> None:
    moved = {"left_mouth": left, "right_mouth": right, "chin": chin}
    one = short(1.0, **{name: float(np.hypot(*way)) for name, way in moved.items()})
    assert bool(told([(1.0, 1.3)], 5.0, ("mouth", structs.replace(one, moved=moved)))) == is_told


def test_where_each_region_went_is_measured_from_its_patches() -> None:
    channels = Channels.of_patches(("lips", "chin"), np.array([0, 0, 1]), np.ones(3))
    off, trust = np.array([1.0, 2.0, 3.0, 2.0, 9.0, 9.0]), np.array([3.0, 3.0, 1.0, 1.0, 0.0, 0.0])
    assert channels.moved(off, trust) == {"lips": (1.5, 2.0)}
    assert Channels.of_differences(2).moved(off[:2], trust[:2]) == {}


@pytest.mark.parametrize(("brow_s", "count"), [(1.2, 1), (4.4, 2)])
def test_a_brow_that_is_drawn_down_while_a_smile_fades_is_a_movement_of_its_own(brow_s: float, count: int) -> None:
    smile = event(1.0, 1.3, 5.0, "macro", left_mouth=2.0, right_mouth=2.0)
    brow = event(brow_s, brow_s + 0.2, brow_s + 0.9, "macro", left_eye_brow=1.2)
    found = Assembler().flush([("mouth", smile), ("left_brow", brow)])
    assert [e.onset for e in found] == [smile.onset, brow.onset][:count]
