"""The shape of a head that is not the mean one, learnt from how its patches move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from realtime.vision.face.head import fit_head
from realtime.vision.face.skull import Skull

Array = npt.NDArray[np.float64]
DISTANCE_PX = 700.0


class Head:
    """39 points of a head in perspective; what is known of their heights is a fifth wrong, smoothly."""

    def __init__(self, seed: int = 3) -> None:
        self.random = np.random.default_rng(seed)
        self.places = self.random.uniform(-70, 70, (39, 2))
        self.heights = 55.0 - 0.006 * (self.places**2).sum(1)
        wrong = 0.2 * np.sin(self.places[:, 0] / 45.0 + 0.4) + 0.15 * np.cos(self.places[:, 1] / 35.0)
        self.guessed = self.heights * (1.0 + wrong)
        self.robust, self.pose = np.ones(39), np.zeros(6)

    def moved(self, yaw: float, pitch: float) -> Array:
        """(39, 2) px: by a rotation in space and a projection, not by the model that is fitted."""
        points = np.column_stack([self.places, self.heights])
        about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        turned = points @ (about_x @ about_y).T
        scale = DISTANCE_PX / (DISTANCE_PX - turned[:, 2:])
        rest = DISTANCE_PX / (DISTANCE_PX - self.heights[:, None])
        found: Array = turned[:, :2] * scale - self.places * rest
        return found

    def fit(self, displacement: Array) -> tuple[tuple[float, float], float]:
        """(yaw, pitch), and the median residual, px."""
        weights = np.ones(39)
        known = self.places, self.guessed, displacement.astype(np.float32), weights
        misfit = fit_head(*known, 4, 0.03, self.robust, 1.0, self.pose)
        return (float(self.pose[4]), float(self.pose[5])), misfit


def nod(head: Head, skull: Skull, seconds: float, degrees: float) -> list[float]:
    """Median residuals while the head nods and sways, patches noisy by 0.05 px; learnt as it goes."""
    turned, misfits = (0.0, 0.0), []
    for t in np.arange(0.0, seconds, 0.005):
        yaw, pitch = np.radians(degrees) * np.array([0.3 * np.sin(1.3 * t), np.sin(2.1 * t)])
        there = head.moved(yaw, pitch) + head.random.normal(0, 0.05, (39, 2))
        turned, misfit = head.fit(there - skull.foretold(turned))
        skull.learn(turned, there.astype(np.float32), head.pose, np.ones(39), 0.005)
        misfits.append(misfit)
    return misfits


def test_residuals_of_a_turn_are_foretold_once_the_head_has_been_there() -> None:
    head = Head()
    skull = Skull(head.places, head.guessed)
    _, unlearned = head.fit(head.moved(0.0, np.radians(5.0)))
    misfits = nod(head, skull, 9.0, 5.0)
    assert unlearned > 0.25  # or the guess was good enough
    assert np.median(misfits[-600:]) < 0.07  # 0.06 is the patches' noise
    assert max(misfits[-600:]) < 0.13


def test_a_head_that_hardly_turns_teaches_nothing() -> None:
    head = Head()
    skull = Skull(head.places, head.guessed)
    nod(head, skull, 4.0, 0.05)
    assert np.abs(skull.foretold((0.0, np.radians(1.0)))).max() < 0.08


def test_the_next_template_goes_on_from_where_it_was_taken() -> None:
    head = Head()
    skull = Skull(head.places, head.guessed)
    nod(head, skull, 6.0, 5.0)
    at, further = (0.01, 0.05), (0.0, -0.04)
    following = Skull(head.places, head.guessed)
    following.go_on(skull, at)
    np.testing.assert_allclose(following.foretold(at), 0.0, atol=1e-12)
    np.testing.assert_allclose(following.foretold(further), skull.foretold(further) - skull.foretold(at), atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_motion_of_a_head_explains_is_no_shape(seed: int) -> None:
    head = Head(seed)
    skull = Skull(head.places, head.guessed)
    nod(head, skull, 5.0, 5.0)
    foretold = skull.foretold((0.0, 0.08))
    _, explained = head.fit(foretold)
    assert np.abs(head.pose[4:]).max() < 0.003  # 0.2° of 4.6°
    assert explained > 0.1
