"""What an expression must not do to the template, and what belongs to a larger movement elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.face import follower as following
from realtime.vision.face.finder import Answer
from realtime.vision.face.follower import Change, Eyes, FaceFollower
from realtime.vision.face.landmarks import FoundFace
from realtime.vision.face.regions import RIGID
from realtime.vision.spotting.assemble import Assembler
from realtime.vision.spotting.spotter import Spotter

FPS = 200.0
MESH = np.random.default_rng(0).uniform(50, 150, (478, 2)).astype(np.float32)
STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class Looks:
    """A finder that finds the same face at each frame."""

    patience_ns = 10**9

    def consult(self, gray: Any, t_ns: int) -> Answer:
        return Answer(t_ns, FoundFace(MESH, None))

    def forget(self) -> None: ...


def anchor(**changes: Any) -> SimpleNamespace:
    given = {"uncovered": 0.0, "misfit_px": 0.05, "slipped": False, "turn": (0.0, 0.0), "to_frame": STILL}
    return SimpleNamespace(
        **given | changes,
        layout=SimpleNamespace(mesh=MESH),
        rigid_shift=lambda: np.zeros((len(RIGID), 2)),
        travelled=lambda: (0.0, 0.0),
    )


def changes(monkeypatch: pytest.MonkeyPatch, *, held: bool, eyes: Eyes | None = None, **of_anchor: Any) -> list[Change]:
    """What ten looks at a face in a row do to the template."""
    monkeypatch.setattr(following, "Anchor", lambda *_: SimpleNamespace(**vars(anchor()), follow_on=lambda old: None))
    follower = FaceFollower(Looks())  # type: ignore[arg-type]
    follower.anchor = anchor(**of_anchor)  # type: ignore[assignment]
    gray = np.zeros((9, 9), np.uint8)
    steps = [follower.check(gray, k, k * 10**8, busy=False, held=held, eyes=eyes or Eyes()).change for k in range(10)]
    return [change for change in steps if change is not Change.NONE]


def test_raised_brows_make_skin_look_otherwise_and_are_no_hand_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(monkeypatch, held=False, uncovered=0.13) == [Change.SLIPPED]
    assert changes(monkeypatch, held=True, uncovered=0.13) == []
    assert changes(monkeypatch, held=True, uncovered=0.25) == [Change.SLIPPED]


def test_eyes_beneath_raised_brows_are_no_other_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Eyes(under_way=True, lasting_s=1.5)
    assert changes(monkeypatch, held=False, eyes=long)[0] is Change.MOVED
    assert changes(monkeypatch, held=True, eyes=long) == []


def test_a_template_that_fits_no_motion_of_a_head_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(monkeypatch, held=False, misfit_px=0.45) == [Change.MOVED]
    assert changes(monkeypatch, held=True, misfit_px=0.45) == []
    assert changes(monkeypatch, held=False, misfit_px=0.2) == []


# --- what belongs to a larger movement ----------------------------------------------------------------------


class Group:
    """As much of a spotter as the assembler looks at: it moved once."""

    ended_hold = holding = False
    peaks = np.zeros(3)

    def __init__(self, begin_s: float = 0.0, end_s: float = 0.0, reach: float = 0.0) -> None:
        self._span, self.reach, self.now_ns = (round(begin_s * 1e9), round(end_s * 1e9)), reach, 0

    @property
    def began_ns(self) -> int | None:
        return self._span[0] if self._span[0] <= self.now_ns < self._span[1] else None

    def reach_with(self, event: SpotEvent, *, together: bool) -> float:
        return 0.0


def told(reach_px: float, onset_s: float) -> int:
    """Events that come of a mouth held from ``onset_s`` to 4 s at 0.5 px, where brows moved from 1.0 to 1.6 s."""
    groups: dict[str, Any] = {"left_brow": Group(1.0, 1.6, reach_px), "mouth": Group()}
    onset, apex, offset = (round(t * 1e9) for t in (onset_s, onset_s + 0.5, 4.0))
    event = SpotEvent(
        kind="macro", onset=0, apex=1, offset=2, onset_t_ns=onset, apex_t_ns=apex, offset_t_ns=offset, score=5.0,
        rois={"left_mouth": 0.5, "right_mouth": 0.5, "chin": 0.1}, decided=3,
    )  # fmt: skip
    assembler, found = Assembler(), 0
    for now_ns in range(0, 6 * 10**9, 5_000_000):
        for group in groups.values():
            group.now_ns = now_ns
        new = [("mouth", event)] if now_ns == offset else []
        found += len(assembler.push(now_ns, new, groups)[0])
    return found


def test_what_began_with_a_movement_many_times_as_large_is_dragged_along_however_late_it_is_told() -> None:
    assert told(6.0, 1.1) == 0
    assert told(6.0, 2.2) == 1  # it began later: an expression of its own
    assert told(2.0, 1.1) == 1  # not so much larger


# --- after a jerk -------------------------------------------------------------------------------------------


def after_a_jerk(step: float, *, jerk: bool) -> list[SpotEvent]:
    """Events of a curve that goes up at 3.2 s and stays for six seconds, 0.15 s after a jerk of the head."""
    spotter, random, found = Spotter(SpotSettings(), FPS), np.random.default_rng(4), []
    for k in range(round(12 * FPS)):
        t_s = k / FPS
        size = step * np.clip((t_s - 3.2) / 0.1, 0, 1) * np.clip((9.2 - t_s) / 0.1, 0, 1)
        event = spotter.push(k, round(t_s * 1e9), {"nose": abs(size + random.normal(0, 0.002))})
        if jerk and k == round(3.05 * FPS):
            spotter.jerked((round(2.9e9), round(3.05e9)))
        found += [event] if event is not None else []
    return found


def test_a_small_step_right_after_a_jerk_is_the_end_of_what_the_jerk_has_hidden() -> None:
    floor = Spotter(SpotSettings(), FPS).floor
    assert [event.kind for event in after_a_jerk(8 * floor, jerk=False)] == ["macro"]
    assert [event for event in after_a_jerk(8 * floor, jerk=True) if event.onset < 5 * FPS] == []
    assert [event.kind for event in after_a_jerk(30 * floor, jerk=True)][:1] == ["macro"]  # too large to be hidden
