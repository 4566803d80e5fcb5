"""Settings of the generated face: what moves, what distracts, how much.

Times are seconds and lengths are px at the reference face width of 145 px, never frames, so that the same
settings mean the same thing at 100, 200 and 500 fps and at any frame size.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

ActionUnit = Literal["AU12", "AU4", "AU9", "AU15", "U12", "AU1+2", "AU10", "AU14", "U14", "AU1+4"]
"""FACS names; ``U12`` and ``U14`` are unilateral (one-sided), as in contempt."""

Side = Literal["both", "left", "right"]
"""The subject's own left and right."""

ACTION_UNITS: tuple[ActionUnit, ...] = ("AU12", "AU4", "AU9", "AU15", "U12", "AU1+2")
"""What a clip is made of unless it asks for others."""

OTHER_UNITS: tuple[ActionUnit, ...] = ("AU10", "AU14", "U14", "AU1+4")
"""Seldom in the public sets, all of them negative by the films' classes."""

ONE_SIDED: tuple[ActionUnit, ...] = ("U12", "U14")

AU_LABELS: dict[ActionUnit, Literal["negative", "positive", "surprise"]] = {
    "AU12": "positive",
    "AU4": "negative",
    "AU9": "negative",
    "AU15": "negative",
    "U12": "negative",
    "AU1+2": "surprise",
    "AU10": "negative",
    "AU14": "negative",
    "U14": "negative",
    "AU1+4": "negative",
}

REFERENCE_FACE_PX = 145.0
"""Width of the face in a 640×480 frame; the unit of every length in `SynthesisSettings`."""

DEFAULT_SIZE = (640, 480)
"""(width, height), px."""

DEFAULT_FPS = 200.0

NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Span = tuple[NonNegative, NonNegative]
"""Uniform between the two, low first."""


class SynthesisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a generated clip apart from portrait, seed, rate and size."""

    events: bool = True
    """False: distractors only."""
    action_units: tuple[ActionUnit, ...] = ACTION_UNITS
    amplitude_px: Span = (1.0, 3.0)
    """Largest displacement on the face of a micro-expression."""
    first_event_s: NonNegative = 1.0
    """No movement before this."""
    event_gap_s: Span = (1.5, 3.5)
    """From an offset to the next onset."""
    rise_s: Span = (0.06, 0.25)
    hold_s: Span = (0.0, 0.12)
    fall_s: Span = (0.06, 0.25)
    macro_share: Share = 0.0
    """Share of the events that are macro-expressions (> 0.5 s)."""
    macro_amplitude_px: Span = (4.0, 8.0)
    macro_rise_s: Span = (0.25, 0.5)
    macro_hold_s: Span = (0.3, 1.0)
    macro_fall_s: Span = (0.3, 0.6)
    fold_shading: NonNegative = 0.25
    """Relative darkening of skin per unit of compression (negative divergence of the movement)."""

    blinks: bool = True
    blink_gap_s: Span = (1.8, 5.8)
    """From the end of a blink to the next."""
    blink_duration_s: Span = (0.1, 0.3)

    drift_px: NonNegative = 1.5
    """Largest shift of the head from its rest position over two minutes, per axis."""
    drift_max_hz: Positive = 2.5
    rotation_deg: NonNegative = 0.3
    """Largest roll of the head."""
    scale_percent: NonNegative = 0.3
    """Largest change of size (the head nearing the camera)."""

    mains_hz: Literal[50, 60] = 50
    flicker_depth: Share = 0.04
    """Amplitude of the light's ripple at twice the mains frequency, relative, linear light."""
    exposure_s: Positive = 0.004
    """Integration time; never longer than the frame period."""
    pulse_percent: NonNegative = 0.3
    """Amplitude of the skin's brightness over the heart beat, grey levels."""
    noise_grey: NonNegative = 1.4
    """Standard deviation over time of a pixel at grey level 128, rounding to 8 bits included."""
    shot_share: Share = 0.6
    """Share of that variance that is photon noise (grows with the signal)."""
    fixed_pattern_grey: NonNegative = 0.5
    """Standard deviation over the sensor of each pixel's constant offset."""

    def __post_init__(self) -> None:
        """Refuse spans that run backwards, and an empty list of action units."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name.endswith(("_s", "_px")) and isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} = {value} runs backwards: write the smaller value first")
        if not self.action_units:
            raise ValueError("action_units is empty: name at least one, or set events = false")

    @classmethod
    def clean(cls, **changes: object) -> SynthesisSettings:
        """Movement alone: no blink, drift, shading, flicker, pulse or noise; ``changes`` override."""
        quiet: dict[str, object] = {
            "blinks": False,
            "fold_shading": 0.0,
            "drift_px": 0.0,
            "rotation_deg": 0.0,
            "scale_percent": 0.0,
            "flicker_depth": 0.0,
            "pulse_percent": 0.0,
            "noise_grey": 0.0,
            "fixed_pattern_grey": 0.0,
        }
        return msgspec.convert(quiet | changes, cls)
