"""The face image against SciPy: the same blur, the same places, whatever the size, the turn and the border."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from realtime.errors import MerealtimeError
from realtime.vision.face.face_image import FaceImage


def expected(picture: np.ndarray, matrix: np.ndarray, sigma: float, height: int, width: int) -> np.ndarray:
    """(height, width) float64."""
    radius = (round(sigma * 8 + 1) | 1) // 2
    blurred = gaussian_filter(picture.astype(float), sigma, mode="nearest", radius=radius)
    v, u = np.mgrid[:height, :width]
    x = matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]
    y = matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]
    return map_coordinates(blurred, [y, x], order=1, mode="nearest")


@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.02, 1.4, 2.0, 3.7])
@pytest.mark.parametrize(("turn", "shift"), [(0.0, (3.0, 4.0)), (0.3, (20.0, -15.0)), (-0.05, (-30.5, 12.25))])
def test_it_is_scipys(sigma: float, turn: float, shift: tuple[float, float]) -> None:
    """Places off the picture too."""
    picture = np.random.default_rng(7).integers(0, 256, (90, 70), np.uint8)
    a, b = sigma * np.cos(turn), sigma * np.sin(turn)
    matrix = np.array([[a, -b, shift[0]], [b, a, shift[1]]])
    drawn = FaceImage(50, 40).draw(picture, matrix, sigma)
    np.testing.assert_allclose(drawn, expected(picture, matrix, sigma, 50, 40), atol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 200), (200, 2), (8, 8)])
def test_a_small_face_is_no_error(shape: tuple[int, int]) -> None:
    """Smaller than the blur reaches."""
    picture = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    matrix = np.array([[1.1, 0.1, -5.0], [-0.1, 1.1, -2.0]])
    drawing = FaceImage(30, 20)
    drawing.draw(np.full((40, 40), np.nan, np.float32), matrix, 1.1)  # what lies beside the small one in memory
    drawn = drawing.draw(picture, matrix, 1.1)
    np.testing.assert_allclose(drawn, expected(picture, matrix, 1.1, 30, 20), atol=0.01)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39, 1e12])
@pytest.mark.parametrize("at", [(0, 0), (0, 2), (1, 1)])
def test_what_is_no_pose_is_refused(wrong: float, at: tuple[int, int]) -> None:
    """A kernel would read anywhere in memory."""
    matrix = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])
    matrix[at] = wrong
    with pytest.raises(MerealtimeError, match="a face can't be at"):
        FaceImage(30, 20).draw(np.zeros((40, 40), np.uint8), matrix, 1.0)


def test_memory_is_used_again_and_nothing_of_the_last_face_shows() -> None:
    """A large face, a small one, the large one again; views and float pictures as well."""
    rng = np.random.default_rng(3)
    large, small = rng.integers(0, 256, (120, 100), np.uint8), rng.integers(0, 256, (40, 30), np.uint8)
    matrix = np.array([[1.0, 0.02, 2.5], [-0.02, 1.0, 3.5]])
    drawing = FaceImage(30, 25)
    first = drawing.draw(large, matrix, 1.0).copy()
    np.testing.assert_allclose(drawing.draw(small, matrix, 1.0), expected(small, matrix, 1.0, 30, 25), atol=0.01)
    np.testing.assert_array_equal(drawing.draw(np.asfortranarray(large), matrix, 1.0), first)
    np.testing.assert_array_equal(drawing.draw(large.astype(np.float32), matrix, 1.0), first)


@pytest.mark.parametrize("box", [(0, 0, 60, 50), (7, 3, 41, 50), (59, 0, 60, 50), (0, 49, 60, 50), (12, 9, 13, 10)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_part_of_a_frame_is_as_if_it_were_cut_out(box: tuple[int, int, int, int], kind: type) -> None:
    """Nothing beside it shows; frames of the ring can't be written to, and a view is no error."""
    rng = np.random.default_rng(5)
    frame = rng.integers(0, 256, (50, 60)).astype(kind)
    x0, y0, x1, y1 = box
    matrix = np.array([[1.05, 0.03, -1.5], [-0.03, 1.05, 2.25]])
    drawing = FaceImage(24, 20)
    cut = drawing.draw(frame[y0:y1, x0:x1].copy(), matrix, 1.05).copy()
    np.testing.assert_allclose(cut, expected(frame[y0:y1, x0:x1], matrix, 1.05, 24, 20), atol=0.01)
    np.testing.assert_array_equal(drawing.draw(frame, matrix, 1.05, box), cut)
    np.testing.assert_array_equal(drawing.draw(np.repeat(frame, 2, 1)[:, ::2], matrix, 1.05, box), cut)
    assert frame.flags.writeable
    frame.flags.writeable = False
    np.testing.assert_array_equal(drawing.draw(frame, matrix, 1.05, box), cut)
