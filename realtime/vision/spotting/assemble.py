"""From the groups' movements to events: what two groups see of one movement is one event, speech is none.

A group's movement waits until no other group moves that began before it ended (or ``_WAIT_S``), so that both brows
raised at once are one event. The mouth's and nose's wait a little longer for what follows: movements of the mouth that
come one after the other are speech or chewing (``talk``), which becomes a state (``during``) and not a chain of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec
from msgspec import structs

from realtime.config import LONGEST_WAIT_S
from realtime.types import SpotEvent
from realtime.vision.spotting.spotter import TOGETHER_S, Spotter
from realtime.vision.spotting.talk import WORD_PX, Talk, is_opened

_WAIT_S = 0.35
_SAME_APEX_S = 0.08
_SAME = 0.5
"""Share of the shorter of two movements that lies within the other, to be one."""
_SAME_ONSET_S = 1.0
"""A brow that is drawn down while a smile fades is a movement of its own, though most of it lies within the smile."""
_ECHO = 4.0
"""What moves so many times less than its neighbour in the same moment is dragged along by it."""
_FAR_ECHO, _FAR_ECHO_OF_MOUTH = 8.0, 25.0
"""The same for groups far apart that begin together: what a large movement does to the head's pose, or drags along.
Raised brows take rigid skin with them, the jaw hardly any.
"""
_MEMORY_S = 10.0
"""What a group began to move is remembered for so long: what is held is told late."""
_LOWER = ("mouth", "nose")
_NEIGHBOURS = {("nose", "mouth"), ("mouth", "nose"), ("nose", "left_brow"), ("nose", "right_brow")}


class _Pending(msgspec.Struct):
    group: str
    event: SpotEvent
    since_ns: int


class _Stride(msgspec.Struct):
    """What a group has moved without rest, a rise, a fall or both."""

    begin_ns: int
    reach: float = 0.0


class Assembler:
    """Not thread-safe."""

    def __init__(self, word: tuple[float, float] = (WORD_PX, WORD_PX)) -> None:
        """word: what the detector takes for a word of the mouth (``Detector.word``)."""
        self._word = word
        self.clear()

    def clear(self) -> None:
        """Forget what waits: the face was lost."""
        self._pending: list[_Pending] = []
        self._told: list[SpotEvent] = []
        self._talk = Talk(self._word)
        self._strides: dict[str, deque[_Stride]] = {}

    def push(
        self, t_ns: int, found: list[tuple[str, SpotEvent]], groups: Mapping[str, Spotter]
    ) -> tuple[list[SpotEvent], list[str]]:
        """One frame; events to report, and notices ("speech", "speech over")."""
        notices = self._talk.listen(t_ns, groups.get("mouth"))
        self._note_strides(groups)
        for group, event in found:
            if not self._is_echo(group, event, groups):
                self._pending.append(_Pending(group, event, t_ns))
        if not self._pending:
            return [], notices
        ready = [p for p in self._pending if self._is_ready(p, t_ns, groups)]
        return self._release(ready, groups), notices

    def flush(self, ended: list[tuple[str, SpotEvent]]) -> list[SpotEvent]:
        """No more frames: all that waits, and what ends here. ended: (group, event)."""
        self._pending += [_Pending(group, event, event.offset_t_ns) for group, event in ended]
        return self._release(list(self._pending), {})

    @property
    def speaking(self) -> bool:
        """Whether the mouth speaks or chews."""
        return self._talk.speaking

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """What the mouth began while the head jerked was the head's."""
        self._talk.jerked(span_ns)

    def _note_strides(self, groups: Mapping[str, Spotter]) -> None:
        """Remember when each group began to move, and how far it went."""
        for group, spotter in groups.items():
            began_ns = spotter.began_ns
            if began_ns is None:
                continue
            known = self._strides.setdefault(group, deque())
            if not known or known[-1].begin_ns != began_ns:
                known.append(_Stride(began_ns))
            known[-1].reach = spotter.reach
            while began_ns - known[0].begin_ns > _MEMORY_S * 1e9:
                known.popleft()

    def _strode(self, group: str, event: SpotEvent) -> float:
        """How far this group went in what it began together with the event, over long ago or not."""
        return max(
            (
                stride.reach
                for stride in self._strides.get(group, ())
                if abs(stride.begin_ns - event.onset_t_ns) < TOGETHER_S * 1e9
            ),
            default=0.0,
        )

    @property
    def waiting_since_ns(self) -> int | None:
        """Onset of the oldest movement that waits to be reported; None without one."""
        return min((pending.event.onset_t_ns for pending in self._pending), default=None)

    # --- waiting ----------------------------------------------------------------------------------------

    def _is_echo(self, group: str, event: SpotEvent, groups: Mapping[str, Spotter]) -> bool:
        """A neighbour moves much further in the same moment."""
        peak = max(event.rois.values())
        for other, spotter in groups.items():
            if other == group:
                continue
            near = (group, other) in _NEIGHBOURS
            far_echo = _FAR_ECHO_OF_MOUTH if other == "mouth" else _FAR_ECHO
            reach = spotter.reach_with(event, together=not near)
            if reach > (_ECHO if near else far_echo) * peak or self._strode(other, event) > far_echo * peak:
                return True
        return any(
            (group, p.group) in _NEIGHBOURS
            and _shared(p.event, event) > 0
            and max(p.event.rois.values()) > _ECHO * peak
            for p in self._pending
        )

    def _is_ready(self, pending: _Pending, t_ns: int, groups: Mapping[str, Spotter]) -> bool:
        event = pending.event
        may_wait = pending.group in _LOWER and t_ns - pending.since_ns <= LONGEST_WAIT_S * 1e9
        if may_wait and self._talk.must_wait(event, t_ns, of_mouth=pending.group == "mouth"):
            return False
        if t_ns - pending.since_ns > _WAIT_S * 1e9:
            return True
        return not any(
            group != pending.group and spotter.began_ns is not None and spotter.began_ns <= event.offset_t_ns
            for group, spotter in groups.items()
        )

    def _release(self, ready: list[_Pending], groups: Mapping[str, Spotter]) -> list[SpotEvent]:
        """Merge, drop what is speech or was told already, name what else went on."""
        events = []
        for pending in ready:
            if pending not in self._pending:
                continue  # went with another
            same = [p for p in self._pending if p is pending or is_same(p.event, pending.event)]
            for p in same:
                self._pending.remove(p)
            upper = [p for p in same if p.group not in _LOWER]
            lower = [p for p in same if p.group in _LOWER]
            word = any(p.group == "mouth" and self._talk.has(p.event) for p in lower)
            if word or self._talk.covers(pending.event):
                same = upper
            if any(p.event.kind == "micro" for p in upper):  # a brow that twitches while the mouth opens for long
                same = [p for p in same if not is_opened(p.event)]
            if not same or (same == lower and is_opened(pending.event)):
                continue  # swallowed, yawned: the jaw alone, and for long
            event = merge([p.event for p in same])
            if any(is_same(event, told) and told.magnitude_px > 0.5 * peak_of(event) for told in self._told):
                continue
            during = ["speech"] if self.speaking else []
            if event.kind == "micro" and any(spotter.holding for spotter in groups.values()):
                during.append("macro")
            event = structs.replace(event, during=[*event.during, *during])
            events.append(event)
            recent = [e for e in self._told if event.onset_t_ns - e.offset_t_ns < 2e9]
            self._told = [*recent, structs.replace(event, magnitude_px=peak_of(event))]
        return events


def peak_of(event: SpotEvent) -> float:
    """Largest difference of a region, in the unit of the detector."""
    return max(event.rois.values())


def _shared(a: SpotEvent, b: SpotEvent) -> float:
    """Share of the shorter of two events that lies within the other."""
    shared = min(a.offset_t_ns, b.offset_t_ns) - max(a.onset_t_ns, b.onset_t_ns)
    shorter = min(a.offset_t_ns - a.onset_t_ns, b.offset_t_ns - b.onset_t_ns)
    return shared / shorter if shared > 0 and shorter > 0 else 0.0


def is_same(a: SpotEvent, b: SpotEvent) -> bool:
    """Whether two groups saw one movement."""
    if abs(a.apex_t_ns - b.apex_t_ns) <= _SAME_APEX_S * 1e9:
        return True
    begun_together = abs(a.onset_t_ns - b.onset_t_ns) <= _SAME_ONSET_S * 1e9
    return a.kind == b.kind and begun_together and _shared(a, b) >= _SAME


def merge(events: list[SpotEvent]) -> SpotEvent:
    """One event of what several groups saw of one movement: the strongest one's times, everybody's regions."""
    strongest = max(events, key=lambda e: e.score)
    rois: dict[str, float] = {}
    for event in events:
        for name, value in event.rois.items():
            rois[name] = max(value, rois.get(name, 0.0))
    return structs.replace(strongest, rois=rois, decided=max(e.decided for e in events))
