"""LBP histograms and their difference, against slow readable references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from realtime.vision.face.regions import spans_of
from realtime.vision.spotting import lbp


def naive_code(image: np.ndarray, y: int, x: int) -> int:
    """LBP(8, 2) of one pixel, neighbours counter-clockwise from the right, bilinear between pixels (Ojala 2002)."""
    code = 0
    for k in range(8):
        angle = 2 * math.pi * k / 8
        px, py = x + lbp.RADIUS_PX * math.cos(angle), y - lbp.RADIUS_PX * math.sin(angle)
        x0, y0 = math.floor(px + 1e-9), math.floor(py + 1e-9)
        fx, fy = max(px - x0, 0.0), max(py - y0, 0.0)
        value = 0.0
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                if wx * wy > 1e-9:
                    value += wx * wy * float(image[y0 + dy, x0 + dx])
        code |= (value >= float(image[y, x])) << k
    return code


def naive_histograms(image: np.ndarray, blocks: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((count, lbp.BINS))
    for y, x in zip(*np.nonzero(blocks >= 0), strict=True):
        out[blocks[y, x], lbp.UNIFORM_BINS[naive_code(image, y, x)]] += 1
    return out


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    image = rng.normal(128, 30, (40, 50)).astype(np.float32)
    blocks = np.full(image.shape, -1, np.int16)
    blocks[3:20, 4:22] = 0
    blocks[5:30, 25:47] = 1
    blocks[22:36, 3:20] = 2
    return image, blocks


def test_histograms_equal_the_naive_ones(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, blocks = picture
    out = np.empty((3, lbp.BINS), np.float32)
    lbp.histograms(image, blocks, spans_of(blocks), lbp.UNIFORM_BINS, out)
    np.testing.assert_array_equal(out, naive_histograms(image, blocks, 3))


def test_58_uniform_patterns_and_one_bin_for_the_rest() -> None:
    assert len(set(lbp.UNIFORM_BINS.tolist())) == 59
    assert (lbp.UNIFORM_BINS == 58).sum() == 256 - 58


def test_gain_and_bias_change_no_code(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, blocks = picture
    spans = spans_of(blocks)
    first, second = np.empty((2, 3, lbp.BINS), np.float32)
    lbp.histograms(image, blocks, spans, lbp.UNIFORM_BINS, first)
    lbp.histograms(
        (image * np.float32(0.5) + np.float32(16)).astype(np.float32), blocks, spans, lbp.UNIFORM_BINS, second
    )
    # halving and adding 16 round almost nothing; a few interpolated ties may fall the other way
    assert np.abs(first - second).sum() <= 4


def test_difference_is_one_minus_correlation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 5, lbp.BINS)).astype(np.float32)
    roi = np.array([0, 0, 1, 2, 2])
    out = np.empty(3)
    lbp.difference(a, b, roi, out)
    for k in range(3):
        assert out[k] == pytest.approx(1 - np.corrcoef(a[roi == k].ravel(), b[roi == k].ravel())[0, 1], abs=1e-6)
    lbp.difference(a, a, roi, out)
    np.testing.assert_allclose(out, 0, atol=1e-6)
