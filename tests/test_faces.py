"""Several faces at once, by landmarks as told: whose is what, and that one face alone is what it was."""

from __future__ import annotations

import numpy as np
import pytest
from _crowd import EVENTS, FPS, FRAME_NS, STILL, Sitter, crowd_of, on_the_move, run, side_by_side

from realtime.config import SpotSettings
from realtime.vision.face.landmarks import FoundFace
from realtime.vision.spotting.crowd import Crowd, make_meter
from realtime.vision.spotting.face_meter import FaceMeter


class Script:
    """Landmarks as told, by the frame's number: what networks would find, without any."""

    depth = None

    def __init__(self, *found: tuple[range, np.ndarray]) -> None:
        self._found = found
        self.asked: list[int] = []

    def detect_all(self, gray: np.ndarray, t_ns: int) -> list[FoundFace]:
        self.asked.append(t_ns // FRAME_NS)
        return [FoundFace(mesh) for when, mesh in self._found if t_ns // FRAME_NS in when]

    def detect(self, gray: np.ndarray, t_ns: int) -> np.ndarray | None:
        return next((face.mesh for face in self.detect_all(gray, t_ns)), None)

    def close(self) -> None:
        """Nothing is held."""


def test_one_face_is_followed_by_the_very_meter_that_it_was() -> None:
    meter = make_meter(SpotSettings(), FPS, Script())  # type: ignore[arg-type]
    assert type(meter) is FaceMeter
    meter.close()


def test_a_face_among_several_is_measured_as_if_it_were_alone() -> None:
    """Bit by bit, by the same landmarks: also where it is lost, found again, and cut."""
    sitter = Sitter(5, EVENTS)
    meshes = [(range(250), sitter.mesh), (range(290, 500), sitter.mesh + np.float32([0.5, -0.3]))]
    crowd = crowd_of(3, Script(*meshes))
    meter = FaceMeter(SpotSettings(), FPS, Script(*meshes))  # type: ignore[arg-type]
    events, heads = [], 0
    for number in range(480):
        frame = sitter.draw(number)
        seen, told = crowd.process(frame, number, number * FRAME_NS)
        one, told_alone = meter.process(frame, number, number * FRAME_NS)
        assert seen is not None
        assert one is not None
        (of_crowd,) = seen.each()
        np.testing.assert_array_equal(of_crowd.difference, one.difference)
        assert (of_crowd.face, of_crowd.head, seen.face) == (one.face, one.head, one.face)
        assert told == told_alone
        assert [detail.removeprefix("face 0: ") for _, detail in seen.notices] == [d for _, d in one.notices]
        events += told
        heads += one.face
    assert crowd.flush() == meter.flush()
    assert len(events) == 1
    assert 350 < heads < 480, "it was away for a while"
    for of_crowd_crop, crop in zip(crowd.crops(events[0]), meter.crops(events[0]), strict=True):
        np.testing.assert_array_equal(of_crowd_crop, crop)
    assert crowd.timings().keys() == meter.timings().keys()
    assert crowd.timings()["frames"] == 480
    crowd.close()
    meter.close()


def test_landmarks_are_asked_for_as_often_for_three_as_for_one() -> None:
    sitter, script = Sitter(1, STILL), Script((range(100), Sitter(1, STILL).mesh))
    run(crowd_of(3, script), (sitter.draw(k) for k in range(100)))
    assert script.asked == [0, 20, 40, 60, 80]


def test_a_newcomer_is_followed_from_where_it_is_now() -> None:
    """Its landmarks are ten frames old when they are used; it has moved by 6 px since."""
    left, right = Sitter(1, STILL), Sitter(2, STILL)

    def x(number: int) -> float:
        return 600 + 0.6 * number

    shift = np.float32([600 - right.half + 0.6 * 140, 0])
    script = Script((range(400), left.mesh + np.float32([250 - left.half, 0])), (range(130, 150), right.mesh + shift))
    frames = on_the_move([left, right], [lambda _: 250, x], 151)
    _, notices, places = run(crowd_of(2, script), frames)
    assert notices == [(0, "face found", "face 0: frame 0"), (150, "face found", "face 1: frame 150")]
    drift = places[150][1] - float((right.mesh + shift)[:, 0].mean())
    assert drift == pytest.approx(6.0, abs=1.0)


def test_a_face_that_makes_way_is_told_and_its_place_is_taken() -> None:
    small, large = Sitter(1, STILL, scale=0.7), Sitter(2, STILL)
    places = [250 - small.half, 600 - large.half]
    script = Script(
        (range(400), small.mesh + np.float32([places[0], 0])),
        (range(130, 400), large.mesh + np.float32([places[1], 0])),
    )
    frames = on_the_move([small, large], [lambda _: 250, lambda _: 600], 300)
    crowd = Crowd(SpotSettings(faces=1), FPS, script)  # type: ignore[arg-type]
    _, notices, where = run(crowd, frames)
    assert [(what, detail) for _, what, detail in notices] == [
        ("face found", "face 0: frame 0"), ("face lost", "face 0: frame 150"), ("face found", "face 0: frame 151"),
    ]  # fmt: skip
    assert [round(where[k][0], -2) for k in (0, 299)] == [200, 600]


def test_nobody_in_view_is_told_once_and_is_face_0() -> None:
    crowd = crowd_of(3, Script())
    notices = []
    for number in range(60):
        seen, events = crowd.process(np.full((240, 320), 100, np.uint8), number, number * FRAME_NS)
        assert seen is not None
        (nobody,) = seen.each()
        assert (nobody.number, nobody.face, seen.face, events) == (0, False, False, [])
        notices += seen.notices
    ((what, detail),) = notices
    assert what == "face lost"
    assert detail.startswith("no face in frame 0; looking on")
    crowd.close()


def test_a_torn_frame_is_forgotten_for_every_face() -> None:
    sitters = [Sitter(1, EVENTS), Sitter(2, EVENTS)]
    meshes = [(range(200), sitter.mesh + np.float32([340 * k, 0])) for k, sitter in enumerate(sitters)]
    seen = []
    for torn in (False, True):
        crowd = crowd_of(2, Script(*meshes))
        for number, frame in enumerate(side_by_side(sitters, 80)):
            if number == 70:
                if torn:
                    assert crowd.process(frame // 2, number, number * FRAME_NS, lambda: False) == (None, [])
                continue
            measured, _ = crowd.process(frame, number, number * FRAME_NS, lambda: True)
            assert measured is not None
        seen.append([one.difference for one in measured.each()])
        crowd.close()
    assert len(seen[0]) == 2
    np.testing.assert_array_equal(seen[0], seen[1])
