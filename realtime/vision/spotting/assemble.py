"""From the groups' movements to events: what two groups see of one movement is one event, speech is none.

A group's movement waits until no other group moves that began before it ended (or ``_WAIT_S``), so that both brows
raised at once are one event. Mouth and nose wait for quiet as well: movements that follow each other without a pause
are speech or chewing, which becomes a state (``during``) and not a chain of events.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from realtime.types import SpotEvent

_WAIT_S = 0.35
_SAME_APEX_S = 0.08
_SAME = 0.5
"""Share of the shorter of two movements that lies within the other, to be one."""
_PAUSE_S = 0.30
"""Mouth movements closer than this belong together."""
_CHAIN = 3
"""So many of them without a pause are speech."""
_QUIET_S = 0.8
"""Speech is over after so long without a movement of the mouth."""
_ECHO = 4.0
"""What moves so many times less than its neighbour in the same moment is dragged along by it."""
_LOWER = ("mouth", "nose")
_NEIGHBOURS = {("nose", "mouth"), ("mouth", "nose"), ("nose", "left_brow"), ("nose", "right_brow")}


class GroupState(msgspec.Struct):
    """What a group is doing in this frame."""

    began_ns: int | None
    """Since when it moves; None at rest."""
    peak: float
    """How far it has moved, unit of the detector."""
    holding: bool


class _Pending(msgspec.Struct):
    group: str
    event: SpotEvent
    since_ns: int


class Assembler:
    """Not thread-safe."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what waits: the face was lost."""
        self._pending: list[_Pending] = []
        self._told: list[SpotEvent] = []
        self._chain: list[tuple[int, int]] = []
        """(onset, offset) ns of the mouth's movements without a pause between them."""
        self._moved_ns = 0
        self._was_moving = False
        self._began_ns = 0
        self.speaking = False

    def push(
        self, t_ns: int, found: list[tuple[str, SpotEvent]], groups: dict[str, GroupState]
    ) -> tuple[list[SpotEvent], list[str]]:
        """One frame; events to report, and notices ("speech", "speech over")."""
        notices = self._listen(t_ns, groups)
        for group, event in found:
            if not self._is_echo(group, event, groups):
                self._pending.append(_Pending(group, event, t_ns))
        if not self._pending:
            return [], notices
        ready = [p for p in self._pending if self._is_ready(p, t_ns, groups)]
        return self._release(ready, groups), notices

    def flush(self) -> list[SpotEvent]:
        """No more frames: all that waits."""
        return self._release(list(self._pending), {})

    # --- speech -----------------------------------------------------------------------------------------

    def _listen(self, t_ns: int, groups: dict[str, GroupState]) -> list[str]:
        """Count the mouth's movements that follow each other without a pause."""
        mouth = groups.get("mouth")
        moving = mouth is not None and mouth.began_ns is not None
        if moving and mouth is not None and mouth.began_ns is not None:
            if not self._was_moving:
                if mouth.began_ns - self._moved_ns > _PAUSE_S * 1e9 and not self.speaking:
                    self._chain.clear()
                self._began_ns = mouth.began_ns
            self._moved_ns = t_ns
        elif self._was_moving:
            self._chain.append((self._began_ns, t_ns))
        self._was_moving = moving
        quiet_s = (t_ns - self._moved_ns) / 1e9
        if not self.speaking and len(self._chain) + moving >= _CHAIN:
            self.speaking = True
            return ["speech"]
        if self.speaking and quiet_s > _QUIET_S:
            self.speaking = False
            self._chain.clear()
            return ["speech over"]
        return []

    # --- waiting ----------------------------------------------------------------------------------------

    def _is_echo(self, group: str, event: SpotEvent, groups: dict[str, GroupState]) -> bool:
        peak = max(event.rois.values())
        for other, state in groups.items():
            if (group, other) in _NEIGHBOURS and state.began_ns is not None and state.peak > _ECHO * peak:
                return True
        return any(
            (group, p.group) in _NEIGHBOURS
            and _shared(p.event, event) > 0
            and max(p.event.rois.values()) > _ECHO * peak
            for p in self._pending
        )

    def _is_ready(self, pending: _Pending, t_ns: int, groups: dict[str, GroupState]) -> bool:
        event = pending.event
        waited_s = (t_ns - pending.since_ns) / 1e9
        if pending.group in _LOWER and not self.speaking:
            mouth = groups.get("mouth")
            if mouth is not None and mouth.began_ns is not None and self._chain:
                return False  # speech, perhaps: wait for what comes of it
            if t_ns - self._moved_ns < _PAUSE_S * 1e9:
                return False
        if waited_s > _WAIT_S:
            return True
        return not any(
            group != pending.group and state.began_ns is not None and state.began_ns <= event.offset_t_ns
            for group, state in groups.items()
        )

    def _release(self, ready: list[_Pending], groups: dict[str, GroupState]) -> list[SpotEvent]:
        """Merge, drop what is speech or was told already, name what else went on."""
        events = []
        for pending in ready:
            if pending not in self._pending:
                continue  # went with another
            same = [p for p in self._pending if p is pending or is_same(p.event, pending.event)]
            for p in same:
                self._pending.remove(p)
            lower = [p for p in same if p.group in _LOWER]
            if self.speaking or len(self._chain) >= _CHAIN:
                same = [p for p in same if p not in lower]
                if not same:
                    continue
            event = merge([p.event for p in same])
            if any(is_same(event, told) for told in self._told):
                continue
            during = ["speech"] if self.speaking else []
            own = {p.group for p in same}
            if any(state.holding for group, state in groups.items()) and event.kind == "micro":
                during.append("macro")
            del own
            event = structs.replace(event, during=[*event.during, *during])
            events.append(event)
            self._told = [e for e in self._told if event.onset_t_ns - e.offset_t_ns < 2e9] + [event]
        return events


def _shared(a: SpotEvent, b: SpotEvent) -> float:
    """Share of the shorter of two events that lies within the other."""
    shared = min(a.offset_t_ns, b.offset_t_ns) - max(a.onset_t_ns, b.onset_t_ns)
    shorter = min(a.offset_t_ns - a.onset_t_ns, b.offset_t_ns - b.onset_t_ns)
    return shared / shorter if shared > 0 and shorter > 0 else 0.0


def is_same(a: SpotEvent, b: SpotEvent) -> bool:
    """Whether two groups saw one movement."""
    if a.kind != b.kind:
        return abs(a.apex_t_ns - b.apex_t_ns) <= _SAME_APEX_S * 1e9
    return abs(a.apex_t_ns - b.apex_t_ns) <= _SAME_APEX_S * 1e9 or _shared(a, b) >= _SAME


def merge(events: list[SpotEvent]) -> SpotEvent:
    """One event of what several groups saw of one movement: the strongest one's times, everybody's regions."""
    strongest = max(events, key=lambda e: e.score)
    rois: dict[str, float] = {}
    for event in events:
        for name, value in event.rois.items():
            rois[name] = max(value, rois.get(name, 0.0))
    return structs.replace(strongest, rois=rois, decided=max(e.decided for e in events))
