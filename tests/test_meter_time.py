"""Time stamps, not frame counts: wrong rates, holes, a template that is renewed in the middle of an event."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.config import SpotSettings
from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.face.registration import Anchor
from realtime.vision.flow import tvl1
from realtime.vision.spotting import Spotter
from realtime.vision.spotting.blinks import BlinkLog
from realtime.vision.spotting.face_meter import FaceMeter

FPS = 200.0


def rise_and_fall(t_s: np.ndarray, onset: float, length: float) -> np.ndarray:
    """Minimum-jerk there and back again in ``length`` seconds, 0..1."""

    def jerk(tau: np.ndarray) -> np.ndarray:
        tau = np.clip(tau, 0, 1)
        return tau**3 * (10 - 15 * tau + 6 * tau**2)

    return jerk((t_s - onset) / (length / 2)) - jerk((t_s - onset - length / 2) / (length / 2))


def spot(t_s: np.ndarray, curve: np.ndarray, nominal_fps: float) -> list[SpotEvent]:
    spotter = Spotter(SpotSettings(), nominal_fps)
    found = [e for k, t in enumerate(t_s) if (e := spotter.push(k, round(t * 1e9), [float(curve[k])]))]
    last = spotter.flush()
    return found + ([last] if last else [])


def test_a_camera_slower_than_granted_shortens_no_movement() -> None:
    """Granted 30 fps, delivering 15: 0.8 s are 12 frames, which at the granted rate would be 0.4 s and micro."""
    t_s = np.arange(90) / 15
    (event,) = spot(t_s, 4.0 * rise_and_fall(t_s, 3.0, 0.8), 30.0)
    assert event.kind == "macro"
    assert (event.offset_t_ns - event.onset_t_ns) / 1e9 == pytest.approx(0.8, abs=0.15)


def test_the_shortest_movement_is_measured_in_seconds() -> None:
    """Granted 200 fps, delivering 120: at the granted rate 60 ms would look like 36 and be dropped."""
    t_s = np.arange(600) / 120
    assert len(spot(t_s, 2.0 * rise_and_fall(t_s, 3.0, 0.06), 200.0)) == 1


def test_a_blink_behind_a_hole_is_as_long_as_its_time() -> None:
    log = BlinkLog()
    for t_ms in (0, 5, 10, 400, 405):
        log.note(t_ms * 1_000_000, 1.0 if t_ms >= 5 else 0.0)
    assert log.lasting_s(405_000_000) == pytest.approx(0.4)


def test_no_event_crosses_a_hole() -> None:
    """Half a second is missing in the middle of a movement: what is seen on either side is not one step."""
    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(blinks=False), 5, (640, 480), FPS)
    renderer.prepare()
    truth = renderer.schedule.event(0, 10_000)
    assert truth is not None
    hole = range(truth.apex - 4, truth.apex + 96)
    meter = FaceMeter(SpotSettings(), FPS)
    frame = np.empty((480, 640), np.uint8)
    events = []
    for number in range(truth.onset - 200, truth.offset + 200):
        if number in hole:
            continue
        renderer.render(number, frame)
        events += meter.process(frame, number, round(number * 1e9 / FPS))[1]
    events += meter.flush()
    meter.close()
    assert not [e for e in events if e.onset < hole.start and e.offset >= hole.stop]


def test_a_torn_frame_leaves_the_next_as_if_it_had_never_been() -> None:
    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(events=False), 6, (640, 480), FPS)
    frame = np.empty((480, 640), np.uint8)
    seen = []
    for torn in (False, True):
        meter = FaceMeter(SpotSettings(), FPS)
        for number in range(80):
            renderer.render(number, frame)
            if number == 70:
                if torn:
                    frame[240:] = 0
                    assert meter.process(frame, number, number * 5_000_000, lambda: False) == (None, [])
                continue
            measurement, _ = meter.process(frame, number, number * 5_000_000)
        assert measurement is not None
        assert measurement.face
        seen.append(measurement.difference)
        meter.close()
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)


def test_a_template_renewed_between_onset_and_apex_moves_no_skin() -> None:
    """New landmarks jitter by a pixel and more; the two crops of an event go through one set all the same."""
    settings = SynthesisSettings.clean(events=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, 2, (640, 480), FPS)
    frame = np.empty((480, 640), np.uint8)
    meter = FaceMeter(SpotSettings(), FPS, FaceMesh())
    for number in range(60):
        renderer.render(number, frame)
        if number == 40:
            old = meter.anchor
            assert old is not None
            mesh = old.mesh_in_frame()
            mesh[:, 0] += 2.0 + 0.02 * (mesh[:, 1] - mesh[:, 1].mean())  # shifted, and sheared by a degree
            renewed = Anchor(frame, mesh.astype(np.float32))
            renewed.follow_on(old)
            meter.follower.anchor = renewed
            meter.detector.go_on(renewed, old)
        meter.process(frame, number, number * 5_000_000)
    event = SpotEvent(
        kind="micro", onset=20, apex=50, offset=55, onset_t_ns=0, apex_t_ns=1, offset_t_ns=2, score=9.0, rois={},
        decided=55,
    )  # fmt: skip
    onset, apex, _ = meter.crops(event)
    meter.close()
    flow = tvl1(onset, apex)
    assert np.median(np.hypot(*flow[30:-20, 20:-20].reshape(-1, 2).T)) < 0.15
