"""Patches of a region held to each other: an edge holds nothing along itself."""

from __future__ import annotations

import numpy as np

from realtime.vision.face.tracking import agree

ALIEN, SLID = 0.3, 6.0


def held(displacement: np.ndarray, likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of six patches of one region with plenty of picture, what becomes of displacement and likeness."""
    inverse = np.tile(np.array([1e-4, 0.0, 1e-4], np.float32), (6, 1))
    moved, like = displacement.astype(np.float32), likeness.astype(np.float32)
    agree(moved, like, inverse, np.full(6, 400.0), np.zeros(6, np.int64), 1, 1.5, ALIEN, SLID)
    return moved, like


def test_a_patch_far_from_all_others_has_slid() -> None:
    displacement = np.tile([0.2, 0.1], (6, 1))
    displacement[2] = 12.0, -1.0
    moved, like = held(displacement, np.full(6, 0.98))
    assert like[2] == 0.0
    np.testing.assert_allclose(moved[2], [0.2, 0.1], atol=1e-5)
    np.testing.assert_allclose(np.delete(like, 2, 0), 0.98, atol=1e-6)


def test_stretched_skin_has_not() -> None:
    """An inner brow that rises by 8 px while the outer hardly does."""
    displacement = np.stack([np.zeros(6), np.linspace(-8.0, -1.0, 6)], 1)
    moved, like = held(displacement, np.full(6, 0.98))
    assert (like > 0.9).all()
    np.testing.assert_allclose(moved, displacement, atol=0.3)


def test_a_patch_that_shows_something_else_goes_with_its_region() -> None:
    displacement = np.tile([1.0, 0.5], (6, 1))
    displacement[0] = -2.0, 0.0
    likeness = np.full(6, 0.98)
    likeness[0] = 0.1
    moved, _ = held(displacement, likeness)
    np.testing.assert_allclose(moved[0], [1.0, 0.5], atol=1e-5)
