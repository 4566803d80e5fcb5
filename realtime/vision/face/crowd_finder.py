"""The landmarks of several faces: one set of networks, one thread and one schedule for all who follow them.

``CrowdFinder.look`` takes each frame first; then each follower asks its own ``Share``, which has what is that face's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from realtime.vision.face.finder import Answer, Gray, Schedule
from realtime.vision.face.follower import FaceFollower
from realtime.vision.face.landmarks import FaceMesh, FoundFace
from realtime.vision.face.registration import register
from realtime.vision.face.roster import Roster
from realtime.vision.features.crop import apply

_SPARE = 2


class _Newcomer(Struct, frozen=True):
    """A face to be followed, as an earlier frame or this one showed it."""

    seen_ns: int
    gray: Gray
    face: FoundFace


class Share:
    """One follower's part in it; a ``Finder``."""

    def __init__(self, patience_ns: int) -> None:
        self.patience_ns = patience_ns
        self.waited_ns = 0  # ``CrowdFinder`` waits
        self.newcomer: _Newcomer | None = None
        self.answer: Answer | None = None

    def search(self, gray: Gray, t_ns: int) -> FoundFace | None:
        new, self.newcomer = self.newcomer, None
        if new is None:
            return None
        if new.seen_ns == t_ns:
            return new.face
        # carry it on by the head's motion since
        mesh = apply(register(new.gray, gray, new.face.mesh), new.face.mesh)
        return FoundFace(mesh.astype(np.float32), new.face.depth)

    def consult(self, gray: Gray, t_ns: int) -> Answer | None:
        answer, self.answer = self.answer, None
        return answer

    def forget(self) -> None:
        self.answer = None

    def wait(self) -> None:
        """Others' answers are not waited for."""

    def warm_up(self, height: int, width: int) -> None:
        """``CrowdFinder`` does."""

    def close(self) -> None:
        """``CrowdFinder`` does."""


class CrowdFinder:
    """Finds the largest faces and says whose landmarks are whose. Not thread-safe; ``close`` it."""

    def __init__(self, faces: int, rate_hz: float, mesh: FaceMesh | None = None) -> None:
        """faces: how many are followed. ``mesh``: networks to use instead of own ones."""
        self._mesh = mesh or make_mesh(faces)
        self._schedule = Schedule(rate_hz, self._mesh.detect_all)
        self._roster = Roster(faces)
        self._empty = True
        self.shares = [Share(self._schedule.patience_ns) for _ in range(faces)]

    def look(self, gray: Gray, t_ns: int, followers: Sequence[FaceFollower]) -> None:
        """Take a frame (H, W), before the followers do: each share has then what is due to its face."""
        followed = {number: follower for number, follower in enumerate(followers) if follower.anchor is not None}
        was_empty, self._empty = self._empty, not followed
        if self._empty and not was_empty:  # as for one face that is lost: look at once
            self._schedule.wait()
            self._schedule.forget()
        if self._empty:
            found = self._schedule.now(gray, t_ns)
            due = None if found is None else (t_ns, gray, found)
        else:
            due = self._schedule.later(gray, t_ns)
        if due is not None:
            self._give_out(*due, followed)

    def _give_out(self, asked_ns: int, asked: Gray, found: list[FoundFace], followed: dict[int, FaceFollower]) -> None:
        places = {number: follower.place_at(asked_ns) for number, follower in followed.items()}
        seating = self._roster.seat(asked_ns, found, {k: place for k, place in places.items() if place is not None})
        for number in followed:
            known, crowded, final = seating.known.get(number), number in seating.crowded, number in seating.ousted
            self.shares[number].answer = Answer(asked_ns, known, crowded=crowded, final=final)
        for number, face in seating.new.items():
            self.shares[number].newcomer = _Newcomer(asked_ns, asked, face)

    @property
    def waited_ns(self) -> int:
        """See ``Finder``."""
        return self._schedule.waited_ns

    def warm_up(self, height: int, width: int) -> None:
        """Run the networks once."""
        self._mesh.warm_up(height, width)

    def close(self) -> None:
        """Stop the thread and free the networks."""
        self._schedule.close()
        self._mesh.close()


def make_mesh(faces: int) -> FaceMesh:
    """Networks to follow the largest of several faces with, so many of them; or the one.

    They look out for some more: which are the largest is known once they are seen, and while the networks have all that
    they may find, nobody new is.
    """
    return FaceMesh(faces=faces if faces == 1 else faces + _SPARE)
