"""The spotter's whole way on generated faces: from frames to events and crops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from realtime.config import SpotSettings
from realtime.errors import InputError, MerealtimeError
from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings, TruthEvent, generate_clip
from realtime.types import SpotEvent
from realtime.vision.face.history import FaceHistory
from realtime.vision.face.landmarks import FaceMesh, search_windows, to_68
from realtime.vision.face.regions import (
    FACE_WIDTH_PX,
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    LEFT_CHEEK,
    RIGHT_CHEEK,
    ROI_NAMES,
    lay_out,
)
from realtime.vision.face.registration import Anchor, register
from realtime.vision.features import FeatureSpec, feature_map
from realtime.vision.features.crop import apply, crop, crop_transform
from realtime.vision.spotting import Spotter
from realtime.vision.spotting.face_meter import FaceMeter

FPS = 200.0
EVENTS = SynthesisSettings(amplitude_px=(2.0, 2.0), event_gap_s=(0.9, 1.3))


@pytest.fixture(scope="module")
def mesh_finder() -> Iterator[FaceMesh]:
    finder = FaceMesh()
    yield finder
    finder.close()


def run(
    frames: Iterator[np.ndarray], detector: str = "motion", fps: float = FPS, numbers: Iterator[int] | None = None
) -> tuple[list[SpotEvent], list[tuple[str, str]], list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Events, notices and crops of a clip."""
    meter = FaceMeter(SpotSettings(detector=detector), fps)  # type: ignore[arg-type]
    events, notices, crops = [], [], []
    try:
        for index, frame in enumerate(frames):
            number = next(numbers) if numbers else index
            measurement, told = meter.process(frame, number, round(number * 1e9 / fps))
            assert measurement is not None
            notices += measurement.notices
            events += told
            crops += [meter.crops(event) for event in told]
        return events + meter.flush(), notices, crops
    finally:
        meter.close()


def overlap(event: SpotEvent, truth: TruthEvent) -> float:
    shared = min(event.offset, truth.offset) - max(event.onset, truth.onset) + 1
    return shared / (max(event.offset, truth.offset) - min(event.onset, truth.onset) + 1)


@pytest.mark.parametrize("detector", ["fused", "motion"])
def test_movements_of_a_generated_face_are_found_among_blinks_drift_and_flicker(detector: str) -> None:
    frames, truth = generate_clip(Portrait.packaged(), 5, 8, FPS, EVENTS)
    events, notices, crops = run(frames, detector)
    assert notices == [("face found", "frame 0")]
    assert len(events) == len(truth) >= 3
    for event, true, (onset, apex, landmarks) in zip(events, truth, crops, strict=False):
        assert overlap(event, true) >= 0.5
        assert abs(event.apex - true.apex) <= 3 + true.hold_frames
        assert event.kind == true.kind
        assert onset.shape == apex.shape == (170, 140)
        assert feature_map(onset, apex, landmarks).shape == (28, 28, 3)
        side = {"AU4": "eye_brow", "AU1+2": "eye_brow", "AU9": "nose"}.get(true.au, "mouth")
        assert max(event.rois, key=lambda name: event.rois[name]).endswith(side)


def test_the_papers_detector_finds_larger_movements() -> None:
    frames, truth = generate_clip(
        Portrait.packaged(), 5, 8, FPS, msgspec.structs.replace(EVENTS, amplitude_px=(3.0, 3.0))
    )
    events, _, _ = run(frames, "lbp")
    hits = [true for true in truth if any(overlap(event, true) >= 0.5 for event in events)]
    assert len(hits) >= 0.7 * len(truth)
    assert len(events) - len(hits) <= 1


def test_blinks_drift_and_flicker_are_no_event() -> None:
    settings = SynthesisSettings(events=False, blink_gap_s=(0.6, 1.2))
    frames, _ = generate_clip(Portrait.packaged(), 1, 8, FPS, settings)
    assert run(frames)[0] == []


def test_two_runs_give_the_same_events() -> None:
    clips = [generate_clip(Portrait.packaged(), 2, 4, FPS, EVENTS)[0] for _ in range(2)]
    (first, _, a), (second, _, b) = (run(clip) for clip in clips)
    assert first == second
    assert first
    for one, other in zip(a, b, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_face_that_goes_and_comes_is_told() -> None:
    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(events=False), 0, (640, 480), FPS)

    def frames() -> Iterator[np.ndarray]:
        out = np.empty((480, 640), np.uint8)
        for number in range(320):
            if 100 <= number < 220:
                out[:] = 90
            else:
                renderer.render(number, out)
            yield out

    events, notices, _ = run(frames())
    assert [what for what, _ in notices if what != "face anchored again"] == ["face found", "face lost", "face found"]
    assert events == []


def test_no_face_at_all_is_told_once() -> None:
    events, notices, _ = run(np.full((240, 320), 100, np.uint8) for _ in range(60))
    assert events == []
    assert [what for what, _ in notices] == ["face lost"]


def test_head_motion_is_recovered_and_leaves_the_face_at_rest(mesh_finder: FaceMesh) -> None:
    settings = SynthesisSettings.clean(events=False, drift_px=3.0, rotation_deg=1.0, scale_percent=1.0)
    renderer = FaceRenderer(Portrait.packaged(), settings, 3, (640, 480), FPS)
    frame = np.empty((480, 640), np.uint8)
    renderer.render(0, frame)
    mesh = mesh_finder.detect(frame)
    assert mesh is not None
    anchor = Anchor(frame, mesh)
    before = renderer.landmarks(0)
    for number in range(1, 120):
        renderer.render(number, frame)
        anchor.update(frame)
        skin = (
            anchor.displacement[anchor.layout.rigid :]
            - anchor.layout.heights[anchor.layout.rigid :, None] * anchor.turn
        )
        assert np.sqrt((skin**2).sum(1).mean()) < 0.16
    carried = apply(anchor.to_frame, apply(anchor.layout.from_frame, before))
    # the middle of the face; the outline is where rotation and scale err most
    np.testing.assert_allclose(carried[27:48], renderer.landmarks(119)[27:48], atol=0.25)


def test_register_brings_two_frames_together(mesh_finder: FaceMesh) -> None:
    settings = SynthesisSettings.clean(events=False, drift_px=2.0)
    renderer = FaceRenderer(Portrait.packaged(), settings, 4, (640, 480), FPS)
    first, second = np.empty((2, 480, 640), np.uint8)
    renderer.render(0, first)
    renderer.render(60, second)
    mesh = mesh_finder.detect(first)
    assert mesh is not None
    moved = apply(register(first, second, mesh), renderer.landmarks(0))
    np.testing.assert_allclose(moved[27:48], renderer.landmarks(60)[27:48], atol=0.2)


def test_layout_is_upright_and_of_one_size(mesh_finder: FaceMesh) -> None:
    portrait = Portrait.packaged()
    for size in ((640, 480), (1280, 960)):
        frame = np.empty((size[1], size[0]), np.uint8)
        FaceRenderer(portrait, SynthesisSettings.clean(events=False), 0, size, FPS).render(0, frame)
        mesh = mesh_finder.detect(frame)
        assert mesh is not None
        layout = lay_out(mesh)
        assert layout.mesh[LEFT_CHEEK, 0] - layout.mesh[RIGHT_CHEEK, 0] == pytest.approx(FACE_WIDTH_PX, abs=1)
        assert (layout.centres >= 8).all()
        assert (layout.centres < [IMAGE_WIDTH - 8, IMAGE_HEIGHT - 8]).all()
        assert set(layout.block_roi) == set(range(len(ROI_NAMES)))
        for x0, y0, x1, y1 in layout.eyes:
            assert (layout.blocks[y0:y1, x0:x1] < 0).all(), "no block on an eye"


def test_crop_puts_the_landmarks_where_the_spec_says(mesh_finder: FaceMesh) -> None:
    frame = np.empty((480, 640), np.uint8)
    FaceRenderer(Portrait.packaged(), SynthesisSettings.clean(events=False), 0, (640, 480), FPS).render(0, frame)
    mesh = mesh_finder.detect(frame)
    assert mesh is not None
    spec, landmarks = FeatureSpec(frame="landmarks"), to_68(mesh)
    transform = crop_transform(landmarks, spec)
    inside = apply(transform, landmarks)
    np.testing.assert_allclose(inside.min(0), [5, 25], atol=1e-6)
    np.testing.assert_allclose(inside.max(0), [135, 170], atol=1e-6)
    assert inside[36:42, 1].mean() == pytest.approx(inside[42:48, 1].mean(), abs=1e-6), "the eyes are level"
    # a face three times as large gives nearly the same crop
    large = np.asarray(np.kron(frame, np.ones((3, 3), np.uint8)))
    small_crop = crop(frame, transform, spec).astype(int)
    large_crop = crop(large, crop_transform(3 * landmarks + 1, spec), spec).astype(int)
    assert np.abs(small_crop - large_crop).mean() < 2.0


def test_landmarks_do_not_load_tensorflow() -> None:
    code = "from realtime.vision.face.landmarks import FaceMesh; FaceMesh()"
    code += "; import sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_event_that_left_the_history_is_said() -> None:
    meter = FaceMeter(SpotSettings(), FPS)
    event = SpotEvent(
        kind="micro", onset=1, apex=2, offset=3, onset_t_ns=0, apex_t_ns=0, offset_t_ns=0, score=1.0, rois={}, decided=3
    )  # fmt: skip
    with pytest.raises(MerealtimeError, match="frame 1 has left"):
        meter.crops(event)
    meter.close()


@pytest.mark.parametrize("frame", [np.zeros((10, 10), np.uint8), np.zeros((64, 64), np.uint16), np.zeros((64, 64, 3))])
def test_frames_that_are_none_are_refused(frame: np.ndarray) -> None:
    meter = FaceMeter(SpotSettings(), FPS)
    with pytest.raises(InputError, match="gray frame"):
        meter.process(frame, 0, 0)
    meter.close()


def test_a_small_face_in_a_large_picture_is_found_and_followed() -> None:
    """143 px in 1920: the detector overlooks it in the whole picture."""
    face = np.empty((480, 640), np.uint8)
    FaceRenderer(Portrait.packaged(), SynthesisSettings.clean(events=False), 0, (640, 480), FPS).render(0, face)
    mesh = FaceMesh()
    alone = mesh.detect(face, 0)
    assert alone is not None
    picture = np.full((1080, 1920), 100, np.uint8)
    mesh.warm_up(*picture.shape)
    for k, x in enumerate(range(300, 1100, 20)):
        picture[:] = 100
        picture[300:780, x : x + 640] = face
        found = mesh.detect(picture, k * 100_000_000)
        assert found is not None, f"lost at x = {x}"
        assert np.median(np.abs(found - alone - [x, 300])) < 2.0
    mesh.close()


def test_a_template_that_was_taken_behind_a_hand_is_taken_again() -> None:
    settings = SynthesisSettings(blinks=False, amplitude_px=(1.5, 1.5))
    clip, truth = generate_clip(Portrait.packaged(), 4, 6, FPS, settings)
    frames = [frame.copy() for frame in clip]
    texture = np.random.default_rng(0).integers(60, 200, (30, 30)).astype(np.uint8)
    hand = np.kron(texture, np.ones((4, 4), np.uint8))
    for frame in frames[:120]:
        frame[165:285, 235:310] = hand[:, :75]  # a cheek, beside the nose, half of the mouth
    events, notices, _ = run(iter(frames))
    again = [detail for what, detail in notices if what == "face anchored again"]
    assert len(again) == 1
    late = [one for one in truth if one.onset > 300]
    assert late
    assert all(any(overlap(event, one) >= 0.5 for event in events) for one in late)


def test_search_windows_cover_the_picture() -> None:
    for height, width in ((480, 640), (1080, 1920), (1088, 2040), (481, 1283), (1024, 1024)):
        seen = np.zeros((height, width), int)
        for x0, y0, x1, y1 in search_windows(height, width):
            assert x1 - x0 == y1 - y0 >= 400
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            seen[y0:y1, x0:x1] += 1
        assert (seen > 0).all()
    assert search_windows(240, 320) == []


def test_a_new_template_makes_no_movement() -> None:
    settings = SynthesisSettings(events=False, blinks=False)
    frames, _ = generate_clip(Portrait.packaged(), 2, 2, FPS, settings)
    meter = FaceMeter(SpotSettings(), FPS)
    differences = []
    for k, frame in enumerate(frames):
        if k == 200:
            assert meter.anchor is not None
            old, renewed = meter.anchor, Anchor(frame, meter.anchor.mesh_in_frame())
            renewed.follow_on(old)
            meter.follower.anchor = renewed
            meter.detector.go_on(renewed, old)
        measurement, events = meter.process(frame, k, round(k * 1e9 / FPS))
        assert measurement is not None
        assert events == []
        differences.append(measurement.difference.max())
    meter.close()
    assert max(differences[200:220]) < max(differences[150:200]) + 0.1


@pytest.mark.parametrize("mesh", [np.zeros((478, 2), np.float32), np.full((478, 2), np.nan, np.float32)])
def test_a_mesh_that_is_none_is_refused(mesh: np.ndarray) -> None:
    with pytest.raises(InputError, match="mesh"):
        Anchor(np.zeros((64, 64), np.uint8), mesh)


def test_the_end_of_a_strong_movement_is_no_movement_of_its_own() -> None:
    """A smile is closed at an eighth of its peak; the rest of its fall must not hide what follows."""
    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(macro_share=0.15), 0, (640, 480), 100.0)
    renderer.prepare()
    meter = FaceMeter(SpotSettings(), 100.0)  # own finder: its smoothing goes by the time between frames
    frame = np.empty((480, 640), np.uint8)
    events = []
    for k in range(330, 960):
        renderer.render(k, frame)
        events += meter.process(frame, k, k * 10_000_000)[1]
    meter.close()
    truth = [event for k in range(4) if (event := renderer.schedule.event(k, 960)) and event.onset > 330]
    assert [event.kind for event in truth] == ["macro", "micro"]
    assert [event.kind for event in events] == ["macro", "micro"]
    for event, true in zip(events, truth, strict=True):
        assert overlap(event, true) > 0.7
        assert event.decided - true.offset < 50, "and it is told soon: the mouth waits for what follows"


def test_a_renewed_reference_begins_no_movement() -> None:
    spotter = Spotter(SpotSettings(), 200.0)
    for k in range(200):
        assert spotter.push(k, k * 5_000_000, [0.02 + 0.001 * (k % 3)]) is None
    for k in range(200, 203):
        spotter.push(k, k * 5_000_000, [2.0])
    assert spotter.active
    spotter.rebase()
    for k in range(203, 400):
        assert spotter.push(k, k * 5_000_000, [0.02 + 0.001 * (k % 3)]) is None
        assert not spotter.active


def test_a_face_that_grows_does_not_lose_its_history(mesh_finder: FaceMesh) -> None:
    frame = np.empty((480, 640), np.uint8)
    FaceRenderer(Portrait.packaged(), SynthesisSettings.clean(events=False), 0, (640, 480), FPS).render(0, frame)
    large = np.asarray(np.kron(frame, np.ones((2, 2), np.uint8)))
    history = FaceHistory(4)
    for number, picture in enumerate((frame, frame, large, large)):
        mesh = mesh_finder.detect(picture)
        assert mesh is not None
        history.keep(10 * number, picture, Anchor(picture, mesh))
    small, grown = history.find(10), history.find(20)
    assert small is not None
    assert grown is not None
    assert grown.pixels.shape[0] > 1.8 * small.pixels.shape[0]
    assert small.pixels.std() > 10
    for number in (40, 50):
        history.keep(number, large, Anchor(large, mesh))
    assert [number for number in (0, 10, 20, 30, 40, 50) if history.find(number)] == [20, 30, 40, 50]
