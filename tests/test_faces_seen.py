"""Several faces at once, by what the networks see: what each does, and who is who when they cross or come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _crowd import EVENTS, FPS, FRAME_NS, STILL, Sitter, crowd_of, on_the_move, run, side_by_side
from _recordings import write_video
from _session import Run, assert_balanced

from realtime.config import SpotSettings
from realtime.synthesis import TruthEvent
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.spotting.face_meter import FaceMeter


def alone(sitter: Sitter, frames: int) -> list[SpotEvent]:
    meter = FaceMeter(SpotSettings(), FPS)
    events = [event for k in range(frames) for event in meter.process(sitter.draw(k), k, k * FRAME_NS)[1]]
    events += meter.flush()
    meter.close()
    return events


def truth_of(sitter: Sitter, frames: int) -> list[TruthEvent]:
    movements = (sitter.schedule.event(k, frames) for k in range(20))
    return [movement for movement in movements if movement is not None and movement.offset < frames - 40]


def test_the_two_largest_of_three_and_what_each_of_them_does() -> None:
    """Real pixels, real landmarks: the same events as each alone."""
    frames = 760
    sitters = [Sitter(5, EVENTS), Sitter(3, EVENTS, scale=0.84), Sitter(11, EVENTS, scale=1.2, mirrored=True)]
    events, notices, places = run(crowd_of(2), side_by_side(sitters, frames))
    assert [(what, detail) for _, what, detail in notices if what == "face found"] == [
        ("face found", "face 0: frame 0"), ("face found", "face 1: frame 0"),
    ]  # fmt: skip
    assert [round(x, -2) for x in places[-1].values()] == [800, 200], "the largest one is face 0"
    for number, sitter in ((0, sitters[2]), (1, sitters[0])):
        own = [event for event in events if event.face == number]
        by_itself, truth = alone(sitter, frames), truth_of(sitter, frames)
        assert len(own) == len(by_itself) == len(truth) == 2
        for event, lonely, true in zip(own, by_itself, truth, strict=True):
            assert abs(event.apex - true.apex) <= 3 + true.hold_frames
            assert event.kind == true.kind
            for mine, other in ((event.onset, lonely.onset), (event.apex, lonely.apex), (event.offset, lonely.offset)):
                assert abs(mine - other) <= 3
            assert event.magnitude_px == pytest.approx(lonely.magnitude_px, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [1, 2])
def test_faces_that_cross_keep_their_numbers(speed: int) -> None:
    """200 and 400 px a second; the one behind is hidden for a while, the one in front is not disturbed."""
    start, frames = 100, 600 // speed + 200

    def goes_right(number: int) -> float:
        return min(150 + speed * max(0, number - start), 750)

    sitters = [Sitter(1, STILL), Sitter(2, STILL, mirrored=True)]
    events, notices, places = run(
        crowd_of(2), on_the_move(sitters, [goes_right, lambda number: 900 - goes_right(number)], frames)
    )
    behind = min(places[0], key=lambda number: places[0][number])
    front = 1 - behind
    assert places[-1] == {behind: pytest.approx(750, abs=10), front: pytest.approx(150, abs=10)}
    lost = [detail.partition(":")[0] for _, what, detail in notices if what == "face lost"]
    assert lost == [f"face {behind}"]
    assert not [n for n in notices if n[1] == "face anchored again" and n[2].startswith(f"face {front}")]
    assert all(front in place for place in places)
    assert [event for event in events if event.face == front] == []


@pytest.mark.slow
def test_faces_that_cross_keep_their_movements() -> None:
    """Both move their faces before, while and after one passes in front of the other, at times together. Each event is
    of who made it: never of the other, nor of nobody. The hidden one is lost once, and found again as itself.
    """
    start, end, frames = 420, 720, 1260

    def goes_right(number: int) -> float:
        return min(150 + 2 * max(0, number - start), 750)

    sitters = [Sitter(3, EVENTS), Sitter(7, EVENTS, mirrored=True)]
    events, notices, places = run(
        crowd_of(2), on_the_move(sitters, [goes_right, lambda number: 900 - goes_right(number)], frames)
    )
    behind = min(places[0], key=lambda number: places[0][number])
    assert places[-1] == {behind: pytest.approx(750, abs=10), 1 - behind: pytest.approx(150, abs=10)}
    told = [(what, detail.partition(":")[0]) for at, what, detail in notices if at > 0 and what.startswith("face ")]
    assert [one for one in told if one[0] != "face anchored again"] == [
        ("face lost", f"face {behind}"), ("face found", f"face {behind}"),
    ]  # fmt: skip
    truths = {behind: truth_of(sitters[0], frames), 1 - behind: truth_of(sitters[1], frames)}
    for number, truth in truths.items():
        own = [event for event in events if event.face == number]
        assert all(any(is_of(event, one) for one in truth) for event in own)
        assert len(own) == sum(any(is_of(event, one) for event in own) for one in truth), "each told once"
        assert not [event for event in own if any(is_of(event, one) for one in truths[1 - number])]
        seen = [any(is_of(event, one) for event in own) for one in truth if one.offset < start]
        assert seen
        assert all(seen), "nothing hinders them so far"
        assert [event for event in own if event.onset > end], "who came out is who went in"


def is_of(event: SpotEvent, true: TruthEvent) -> bool:
    return abs(event.onset - true.onset) <= 6 and abs(event.apex - true.apex) <= 6 + true.hold_frames


@pytest.mark.slow
def test_a_face_that_comes_back_has_its_number_and_later_the_lowest_free() -> None:
    """Three; two leave; the second of them comes back after a second, is gone again, and comes back after three."""
    sitters = [Sitter(k, STILL, scale=scale, mirrored=k == 2) for k, scale in enumerate((1.0, 0.94, 0.88))]
    away = range(150, 10_000), [*range(150, 350), *range(500, 1100)], ()
    frames = on_the_move(
        sitters,
        [lambda n, x=x, gone=gone: None if n in gone else x for x, gone in zip((130, 390, 650), away, strict=True)],
        1200,
        width=780,
    )
    _, notices, places = run(crowd_of(3), frames)
    told = [
        (number // 50 * 50, what, detail.partition(":")[0])
        for number, what, detail in notices
        if what in ("face found", "face lost")
    ]
    assert [(what, face) for number, what, face in told if number == 0] == [
        ("face found", f"face {k}") for k in range(3)
    ]
    later = [one for one in told if one[0] > 0]
    assert later == [
        (150, "face lost", "face 0"), (150, "face lost", "face 1"), (350, "face found", "face 1"),
        (500, "face lost", "face 1"), (1100, "face found", "face 0"),
    ]  # fmt: skip
    assert {number: round(x, -1) for number, x in places[-1].items()} == {0: 390, 2: 650}


def test_two_runs_give_the_same() -> None:
    runs = []
    for _ in range(2):
        sitters = [Sitter(5, EVENTS), Sitter(11, EVENTS, mirrored=True)]
        runs.append(run(crowd_of(2), side_by_side(sitters, 330)))
    assert runs[0] == runs[1]
    assert runs[0][0]


@pytest.mark.slow
def test_small_faces_in_a_large_picture_share_a_window() -> None:
    """Both overlooked in the whole picture; the window that shows one keeps the other in view."""
    faces = next(side_by_side([Sitter(1, STILL), Sitter(2, STILL, mirrored=True)], 1))
    mesh = FaceMesh(faces=3)
    for k, x in enumerate(range(300, 1100, 20)):
        picture = np.full((1080, 1920), 100, np.uint8)
        picture[300:780, x : x + 680] = faces
        found = mesh.detect_all(picture, k * 100_000_000)
        if k > 2:
            assert sorted(round(float(one.mesh[:, 0].mean()) - x, -2) for one in found) == [200, 500], x
    mesh.close()


@pytest.mark.slow
def test_a_session_with_two_faces(tmp_path: Path) -> None:
    """From the command line to the log: events, notices and the session say how many and whose."""
    sitters = [Sitter(5, EVENTS, scale=0.9), Sitter(11, EVENTS, mirrored=True)]
    frames = 520
    clip = write_video(tmp_path / "two.mkv", np.array(list(side_by_side(sitters, frames))), "FFV1", FPS)
    session = Run(tmp_path, "--camera", str(clip), "--faces", "2")
    code, errors = session.end()
    assert code == 0, errors
    assert_balanced(session.lines())
    (first,) = session.of_type("session")
    assert first["faces"] == 2
    wanted = [(0, truth) for truth in truth_of(sitters[1], frames)] + [
        (1, truth) for truth in truth_of(sitters[0], frames)
    ]
    events = sorted(session.of_type("event"), key=lambda event: event["face"])
    assert [event["face"] for event in events] == [face for face, _ in wanted] == [0, 1]
    for event, (_, truth) in zip(events, wanted, strict=True):
        assert abs(event["apex"] - truth.apex) <= 3 + truth.hold_frames
    found = [line["detail"] for line in session.of_type("notice") if line["what"] == "face found"]
    assert found == ["face 0: frame 0", "face 1: frame 0"]
