"""When a head is too far turned, or turns too fast, to be measured on."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.vision.face.head import _SIDES, facing_yaw
from realtime.vision.spotting.steadiness import Jerks, Steadiness


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
    assert said[0][0] == pytest.approx(4.7, abs=0.2)
    assert said[1][0] == pytest.approx(10.6, abs=0.2)  # where it stops
    assert not steady[round(6 * fps)]


def test_a_head_that_swings_far_to_and_fro_is_not_measured_as_it_sweeps_through_the_middle() -> None:
    t_s = np.arange(0, 24, 1 / 200)
    said, steady = follow(t_s, 20 * np.sin(2 * np.pi * t_s / 6))
    assert said[-1][1] == "head turned away"
    assert not any(steady[600:])


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


def test_who_sits_askew_may_turn_as_far_as_others_once_that_is_known() -> None:
    steadiness = Steadiness()
    steady = []
    for k in range(200 * 20):
        yaw = 13 + 10 * np.sin(2 * np.pi * k / 200 / 6)
        steadiness.note(k * 5_000_000, float(yaw - 13), 0.0, float(yaw))
        steady.append(steadiness.steady)
    assert all(steady[200 * 5 :])


def test_a_profile_is_never_usable() -> None:
    steadiness = Steadiness()
    for k in range(200 * 60):
        steadiness.note(k * 5_000_000, 0.0, 0.0, 40.0)
    assert not steadiness.steady


@pytest.mark.parametrize("turn_deg", [-12.0, 0.0, 8.0])
def test_facing_is_the_angle_by_which_a_mesh_was_turned(turn_deg: float) -> None:
    rng = np.random.default_rng(1)
    half = rng.uniform([20, -90, 10], [70, 90, 80], (478, 3))  # x, y, height towards the camera, px
    left, right = (np.array(side) for side in zip(*_SIDES, strict=True))
    half[left] = half[right] * [-1, 1, 1]
    turn = np.radians(turn_deg)
    x = half[:, 0] * np.cos(turn) + half[:, 2] * np.sin(turn)
    height = half[:, 2] * np.cos(turn) - half[:, 0] * np.sin(turn)
    mesh = np.stack([200 + x, 180 + half[:, 1]], 1).astype(np.float32)
    assert np.degrees(facing_yaw(mesh, (-height).astype(np.float32))) == pytest.approx(turn_deg, abs=0.5)


def jerks_of(t_s: np.ndarray, yaw_deg: np.ndarray) -> list[tuple[float, float]]:
    jerks = Jerks()
    told = [jerks.note(round(t * 1e9), float(yaw), 0.0) for t, yaw in zip(t_s, yaw_deg, strict=True)]
    return [(span[0] / 1e9, span[1] / 1e9) for span in told if span]


@pytest.mark.parametrize("fps", [60, 200, 500])
def test_a_jerk_is_told_once_when_it_is_over(fps: int) -> None:
    t_s = np.arange(0, 4, 1 / fps)
    noise = np.random.default_rng(2).normal(0, 0.03, len(t_s))
    ((begin, end),) = jerks_of(t_s, np.clip((t_s - 2) * 30, 0, 3) + noise)
    assert begin == pytest.approx(2.0, abs=0.08)
    assert end == pytest.approx(2.1, abs=0.05)


def test_a_head_that_swings_or_turns_for_longer_does_not_jerk() -> None:
    t_s = np.arange(0, 12, 1 / 200)
    assert jerks_of(t_s, 10 * np.sin(2 * np.pi * t_s / 6)) == []
    assert jerks_of(t_s, np.clip((t_s - 2) * 15, 0, 20)) == []
