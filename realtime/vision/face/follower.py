"""Following one face: registration on every frame, landmarks at a low rate, which only make an anchor and check it."""

from __future__ import annotations

from collections import deque
from enum import Enum

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from realtime.vision.face.finder import Answer, Finder, Gray
from realtime.vision.face.head import facing_yaw
from realtime.vision.face.landmarks import FoundFace
from realtime.vision.face.regions import RIGID
from realtime.vision.face.registration import Anchor
from realtime.vision.features.crop import apply, compose, invert

LEAST_FACE_PX = 60
"""Narrower faces were not tested; the networks overlook most of them."""
_LOST_LANDMARKS = 2
"""So many searches without a face in a row, and it is lost."""
_STRAY_PX, _STRAY_ACTIVE_PX = 4.0, 6.0
"""Landmarks and tracked face further apart than this (face image px): anchor again."""
_TRAVEL_PX, _TRAVEL_TURN, _TRAVEL_RAD = 14.0, 0.06, 0.12
_UNCOVERED, _UNCOVERED_HELD, _UNCOVERED_TIMES = 0.1, 0.2, 5
"""The template was taken with a hand before the face: so much of it fits no more, at so many searches in a row. Raised
brows, too, make a tenth of the skin look otherwise while they are held."""
_MISFIT_PX, _MISFIT_TIMES = 0.3, 5
"""No motion of a head fits so well as that, at so many searches in a row: the template is of a face that was moving."""
_FAR_RAD = 0.15
"""A head that has turned so far, and is fitted badly, gets a new template in the midst of a movement, too."""
_BLINK_MAX_S = 0.8
"""Eyes that differ from the template's for longer do not blink: the template is of shut eyes, or gaze has moved."""


class Change(Enum):
    """What a frame did to the anchor."""

    NONE = "none"
    FOUND = "found"
    LOST = "lost"
    MOVED = "moved"
    """A new template of the same face; tracking goes on."""
    SLIPPED = "slipped"
    """A new template because tracking had lost the face; nothing goes on."""


class Eyes(Struct):
    """What the follower must know of blinks."""

    under_way: bool = False
    lasting_s: float = 0.0


class Step(Struct):
    """One frame followed."""

    anchor: Anchor | None
    change: Change = Change.NONE
    old: Anchor | None = None
    notices: list[tuple[str, str]] = field(default_factory=list)


class FaceFollower:
    """One face in a stream of frames. Not thread-safe; ``close`` it."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._forget()

    def _forget(self) -> None:
        self.anchor: Anchor | None = None
        self._finder.forget()
        self._poses: deque[tuple[int, NDArray[np.float64]]] = deque()
        self._misses = self._unlike = self._ill = 0
        self._told = False
        """It has been said that there is no face."""
        self.facing_rad: float | None = None
        """Yaw against the camera's axis when landmarks were last found; None where they have no depth."""

    def reset(self) -> None:
        """Forget the face."""
        self._finder.wait()
        self._forget()

    def close(self) -> None:
        """Free what finds the landmarks."""
        self._finder.close()

    @property
    def waited_ns(self) -> int:
        """See ``Finder``."""
        return self._finder.waited_ns

    def warm_up(self, height: int, width: int) -> None:
        """Run the networks once."""
        self._finder.warm_up(height, width)

    def update(self, gray: Gray, frame_s: float, held: bool, resting: bool) -> None:
        """Follow the anchored face into the next frame: see ``Anchor.update``."""
        assert self.anchor is not None
        self.anchor.update(gray, frame_s, held, resting)

    def check(self, gray: Gray, number: int, t_ns: int, *, busy: bool, held: bool, eyes: Eyes) -> Step:
        """Look for a face, or hold the one that is followed against the landmarks. busy: a movement is under way, whose
        template is kept as long as it can be; held: an expression is, so that the skin beside it looks otherwise.
        """
        if self.anchor is None:
            return self._search(gray, number, t_ns)
        self._poses.append((t_ns, self.anchor.to_frame))
        while len(self._poses) > 1 and t_ns - self._poses[0][0] > self._finder.patience_ns:
            self._poses.popleft()
        answer = self._finder.consult(gray, t_ns)
        return Step(self.anchor) if answer is None else self._judge(gray, number, answer, busy, held, eyes)

    def _search(self, gray: Gray, number: int, t_ns: int) -> Step:
        """No face so far: look for one now and then."""
        first, self._told = not self._told, True
        found = self._finder.search(gray, t_ns)
        if found is None:
            detail = f"no face in frame {number}; looking on (it must be {LEAST_FACE_PX} px wide at least)"
            return Step(None, notices=[("face lost", detail)] if first else [])
        self.anchor = Anchor(gray, found.mesh, found.depth)
        self.facing_rad = _facing_rad(found)
        return Step(self.anchor, Change.FOUND, notices=[("face found", f"frame {number}")])

    def _judge(self, gray: Gray, number: int, answer: Answer, busy: bool, held: bool, eyes: Eyes) -> Step:
        """Keep the anchor, move it, or give the face up."""
        anchor, found = self.anchor, answer.found
        assert anchor is not None
        if found is None:
            self._misses += 1
            if self._misses < _LOST_LANDMARKS and not anchor.slipped and not answer.final:
                return Step(anchor)
            self._forget()
            self._told = True
            return Step(None, Change.LOST, notices=[("face lost", f"frame {number}")])
        self._misses = 0
        before, self.facing_rad = self.facing_rad, _facing_rad(found)
        then = self._pose_at(answer.asked_ns)
        if then is None:
            return Step(anchor)
        seen = apply(invert(then), found.mesh)[list(RIGID)]
        stray = float(np.median(np.linalg.norm(seen - anchor.layout.mesh[list(RIGID)] - anchor.rigid_shift(), axis=1)))
        parted = stray > 2.0 * _STRAY_PX
        if parted and answer.crowded and not anchor.slipped:
            self.facing_rad = before
            return Step(anchor)
        self._unlike = self._unlike + 1 if anchor.uncovered > (_UNCOVERED_HELD if held else _UNCOVERED) else 0
        slipped = anchor.slipped or parted or (not busy and self._unlike >= _UNCOVERED_TIMES)
        self._ill = self._ill + 1 if anchor.misfit_px > _MISFIT_PX and not held else 0
        if not slipped and not self._wants_another(anchor, stray, busy or held, eyes):
            return Step(anchor)
        # the landmarks are of an earlier frame: carry them on by the head's motion since
        mesh = apply(compose(anchor.to_frame, invert(then)), found.mesh).astype(np.float32)
        self._unlike = self._ill = 0
        self._poses.clear()
        self.anchor = Anchor(gray, mesh, found.depth)
        if slipped:
            what = ("face anchored again", f"frame {number}: the template no longer fitted")
            return Step(self.anchor, Change.SLIPPED, anchor, [what])
        self.anchor.follow_on(anchor)
        return Step(self.anchor, Change.MOVED, anchor)

    def _pose_at(self, t_ns: int) -> NDArray[np.float64] | None:
        """(2, 3) face image px -> px of the frame with that stamp."""
        return next((pose for at, pose in self._poses if at == t_ns), None)

    def place_at(self, t_ns: int) -> NDArray[np.float32] | None:
        """(478, 2) px: where the mesh was in the frame with that stamp, by the tracked pose; None without a face. Of a
        template that is younger than that frame: where it is now.
        """
        if self.anchor is None:
            return None
        pose = self._pose_at(t_ns)
        return apply(self.anchor.to_frame if pose is None else pose, self.anchor.layout.mesh).astype(np.float32)

    def _wants_another(self, anchor: Anchor, stray: float, busy: bool, eyes: Eyes) -> bool:
        """Has the face moved so far from its template that a new one is better? busy: moving, or held off rest."""
        other_eyes = eyes.lasting_s > _BLINK_MAX_S and not busy
        if eyes.under_way and not other_eyes:
            return False  # a template with shut eyes would take their opening for a movement
        shift, change = anchor.travelled()
        turned = max(abs(angle) for angle in anchor.turn)
        travelled = shift > _TRAVEL_PX or change > _TRAVEL_TURN or turned > _TRAVEL_RAD or self._ill >= _MISFIT_TIMES
        # in a movement the template is kept as long as it can be: a new one would be of the moved face
        away = turned > _FAR_RAD and anchor.misfit_px > _MISFIT_PX
        return away or other_eyes or stray > (_STRAY_ACTIVE_PX if busy else _STRAY_PX) or (travelled and not busy)


def _facing_rad(found: FoundFace) -> float | None:
    return None if found.depth is None else facing_yaw(found.mesh, found.depth)
