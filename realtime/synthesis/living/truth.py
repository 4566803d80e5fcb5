"""What a living clip knows of itself: its movements, and when something else happened."""

from __future__ import annotations

from typing import Literal

import msgspec

from realtime.types import Kind

from ..settings import ActionUnit, Side

Region = Literal["brows", "nose", "mouth"]
Distractor = Literal["blink", "speech", "chewing", "swallow", "gaze", "squint", "turn", "jerk", "hand", "posture"]
REGION_OF: dict[ActionUnit, Region] = {
    "AU12": "mouth",
    "U12": "mouth",
    "AU15": "mouth",
    "AU9": "nose",
    "AU4": "brows",
    "AU1+2": "brows",
    "AU10": "mouth",
    "AU14": "mouth",
    "U14": "mouth",
    "AU1+4": "brows",
}


class TruthMove(msgspec.Struct, frozen=True, kw_only=True, tag="move"):
    """A movement as it was made. Frame numbers, offset inclusive."""

    kind: Kind
    onset: int
    """Last frame at rest."""
    apex: int
    """First frame at the peak."""
    offset: int
    """Where the fall has flattened: the movement stops, whatever is left of it."""
    au: ActionUnit
    side: Side
    region: Region
    px: float
    """Peak displacement on a face 152 px wide."""
    residual: float
    """Share of the peak that is left at the offset."""


class TruthSpan(msgspec.Struct, frozen=True, kw_only=True, tag="span"):
    """Something that is no expression. Frame numbers, both inclusive."""

    kind: Distractor
    first: int
    last: int
