"""The generated face: its movements are what the truth says, its distractors what the settings say."""

from __future__ import annotations

import itertools

import cv2
import msgspec
import numpy as np
import pytest
from _synthesis import PORTRAIT, SIZE, draw, one_thread, recovered  # noqa: F401 (one_thread is a fixture)

from realtime.errors import InputError
from realtime.synthesis import (
    ACTION_UNITS,
    OTHER_UNITS,
    FaceRenderer,
    Portrait,
    Schedule,
    SynthesisSettings,
    TruthEvent,
    action_unit_field,
    generate_clip,
    minimum_jerk,
    render_pair,
)
from realtime.synthesis.fields import _HELD, unit_field
from realtime.synthesis.portrait import FACE_OVAL

# --- portrait ---------------------------------------------------------------------------------------------


def test_packaged_face_is_145_px_wide_and_not_at_the_border():
    placed = PORTRAIT.place(SIZE)
    assert placed.image.shape == (480, 640)
    assert placed.face_width_px == pytest.approx(145, abs=1)
    assert placed.landmarks.shape == (68, 2)
    assert placed.mesh.min() > 60
    assert (placed.mesh < [580, 420]).all()


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (200, 400), (641, 479)])
def test_face_scales_with_the_frame(size):
    renderer = FaceRenderer(PORTRAIT, size=size)
    wanted = 145 * min(size[0] / 640, size[1] / 480)
    assert renderer.placed.face_width_px == pytest.approx(wanted, rel=0.02)
    frame = draw(renderer, 3)
    assert frame.shape == (size[1], size[0])
    assert frame.std() > 20


def test_portrait_of_wrong_shape_is_refused():
    with pytest.raises(InputError, match="landmarks"):
        Portrait.from_image(np.zeros((9, 9), np.uint8), np.zeros((68, 2)))
    with pytest.raises(InputError, match="uint8"):
        Portrait.from_image(np.zeros((9, 9, 3), np.uint8), np.zeros((478, 2)))


def test_small_portrait_fills_the_frame_with_its_border():
    mesh = PORTRAIT.mesh - [120, 20]
    small = Portrait.from_image(PORTRAIT.gray[20:240, 120:340], mesh)
    assert small.place(SIZE).face_width_px == pytest.approx(145, abs=1)
    assert small.place(SIZE).image.shape == (480, 640)


# --- action units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("au", ACTION_UNITS + OTHER_UNITS)
@pytest.mark.parametrize("amplitude", [0.7, 3.0])
def test_largest_displacement_is_the_stated_one(au, amplitude):
    field = action_unit_field(PORTRAIT, au, amplitude)
    assert field.shape == (480, 640, 2)
    assert field.dtype == np.float32
    assert np.hypot(field[..., 0], field[..., 1]).max() == pytest.approx(amplitude, rel=1e-5)


@pytest.mark.parametrize("au", ACTION_UNITS + OTHER_UNITS)
def test_nothing_moves_outside_the_face_nor_what_is_held(au):
    placed = PORTRAIT.place(SIZE)
    field = action_unit_field(PORTRAIT, au, 1.0)
    size = np.hypot(field[..., 0], field[..., 1])
    oval = np.zeros((480, 640), np.uint8)
    cv2.fillPoly(oval, [np.round(placed.mesh[list(FACE_OVAL)]).astype(np.int32)], 1)
    assert size[oval == 0].max() == 0
    wings = {129, 358, 64, 294, 98, 327, 48, 278, 49, 279, 142, 371}
    moved_by_itself = {"AU9": wings, "AU10": wings | {2}}.get(au, set())
    held = placed.mesh[[index for index in _HELD if index not in moved_by_itself]]
    at_held = cv2.remap(size, held[:, 0], held[:, 1], cv2.INTER_LINEAR)
    assert at_held.max() < 0.06


def test_each_unit_pulls_the_right_way():
    mesh = PORTRAIT.place(SIZE).mesh

    def at(au: str, index: int, side: str = "both") -> np.ndarray:
        field = action_unit_field(PORTRAIT, au, 1.0, SIZE, side)
        x, y = np.round(mesh[index]).astype(int)
        return field[y, x]

    assert at("AU12", 61)[0] < -0.3  # the subject's right corner, on the picture's left
    assert at("AU12", 61)[1] < -0.5
    assert at("AU12", 291)[0] > 0.3
    assert at("AU15", 61)[1] > 0.5
    assert at("AU4", 55)[1] > 0.5
    assert at("AU4", 55)[0] > 0.2  # brows draw together
    assert at("AU4", 285)[0] < -0.2
    assert at("AU9", 129)[1] < -0.7
    assert at("AU1+2", 105)[1] < -0.7
    assert at("U12", 291, "left")[1] < -0.5
    assert at("AU10", 39)[1] < -0.6
    assert abs(at("AU10", 61)[1]) < 0.3  # the corners stay
    assert at("AU14", 61)[0] < -0.5  # the corner outward, the cheek beside it inward
    assert at("AU14", 207)[0] > 0.3
    assert np.hypot(*at("U14", 61, "left")) < 0.03
    assert at("U14", 291, "left")[0] > 0.5
    assert at("AU1+4", 107)[1] < -0.5  # the inner ends of the brows up and together
    assert at("AU1+4", 107)[0] > 0.2
    assert abs(at("AU1+4", 46)[1]) < 0.3
    assert np.hypot(*at("U12", 61, "left")) < 0.03
    assert np.hypot(*at("U12", 291, "right")) < 0.03


@pytest.mark.parametrize("au", ACTION_UNITS + OTHER_UNITS)
def test_moved_frame_is_the_neutral_one_carried_along_the_field(au):
    """moved(x + field(x)) = neutral(x): what a flow method is asked to find, checked without one."""
    neutral, moved, field = render_pair(PORTRAIT, au, 3.0)
    ys, xs = np.mgrid[0:480, 0:640].astype(np.float32)
    back = cv2.remap(moved.astype(np.float32), xs + field[..., 0], ys + field[..., 1], cv2.INTER_CUBIC)
    where = np.hypot(field[..., 0], field[..., 1]) > 0.3
    before = np.abs(moved.astype(np.float32) - neutral)[where].mean()
    after = np.abs(back - neutral)[where].mean()
    assert after < 1.3
    assert after < 0.3 * before


@pytest.mark.parametrize("au", ACTION_UNITS + OTHER_UNITS)
@pytest.mark.parametrize("amplitude", [1.0, 2.5])
def test_tv_l1_recovers_the_movement(au, amplitude):
    """An independent measurement; it is what found a bug that dropped purely vertical fields."""
    neutral, moved, field = render_pair(PORTRAIT, au, amplitude, shading=0.25)
    rows, cols = slice(80, 310), slice(230, 430)
    flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(neutral[rows, cols], moved[rows, cols], None)
    share, quiet = recovered(neutral[rows, cols], flow, field[rows, cols])
    assert 0.75 < share < 1.05
    assert quiet < 0.1 * amplitude


def test_unit_field_box_covers_all_that_moves():
    placed = PORTRAIT.place(SIZE)
    for au in ACTION_UNITS + OTHER_UNITS:
        field = unit_field(placed, au)
        assert (field.data[[0, -1]] == 0).all()
        assert (field.data[:, [0, -1]] == 0).all()
        assert np.array_equal(field.planes[1].reshape(field.shape), field.data[..., 1])


# --- time course and schedule -----------------------------------------------------------------------------


def test_minimum_jerk():
    assert minimum_jerk(-1) == 0
    assert minimum_jerk(0.5) == pytest.approx(0.5)
    assert minimum_jerk(2) == 1
    steps = np.diff([minimum_jerk(t) for t in np.linspace(0, 1, 1001)])
    assert steps.max() * 1000 == pytest.approx(1.875, rel=1e-3)  # peak speed over mean speed
    assert steps.min() >= 0


def test_amplitude_follows_the_frame_numbers():
    event = TruthEvent(
        kind="micro",
        onset=100,
        apex=120,
        offset=150,
        hold_frames=10,
        au="AU4",
        side="both",
        amplitude_px=2.0,
        label="negative",
    )
    assert event.amplitude_at(100) == 0
    assert 0 < event.amplitude_at(101) < event.amplitude_at(119) < 2
    assert [event.amplitude_at(frame) for frame in (120, 125, 130)] == [2, 2, 2]
    assert event.amplitude_at(110) == pytest.approx(1)
    assert event.amplitude_at(140) == pytest.approx(1)
    assert event.amplitude_at(150) == 0


def test_micro_events_last_half_a_second_at_most_and_do_not_touch():
    for seed, fps in itertools.product(range(5), (100, 200, 500)):
        events = Schedule(SynthesisSettings(macro_share=0.3), seed, fps).events_until(120 * fps)
        assert len(events) > 20
        for event in events:
            assert event.onset < event.apex <= event.apex + event.hold_frames < event.offset
            length_s = (event.offset - event.onset) / fps
            assert (length_s <= 0.5) == (event.kind == "micro")
            low, high = (4, 8) if event.kind == "macro" else (1, 3)
            assert low <= event.amplitude_px <= high
        for first, second in itertools.pairwise(events):
            assert second.onset - first.offset > fps
        assert {event.au for event in events} == set(ACTION_UNITS)
        assert {event.kind for event in events} == {"micro", "macro"}


def test_one_seed_tells_one_story_at_every_rate():
    slow = Schedule(SynthesisSettings(), 7, 100)
    fast = Schedule(SynthesisSettings(), 7, 500)
    for a, b in zip(slow.events_until(6000), fast.events_until(30000), strict=True):
        assert (a.au, a.side, a.amplitude_px) == (b.au, b.side, b.amplitude_px)
        for x, y in ((a.onset, b.onset), (a.apex, b.apex), (a.offset, b.offset)):
            assert abs(x / 100 - y / 500) < 0.031  # three roundings down of at most a frame
    for a, b in zip(slow.blinks_until(5000), fast.blinks_until(25000), strict=False):
        assert abs(a.onset / 100 - b.onset / 500) < 0.011


def test_schedule_is_endless_and_the_same_however_it_is_asked():
    ordered = Schedule(SynthesisSettings(), 3, 200)
    jumped = Schedule(SynthesisSettings(), 3, 200)
    hour = 3600 * 200
    assert jumped.events_until(hour)[-1].offset > hour - 10 * 200
    for frame in range(0, hour, 5000):
        ordered.event_at(frame)
    assert ordered.events_until(hour) == jumped.events_until(hour)
    assert ordered.blinks_until(hour) == jumped.blinks_until(hour)


def test_event_at_covers_onset_to_offset():
    schedule = Schedule(SynthesisSettings(), 1, 200)
    event = schedule.events_until(2000)[0]
    assert schedule.event_at(event.onset) == event
    assert schedule.event_at(event.offset) == event
    assert schedule.event_at(event.onset - 1) is None
    assert schedule.event_at(event.offset + 1) is None


def test_blinks_take_100_to_300_ms_and_shut_the_eye():
    blinks = Schedule(SynthesisSettings(), 5, 500).blinks_until(500 * 300)
    assert len(blinks) > 50
    for blink in blinks:
        assert 0.095 <= (blink.offset - blink.onset) / 500 <= 0.305
        assert blink.closure_at(blink.closed) == blink.closure_at(blink.opening) == 1
        assert blink.closure_at(blink.onset) == blink.closure_at(blink.offset) == 0


def test_clip_holds_only_whole_events_of_the_asked_amplitude():
    settings = SynthesisSettings(amplitude_px=(1.5, 1.5))
    for seed in range(20):
        _, truth = generate_clip(PORTRAIT, seed, 6.0, settings=settings)
        assert all(event.offset <= 1199 for event in truth)
        assert all(event.amplitude_px == pytest.approx(1.5, rel=0.01) for event in truth)


def test_distractors_only_has_no_event():
    _, truth = generate_clip(PORTRAIT, 1, 60.0, settings=SynthesisSettings(events=False))
    assert truth == []


def test_settings_refuse_nonsense():
    with pytest.raises(ValueError, match="backwards"):
        SynthesisSettings(rise_s=(0.3, 0.1))
    with pytest.raises(ValueError, match="action_units"):
        SynthesisSettings(action_units=())
    with pytest.raises(msgspec.ValidationError, match="drift"):
        msgspec.convert({"drift": 1}, SynthesisSettings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"noise_grey": -1}, SynthesisSettings)
    with pytest.raises(ValueError, match="never fit"):
        Schedule(SynthesisSettings(rise_s=(0.6, 0.7)), 0, 200).events_until(2000)
