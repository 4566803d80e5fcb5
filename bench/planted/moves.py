"""What an action unit moves: patches of skin, each a Gaussian on the face mesh with a direction.

Directions follow the descriptions of the Facial Action Coding System (Ekman & Friesen). A field has no size of its own:
it is scaled so that its largest displacement is the stated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.planted.courses import Movement, share
from bench.planted.landmarks import (
    CHEEK,
    INNER_BROW,
    LEFT_EYE,
    LIP_CORNER,
    MID_BROW,
    NASOLABIAL,
    NOSE_SIDE,
    OUTER_BROW,
    RIGHT_EYE,
    UPPER_LIP,
    WING,
    Sided,
)
from bench.planted.takes import Take
from bench.planted.tracks import Floats, Frame
from bench.planted.warps import Field, axes, face_box, grid, local, soft_oval, warp

Pair = tuple[float, float]

BROAD = 1.25
"""Scales every patch's width."""
SIZE_PX = 152
"""The face's width for which displacements are stated."""


@dataclass(frozen=True)
class Patch:
    """One patch; x outward (away from the midline) and y down, in the face's own frame."""

    points: Sided
    sigma: Pair
    """In widths of the face, as is ``shift``."""
    towards: Pair
    weight: float = 1
    shift: Pair = (0, 0)


@dataclass(frozen=True)
class ActionUnit:
    where: str
    patches: tuple[Patch, ...]
    """On both sides, mirrored."""
    middle: tuple[Patch, ...] = ()
    """On the midline: x towards the image's right."""
    main: Sided | None = None
    """The points whose real movement is measured; None: those of the first patch."""
    holds_eyes: bool = False
    """Whether the eyes are kept in place."""
    sided: bool = True


_CHIN_TIP: Sided = {"R": [199], "L": [200]}
_MIDLINE_LIPS: Sided = {"R": [0], "L": [17]}


def _mid(*points: int) -> Sided:
    return {"M": list(points)}


UNITS = {
    "AU1": ActionUnit("brow", (
        Patch(INNER_BROW, (0.075, 0.065), (-0.15, -1)),
        Patch(INNER_BROW, (0.09, 0.07), (0, -1), 0.45, (0.01, -0.13)),
    ), holds_eyes=True),
    "AU2": ActionUnit("brow", (
        Patch(OUTER_BROW, (0.07, 0.06), (0.1, -1)),
        Patch(MID_BROW, (0.06, 0.06), (0, -1), 0.45, (0, -0.02)),
    ), holds_eyes=True),
    "AU4": ActionUnit("brow", (
        Patch(INNER_BROW, (0.07, 0.065), (-0.55, 0.85)),
        Patch(MID_BROW, (0.07, 0.055), (-0.2, 0.9), 0.45),
    ), holds_eyes=True),
    "AU6": ActionUnit("cheek", (Patch(CHEEK, (0.09, 0.07), (-0.2, -1)),), holds_eyes=True),
    "AU9": ActionUnit("nose", (
        Patch(WING, (0.05, 0.055), (0, -1)),
        Patch(NOSE_SIDE, (0.05, 0.06), (-0.2, -0.9), 0.7),
        Patch(UPPER_LIP, (0.06, 0.04), (0, -1), 0.35),
        Patch(INNER_BROW, (0.06, 0.05), (-0.3, 0.9), 0.35),
    ), holds_eyes=True),
    "AU10": ActionUnit("mouth", (
        Patch(UPPER_LIP, (0.065, 0.045), (0, -1)),
        Patch(WING, (0.06, 0.05), (0, -1), 0.6, (0.03, 0.05)),
    )),
    "AU12": ActionUnit("mouth", (
        Patch(LIP_CORNER, (0.065, 0.06), (0.65, -0.75), 1, (0.01, 0)),
        Patch(NASOLABIAL, (0.075, 0.075), (0.25, -0.9), 0.5),
    )),
    "AU14": ActionUnit("mouth", (
        Patch(LIP_CORNER, (0.06, 0.055), (1.0, 0.0), 1, (0.02, 0)),
        Patch(LIP_CORNER, (0.05, 0.06), (-1.0, 0), 0.35, (0.1, 0)),
    )),
    "AU15": ActionUnit("mouth", (
        Patch(LIP_CORNER, (0.06, 0.055), (0.15, 1), 1, (0, 0.01)),
        Patch(LIP_CORNER, (0.06, 0.06), (0, 1), 0.45, (0, 0.1)),
    )),
    "AU17": ActionUnit("chin", (), (
        Patch(_mid(199, 200), (0.085, 0.06), (0, -1)),
        Patch(_mid(17, 18), (0.09, 0.035), (0, -1), 0.6),
    ), main=_CHIN_TIP, sided=False),
    "AU24": ActionUnit("mouth", (
        Patch(UPPER_LIP, (0.07, 0.03), (0, 1), 0.6),
        Patch(LIP_CORNER, (0.05, 0.05), (-0.6, 0), 0.5),
    ), (
        Patch(_mid(17, 14), (0.11, 0.035), (0, -1), 0.9, (0, 0.01)),
        Patch(_mid(199), (0.08, 0.05), (0, -1), 0.3),
    ), main=_MIDLINE_LIPS),
}  # fmt: skip


def main_points(unit: str, side: str) -> list[int]:
    """The points that stand for a unit's movement."""
    points = UNITS[unit].main or UNITS[unit].patches[0].points
    return points["R"] + points["L"] if side == "both" else points[side]


def _patches(unit: str, side: str) -> Iterator[tuple[list[int], int, Patch]]:
    """Points, outward sign and patch, in the order in which they are summed."""
    for one in "RL" if side == "both" else side:
        for patch in UNITS[unit].patches:
            yield patch.points[one], -1 if one == "R" else 1, patch
    for patch in UNITS[unit].middle:
        yield patch.points["M"], 1, patch


def unit_field(mesh: Floats, width: float, shape: Sequence[int], unit: str, side: str) -> Field:
    """The unit's field on a face of ``width`` px, without unit, not yet scaled. ``mesh``: (478, 2) px."""
    box = face_box(mesh, width, shape)
    along, down = axes(mesh)
    x, y = grid(box)
    field = np.zeros((*x.shape, 2), np.float32)
    for points, outward, patch in _patches(unit, side):
        centre = mesh[points].mean(0) + width * (outward * patch.shift[0] * along + patch.shift[1] * down)
        u, v = local(x, y, centre, along, down)
        spread = (u / (BROAD * patch.sigma[0] * width)) ** 2 + (v / (BROAD * patch.sigma[1] * width)) ** 2
        near = patch.weight * np.exp(-0.5 * spread)
        towards = patch.towards[0] * outward * along + patch.towards[1] * down
        field[..., 0] += near * towards[0]
        field[..., 1] += near * towards[1]
    mask = soft_oval(mesh, width, box)
    if UNITS[unit].holds_eyes:
        mask = mask * _eyes_held(mesh, width, x, y)
    return box, field * mask[..., None]


def _eyes_held(mesh: Floats, width: float, x: Floats, y: Floats) -> Floats:
    """(h, w), 0 to 1: 0 on both eyes."""
    along, down = axes(mesh)
    held = np.ones(x.shape)
    for eye in (RIGHT_EYE, LEFT_EYE):
        u, v = local(x, y, mesh[eye].mean(0), along, down)
        near = np.exp(-0.5 * ((u / (0.085 * width)) ** 2 + (v / (0.04 * width)) ** 2))
        held = held * (1 - np.minimum(1, 1.25 * near))
    return held


def largest(field: Floats) -> float:
    """Length of the largest displacement."""
    return np.linalg.norm(field, axis=2).max()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Extra:
    """A displacement that is no expression: a turn of the head, a glance."""

    course: Callable[[float], float]
    """Amount at a time in s."""
    field: Callable[[int], Field]
    """Frame number → field, px, for an amount of 1."""


def planted(take: Take, moves: Sequence[Movement], extra: Sequence[Extra] = ()) -> Iterator[Frame]:
    """The take's frames with all movements in them.

    A movement's scale is fixed in its first frame, so that its course is the stated one and does not flutter with the
    landmarks.
    """
    scale: dict[int, float] = {}
    for number, frame in enumerate(take.frames):
        t_s, width, fields = number / take.fps, take.width[number], []
        for key, move in enumerate(moves if np.isfinite(width) else ()):
            amount = float(share(move, t_s))
            if amount <= 0:
                continue
            box, field = unit_field(take.mesh[number], width, frame.shape, move.unit, move.side)
            if key not in scale:
                scale[key] = largest(field)
            fields.append((box, field * np.float32(amount * move.px * width / SIZE_PX / scale[key])))
        for one in extra if np.isfinite(width) else ():
            amount = float(one.course(t_s))
            if amount:
                box, field = one.field(number)
                fields.append((box, field * np.float32(amount)))
        yield warp(frame, fields)
