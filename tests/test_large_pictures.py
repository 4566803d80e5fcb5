"""Faces in larger pictures: taken together in squares of pixels before the blur, and nothing is lost by it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings
from realtime.vision.face import registration
from realtime.vision.face.history import FaceHistory
from realtime.vision.face.registration import Anchor, on_grid
from realtime.vision.features.crop import apply

MOVING = SynthesisSettings(amplitude_px=(2.0, 2.0), event_gap_s=(0.3, 0.3))


def drawn(size: tuple[int, int], frames: int) -> tuple[list[np.ndarray], Anchor]:
    """Frames of one face from just before a movement, and its anchor in the first of them."""
    renderer = FaceRenderer(Portrait.packaged(), MOVING, 5, size, 200.0)
    movement = renderer.schedule.event(0, 1000)
    assert movement is not None
    pictures = [np.empty(size[::-1], np.uint8) for _ in range(frames)]
    for number, picture in enumerate(pictures, movement.onset - 5):
        renderer.render(number, picture)
    return pictures, Anchor(pictures[0], renderer.placed.mesh)


def test_a_large_face_is_measured_as_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin blurs every pixel, as in small pictures: same movement, same head, to a fiftieth of a pixel."""
    pictures, anchor = drawn((1920, 1080), 60)
    assert anchor.shrink == 2
    monkeypatch.setattr(registration, "_SMALL_PX", 1 << 40)
    twin = Anchor(pictures[0], apply(anchor.to_frame, anchor.layout.mesh).astype(np.float32))
    assert twin.shrink == 1
    largest = 0.0
    for picture in pictures[1:]:
        anchor.update(picture)
        twin.update(picture)
        trusted = (anchor.likeness > 0.9) & (twin.likeness > 0.9)
        apart = np.abs(anchor.displacement - twin.displacement)[trusted]
        assert np.sqrt((apart**2).mean()) < 0.02
        corners = np.array([[0.0, 0.0], [184.0, 0.0], [0.0, 224.0], [184.0, 224.0]])
        assert np.abs(apply(anchor.to_frame, corners) - apply(twin.to_frame, corners)).max() < 0.15, "px of the picture"
        largest = max(largest, float(np.hypot(*twin.displacement[trusted].T).max()))
    assert largest > 1.0, "there was something to see"


def test_a_small_picture_is_blurred_whole_however_large_its_face() -> None:
    pictures, _ = drawn((1440, 1080), 1)
    renderer = FaceRenderer(Portrait.packaged(), MOVING, 5, (1440, 1080), 200.0)
    mesh = renderer.placed.mesh - np.float32([400, 250])
    picture = np.ascontiguousarray(pictures[0][250:730, 400:1040])
    anchor = Anchor(picture, mesh)
    assert (anchor.shrink, int(anchor.grain)) == (1, 2)
    x0, y0, x1, y1 = anchor.region(picture.shape)
    face = cv2.GaussianBlur(
        picture[y0:y1, x0:x1].astype(np.float32), (0, 0), anchor.grain, borderType=cv2.BORDER_REPLICATE
    )
    places = np.stack(np.meshgrid(np.arange(184), np.arange(224)), -1).reshape(-1, 2)
    x, y = (apply(anchor.to_frame, places) - [x0, y0]).T
    plain = map_coordinates(face, [y, x], order=1, mode="nearest").reshape(224, 184)
    np.testing.assert_allclose(anchor.image, plain, atol=0.01)


def test_what_is_kept_of_a_large_face_are_means_of_whole_squares() -> None:
    (picture,), anchor = drawn((1920, 1080), 1)
    history = FaceHistory(8)
    for number in range(3):
        history.keep(number, picture, anchor)
    kept = history.find(2)
    assert kept is not None
    x0, y0, x1, y1 = on_grid(anchor.region(picture.shape), 2)
    assert (x0 % 2, y0 % 2, (x1 - x0) % 2, (y1 - y0) % 2) == (0, 0, 0, 0)
    squares = picture[y0:y1, x0:x1].astype(float).reshape((y1 - y0) // 2, 2, (x1 - x0) // 2, 2).mean((1, 3))
    assert np.abs(kept.pixels - squares).max() <= 0.5
    places = np.array([[40.0, 60.0], [92.0, 112.0], [150.0, 200.0]])
    in_frame = apply(kept.to_frame, places)
    np.testing.assert_allclose(apply(kept.to_pixels, places), (in_frame - [x0 + 0.5, y0 + 0.5]) / 2, atol=1e-9)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 16])
def test_a_box_on_the_grid_stays_in_the_picture(step: int) -> None:
    rng = np.random.default_rng(step)
    for _ in range(200):
        x0, y0 = (int(v) for v in rng.integers(0, 500, 2))
        box = x0, y0, x0 + int(rng.integers(8, 400)), y0 + int(rng.integers(8, 400))
        left, top, right, low = on_grid(box, step)
        assert (left % step, top % step) == (0, 0)
        assert 0 <= box[0] - left < step
        assert 0 <= box[1] - top < step
        assert 0 <= box[2] - right < step
        assert 0 <= box[3] - low < step
        assert right > left
        assert low > top
        if box[2] - left >= step:
            assert (right - left) % step == 0


def test_a_huge_face_that_leaves_the_picture_is_no_error() -> None:
    pictures, anchor = drawn((1920, 1080), 1)
    (picture,) = pictures
    mesh = apply(anchor.to_frame, anchor.layout.mesh) * 9.0 - [7000.0, 3000.0]
    huge = Anchor(picture, mesh.astype(np.float32))
    assert huge.shrink > 8
    history = FaceHistory(4)
    for shift in (0.0, 3000.0, -9000.0):
        huge.to_frame[:, 2] += shift
        huge.update(picture)
        history.keep(int(shift), picture, huge)
        assert np.isfinite(huge.image).all()
