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


class BlinkLog:
    """The last blinks, in frame numbers."""

    def __init__(self) -> None:
        self._shut: deque[tuple[int, int]] = deque(maxlen=64)
        self._first: int | None = None
        self._closed = False

    def note(self, number: int, change: float) -> None:
        """Change of the eye openings in frame ``number``, see ``Anchor.lids``."""
        if change > _BEGUN:
            if self._first is None:
                self._first = number
            self._last = number
            self._closed |= change > SHUT
            return
        if self._closed and self._first is not None:
            self._shut.append((self._first, self._last))
        self._first, self._closed = None, False

    @property
    def under_way(self) -> bool:
        """The eyes are closing, shut or opening: no moment to make a template of."""
        return self._first is not None

    def lasting(self, number: int) -> int:
        """Frames up to ``number`` for which the eyes have not been as in the template, 0 where they are."""
        return 0 if self._first is None else number - self._first + 1

    def explains(self, event: SpotEvent, unit: float = 1.0) -> bool:
        """Is this event what a blink did to the brows? unit: px of the face image per unit of the difference."""
        peak = max(event.rois.values())
        brows = max(value for name, value in event.rois.items() if name.endswith("eye_brow"))
        elsewhere = max(value for name, value in event.rois.items() if not name.endswith("eye_brow"))
        if brows < peak or elsewhere > 0.3 * peak or peak * unit > SPILL_PX:
            return False
        blinks = [*self._shut, *([(self._first, self._last)] if self._closed and self._first is not None else [])]
        return any(_overlap(event.onset, event.offset, first, last) >= _SAME for first, last in blinks)

    def clear(self) -> None:
        """Forget all: the face was lost."""
        self._shut.clear()
        self._first, self._closed = None, False


def _overlap(a0: int, a1: int, b0: int, b1: int) -> float:
    """IoU of two intervals of frames with inclusive ends."""
    shared = min(a1, b1) - max(a0, b0) + 1
    return shared / (max(a1, b1) - min(a0, b0) + 1) if shared > 0 else 0.0
