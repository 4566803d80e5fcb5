"""Temperature, calibration error and selective accuracy of held-out scores."""

from __future__ import annotations

import numpy as np
import pytest

from offline.evaluation import calibration


def drawn(factor: float, n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are ``factor`` times as sharp as the labels' own probabilities; 30 people."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet((1.0, 1.0, 1.0), n)
    label = (honest.cumsum(1) > rng.random((n, 1))).argmax(1)
    return calibration.tempered(honest, factor), label, np.array([f"p{k % 30:02d}" for k in range(n)])


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(factor: float) -> None:
    scores, label, _ = drawn(factor)
    assert calibration.sharpness(scores, label) == pytest.approx(1 / factor, rel=0.12)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_share_of_clips_that_are_called_otherwise_is_found(noise: float) -> None:
    """A temperature can't take the error of the surest scores away; the share of noise does, and no label changes."""
    scores, label, person = drawn(2.0, 6000)
    rng = np.random.default_rng(1)
    label = np.where(rng.random(len(label)) < noise, rng.integers(0, 3, len(label)), label)
    by = calibration.meaning(scores, label)
    assert by[0] == pytest.approx(0.5, rel=0.15)
    assert by[1] == pytest.approx(noise, abs=0.04)
    made = calibration.meant(scores, by)
    np.testing.assert_allclose(made.sum(1), 1)
    np.testing.assert_array_equal(made.argmax(1), scores.argmax(1))
    found = calibration.judge(scores[None], label, person)
    assert found is not None
    assert found.ece_tempered is not None
    assert found.ece < 0.025
    assert not noise or found.ece < 0.6 * found.ece_tempered


def test_honest_scores_have_no_error_and_sharp_ones_lose_it() -> None:
    scores, label, person = drawn(1.0)
    found = calibration.judge(scores[None], label, person)
    assert found is not None
    assert found.ece < 0.03
    scores, label, person = drawn(2.5)
    found = calibration.judge(scores[None], label, person)
    assert found is not None
    assert found.ece_raw > 0.1
    assert found.ece < 0.04
    assert sum(one.clips for one in found.bins) == len(label)


def test_a_bias_for_each_class_is_found() -> None:
    """Scores that a weighted loss has shifted: the shift and the temperature come back."""
    honest, label, _ = drawn(1.0, 20_000)
    shifted = calibration.tempered(honest * np.array([1.0, 3.0, 0.5]), 2.0)
    by = calibration.biased(shifted, label)
    # log shifted = 2 (log p + log w) − norm: factor 1/2, biases −log(w / w of the last)
    np.testing.assert_allclose(by, [0.5, -np.log(2.0), -np.log(6.0)], atol=0.06)
    np.testing.assert_allclose(calibration.corrected(shifted, by), honest, atol=0.02)


def test_a_class_that_never_occurs_keeps_the_fit_finite() -> None:
    honest, label, person = drawn(1.0, 90)
    found = calibration.judge(honest[None], np.minimum(label, 1), person)
    assert found is not None
    assert found.ece_biased is not None
    assert np.isfinite(calibration.biased(honest, np.minimum(label, 1))).all()


def test_a_bias_takes_away_the_error_that_a_temperature_leaves() -> None:
    honest, label, person = drawn(1.0)
    shifted = calibration.tempered(honest * np.array([1.0, 6.0, 0.2]), 1.0)
    found = calibration.judge(shifted[None], label, person)
    assert found is not None
    assert found.ece_biased is not None
    assert found.ece_biased < 0.03 < found.ece
    assert found.selective_biased["1"] > found.selective["1"]


def test_a_persons_labels_do_not_touch_the_persons_calibration() -> None:
    scores, label, person = drawn(2.0, 300)
    own = person == "p07"
    other = label.copy()
    other[own] = (label[own] + 1) % 3
    first, second = (calibration.by_others(scores, one, person) for one in (label, other))
    place = np.unique(person).tolist().index("p07")
    np.testing.assert_array_equal(first[place], second[place])
    assert (np.delete(first, place, 0) != np.delete(second, place, 0)).any(axis=1).all()


def test_the_surest_are_kept_first() -> None:
    scores = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    found = calibration.judge(scores[None], np.array([0, 0, 1, 1]), np.array(["a", "b", "a", "b"]))
    assert found is not None
    assert found.selective["0.5"] == 1.0
    assert found.selective["1"] == 0.5


def test_untested_clips_do_not_count_and_one_person_is_not_enough() -> None:
    scores, label, person = drawn(1.0, 60)
    gap = scores.copy()
    gap[:30] = np.nan
    found = calibration.judge(gap[None], label, person)
    assert found is not None
    assert sum(one.clips for one in found.bins) == 30
    assert calibration.judge(scores[None], label, np.full(60, "p")) is None
