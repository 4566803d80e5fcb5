"""From the groups' movements to events: what two groups see of one movement is one event, speech is none.

A group's movement waits until no other group moves that began before it ended (or ``_WAIT_S``), so that both brows
raised at once are one event. The mouth's and nose's wait a little longer for what follows: movements of the mouth that
come one after the other are speech or chewing, which becomes a state (``during``) and not a chain of events. What the
jaw leads is held to a stricter rule than what the lips do.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping

import msgspec
from msgspec import structs

from realtime.types import SpotEvent
from realtime.vision.spotting.spotter import TOGETHER_S, Spotter

_WAIT_S = 0.35
_SAME_APEX_S = 0.08
_SAME = 0.5
"""Share of the shorter of two movements that lies within the other, to be one."""
_ALONE_S = {False: 0.5, True: 1.5}
"""Mouth movements closer than this have to do with each other; by whether the jaw led."""
_AFTER_S = {False: 0.3, True: 0.8}
"""How long to wait for a next one."""
_SOON_S = 0.8
"""What was long (a macro-expression) and is followed so soon by another movement waits longer: is it a word?"""
LONGEST_WAIT_S = 2.0
"""No movement waits longer for what follows, from when it was found."""
_MOST_NEAR = {False: 1, True: 0}
"""So many movements near it may an expression of the mouth have."""
_JAW, _WITH_JAW = 1.5, 0.7
"""The jaw leads where the chin moves so many times as far as the lips, and goes with them from here on."""
_WORD_PX = 2.2
"""Lips and jaw together, shortly and further than real micro-expressions go (0.3 to 1.9 px): a word."""
_WINDOW_S, _MANY = 3.0, 3
"""Speech has begun with so many movements close to each other within the window, or one more where a smile begins and
ends among them."""
_QUIET_S = 1.5
"""Speech is over after so long without a movement of the mouth."""
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


class _Mouthing(msgspec.Struct):
    """One movement of the mouth, event or not."""

    begin_ns: int
    end_ns: int
    jaw: bool
    hold: bool = False
    """It began or ended a movement that was held."""


class Assembler:
    """Not thread-safe."""

    def __init__(self, unit_px: float = 1.0) -> None:
        """unit_px: px that one unit of the detector's differences is worth."""
        self._unit_px = unit_px
        self.clear()

    def clear(self) -> None:
        """Forget what waits: the face was lost."""
        self._pending: list[_Pending] = []
        self._told: list[SpotEvent] = []
        self._mouthings: list[_Mouthing] = []
        self._under_way: _Mouthing | None = None
        self._strides: dict[str, deque[_Stride]] = {}
        self.speaking = False
        self._spoke_ns = 0
        """When speech was heard last."""

    def push(
        self, t_ns: int, found: list[tuple[str, SpotEvent]], groups: Mapping[str, Spotter]
    ) -> tuple[list[SpotEvent], list[str]]:
        """One frame; events to report, and notices ("speech", "speech over")."""
        notices = self._listen(t_ns, groups.get("mouth"))
        if self.speaking:
            self._spoke_ns = t_ns
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

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """What the mouth began while the head jerked was the head's."""
        if self._under_way is not None and span_ns[0] <= self._under_way.begin_ns <= span_ns[1]:
            self._under_way = None

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

    # --- speech -----------------------------------------------------------------------------------------

    def _listen(self, t_ns: int, mouth: Spotter | None) -> list[str]:
        """Keep book of the mouth's movements; does speech begin or end?"""
        if mouth is not None and mouth.began_ns is not None:
            left, right, chin = (*mouth.peaks, 0.0, 0.0, 0.0)[:3]
            jaw = bool(chin > _JAW * max(left, right))
            if self._under_way is None or self._under_way.begin_ns != mouth.began_ns:
                self._end_mouthing()
                self._under_way = _Mouthing(mouth.began_ns, t_ns, jaw)
            self._under_way.end_ns, self._under_way.jaw = t_ns, jaw
        elif self._under_way is not None:
            self._under_way.hold = mouth is not None and mouth.ended_hold
            self._end_mouthing()
            if not self.speaking and self._is_speech(t_ns):
                self.speaking = True
                return ["speech"]
        last_ns = self._mouthings[-1].end_ns if self._mouthings else 0
        if self.speaking and self._under_way is None and t_ns - last_ns > _QUIET_S * 1e9:
            self.speaking = False
            return ["speech over"]
        return []

    def _end_mouthing(self) -> None:
        if self._under_way is not None:
            self._mouthings = [*self._mouthings[-15:], self._under_way]
            self._under_way = None

    def _is_speech(self, t_ns: int) -> bool:
        """Words follow each other; expressions have rest between them, however many there are."""
        moved = self._mouthings
        near = [_gap_ns(a, b) < _ALONE_S[a.jaw or b.jaw] * 1e9 for a, b in itertools.pairwise(moved)]
        chained = [a or b for a, b in zip([False, *near], [*near, False], strict=True)] if moved else []
        recent = [m for m, word in zip(moved, chained, strict=True) if word and t_ns - m.end_ns < _WINDOW_S * 1e9]
        return len(recent) > _MANY or sum(not m.hold for m in recent) >= _MANY

    def _is_mouthed(self, event: SpotEvent) -> bool:
        """One of several movements of the mouth in a row: no expression."""
        jaw = is_jaw(event)
        own_ns = 0.5 * (event.offset_t_ns - event.onset_t_ns)
        moved = [*self._mouthings, *([self._under_way] if self._under_way else [])]
        near = 0
        for m in moved:
            shared = min(m.end_ns, event.offset_t_ns) - max(m.begin_ns, event.onset_t_ns)
            if shared > min(own_ns, 0.5 * (m.end_ns - m.begin_ns)):
                continue  # this is it
            apart = max(event.onset_t_ns - m.end_ns, m.begin_ns - event.offset_t_ns)
            if apart < _ALONE_S[jaw or m.jaw] * 1e9:
                near += 2 if m.jaw else 1
        return near > _MOST_NEAR[jaw]

    def _is_word(self, event: SpotEvent) -> bool:
        """Somebody says "yes": one short movement of lips and jaw."""
        return event.kind == "micro" and _has_jaw(event) and peak_of(event) * self._unit_px > _WORD_PX

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
        if pending.group in _LOWER and not self.speaking:
            jaw = pending.group == "mouth" and _has_jaw(event)
            if t_ns - pending.since_ns > LONGEST_WAIT_S * 1e9:
                return True
            if t_ns - event.offset_t_ns < _AFTER_S[jaw] * 1e9 or self._may_be_word(event, t_ns):
                return False
            if self._under_way is not None and self._under_way.begin_ns - event.offset_t_ns < _ALONE_S[jaw] * 1e9:
                return False  # it is not known yet what that becomes
        if t_ns - pending.since_ns > _WAIT_S * 1e9:
            return True
        return not any(
            group != pending.group and spotter.began_ns is not None and spotter.began_ns <= event.offset_t_ns
            for group, spotter in groups.items()
        )

    def _may_be_word(self, event: SpotEvent, t_ns: int) -> bool:
        """The first long word of a sentence looks like an expression of the mouth, until others follow."""
        since_s = (t_ns - event.offset_t_ns) / 1e9
        if event.kind == "micro" or since_s > LONGEST_WAIT_S:
            return False
        moved = [*self._mouthings, *([self._under_way] if self._under_way else [])]
        return since_s < _SOON_S or any(0 <= m.begin_ns - event.offset_t_ns < _SOON_S * 1e9 for m in moved)

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
            spoken = self.speaking or pending.event.onset_t_ns < self._spoke_ns
            if spoken or any(
                p.group == "mouth" and (self._is_word(p.event) or self._is_mouthed(p.event)) for p in lower
            ):
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


def _gap_ns(before: _Mouthing, after: _Mouthing) -> int:
    return after.begin_ns - before.end_ns


def peak_of(event: SpotEvent) -> float:
    """Largest difference of a region, in the unit of the detector."""
    return max(event.rois.values())


def is_jaw(event: SpotEvent) -> bool:
    """Whether the chin moves much further than the lips."""
    return event.rois.get("chin", 0.0) > _JAW * _lips(event)


def _has_jaw(event: SpotEvent) -> bool:
    """Whether the chin goes with the lips."""
    return event.rois.get("chin", 0.0) > _WITH_JAW * _lips(event)


def _lips(event: SpotEvent) -> float:
    return max(event.rois.get("left_mouth", 0.0), event.rois.get("right_mouth", 0.0))


def is_opened(event: SpotEvent) -> bool:
    """The jaw leads, and for long: swallowed, yawned, said."""
    return event.kind == "macro" and is_jaw(event)


def _shared(a: SpotEvent, b: SpotEvent) -> float:
    """Share of the shorter of two events that lies within the other."""
    shared = min(a.offset_t_ns, b.offset_t_ns) - max(a.onset_t_ns, b.onset_t_ns)
    shorter = min(a.offset_t_ns - a.onset_t_ns, b.offset_t_ns - b.onset_t_ns)
    return shared / shorter if shared > 0 and shorter > 0 else 0.0


def is_same(a: SpotEvent, b: SpotEvent) -> bool:
    """Whether two groups saw one movement."""
    if abs(a.apex_t_ns - b.apex_t_ns) <= _SAME_APEX_S * 1e9:
        return True
    return a.kind == b.kind and _shared(a, b) >= _SAME


def merge(events: list[SpotEvent]) -> SpotEvent:
    """One event of what several groups saw of one movement: the strongest one's times, everybody's regions."""
    strongest = max(events, key=lambda e: e.score)
    rois: dict[str, float] = {}
    for event in events:
        for name, value in event.rois.items():
            rois[name] = max(value, rois.get(name, 0.0))
    return structs.replace(strongest, rois=rois, decided=max(e.decided for e in events))
