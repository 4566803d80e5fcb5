"""The regression of what the head's pose does: against plain least squares, where it was not learnt, and its doubt."""

from __future__ import annotations

import numpy as np

from realtime.vision.face.forecast import Forecast

RNG = np.random.default_rng(11)
PRIOR_PX = np.array([0.35, 0.35, 0.5])


def make(channels: int = 4, memory_s: float = 1e9) -> Forecast:
    return Forecast(np.zeros((channels, 3)), PRIOR_PX, memory_s, 0.1, np.full(3, 1e-4))


def test_it_is_least_squares_with_a_mean_of_each_stretch() -> None:
    truth = RNG.normal(0, 0.3, (4, 3))
    forecast = make()
    rows, values, stretches = [], [], []
    for stretch in range(6):
        step = RNG.normal(0, 3.0, 4)  # what an expression has left
        for _ in range(200):
            features = RNG.normal(0.5 * stretch, 1.0, 3)
            seen = features @ truth.T + step + RNG.normal(0, 0.02, 4)
            forecast.learn(features, seen, 0.01)
            rows.append(features)
            values.append(seen)
            stretches.append(stretch)
        forecast.part()
    forecast.solve()
    own = np.eye(6)[stretches]
    expected = np.linalg.lstsq(np.hstack([own, np.array(rows)]), np.array(values), rcond=None)[0][6:].T
    np.testing.assert_allclose(forecast.weights, expected, atol=1e-3)


def test_old_samples_fade() -> None:
    forecast = make(memory_s=2.0)
    for slope in (0.3, -0.2):
        for _ in range(1000):
            features = RNG.normal(0, 1.0, 3)
            forecast.learn(features, slope * features[[0, 0, 1, 1]], 0.01)
    forecast.solve()
    assert abs(forecast.weights[0, 0] + 0.2) < 0.02


def test_beyond_what_was_learnt_the_mean_depth_alone_counts() -> None:
    prior = RNG.normal(0, 0.5, (4, 3))
    forecast = Forecast(prior, PRIOR_PX, 12.0, 0.1, np.full(3, 1e-4))
    for _ in range(500):
        features = RNG.uniform(-2.0, 2.0, 3)
        forecast.learn(features, features @ (prior + 0.2).T, 0.01)
    forecast.solve()
    law = forecast.law
    edge, far = np.full(3, 2.6), np.full(3, 12.0)
    np.testing.assert_allclose(law.foretold(np.ones(3), np.zeros(3)), (prior + 0.2) @ np.ones(3), atol=0.02)
    np.testing.assert_allclose(law.foretold(far, edge), prior @ (far - edge), atol=0.03)
    frozen = law.copy()
    for _ in range(500):
        forecast.learn(features := RNG.uniform(-9.0, 9.0, 3), features @ prior.T, 0.01)
    forecast.solve()
    assert np.abs(frozen.learnt - law.learnt).max() > 0.05  # the copy is of then


def test_doubt_goes_where_the_head_has_been_and_stays_where_it_has_not() -> None:
    forecast = make()
    turn, nod = np.array([4.0, 0.0, 0.0]), np.array([0.0, 4.0, 0.0])
    before = [float(np.sqrt(f @ forecast.doubt @ f)) for f in (turn, nod)]
    for t in np.arange(0.0, 6.0, 0.01):
        forecast.learn(np.array([4.0 * np.sin(t), 0.0, 0.0]), np.zeros(4), 0.01)
    forecast.solve()
    after = [float(np.sqrt(f @ forecast.doubt @ f)) for f in (turn, nod)]
    assert before == [1.4, 1.4]
    assert after[0] < 0.1
    assert after[1] == before[1]


def test_the_last_bit_does_not_hang_on_where_in_memory_the_moments_lie() -> None:
    """Or two runs over the same frames would differ. (With fast arithmetic this fails in every other process.)"""
    rng = np.random.default_rng(0)
    others: list[np.ndarray] = []
    rows = {channels: rng.normal(size=(4, channels + 7)) for channels in (10, 22, 26, 58)}
    found = set()
    for _ in range(4000):
        others.append(np.empty(rng.integers(1, 800)))
        if len(others) > 200:
            others.pop(rng.integers(200))
        for channels, samples in rows.items():
            forecast = Forecast(np.zeros((channels, 7)), np.ones(7), 12.0, 0.1, np.full(7, 0.01))
            latest = np.zeros(channels + 7)
            for row in samples:
                latest[:] = row
                forecast.learn(latest[channels:], latest[:channels], 0.02)
            found.add(forecast._moments.tobytes())
    assert len(found) == len(rows)
