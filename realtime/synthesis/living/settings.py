"""Settings of a living face: what the head, the face and the camera do.

Times are seconds, angles degrees, lengths px on a face 152 px wide (the size at which real movements were measured).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..settings import ActionUnit, NonNegative, Positive, Share, Span

TRUTH_FACE_PX = 152.0
"""Face width that every stated px refers to."""

SwingAxis = Literal["yaw", "pitch", "roll", "lean", "sway"]
AUS: tuple[ActionUnit, ...] = ("AU12", "AU4", "AU9", "AU15", "U12", "AU1+2")
BROW_AUS: tuple[ActionUnit, ...] = ("AU4", "AU1+2")


class Swing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slow turn to and fro: a sine of ``amount`` over ``period_s``, from a phase of its own."""

    axis: SwingAxis
    amount: NonNegative
    """Degrees; lean: percent of the face's size; sway: px sideways."""
    period_s: Positive


class LivingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a clip apart from seed, portrait and speech trajectory."""

    fps: Positive = 200.0
    seconds: Positive = 30.0
    size: tuple[int, int] = (640, 480)
    face_width_px: Positive = 145.0

    # head
    drift: NonNegative = 1.0
    """Times the small wander of a head that sits still (1.5 px, 0.3°)."""
    swings: tuple[Swing, ...] = ()
    posture: NonNegative = 0.0
    """Times the wander and the re-settling of a person who sits at ease (1: about 2° and 4 px rms)."""
    jerk_gap_s: Span | None = None
    """Between sudden movements of 8 px and 3° in 0.15 s."""
    depth_error: Share = 0.2
    """Relative error of the mesh's depth, smooth over the face, drawn for each portrait and seed."""
    camera_distance: Positive = 4.5
    """In face widths; sets the perspective."""
    relight: Share = 0.5
    """Share of the light that comes from one side and shades by the angle."""

    # expressions
    micros: bool = True
    course: Literal["return", "real"] = "return"
    """``return``: back to zero. ``real``: rise, fall and residual as measured in the coded data sets."""
    px: Span = (1.5, 1.5)
    residual_max: Share = 0.95
    action_units: tuple[ActionUnit, ...] = AUS
    first_s: NonNegative = 2.5
    gap_s: Span = (1.5, 3.0)
    """From an offset to the next onset."""
    one_sided: Share = 0.0
    """Share of the movements that are stronger on one side of the face."""
    overlapping: Share = 0.0
    """Share that is joined by a second one of another region before it is over."""
    turn_after: Share = 0.0
    blink_after: Share = 0.0
    """Share that a head turn or a blink follows within half a second."""
    macro: Literal["none", "smile", "brows"] = "none"
    """A long expression that comes and goes, with the micro-expressions in its hold."""
    macro_px: Span = (5.0, 9.0)
    macro_hold_s: Span = (1.6, 3.0)
    fold_shading: NonNegative = 0.25

    # distractors
    speech: NonNegative = 0.0
    """Gain of the speech trajectory: 1 is its real size."""
    chewing: NonNegative = 0.0
    """Jaw travel, px."""
    swallow_gap_s: Span | None = None
    gaze_gap_s: Span | None = None
    squint_gap_s: Span | None = None
    blink_gap_s: Span | None = (1.8, 5.8)
    blink_s: Span = (0.1, 0.3)
    double_blinks: Share = 0.0
    blink_during: Share = 0.0
    """Share of the micro-expressions with a blink inside."""
    glasses: bool = False
    hand_gap_s: Span | None = None

    # camera
    noise_grey: NonNegative = 1.4
    flicker_depth: Share = 0.04
    mains_hz: Literal[50, 60] = 50
    exposure_s: Positive = 0.004
    pulse_percent: NonNegative = 0.3
    jpeg_quality: int | None = None
    blur_px: NonNegative = 0.0
    contrast: Positive = 1.0
    gamma: Positive = 1.0
    dark_grey: float = 0.0
    """Taken off every pixel."""
