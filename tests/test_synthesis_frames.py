"""Frames of the generated face: noise, light, drift and blinks are what the settings say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from _synthesis import CLEAN, PORTRAIT, SIZE, draw, one_thread  # noqa: F401 (one_thread is a fixture)

from realtime.errors import InputError
from realtime.synthesis import FaceRenderer, SynthesisSettings, generate_clip
from realtime.synthesis.signals import GAMMA, Signals

BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336)


# --- frames -----------------------------------------------------------------------------------------------


def test_a_frame_is_the_same_in_whatever_order_it_is_drawn():
    first = FaceRenderer(PORTRAIT, seed=11)
    second = FaceRenderer(PORTRAIT, seed=11)
    numbers = [0, 5, 281, 300, 301, 900, 1060]
    ahead = {number: draw(first, number) for number in numbers}
    for number in reversed(numbers):
        assert np.array_equal(draw(second, number), ahead[number])
    assert not np.array_equal(draw(FaceRenderer(PORTRAIT, seed=12), 5), ahead[5])


def test_generate_clip_yields_frames_of_their_own():
    frames, _ = generate_clip(PORTRAIT, 2, 0.05)
    kept = list(frames)
    assert len(kept) == 10
    renderer = FaceRenderer(PORTRAIT, seed=2)
    assert np.array_equal(kept[4], draw(renderer, 4))


def test_frame_buffer_of_wrong_size_is_refused():
    with pytest.raises(InputError, match="480"):
        FaceRenderer(PORTRAIT).render(0, np.empty((10, 10), np.uint8))


@pytest.mark.parametrize("level", [1.4, 3.0])
def test_noise_is_as_strong_as_stated(level):
    renderer = FaceRenderer(PORTRAIT, CLEAN(noise_grey=level, events=False))
    stack = np.stack([draw(renderer, number) for number in range(150)]).astype(np.float32)
    grey = renderer.placed.image
    spread = stack.var(0, ddof=1)
    assert np.sqrt(spread[np.abs(grey - 128) < 8].mean()) == pytest.approx(level, rel=0.03)
    # photon noise: the variance grows with the signal
    assert spread[np.abs(grey - 200) < 8].mean() > 1.2 * spread[np.abs(grey - 128) < 8].mean()
    # and is independent from pixel to pixel and from frame to frame
    residual = (stack - stack.mean(0))[:, 130:200, 250:390]
    beside = (residual[:, :, 1:] * residual[:, :, :-1]).mean() / residual.var()
    later = (residual[1:] * residual[:-1]).mean() / residual.var()
    assert abs(beside) < 0.02
    assert abs(later) < 0.02


def test_fixed_pattern_stays():
    renderer = FaceRenderer(PORTRAIT, CLEAN(fixed_pattern_grey=2.0, events=False))
    plain = FaceRenderer(PORTRAIT, CLEAN(events=False))
    pattern = draw(renderer, 0).astype(float) - draw(plain, 0)
    grey = plain.placed.image
    assert pattern[(grey > 20) & (grey < 235)].std() == pytest.approx(2.0, rel=0.1)
    assert np.array_equal(draw(renderer, 0), draw(renderer, 77))


def test_mains_flicker_alternates_at_200_fps_and_vanishes_over_a_whole_period():
    signals = Signals(CLEAN(flicker_depth=0.04), 0, 200)
    gains = np.array([signals.light(k / 200) for k in range(400)])
    depth = 0.04 * np.sinc(100 * 0.004) / GAMMA
    assert np.ptp(gains) < 2.1 * depth
    assert (np.sign(gains[1:] - 1) != np.sign(gains[:-1] - 1)).mean() > 0.95
    peak = max(abs(Signals(CLEAN(flicker_depth=0.04), seed, 200).light(0) - 1) for seed in range(40))
    assert peak == pytest.approx(depth, rel=0.1)
    long = Signals(CLEAN(flicker_depth=0.04, exposure_s=0.01), 0, 100)
    assert max(abs(long.light(k / 100) - 1) for k in range(100)) < 1e-4


def test_flicker_reaches_the_frame():
    renderer = FaceRenderer(PORTRAIT, CLEAN(flicker_depth=0.3, events=False), seed=1)
    means = [draw(renderer, k)[:, :].mean() / renderer.placed.image.mean() for k in range(4)]
    assert means == pytest.approx([renderer.signals.light(k / 200) for k in range(4)], abs=0.01)
    assert np.ptp(means) > 0.02


def test_pulse_touches_the_skin_alone():
    renderer = FaceRenderer(PORTRAIT, CLEAN(pulse_percent=5.0, events=False), seed=1)
    still = FaceRenderer(PORTRAIT, CLEAN(events=False))
    number = max(range(200), key=lambda k: renderer.signals.pulse(k / 200))
    beating, resting = draw(renderer, number), draw(still, number)
    cheek = beating[200:215, 255:280].mean() / resting[200:215, 255:280].mean()
    assert cheek == pytest.approx(1 + renderer.signals.pulse(number / 200), abs=0.004)
    assert np.array_equal(beating[:, :200], resting[:, :200])


def test_drift_keeps_to_its_bounds_and_its_band():
    signals = Signals(SynthesisSettings(), 4, 200)
    poses = [signals.pose(k / 200) for k in range(120 * 200)]
    x = np.array([pose.shift_x for pose in poses])
    assert np.abs(x).max() == pytest.approx(1.5, rel=0.02)
    assert max(abs(pose.roll) for pose in poses) <= np.radians(0.3) * 1.02
    assert max(abs(pose.scale - 1) for pose in poses) <= 0.003 * 1.02
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    hz = np.fft.rfftfreq(len(x), 1 / 200)
    assert power[hz > 2.6].sum() < 1e-4 * power.sum()


def test_true_landmarks_are_where_the_picture_is():
    """Drift, roll and scale of the drawn face, measured by registration, are those of `landmarks`."""
    settings = CLEAN(drift_px=3.0, rotation_deg=1.5, scale_percent=1.0, events=False)
    renderer = FaceRenderer(PORTRAIT, settings, seed=5)
    rest = FaceRenderer(PORTRAIT, CLEAN(events=False))
    number = max(range(0, 4000, 10), key=lambda k: renderer.signals.pose(k / 200).roll)
    frame, still = draw(renderer, number), draw(rest, 0)
    mask = np.zeros_like(still)
    mask[120:270, 260:375] = 1
    start = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-7)
    _, warp = cv2.findTransformECC(still, frame, start, cv2.MOTION_AFFINE, stop, mask, 3)
    measured = rest.placed.landmarks @ warp[:, :2].T + warp[:, 2]
    inner = slice(17, 68)
    true = renderer.landmarks(number)
    assert np.abs(true - rest.placed.landmarks)[inner].max() > 1
    assert np.abs(measured - true)[inner].max() < 0.15


def test_landmarks_follow_an_action_unit():
    renderer = FaceRenderer(PORTRAIT, CLEAN(action_units=("AU12",), amplitude_px=(3.0, 3.0)), seed=1)
    event = renderer.schedule.events_until(2000)[0]
    moved = renderer.landmarks(event.apex) - renderer.landmarks(event.onset)
    assert moved[48, 1] < -1.5
    assert moved[54, 1] < -1.5
    assert np.abs(moved[36:48]).max() < 0.2


def test_only_the_head_moves():
    renderer = FaceRenderer(PORTRAIT, CLEAN(drift_px=4.0, events=False), seed=5)
    frame, still = draw(renderer, 431), draw(FaceRenderer(PORTRAIT, CLEAN(events=False)), 0)
    assert np.array_equal(frame[:, :180], still[:, :180])
    assert np.array_equal(frame[400:], still[400:])
    assert np.abs(frame[150:250, 260:380].astype(int) - still[150:250, 260:380]).max() > 20


# --- blinks -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blink_frames() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(open, half shut, shut), nothing else moving."""
    renderer = FaceRenderer(PORTRAIT, CLEAN(blinks=True, events=False), seed=2)
    blink = renderer.schedule.blinks_until(3000)[0]
    half = (blink.onset + blink.closed) // 2
    return draw(renderer, blink.onset), draw(renderer, half), draw(renderer, blink.closed)


def test_blink_leaves_the_brow_alone(blink_frames):
    opened, half, shut = blink_frames
    mesh = np.round(PORTRAIT.place(SIZE).mesh).astype(int)
    for x, y in mesh[list(BROWS)]:
        for frame in (half, shut):
            patch = (slice(y - 4, y + 2), slice(x - 3, x + 4))
            assert np.abs(frame[patch].astype(int) - opened[patch]).max() <= 2
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(opened, shut, None)
    size = np.hypot(flow[..., 0], flow[..., 1])
    upper = [size[y - 3 : y, x - 2 : x + 3].mean() for x, y in mesh[[63, 105, 66, 293, 334, 296]]]
    assert np.median(upper) < 0.15


def test_lid_covers_the_eye_and_the_eyeball_stays(blink_frames):
    opened, half, shut = (frame.astype(int) for frame in blink_frames)
    placed = PORTRAIT.place(SIZE)
    for iris, below in ((468, 145), (473, 374)):
        x, y = np.round(placed.mesh[iris]).astype(int)
        assert shut[y - 2 : y + 2, x - 2 : x + 3].mean() > opened[y - 2 : y + 2, x - 2 : x + 3].mean() + 40
        # half shut, the lower part of the eyeball is the very same pixels
        x, y = np.round(placed.mesh[below]).astype(int)
        assert np.array_equal(half[y - 2 : y + 4, x - 6 : x + 7], opened[y - 2 : y + 4, x - 6 : x + 7])


def test_blink_changes_the_eyes_alone(blink_frames):
    opened, _, shut = blink_frames
    changed = np.argwhere(opened != shut)
    mesh = PORTRAIT.place(SIZE).mesh
    eyes = mesh[[33, 133, 362, 263, 145, 374, 159, 386]]
    assert (changed.min(0) > [eyes[:, 1].min() - 14, eyes[:, 0].min() - 14]).all()
    assert (changed.max(0) < [eyes[:, 1].max() + 4, eyes[:, 0].max() + 14]).all()
