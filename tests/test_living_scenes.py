"""What stands before the camera and what the camera does: blinks, gaze, glasses, a hand, JPEG, blur, slow shutters."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from realtime.synthesis.living import LivingSettings, Swing, generate
from realtime.synthesis.living.head import jerks, resettlings, rotation
from realtime.synthesis.portrait import FACE_OVAL

STILL = LivingSettings(
    size=(400, 352), seconds=3, fps=100, micros=False, drift=0, blink_gap_s=None, noise_grey=0, flicker_depth=0,
    pulse_percent=0,
)  # fmt: skip


def changed(**more: object) -> LivingSettings:
    return msgspec.structs.replace(STILL, **more)


def frames_of(settings: LivingSettings, seed: int = 1) -> np.ndarray:
    return np.stack([frame for frame, _ in generate(settings, seed)]).astype(float)


def near(settings: LivingSettings, *points: int, reach: int = 7) -> tuple[slice, slice]:
    mesh = generate(settings, 1).renderer().placed.mesh
    x, y = mesh[list(points)].mean(0).astype(int)
    return slice(y - reach, y + reach + 1), slice(x - reach, x + reach + 1)


def test_nothing_happens_without_a_cause() -> None:
    frames = frames_of(changed(seconds=0.5))
    assert np.array_equal(frames, np.broadcast_to(frames[0], frames.shape))


def test_the_same_seed_gives_the_same_bytes() -> None:
    settings = LivingSettings(size=(400, 352), seconds=0.3, posture=1.0, gaze_gap_s=(0.05, 0.1), jpeg_quality=80)
    first, again, other = (frames_of(settings, seed) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_time_stamps_are_the_frames_own() -> None:
    stamps = [t_ns for _, t_ns in generate(changed(fps=30, seconds=1), 1)]
    assert stamps == [round(k * 1e9 / 30) for k in range(30)]


def test_a_gaze_shift_moves_the_iris_and_nothing_beside_the_eyes() -> None:
    settings = changed(gaze_gap_s=(0.3, 0.6))
    clip = generate(settings, 1)
    frames = np.stack([frame for frame, _ in clip]).astype(float)
    change = np.abs(frames - frames[0]).max(0)
    for iris in (468, 473):
        assert change[near(settings, iris, reach=4)].mean() > 8
    for elsewhere in (4, 13, 152, 9, 205, 425):
        assert change[near(settings, elsewhere)].max() < 1.5
    assert [span.kind for span in clip.truth.spans if span.kind == "gaze"]


def test_a_blink_covers_the_eye_whatever_it_looks_at() -> None:
    """The iris is dark: it must be gone under the lid, with the eye turned as with it straight."""
    for gaze in (None, (0.2, 0.3)):
        settings = changed(blink_gap_s=(0.8, 1.0), gaze_gap_s=gaze)
        clip = generate(settings, 2)
        frames = np.stack([frame for frame, _ in clip]).astype(float)
        blink = next(span for span in clip.truth.spans if span.kind == "blink")
        shut = blink.first + round(0.4 * (blink.last - blink.first))
        darkest = [np.sort(frames[k][near(settings, 468, reach=3)].ravel())[:8].mean() for k in (blink.first, shut)]
        assert darkest[1] > darkest[0] + 12


def test_reflections_run_over_the_glasses_as_the_head_turns() -> None:
    settings = changed(glasses=True, seconds=2, fps=50, swings=(Swing("yaw", 3.0, 2.0),))
    renderer = generate(settings, 1).renderer()
    with_glasses = frames_of(settings)
    without = frames_of(msgspec.structs.replace(settings, glasses=False))
    yaw = renderer.pose[1::4, 0]  # four exposures a frame
    places = []
    for number in (int(yaw.argmin()), int(yaw.argmax())):
        x, y = renderer.forward(4 * number + 1, renderer.placed.mesh[[33, 133]].astype(np.float64)).mean(0)
        box = slice(round(y) - 20, round(y) + 21), slice(round(x) - 28, round(x) + 29)
        glare = np.maximum((with_glasses - without)[number][box] - 8, 0)  # what is brighter than the bare face
        places.append((glare * np.arange(-28, 29)).sum() / glare.sum())
    assert places[1] - places[0] > 5  # px over the lens, beside the head's own motion
    assert (without - with_glasses)[0].max() > 60  # the rims


def test_a_hand_hides_the_face_for_the_time_stated() -> None:
    settings = changed(hand_gap_s=(0.4, 0.5), seconds=4)
    clip = generate(settings, 3)
    frames = np.stack([frame for frame, _ in clip]).astype(float)
    hands = [span for span in clip.truth.spans if span.kind == "hand"]
    middle = near(settings, 4, 13, reach=30)
    changes = np.abs(frames - frames[0])[:, middle[0], middle[1]].mean((1, 2))
    inside = np.zeros(len(frames), bool)
    for span in hands:
        assert changes[span.first : span.last + 1].max() > 15
        assert 0.45 < (span.last - span.first) / settings.fps < 1.6
        inside[span.first : span.last + 1] = True
    assert hands
    assert changes[~inside].max() == 0


def test_a_slow_shutter_blurs_what_moves() -> None:
    """The same turn at the same moment: sharp at 200 fps, smeared at 25."""
    swing = (Swing("yaw", 15.0, 0.8),)
    sharpness = {}
    for fps in (200.0, 25.0):
        settings = changed(fps=fps, seconds=1.2, swings=swing)
        frames = frames_of(settings)[:: round(fps / 25)]
        sharpness[fps] = np.array([cv2.Laplacian(f[100:250, 130:270], cv2.CV_64F).var() for f in frames])
    ratio = sharpness[25.0] / sharpness[200.0]
    assert ratio.min() < 0.8
    assert 0.9 < ratio.max() < 1.05  # where the head turns back it stands still


def test_the_camera_does_what_it_is_told() -> None:
    plain = frames_of(changed(seconds=0.1))[0]
    blurred = frames_of(changed(seconds=0.1, blur_px=2.0))[0]
    flat = frames_of(changed(seconds=0.1, contrast=0.4))[0]
    packed = frames_of(changed(seconds=0.1, jpeg_quality=40))[0]
    noisy = frames_of(changed(seconds=1.0, noise_grey=6.0))
    flickering = frames_of(changed(seconds=0.5, fps=170, flicker_depth=0.08))  # sees the ripple at every phase
    assert cv2.Laplacian(blurred, cv2.CV_64F).var() < 0.2 * cv2.Laplacian(plain, cv2.CV_64F).var()
    assert flat.std() == pytest.approx(0.4 * plain.std(), rel=0.02)
    assert 0.3 < np.abs(packed - plain).mean() < 6
    grey = (plain > 100) & (plain < 150)
    assert noisy.std(0)[grey].mean() == pytest.approx(6.0, rel=0.06)
    assert 0.02 < np.ptp(flickering.mean((1, 2))) / plain.mean() < 0.1


@pytest.mark.parametrize("width", [60, 110, 400])
def test_the_face_has_the_width_asked_for(width: int) -> None:
    size = (720, 720) if width == 400 else (400, 352)
    clip = generate(changed(size=size, face_width_px=float(width), seconds=0.1), 1)
    placed = clip.renderer().placed
    assert np.ptp(placed.mesh[list(FACE_OVAL), 0]) == pytest.approx(width, abs=1)
    assert next(iter(clip))[0].shape == (size[1], size[0])


def test_a_jerk_is_eight_px_and_three_degrees_in_a_seventh_of_a_second() -> None:
    for jump in jerks(np.random.default_rng(0), 60.0, (1.5, 3.5)):
        assert np.hypot(*jump.change[3:5]) == pytest.approx(8.0)
        assert 2.5 < np.linalg.norm(jump.change[:3]) < 3.5
        assert 0.1 < jump.length_s < 0.2


def test_posture_comes_back_to_the_middle() -> None:
    changes = np.stack([jump.change for jump in resettlings(np.random.default_rng(0), 600.0, 1.0)])
    assert np.abs(changes.cumsum(0)).max(0)[0] < 8  # degrees of yaw, however long it goes on


def test_rotations_are_rotations_with_the_stated_signs() -> None:
    turn = rotation(0.3, -0.2, 0.1)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
    nose = np.array([0, 0, 1.0])
    assert (rotation(0.1, 0, 0) @ nose)[0] > 0
    assert (rotation(0, 0.1, 0) @ nose)[1] > 0
    assert (rotation(0, 0, 0.1) @ np.array([1.0, 0, 0]))[1] > 0
