"""How a face in a video moves, taken off its mesh: a similarity for the head, a few modes for what skin does on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from bench.planted import landmarks as at
from bench.planted.takes import Take
from bench.planted.tracks import Floats, smoothed
from bench.planted.warps import axes

SKIN = 468
"""Points of the mesh without the irises."""
_MODES = 20
_FARTHEST = 0.11
"""How far the head may move, widths of the still's face: farther the warp would bend its surroundings."""
_MORE = [1, 2, 4, 5, 6, 168, 197, 195, 9, 151, 8, 199, 200, 18, 164]


def _chosen() -> npt.NDArray[np.intp]:
    sided = (at.INNER_BROW, at.OUTER_BROW, at.MID_BROW, at.WING, at.NOSE_SIDE, at.CHEEK, at.NASOLABIAL)
    points = {*at.OVAL, *at.INNER_LIPS, *at.LIPS, *at.RIGHT_EYE, *at.LEFT_EYE, *_MORE, *range(0, SKIN, 11)}
    for group in sided:
        points.update(group["R"] + group["L"])
    return np.array(sorted(points))


CHOSEN = _chosen()
"""The S points of the mesh that drive the warp."""


@dataclass(frozen=True)
class Trajectory:
    """T frames of movement, in px of the still that it will move."""

    head: Floats
    """(T, 4): scale - 1 along, its rotation part, shift right, shift down, about the mean of the stable points."""
    amounts: Floats
    """(T, K) of each mode."""
    modes: Floats
    """(K, 2 S) px."""


def trajectory(take: Take, mesh: Floats, width: float, head: float, mouth: float) -> Trajectory:
    """The movement in ``take`` for a still of this ``mesh`` (478, 2) px and face ``width`` px.

    ``head``, ``mouth``: share that is taken over.
    """
    if not take.seen.all():
        raise ValueError(f"{take.source}: a trajectory needs a face in every frame")
    moving, own = smoothed(take.raw, 1.1)[:, :SKIN], mesh[:SKIN]
    median = float(np.median(take.width))
    rest = _rest(moving, median, mesh, width)
    centre = rest[at.STABLE].mean(0)
    turn = _turn_between(rest, own)
    similar, bent = np.zeros((len(moving), 4)), np.zeros((len(moving), SKIN, 2))
    fixed = (rest[at.STABLE] - centre).astype(np.float32)
    for i, points in enumerate(moving):
        there = (points[at.STABLE] - centre).astype(np.float32)
        move = cv2.estimateAffinePartial2D(fixed, there, method=cv2.LMEDS)[0]
        back = np.linalg.inv(move[:, :2])
        bent[i] = (((points - centre) - move[:, 2]) @ back.T - (rest - centre)) @ turn.T * (width / median)
        similar[i] = move[0, 0] - 1, move[1, 0], *(turn @ move[:, 2] * width / median)
    low = np.clip((own[:, 1] - own[at.NOSE, 1]) / (0.25 * width), 0, 1)  # the mouth's half of the face has its own size
    bent *= (mouth * low + (1 - low) * max(mouth, head))[None, :, None]
    similar = (similar - np.median(similar, axis=0)) * head
    farthest = np.abs(similar[:, 2:]).max()
    if farthest > _FARTHEST * width:
        similar *= _FARTHEST * width / farthest
    left, size, right = np.linalg.svd(bent[:, CHOSEN].reshape(len(bent), -1), full_matrices=False)
    return Trajectory(similar, left[:, :_MODES] * size[:_MODES], right[:_MODES])


def _rest(moving: Floats, median: float, mesh: Floats, width: float) -> Floats:
    """(468, 2) px: the mesh where the mouth is most as on the still."""
    gap = np.linalg.norm(moving[:, 13] - moving[:, 14], axis=1) / median
    wide = np.linalg.norm(moving[:, 61] - moving[:, 291], axis=1) / median
    wanted = np.linalg.norm(mesh[13] - mesh[14]) / width
    nearest = np.argsort(np.abs(gap - wanted) + 0.5 * np.abs(wide - np.median(wide)))[:9]
    rest: Floats = np.median(moving[nearest], axis=0)
    return rest


def _turn_between(one: Floats, other: Floats) -> Floats:
    """(2, 2) rotation from one face's axes to the other's."""
    first, second = axes(one)[0], axes(other)[0]
    angle = np.arctan2(second[1], second[0]) - np.arctan2(first[1], first[0])
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
