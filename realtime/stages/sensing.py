"""When to state the smallest movement that a rig can show: once it is known, and again when it has changed much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.vision.spotting.crowd import Meter

_EVERY_NS, _MUCH = 1_000_000_000, 1.5

Sensed = tuple[str, dict[str, float]]
"""In words, and per region in px on a face 152 px wide."""


class Sensing:
    """What was stated last, of each face."""

    def __init__(self) -> None:
        self._next_ns = 0
        self._stated: dict[str, dict[str, float]] = {}

    def look(self, meter: Meter, t_ns: int) -> Sequence[Sensed]:
        """What is to be stated at the frame of this time, if anything; looks once a second of the frames' time."""
        if t_ns < self._next_ns:
            return ()
        self._next_ns = t_ns + _EVERY_NS
        news = []
        for whose, found in meter.sensitivities().items():
            before = self._stated.get(whose, {})
            if not found or not any(_changed(before.get(name), value) for name, value in found.items()):
                continue
            self._stated[whose] = found
            worst = max(found, key=lambda name: found[name])
            detail = f"{min(found.values()):.2f} to {found[worst]:.2f} px ({worst}), face 152 px wide"
            news.append((whose + detail, found))
        return news


def _changed(before: float | None, now: float) -> bool:
    """Whether a sensitivity is no longer what was stated."""
    return before is None or not 1 / _MUCH < now / max(before, 1e-6) < _MUCH
