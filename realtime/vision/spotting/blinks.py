"""Telling a blink from an action of brow or lid.

A blink changes both eye openings beyond recognition for 0.1–0.4 s. No region holds an eye or its lid, but the skin
above the lid is dragged along a little, and a brow may hang low. So an event of the brows alone that is small, and
lasts as long as a blink at the same time, is that blink.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from realtime.types import SpotEvent

SHUT = 0.4
"""Change of both eye openings (1 − correlation) that only a lid makes: at rest < 0.05, a raised brow 0.2, a blink 1."""
HALF = 0.12
"""The same where an eye is never wide open; enough for what is faint: a brow that moves so little changes no eye."""
_BEGUN = 0.1
"""Above this an eye may be closing or opening."""
SPILL_PX = 0.6
"""What a blink moves outside the eye; more is an action unit of its own."""
_SAME = 0.4
"""Overlap (IoU) of event and blink that makes them one."""


_FAINT = 2.0
"""So many floors are so little that any overlap will do."""


class _Change(Struct):
    """The eyes are not as in the template: from, to (ns), largest change."""

    first: int
    last: int
    top: float


class BlinkLog:
    """The last blinks, by time stamps."""

    def __init__(self) -> None:
        self._past: deque[_Change] = deque(maxlen=64)
        self._now: _Change | None = None

    def note(self, t_ns: int, change: float) -> None:
        """Change of the eye openings in the frame of ``t_ns``, see ``Anchor.lids``."""
        if change > _BEGUN:
            if self._now is None:
                self._now = _Change(t_ns, t_ns, change)
            self._now.last, self._now.top = t_ns, max(self._now.top, change)
            return
        if self._now is not None and self._now.top > HALF:
            self._past.append(self._now)
        self._now = None

    @property
    def under_way(self) -> bool:
        """The eyes are closing, shut or opening: no moment to make a template of."""
        return self._now is not None

    def lasting_s(self, t_ns: int) -> float:
        """Seconds up to ``t_ns`` for which the eyes have not been as in the template, 0 where they are."""
        return 0.0 if self._now is None else (t_ns - self._now.first) / 1e9

    def _blinks(self, least: float = SHUT) -> list[tuple[int, int]]:
        changes = [*self._past, *([self._now] if self._now else [])]
        return [(change.first, change.last) for change in changes if change.top > least]

    def overlaps(self, event: SpotEvent) -> bool:
        """Whether a blink fell into this event."""
        return any(first <= event.offset_t_ns and last >= event.onset_t_ns for first, last in self._blinks())

    def explains(self, event: SpotEvent, floor: float, unit: float = 1.0) -> bool:
        """Is this event what a blink did to the brows?

        floor: least rise that opens an event: what the other regions show below it is noise. unit: px of the face
        image per unit of the difference.
        """
        peak = max(event.rois.values())
        brows = max(value for name, value in event.rois.items() if name.endswith("eye_brow"))
        elsewhere = max(value for name, value in event.rois.items() if not name.endswith("eye_brow"))
        if brows < peak or elsewhere > max(0.3 * peak, floor) or peak * unit > SPILL_PX:
            return False
        same, least = (_SAME, SHUT) if peak > _FAINT * floor else (0.0, HALF)
        span = event.onset_t_ns, event.offset_t_ns
        return any(_overlap(*span, *blink) > same for blink in self._blinks(least))

    def clear(self) -> None:
        """Forget all: the face was lost."""
        self._past.clear()
        self._now = None


def _overlap(a0: int, a1: int, b0: int, b1: int) -> float:
    """IoU of two intervals of time."""
    shared = min(a1, b1) - max(a0, b0)
    return shared / (max(a1, b1) - min(a0, b0)) if shared > 0 else 0.0
