"""Whose mesh is whose: numbers of faces that cross, leave, come back and take turns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from realtime.synthesis import Portrait
from realtime.vision.face.landmarks import FoundFace
from realtime.vision.face.regions import width_px
from realtime.vision.face.roster import Roster, Seating

SHAPE = Portrait.packaged().mesh
STEP_S = 0.1


def mesh(x: float, width: float = 150.0, y: float = 240.0) -> np.ndarray:
    """(478, 2) px: a face of that width about (x, y)."""
    scaled = SHAPE * (width / width_px(SHAPE))
    return (scaled - scaled.mean(0) + [x, y]).astype(np.float32)


def face(x: float, width: float = 150.0, y: float = 240.0) -> FoundFace:
    return FoundFace(mesh(x, width, y))


class Room:
    """A roster with followers that track perfectly while they see their face, and give it up after two misses."""

    def __init__(self, seats: int) -> None:
        self.roster = Roster(seats)
        self.places: dict[int, np.ndarray] = {}
        self.t_s = 0.0
        self._missed: dict[int, int] = {}

    def look(self, *found: FoundFace) -> Seating:
        """A tenth of a second later."""
        self.t_s += STEP_S
        seating = self.roster.seat(round(self.t_s * 1e9), found, self.places)
        for number in list(self.places):
            self._missed[number] = 0 if number in seating.known else self._missed.get(number, 0) + 1
            if self._missed[number] == 2:
                del self.places[number]
        for number, one in (*seating.known.items(), *seating.new.items()):
            self.places[number] = one.mesh
        return seating

    def wait(self, seconds: float, *found: FoundFace) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.look(*found)

    def where(self) -> dict[int, int]:
        """x of each followed face, px."""
        return {number: round(float(place[:, 0].mean())) for number, place in sorted(self.places.items())}


def at(places: Iterable[float]) -> list[FoundFace]:
    return [face(x) for x in places]


def test_the_largest_are_seated_and_the_largest_is_0() -> None:
    room = Room(2)
    room.look(face(100, 120), face(400, 180), face(700, 150))
    assert room.where() == {0: 400, 1: 700}


@pytest.mark.parametrize("speed", [60.0, 150.0, 300.0, 600.0])
@pytest.mark.parametrize("drags", [False, True], ids=["the hidden one's pose stands", "and is dragged along"])
def test_faces_that_cross_keep_their_numbers(speed: float, drags: bool) -> None:
    room = Room(2)
    room.look(face(150, 151), face(750))  # the larger one is 0
    for k in range(int(600 / (speed * STEP_S)) + 1):
        front, behind = 150 + speed * STEP_S * k, 750 - speed * STEP_S * k
        hidden = abs(front - behind) < 120
        room.places[0] = mesh(front)
        if 1 in room.places and (drags or not hidden):  # a hidden one's pose slides on to the one in front, or stays
            room.places[1] = mesh(front if hidden else behind)
        room.look(*at([front] if hidden else [front, behind]))
    assert room.where() == {0: round(front), 1: round(behind)}
    assert behind < front


def test_of_two_that_claim_one_mesh_the_nearer_keeps_it() -> None:
    room = Room(2)
    room.look(*at([300, 420]))
    first = min(room.places, key=lambda number: room.where()[number])
    seating = room.look(face(310))
    assert seating.known.keys() == {first}
    room.look(face(310))
    assert room.where() == {first: 310}, "the other one is lost after two misses"


def test_two_meshes_of_one_face_are_one_face() -> None:
    room = Room(3)
    room.look(*at([300, 312]))
    assert len(room.places) == 1
    seating = room.look(*at([300, 312]))
    assert (len(seating.known), len(seating.new)) == (1, 0)


@pytest.mark.parametrize(("away_s", "number"), [(1.5, 1), (2.5, 0)])
def test_who_comes_back_in_time_has_the_number_again_and_later_the_lowest_free(away_s: float, number: int) -> None:
    room = Room(3)
    left, middle, right = face(150, 160), face(450, 150), face(750, 140)
    room.look(left, middle, right)
    assert room.where() == {0: 150, 1: 450, 2: 750}
    room.wait(1.0, right)  # face 0 has gone for good, and 1 for a while
    room.wait(1.2, middle, right)
    assert room.where() == {1: 450, 2: 750}
    room.wait(away_s, right)
    room.look(face(500, 150), right)
    assert room.where() == {number: 500, 2: 750}


def test_a_number_is_kept_for_who_may_come_back() -> None:
    room = Room(2)
    room.look(face(150, 160), face(450, 150))
    room.wait(1.0, face(450, 150))
    room.look(face(450, 150), face(850, 150))  # somebody else, elsewhere
    assert room.where() == {1: 450}
    room.wait(1.5, face(450, 150), face(850, 150))
    assert room.where() == {0: 850, 1: 450}


def test_two_of_equal_size_do_not_take_turns() -> None:
    room, rng = Room(2), np.random.default_rng(0)
    room.look(*at([150, 450, 750]))
    numbers = room.where().keys()
    for _ in range(50):
        seating = room.look(*(face(x, 150 * rng.uniform(0.9, 1.1)) for x in (150, 450, 750)))
        assert not seating.new
        assert seating.known.keys() == numbers


def test_a_much_larger_face_takes_the_place_of_the_smallest() -> None:
    room = Room(2)
    room.look(face(150, 160), face(450, 140))
    assert not room.look(face(150, 160), face(450, 140), face(750, 170)).new, "not so much larger"
    seating = room.look(face(150, 160), face(450, 140), face(750, 190))
    assert seating.ousted == seating.new.keys() == {1}
    assert seating.known.keys() == {0}
    assert not room.look(face(150, 160), face(450, 140), face(750, 190)).new
    assert room.where() == {0: 150, 1: 750}


def test_landmarks_of_a_face_in_a_crowd_are_marked() -> None:
    room = Room(2)
    assert not room.look(*at([150, 600])).crowded
    assert not room.look(*at([150, 580])).crowded
    assert room.look(*at([150, 320])).crowded == set(), "320 is too far from 580: another face"
    room = Room(2)
    room.look(*at([150, 330]))
    assert room.look(*at([150, 330])).crowded == {0, 1}
    room.wait(1.0, face(150))
    assert len(room.look(face(150)).crowded) == 1, "the other one may still be behind it"
    room.wait(1.5, face(150))
    assert not room.look(face(150)).crowded
