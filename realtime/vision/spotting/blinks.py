"""Telling a blink from an action of brow or lid.

A blink changes both eye openings beyond recognition for 0.1–0.4 s. No region holds an eye or its lid, but the skin
above the lid is dragged along a little, and a brow may hang low. So an event of the brows alone that is small, and
lasts as long as a blink at the same time, is that blink.
"""

from __future__ import annotations

from collections import deque

from realtime.types import SpotEvent

SHUT = 0.4
"""Change of both eye openings (1 − correlation) that only a lid makes: at rest < 0.05, a raised brow 0.2, a blink 1."""
_BEGUN = 0.1
"""Above this an eye may be closing or opening."""
SPILL_PX = 0.6
"""What a blink moves outside the eye; more is an action unit of its own."""
_SAME = 0.4
"""Overlap (IoU) of event and blink that makes them one."""


_FAINT = 2.0
"""So many floors are so little that any overlap will do."""


class BlinkLog:
    """The last blinks, by time stamps."""

    def __init__(self) -> None:
        self._shut: deque[tuple[int, int]] = deque(maxlen=64)
        self._first: int | None = None
        self._last = 0
        self._closed = False

    def note(self, t_ns: int, change: float) -> None:
        """Change of the eye openings in the frame of ``t_ns``, see ``Anchor.lids``."""
        if change > _BEGUN:
            if self._first is None:
                self._first = t_ns
            self._last = t_ns
            self._closed |= change > SHUT
            return
        if self._closed and self._first is not None:
            self._shut.append((self._first, self._last))
        self._first, self._closed = None, False

    @property
    def under_way(self) -> bool:
        """The eyes are closing, shut or opening: no moment to make a template of."""
        return self._first is not None

    def lasting_s(self, t_ns: int) -> float:
        """Seconds up to ``t_ns`` for which the eyes have not been as in the template, 0 where they are."""
        return 0.0 if self._first is None else (t_ns - self._first) / 1e9

    def _blinks(self) -> list[tuple[int, int]]:
        now = [(self._first, self._last)] if self._closed and self._first is not None else []
        return [*self._shut, *now]

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
        same = _SAME if peak > _FAINT * floor else 0.0
        return any(_overlap(event.onset_t_ns, event.offset_t_ns, first, last) > same for first, last in self._blinks())

    def clear(self) -> None:
        """Forget all: the face was lost."""
        self._shut.clear()
        self._first, self._closed = None, False


def _overlap(a0: int, a1: int, b0: int, b1: int) -> float:
    """IoU of two intervals of time."""
    shared = min(a1, b1) - max(a0, b0)
    return shared / (max(a1, b1) - min(a0, b0)) if shared > 0 else 0.0
