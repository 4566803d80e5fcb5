"""Patches: known shifts, light that changes, a slow reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from realtime.vision.face import tracking


def scene(height: int = 120, width: int = 140, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(120, 60, (height, width)).astype(np.float32), (0, 0), 2.0)


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The scene moved by (dx, dy) px, exactly (Fourier shift theorem; the border wraps)."""
    fy, fx = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None]
    moved = np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (fx * dx + fy * dy))).real
    return moved.astype(np.float32)


class Patches:
    """Template arrays of some centres."""

    def __init__(self, image: np.ndarray, centres: list[tuple[int, int]]) -> None:
        self.centres = np.array(centres, np.int64)
        n, pixels = len(centres), tracking.TEMPLATE_SIZE
        self.descent = np.empty((n, 2, pixels), np.float32)
        self.norm = np.empty((n, pixels), np.float32)
        self.inverse = np.empty((n, 3), np.float32)
        tracking.build_template(image, self.centres, self.descent, self.norm, self.inverse)

    def follow(self, image: np.ndarray, iterations: int = 10) -> tuple[np.ndarray, np.ndarray]:
        displacement = np.zeros((len(self.centres), 2), np.float32)
        likeness = np.zeros(len(self.centres), np.float32)
        tracking.follow(image, self.centres, self.descent, self.norm, self.inverse, iterations, displacement, likeness)
        return displacement, likeness


CENTRES = [(30, 30), (70, 40), (100, 60), (60, 80), (40, 90)]


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.3, -0.2), (1.5, 0.7), (-2.2, 1.9)])
def test_a_known_shift_is_found(dx: float, dy: float) -> None:
    image = scene()
    displacement, likeness = Patches(image, CENTRES).follow(shifted(image, dx, dy))
    np.testing.assert_allclose(displacement, np.tile([dx, dy], (5, 1)), atol=0.04)
    assert (likeness > 0.98).all()


def test_gain_and_bias_leave_the_displacement_alone() -> None:
    image = scene()
    patches = Patches(image, CENTRES)
    plain, _ = patches.follow(shifted(image, 0.8, -0.5))
    lit, _ = patches.follow((1.2 * shifted(image, 0.8, -0.5) - 15).astype(np.float32))
    np.testing.assert_allclose(lit, plain, atol=0.01)


def test_a_flat_patch_is_unusable_and_says_so() -> None:
    flat = np.full((120, 140), 90, np.float32)
    displacement, likeness = Patches(flat, CENTRES).follow(flat)
    assert (displacement == 0).all()
    assert (likeness == 0).all()


def test_a_patch_that_leaves_the_image_is_given_up() -> None:
    image = scene()
    patches = Patches(image, [(30, 30)])
    displacement = np.array([[-200.0, 0.0]], np.float32)
    likeness = np.ones(1, np.float32)
    tracking.follow(image, patches.centres, patches.descent, patches.norm, patches.inverse, 3, displacement, likeness)
    assert (displacement == 0).all()
    assert likeness[0] == 0


def naive_step(image: np.ndarray, centre: tuple[int, int], moved: np.ndarray) -> tuple[np.ndarray, float]:
    """One step of inverse-compositional Lucas-Kanade with gain and bias, by least squares: (place, correlation)."""
    r = tracking.PATCH_RADIUS_PX
    v, u = np.mgrid[-r : r + 1, -r : r + 1]
    x, y = centre[0] + u, centre[1] + v
    template = image[y, x].astype(float).ravel()
    slope_x = (image[y, x + 1].astype(float) - image[y, x - 1]).ravel() / 2
    slope_y = (image[y + 1, x].astype(float) - image[y - 1, x]).ravel() / 2
    seen = moved.ravel()
    found = np.linalg.lstsq(np.stack([slope_x, slope_y, template, np.ones(len(seen))], 1), seen, rcond=None)[0]
    return -found[:2], float(np.corrcoef(template, seen)[0, 1])


def test_a_step_is_the_least_squares_solution() -> None:
    """Against a reference that knows neither padded rows nor orthogonal descent images."""
    image = scene(seed=3)
    later = shifted(image, 0.4, -0.3)
    r = tracking.PATCH_RADIUS_PX
    displacement, likeness = Patches(image, CENTRES).follow(later, iterations=1)
    for k, (x, y) in enumerate(CENTRES):
        place, alike = naive_step(image, (x, y), later[y - r : y + r + 1, x - r : x + r + 1].astype(float))
        np.testing.assert_allclose(displacement[k], place, atol=2e-3)
        assert abs(likeness[k] - alike) < 1e-4


def test_change_in_boxes_is_one_minus_correlation() -> None:
    image, other = scene(seed=1), scene(seed=2)
    out = np.empty(2)
    tracking.change_in(image, other, np.array([[10, 10, 40, 30], [50, 20, 90, 60]]), out)
    expected = 1 - np.corrcoef(image[10:30, 10:40].ravel(), other[10:30, 10:40].ravel())[0, 1]
    assert out[0] == pytest.approx(expected, abs=1e-4)
    tracking.change_in(image, image, np.array([[10, 10, 40, 30], [50, 20, 90, 60]]), out)
    np.testing.assert_allclose(out, 0, atol=1e-4)
