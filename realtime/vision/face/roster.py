"""Whose mesh is it: the faces that one frame shows, given to those that are followed; who is new, who makes way.

A face is known by its place alone: where its tracked pose says that it was in that frame, and where it was heading when
its landmarks were last its own. So two who cross keep their numbers: the one behind is not seen for a moment, and is
expected where it comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from realtime.vision.face.landmarks import FoundFace
from realtime.vision.face.regions import RIGID, width_px

_REACH = 1.0
"""Face widths: a mesh further than this from where a followed face should be is not its own."""
_SAME = 0.35
"""Face widths: two meshes closer than this are of one face, the one in front."""
_HEADING = 0.5
"""What a face width off its course counts for, against one off the tracked pose."""
_COURSE_S = 0.3
"""For so long a face goes on as it was heading."""
_AWAY_S = 2.0
"""The number of a face that is lost is kept for it so long."""
_NEAR = 1.5
"""Face widths: so near where it left, or was heading, a face comes back as itself."""
_CROWDED = 1.3
"""Face widths: of two faces closer than this, the networks may make one mesh."""
_APART = 0.06
"""Face widths: such a mesh, if it is further from the tracked pose, says nothing of the face's course."""
_LARGER = 1.3
"""A newcomer takes the place of the smallest if it is so much wider: two of equal size don't take turns."""
_RIGID = list(RIGID)


class _Sighting(Struct, frozen=True):
    """Where a face's own landmarks were."""

    t_ns: int
    centre: NDArray[np.float64]
    """(2,) px"""
    width_px: float


class _Course(Struct):
    """The last two sightings of one face, the newer one last."""

    seen: tuple[_Sighting, ...] = ()

    def note(self, t_ns: int, mesh: NDArray[np.float32]) -> None:
        self.seen = (*self.seen[-1:], _Sighting(t_ns, _centre(mesh), width_px(mesh)))

    def expected(self, t_ns: int) -> NDArray[np.float64]:
        """(2,) px: its centre at ``t_ns``, if it goes on as it did for a while."""
        *before, last = self.seen
        if not before or last.t_ns <= before[0].t_ns:
            return last.centre
        ahead_s = min((t_ns - last.t_ns) / 1e9, _COURSE_S)
        return last.centre + (last.centre - before[0].centre) * (ahead_s * 1e9 / (last.t_ns - before[0].t_ns))

    def is_away(self, t_ns: int) -> bool:
        """It may still come back."""
        return bool(self.seen) and 0 <= t_ns - self.seen[-1].t_ns <= _AWAY_S * 1e9


class Seating(Struct):
    """Who is who in one frame; numbers are those of the followed faces, 0, 1, …"""

    known: dict[int, FoundFace] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)
    """Those of ``known`` with another face so near that their meshes may be of both."""
    new: dict[int, FoundFace] = field(default_factory=dict)
    """Those to be followed from now on."""
    ousted: set[int] = field(default_factory=set)
    """Those of ``new`` whose number another face had until now, which makes way."""


class Roster:
    """Gives the numbers 0, 1, … to the largest faces, ``seats`` of them, and remembers whose they were."""

    def __init__(self, seats: int) -> None:
        self._courses = [_Course() for _ in range(seats)]

    def seat(self, t_ns: int, found: Sequence[FoundFace], followed: Mapping[int, NDArray[np.float32]]) -> Seating:
        """Who is who among those ``found`` in the frame of ``t_ns``.

        followed: of each face that is followed, where its pose says that its (478, 2) mesh was in that frame, px.
        """
        seating = Seating()
        strangers = self._claim(t_ns, found, followed, seating)
        empty = set(range(len(self._courses))) - followed.keys()
        away = {number for number in empty if self._courses[number].is_away(t_ns)}
        strangers = self._welcome_back(t_ns, strangers, away, seating)
        free = empty - away
        for face in sorted(strangers, key=lambda face: -width_px(face.mesh)):
            number = min(free) if free else self._smallest()
            if number not in free and width_px(face.mesh) <= _LARGER * self._width_px(number):
                break  # those that follow are smaller still
            free.discard(number)
            seating.known.pop(number, None)
            self._courses[number] = _Course()
            self._courses[number].note(t_ns, face.mesh)
            seating.new[number] = face
        seating.ousted = seating.new.keys() & followed.keys()
        seating.crowded = {number for number in seating.known if self._is_crowded(t_ns, number, seating, followed)}
        for number, face in seating.known.items():
            if number not in seating.crowded or _off(followed[number], face.mesh) <= _APART:
                self._courses[number].note(t_ns, face.mesh)
        return seating

    def _is_crowded(
        self, t_ns: int, number: int, seating: Seating, followed: Mapping[int, NDArray[np.float32]]
    ) -> bool:
        """Whether another face is, or should be, near the mesh of a known one."""
        mesh = seating.known[number].mesh
        others = [_centre(place) for k, place in followed.items() if k != number]
        for k, course in enumerate(self._courses):
            if k not in followed and course.is_away(t_ns):
                others += [course.seen[-1].centre, course.expected(t_ns)]
        return any(np.linalg.norm(other - _centre(mesh)) < _CROWDED * width_px(mesh) for other in others)

    def _claim(
        self, t_ns: int, found: Sequence[FoundFace], followed: Mapping[int, NDArray[np.float32]], seating: Seating
    ) -> list[FoundFace]:
        """Give each followed face its mesh, the surest pair first; the meshes that nobody claims."""
        costs = {
            (number, k): cost
            for number, place in followed.items()
            for k, face in enumerate(found)
            if (cost := self._distance(number, t_ns, place, face.mesh)) <= _REACH
        }
        open_, strangers = set(range(len(found))), dict(enumerate(found))
        for number, k in sorted(costs, key=lambda pair: (costs[pair], pair)):
            if number not in seating.known and k in open_:
                seating.known[number] = found[k]
                mine = {j for j in open_ if _is_same(found[j].mesh, found[k].mesh)}
                open_ -= mine
                for j in mine:
                    del strangers[j]
        return _without_doubles(list(strangers.values()))

    def _distance(self, number: int, t_ns: int, place: NDArray[np.float32], mesh: NDArray[np.float32]) -> float:
        """How far a mesh is from where a followed face should be, face widths."""
        off_pose = _off(place, mesh)
        if off_pose > _REACH or not self._courses[number].seen:
            return off_pose
        # a pose that has slid on to a passing face is as good as that face's own: the course tells them apart
        off_course = np.linalg.norm(self._courses[number].expected(t_ns) - _centre(mesh)) / _width(place, mesh)
        return float((off_pose + _HEADING * off_course) / (1 + _HEADING))

    def _welcome_back(self, t_ns: int, strangers: list[FoundFace], away: set[int], seating: Seating) -> list[FoundFace]:
        """Faces that come back near where they were lost get their numbers again; the other ones."""
        pairs = sorted(
            (distance, number, k)
            for number in away
            for k, face in enumerate(strangers)
            if (distance := self._way_back(number, t_ns, face.mesh)) <= _NEAR
        )
        back: set[int] = set()
        for _, number, k in pairs:
            if number not in seating.new and k not in back:
                self._courses[number].note(t_ns, strangers[k].mesh)
                seating.new[number] = strangers[k]
                back.add(k)
        return [face for k, face in enumerate(strangers) if k not in back]

    def _way_back(self, number: int, t_ns: int, mesh: NDArray[np.float32]) -> float:
        """From where a face left, or was heading, to a mesh, face widths."""
        last, centre = self._courses[number].seen[-1], _centre(mesh)
        ways = (np.linalg.norm(place - centre) for place in (last.centre, self._courses[number].expected(t_ns)))
        return float(min(ways)) / max(last.width_px, 1.0)

    def _smallest(self) -> int:
        """Of the faces that are followed, or may come back."""
        return min(range(len(self._courses)), key=self._width_px)

    def _width_px(self, number: int) -> float:
        return self._courses[number].seen[-1].width_px


def _centre(mesh: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2,) px"""
    return np.asarray(mesh[_RIGID].mean(0, dtype=np.float64))


def _width(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """That of the smaller face, px."""
    return max(min(width_px(one), width_px(other)), 1.0)


def _off(place: NDArray[np.float32], mesh: NDArray[np.float32]) -> float:
    """How far a mesh is from where it should be, face widths."""
    return float(np.median(np.linalg.norm(place[_RIGID] - mesh[_RIGID], axis=1))) / _width(place, mesh)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Two meshes of one face: two faces are never so close together."""
    apart = float(np.linalg.norm(_centre(one) - _centre(other)))
    return apart < _SAME * max(width_px(one), width_px(other))


def _without_doubles(faces: list[FoundFace]) -> list[FoundFace]:
    """Each face once."""
    kept: list[FoundFace] = []
    for face in faces:
        if not any(_is_same(face.mesh, other.mesh) for other in kept):
            kept.append(face)
    return kept
