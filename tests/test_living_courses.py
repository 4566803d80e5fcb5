"""When things happen in a living clip, and for how long."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from realtime.synthesis.living import BROW_AUS, LivingSettings, generate
from realtime.synthesis.living.courses import Course, coded, returning
from realtime.synthesis.living.story import Blink, closure_track, gaze_track, tell
from realtime.types import MICRO_MAX_S

LONG = LivingSettings(seconds=120.0)


def many(residual_max: float = 0.95) -> list[Course]:
    rng = np.random.default_rng(0)
    return [coded(rng, 1.0, residual_max) for _ in range(600)]


def test_coded_times_have_the_quantiles_of_the_data_sets() -> None:
    """The pooled medians of CASME II, SAMM and DFME are 150–200 ms up, 150–200 ms down, 310–393 ms in all."""
    rise, fall, total = (
        np.array([getattr(course, name) for course in many()]) for name in ("rise_s", "fall_s", "total_s")
    )
    assert 0.13 < np.median(rise) < 0.2
    assert 0.12 < np.median(fall) < 0.2
    assert 0.29 < np.median(total) < 0.4
    assert np.quantile(rise, 0.05) < 0.1
    assert np.quantile(rise, 0.95) > 0.23
    assert total.max() <= MICRO_MAX_S


def test_residuals_have_the_measured_spread() -> None:
    left = np.array([course.residual for course in many()])
    assert 0.05 < left.min() < 0.12
    assert 0.9 < left.max() <= 0.95
    assert np.median(left) == pytest.approx(0.56, abs=0.06)
    assert max(course.residual for course in many(0.8)) <= 0.8


@pytest.mark.parametrize(
    "course", [returning(np.random.default_rng(1), 1.0), coded(np.random.default_rng(2), 1.0, 0.9)]
)
def test_a_course_is_flat_at_its_onset_apex_and_offset(course: Course) -> None:
    t = np.array([course.onset_s, course.apex_s, course.offset_s])
    assert course.shares(t) == pytest.approx([0, 1, course.residual], abs=1e-9)
    nearly = 0.003
    before_apex = course.shares(t[1:2] - nearly)[0]
    before_offset = course.shares(t[2:] - nearly)[0] - course.residual
    assert 0 <= 1 - before_apex < 1e-2
    assert 0 <= before_offset < 1e-2


def test_what_is_left_decays_over_seconds_or_stays() -> None:
    for course in many()[:50]:
        second = course.shares(np.array([course.offset_s + 1.0]))[0] / course.residual
        assert 0.75 < second <= 1.0 + 1e-9


def test_the_old_course_returns_to_zero() -> None:
    course = returning(np.random.default_rng(4), 2.0)
    assert course.residual == 0
    assert np.all(course.shares(np.array([course.offset_s, course.offset_s + 5])) == 0)


def test_one_seed_tells_one_story_at_every_rate() -> None:
    fast, slow = (generate(msgspec.structs.replace(LONG, fps=fps), 7).truth for fps in (200.0, 50.0))
    assert len(fast.moves) == len(slow.moves) > 30
    for a, b in zip(fast.moves, slow.moves, strict=True):
        assert (a.au, a.px, a.kind) == (b.au, b.px, b.kind)
        assert abs(a.onset / 200 - b.onset / 50) <= 0.011


def test_micros_are_micro_and_lie_apart() -> None:
    moves = generate(LONG, 3).truth.moves
    assert {move.au for move in moves} == {"AU12", "AU4", "AU9", "AU15", "U12", "AU1+2"}
    for move, after in pairwise(moves):
        assert move.kind == "micro"
        assert move.onset < move.apex < move.offset < after.onset
        assert (move.offset - move.onset) / LONG.fps <= MICRO_MAX_S + 0.01


def test_micros_sit_in_the_hold_of_a_macro_of_another_region() -> None:
    moves = generate(msgspec.structs.replace(LONG, macro="smile"), 3).truth.moves
    macros = [move for move in moves if move.kind == "macro"]
    micros = [move for move in moves if move.kind == "micro"]
    assert len(macros) > 10
    assert len(micros) > 10
    for micro in micros:
        around = [macro for macro in macros if macro.apex < micro.onset and micro.offset < macro.offset]
        assert len(around) == 1
        assert around[0].region != micro.region
    assert all((macro.offset - macro.onset) / LONG.fps > 1 for macro in macros)


def test_overlapping_movements_are_of_two_regions() -> None:
    moves = generate(msgspec.structs.replace(LONG, overlapping=0.5), 5).truth.moves
    pairs = [(a, b) for a, b in pairwise(moves) if b.onset <= a.offset]
    assert len(pairs) > 8
    assert all(a.region != b.region for a, b in pairs)


def test_blinks_within_movements_and_after_them() -> None:
    settings = msgspec.structs.replace(LONG, blink_during=1.0)
    story = tell(settings, 6)
    for move in story.moves:
        inside = [b for b in story.blinks if move.course.onset_s <= b.begin_s <= move.course.offset_s]
        assert len(inside) == 1
    story = tell(msgspec.structs.replace(LONG, blink_after=1.0, turn_after=1.0), 6)
    for move in story.moves:
        assert any(0 < b.begin_s - move.course.offset_s < 0.5 for b in story.blinks)
        assert any(0 < j.begin_s - move.course.offset_s < 0.5 for j in story.jumps)


def test_double_blinks_follow_each_other_closely() -> None:
    story = tell(msgspec.structs.replace(LONG, double_blinks=1.0, micros=False), 6)
    gaps = [b.begin_s - a.begin_s - a.length_s for a, b in pairwise(story.blinks)]
    assert sum(gap < 0.31 for gap in gaps) >= len(gaps) // 2 > 10


def test_a_blink_shuts_and_opens_the_lids() -> None:
    closure = Blink(1.0, 0.2).closures(np.array([0.9, 1.0, 1.08, 1.2, 1.3]))
    assert closure == pytest.approx([0, 0, 1, 0, 0], abs=1e-9)


def test_gaze_jumps_and_rests() -> None:
    story = tell(msgspec.structs.replace(LONG, gaze_gap_s=(0.5, 1.0), blink_gap_s=None), 2)
    t = np.arange(0, 120, 0.005)
    gaze = gaze_track(story, t)
    moving = np.hypot(*np.diff(gaze, axis=0).T) > 1e-6
    assert 0.01 < moving.mean() < 0.15
    assert np.abs(gaze[:, 0]).max() > 2
    assert closure_track(story, t, gaze).max() > 0.05  # the lid follows the eye down


def test_speech_micros_are_the_brows_own() -> None:
    settings = msgspec.structs.replace(LONG, speech=1.0, action_units=BROW_AUS)
    truth = generate(settings, 2).truth
    assert {move.region for move in truth.moves} == {"brows"}
    assert [span.kind for span in truth.spans if span.kind == "speech"] == ["speech"]
