"""The spotter's kernels against plain NumPy, and the forecast of the head's motion over a held expression."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.config import SpotSettings
from realtime.vision.face.forecast import Forecast, Law
from realtime.vision.face.tracking import moved
from realtime.vision.spotting import kernels
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.movement import Track
from realtime.vision.spotting.spotter import Spotter

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("features", [0, 3])
def test_a_track_holds_the_last_frames_and_their_mean(features):
    channels, keep, smooth_s = 4, 30, 0.0151
    track = Track(keep, channels, features)
    rows, times, t_ns = [], [], 10**12
    for number in range(100):
        t_ns += int(RNG.choice([2_000_000, 5_000_000, 40_000_000], p=[0.4, 0.5, 0.1]))
        values, pose = RNG.normal(size=channels), RNG.normal(size=features)
        gap_s = track.store(number, t_ns, values, pose if features else None, smooth_s)
        assert gap_s == pytest.approx((t_ns - times[-1]) / 1e9 if times else 0.0)
        rows.append(np.r_[values, pose])
        times.append(t_ns)
        recent = [row for row, t in zip(rows, times, strict=True) if t_ns - t <= (smooth_s - 1e-4) * 1e9]
        np.testing.assert_allclose(track.smooth, np.mean(recent, axis=0), atol=1e-12)
        np.testing.assert_array_equal(track.latest, rows[-1])
        held, _, first = track.since(0, t_ns)
        np.testing.assert_array_equal(held, rows[-keep:])
        assert track.identity(first) == (max(0, number + 1 - keep), times[-keep:][0])


def test_distance_from_rest_is_the_weighted_root_mean_square_less_the_forecast():
    roi_of = np.repeat([0, 1, 1, 2], 2)
    smooth, reference = RNG.normal(size=(2, 10))
    first, learnt = RNG.normal(size=(2, 8, 2))
    low, high = np.full(2, -0.3), np.full(2, 0.2)
    trust = np.repeat(RNG.uniform(size=4), 2)
    off, size = np.empty(8), np.empty(3)
    law = Law(first, learnt, low, high)
    kernels.measure(smooth, reference, first, learnt, low, high, trust, roi_of, True, off, size)
    expected = smooth[:8] - reference[:8] - law.foretold(smooth[8:], reference[8:])
    np.testing.assert_allclose(off, expected)
    for roi in range(3):
        own = roi_of == roi
        mean = np.average(2.0 * expected[own] ** 2, weights=trust[own])
        assert size[roi] == pytest.approx(np.sqrt(mean))
    size = np.empty(8)
    kernels.measure(smooth, reference, first, learnt, low, high, trust, np.arange(8), False, off, size)
    np.testing.assert_allclose(size, expected)
    trust[:2] = 0.0
    assert kernels.alive(np.arange(8.0), trust) == pytest.approx(27 / 28)
    assert kernels.alive(np.zeros(8), trust) == 0.0
    assert kernels.alive(np.ones(8), np.full(8, 0.1)) == 2.0


@pytest.mark.parametrize(("alone", "counts"), [(True, False), (False, True)])
def test_a_patch_that_moves_alone_has_slid(alone, counts):
    """Skin hangs together: one patch of six is no movement of the region, three are."""
    off = np.full(12, 0.03)
    off[0 : 2 if alone else 6] += 2.0
    smooth, nothing, size = off.copy(), np.zeros((12, 0)), np.empty(1)
    none = np.zeros(0)
    roi_of, trust = np.zeros(12, np.int64), np.ones(12)
    kernels.measure(smooth, np.zeros(12), nothing, nothing, none, none, trust, roi_of, True, off, size)
    assert (size[0] > 0.5) == counts


def test_noise_follows_a_running_mean_and_the_calm_of_the_last_moments():
    level, variance, lately = RNG.uniform(size=2), RNG.uniform(size=2), RNG.uniform(size=(2, 2))
    mean, spread, late = level.copy(), variance.copy(), lately.copy()
    for _ in range(50):
        size = RNG.uniform(0, 0.2, 2)
        below = np.array([0.05, 0.2])
        value = np.clip(size, level - below, level + 0.5 * below)
        kernels.follow_noise(size, below, 0.5, 0.01, 0.08, 8.0, level, variance, lately)
        for m, v, gain in ((mean, spread, 0.01), (late[0], late[1], 0.08)):
            apart = value - m
            m += gain * apart
            v += gain * (apart**2 - v)
        np.minimum(spread, 8.0 * late[1], out=spread)
        np.minimum(mean, late[0] + np.sqrt(8.0 * late[1]), out=mean)
        np.testing.assert_allclose(np.r_[level, variance, lately.ravel()], np.r_[mean, spread, late.ravel()])


def test_limits_rises_and_the_rolling_reference():
    variance, limit = np.array([0.0, 1e-4, 4.0]), np.empty(3)
    kernels.limits(variance, 5.0, 0.15, 2.0, limit)
    np.testing.assert_allclose(limit, np.clip(5.0 * np.sqrt(variance), 0.15, 2.0))
    level = np.full(3, 0.1)
    assert not kernels.rises(level + limit, level, limit)
    assert kernels.rises(level + np.array([0.0, 0.16, 0.0]), level, limit)
    reference, smooth = RNG.normal(size=(2, 9))
    expected = reference + 0.3 * (smooth - reference)
    kernels.approach(reference, smooth, 0.3)
    np.testing.assert_allclose(reference, expected)


def test_a_pose_moves_by_a_similarity_about_a_centre():
    to_frame, (tx, ty, a, b), centre = RNG.normal(size=(2, 3)), RNG.normal(0, 0.1, 4), np.array([76.0, 90.0])
    found = moved(to_frame, np.array([tx, ty, a, b]), centre)
    for point in RNG.uniform(0, 150, (5, 2)):
        x, y = point - centre
        near = point + np.array([tx + a * x - b * y, ty + b * x + a * y])
        np.testing.assert_allclose(found[:, :2] @ point + found[:, 2], to_frame[:, :2] @ near + to_frame[:, 2])


def make_spotter(channels=6, features=2):
    names, roi_of = ("left", "right"), np.repeat([0, 1], channels // 4 + 1)[: channels // 2]
    group = Channels.of_patches(names, roi_of, np.ones(channels // 2))
    forecast = Forecast(np.zeros((channels, features)), np.full(features, 0.35), 12.0, 0.1, np.full(features, 0.015))
    return Spotter(SpotSettings(), 200.0, channels=group, forecast=forecast)


def play(spotter, steps, sway):
    """Events of a face whose channels follow ``steps`` (T,) px and whose head sways by ``sway`` (T, 2) px."""
    events = []
    for k, (step, pose) in enumerate(zip(steps, sway, strict=True)):
        values = step + RNG.normal(0, 0.01, 6)
        event = spotter.push(k, k * 5_000_000, values, pose + RNG.normal(0, 0.002, 2))
        if event is not None:
            events.append(event)
    return events


@pytest.mark.parametrize("period_s", [0.7, 1.3, 2.9])
def test_a_held_expression_is_not_taught_to_the_forecast(period_s):
    """What an expression leaves is a step that no pose explains: learnt, it would make movements of a head's sway."""
    t = np.arange(3000) / 200.0
    steps = 3.5 * (np.clip((t - 4.0) / 0.2, 0, 1) - np.clip((t - 6.5) / 0.3, 0, 1))
    sway = 0.25 * np.stack([np.sin(2 * np.pi * t / period_s), np.sin(2 * np.pi * t / period_s + 1.0)], 1)
    spotter = make_spotter()
    events = play(spotter, steps, sway)
    assert [event.kind for event in events] == ["macro"]
    assert np.abs(spotter.forecast.weights).max() < 0.1


def test_the_doubt_of_a_pose_is_the_square_root_of_a_quadratic_form():
    smooth, reference = RNG.normal(size=(2, 9))
    half = RNG.normal(size=(3, 3))
    change = smooth[6:] - reference[6:]
    expected = np.sqrt(change @ (half @ half.T) @ change)
    assert kernels.doubt(smooth, reference, 6, half @ half.T) == pytest.approx(expected)
