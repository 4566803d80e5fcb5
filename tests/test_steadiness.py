"""When a head is too far turned, or turns too fast, to be measured on."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.vision.spotting.steadiness import Steadiness


def follow(t_s: np.ndarray, yaw_deg: np.ndarray) -> tuple[list[tuple[float, str]], list[bool]]:
    steadiness = Steadiness()
    said, steady = [], []
    for t, yaw in zip(t_s, yaw_deg, strict=True):
        what = steadiness.note(round(t * 1e9), float(yaw), 0.0)
        said += [(float(t), what)] if what else []
        steady.append(steadiness.steady)
    return said, steady


@pytest.mark.parametrize("fps", [25, 200, 500])
def test_a_slow_turn_of_ten_degrees_is_measured_throughout(fps: int) -> None:
    t_s = np.arange(0, 12, 1 / fps)
    said, steady = follow(t_s, 10 * np.sin(2 * np.pi * t_s / 6))
    assert said == []
    assert all(steady)


@pytest.mark.parametrize("fps", [25, 200])
def test_a_head_that_turns_away_and_comes_back_is_told_once_each(fps: int) -> None:
    t_s = np.arange(0, 12, 1 / fps)
    turn = np.clip((t_s - 3) * 10, 0, 25) - np.clip((t_s - 8) * 10, 0, 25)
    said, steady = follow(t_s, turn)
    assert [what for _, what in said] == ["head turned away", "head back"]
    assert said[0][0] == pytest.approx(4.5, abs=0.1)
    assert said[1][0] == pytest.approx(9.2, abs=0.2)
    assert not steady[round(6 * fps)]


def test_a_head_that_whips_round_is_unusable_while_it_does_and_shortly_after() -> None:
    t_s = np.arange(0, 3, 1 / 200)
    said, steady = follow(t_s, np.clip((t_s - 1) * 60, 0, 9))
    assert [what for _, what in said] == ["head turned away", "head back"]
    assert 0.15 < np.count_nonzero(~np.array(steady)) / 200 < 0.5


def test_a_pose_that_jumps_by_a_degree_in_one_frame_is_noise() -> None:
    rng = np.random.default_rng(0)
    t_s = np.arange(0, 20, 1 / 30)
    said, _ = follow(t_s, rng.uniform(-0.7, 0.7, len(t_s)))
    assert said == []
