"""A generated face with known movements: portraits, action units, a schedule, and the renderer.

Frame k of a (portrait, settings, seed, size, fps) is always the same picture; `Schedule` knows the truth.
"""

from .fields import action_unit_field
from .portrait import Placed, Portrait
from .renderer import FaceRenderer, generate_clip, render_pair
from .schedule import Schedule, TruthBlink, TruthEvent, minimum_jerk
from .settings import ACTION_UNITS, AU_LABELS, OTHER_UNITS, ActionUnit, Side, SynthesisSettings

__all__ = [
    "ACTION_UNITS",
    "AU_LABELS",
    "OTHER_UNITS",
    "ActionUnit",
    "FaceRenderer",
    "Placed",
    "Portrait",
    "Schedule",
    "Side",
    "SynthesisSettings",
    "TruthBlink",
    "TruthEvent",
    "action_unit_field",
    "generate_clip",
    "minimum_jerk",
    "render_pair",
]
