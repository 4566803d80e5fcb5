"""What of the head's motion is taken out between two crops: the one rule, for the camera and for recordings.

Registration sees the head by patches of skin, and skin moves with an expression: what it takes out at the apex is head
and, for a part, expression. So a rule says how much is taken out between onset and apex. Transforms are (2, 3) affine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.vision.features.crop import apply, compose, invert

Affine = NDArray[np.float64]
Registration = Literal["full", "translation", "between"]
"""``full``: all that registration found. ``translation``: the shift of the crop's middle, and a turn or a growth that
is too large to come from an expression. ``between``: what the head has moved from onset to offset, in proportion of
time.
"""
_STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class PoseSpec(Protocol):
    """The part of a FeatureSpec that the rule depends on."""

    @property
    def crop_height(self) -> int: ...
    @property
    def crop_width(self) -> int: ...
    @property
    def registration(self) -> Registration: ...
    @property
    def least_turn_deg(self) -> float: ...
    @property
    def least_growth(self) -> float: ...
    @property
    def turn(self) -> bool: ...


class Pose(Struct, frozen=True):
    """The head in one frame."""

    to_crop: Affine
    """px of the frame -> px of the crop, the similarity of the head's motion taken out."""
    turned: tuple[float, float] = (0.0, 0.0)
    """(yaw, pitch) since some frame, rad."""


class Correction(Struct, frozen=True):
    """From the apex's crop without its similarity to the one by the rule."""

    left_in: Affine
    """Crop px -> crop px."""
    turn: NDArray[np.float64]
    """(yaw, pitch), rad, whose parallax is taken out."""


def correction(poses: Sequence[Pose], share: float, spec: PoseSpec) -> Correction:
    """poses: at onset, apex and offset; share: 0..1, where between onset and offset the apex lies in time."""
    onset, apex, offset = poses
    found = compose(apex.to_crop, invert(onset.to_crop))
    turn = np.subtract(apex.turned, onset.turned)
    if spec.registration == "between":
        share = min(max(share, 0.0), 1.0)
        ruled = _STILL + share * (compose(offset.to_crop, invert(onset.to_crop)) - _STILL)
        turn = share * np.subtract(offset.turned, onset.turned)
    elif spec.registration == "translation":
        ruled = _shifted(found, spec)
    else:
        ruled = found
    return Correction(compose(ruled, invert(found)), turn if spec.turn else np.zeros(2))


def _shifted(found: Affine, spec: PoseSpec) -> Affine:
    """The shift of the crop's middle, with the turn and the growth where they are large enough."""
    a = found[:, :2]
    turn = math.atan2(a[1, 0] - a[0, 1], a[0, 0] + a[1, 1])
    growth = math.sqrt(abs(float(np.linalg.det(a))))
    turn = turn if abs(math.degrees(turn)) >= spec.least_turn_deg else 0.0
    growth = growth if abs(growth - 1.0) >= spec.least_growth else 1.0
    cos, sin = growth * math.cos(turn), growth * math.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([[spec.crop_width / 2, spec.crop_height / 2]])
    return np.column_stack([matrix, apply(found, middle)[0] - matrix @ middle[0]])
