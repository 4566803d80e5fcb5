"""What is left of the patches once the head is known, and what a skull and a forecast learn: against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.vision.face import forecast, residue, skull
from realtime.vision.face.tracking import agree

RNG = np.random.default_rng(4)
RIGID, OWN = 7, 12


def test_the_heads_shape_is_taken_out_and_put_back() -> None:
    there = RNG.normal(size=(RIGID + OWN, 2)).astype(np.float32)
    likeness = np.array([0.9, 0.5, 0.7, 0.2, 0.65, 0.99, 0.0, *[0.9] * OWN], np.float32)
    trust, shape, weights = RNG.uniform(1, 2, RIGID), RNG.normal(size=(RIGID, 2)), np.empty(RIGID)
    now = there.copy()
    residue.begin(now, likeness, 0.6, trust, shape, weights)
    np.testing.assert_array_equal(weights, np.where(likeness[:RIGID] > 0.6, trust, 0.0))
    np.testing.assert_allclose(now[:RIGID], there[:RIGID] - shape, atol=1e-6)
    np.testing.assert_array_equal(now[RIGID:], there[RIGID:])
    residue.put_back(now, shape)
    np.testing.assert_allclose(now, there, atol=1e-6)


def test_the_heads_motion_is_taken_out_and_regions_agree_without_its_turn() -> None:
    n = RIGID + OWN
    pose = np.array([0.4, -0.3, 0.01, 0.02, 0.03, -0.02])
    places, heights = RNG.uniform(-60, 60, (n, 2)), RNG.uniform(20, 60, n)
    x, y = places.T
    turn = np.float32(heights[:, None] * pose[4:])
    similarity = np.stack([pose[0] + pose[2] * x - pose[3] * y, pose[1] + pose[3] * x + pose[2] * y], 1)
    there = (similarity + turn + RNG.normal(0, 0.5, (n, 2))).astype(np.float32)
    likeness = RNG.uniform(0.2, 1.0, n).astype(np.float32)
    inverse = np.tile(np.array([0.02, 0.001, 0.03], np.float32), (n, 1))
    contrast, region = RNG.uniform(50, 200, OWN), np.repeat([0, 1, 2], 4)
    expected, alike = there.copy(), likeness.copy()
    expected[RIGID:] -= turn[RIGID:]
    agree(expected[RIGID:], alike[RIGID:], inverse[RIGID:], contrast, region, 3, 1.5, 0.3, 6.0)
    expected[RIGID:] += turn[RIGID:]
    expected -= similarity
    residue.take_head_out(there, likeness, inverse, contrast, region, 3, 1.5, 0.3, 6.0, heights, places, pose)
    np.testing.assert_allclose(there, expected, atol=1e-5)
    np.testing.assert_array_equal(likeness, alike)


@pytest.mark.parametrize("steady", [1.0, 0.0])
def test_trust_falls_with_likeness_and_ends_where_a_patch_shows_something_else(steady: float) -> None:
    likeness, weights = np.array([1.0, 0.96, 0.31, 0.29], np.float32), np.array([2.0, 2.0, 2.0, 2.0])
    trust = np.empty(8)
    residue.trust_in(likeness, weights, 0.3, 0.04, steady, trust)
    expected = steady * np.array([2.0, 1.0, 2.0 / (1.0 + (0.69 / 0.04) ** 2), 0.0])
    np.testing.assert_allclose(trust, np.repeat(expected, 2), rtol=1e-5)


def test_what_no_motion_of_a_head_explains() -> None:
    """Weighted least squares over six columns; a lost patch keeps what is known of it."""
    places, heights = RNG.uniform(-60, 60, (RIGID, 2)), RNG.uniform(20, 60, RIGID)
    model = skull.Skull(places, heights)._model
    there, pose = RNG.normal(size=2 * RIGID).astype(np.float32), RNG.normal(0, 0.01, 6)
    weights, known = np.array([1.0, 0.5, 0.0, 2.0, 1.0, 1.0, 0.7]), RNG.normal(0, 0.1, 2 * RIGID)
    left = np.empty(2 * RIGID)
    skull._leave(there, pose, weights, model, known, left)
    twice, residual = np.repeat(weights, 2), there - pose @ model
    more = np.linalg.solve((model * twice) @ model.T + 1e-6 * np.eye(6), (model * twice) @ residual)
    expected = residual - more @ model
    lost = (twice == 0.0) | (np.abs(expected - known) >= 2.0)
    np.testing.assert_allclose(left, np.where(lost, known, expected), atol=1e-9)
    assert lost[4:6].all()


def test_a_forecast_is_ridge_regression_within_its_reach() -> None:
    prior, prior_px, noise = RNG.normal(0, 0.1, (5, 3)), np.array([0.35, 0.35, 0.5]), np.full(3, 0.02)
    one = forecast.Forecast(prior, prior_px, 12.0, 0.1, noise)
    for _ in range(60):
        features = RNG.normal(size=3)
        one.learn(features, features @ (prior + 0.9).T + RNG.normal(0, 0.1, 5), 0.02)
    one.solve()
    total, moments = one._weight[1], one._moments
    ridge = (0.1 / prior_px) ** 2 / total + noise**2
    found = np.linalg.solve(moments[:, :3] / total + np.diag(ridge), moments[:, 3:] / total + ridge[:, None] * prior.T)
    reach = np.array([3.0, 3.0, 20.0]) * prior_px
    np.testing.assert_allclose(one.weights, np.clip(found.T, prior - reach, prior + reach), atol=1e-12)
    np.testing.assert_allclose(one.law.learnt, one.weights - prior, atol=1e-12)
    known = moments[:, :3] / (20.0 * 0.1**2) + np.diag(prior_px**-2.0)
    np.testing.assert_allclose(one.doubt, np.linalg.inv(known), atol=1e-12)
