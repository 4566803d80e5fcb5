"""A movement that was under way while the noise was learnt: clips of data sets begin with their onset.

The first tenth of a second tells how much a face shakes, and meanwhile the reference follows it: half of a quick rise
is gone into it by then. So the first frames are looked at once more when they are over: from where the face was in the
very first of them, against how its way *bends* from one moment to the next, which noise does and a rise hardly.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.flanks import centred_mean
from realtime.vision.spotting.movement import Movement, Track
from realtime.vision.spotting.rest import Rest

Values = NDArray[np.float64]

_SETTLE_S, _RESTLESS_S = 0.10, 0.30
"""The noise is learnt for so long at the start; for longer where it is large: speech, or a hand that passes."""
_LOOK_S = 0.10
"""So often the first moments are looked at as a whole."""
_NEVER = 2**62
_START_S = 0.012
"""The face as it was at first is the mean of so long."""
_MEAN_S = 0.015
_CONFIRM_S = 0.012
"""It must be away for so long now."""
_APART_S = 0.016
"""Means so far apart share no frame."""
_STILL = 0.4
"""What begins with the first frame is slow there: a movement that was going on before has this share of its fastest."""


class Beginning:
    """The first moments of a group, in which its noise is learnt, and when they are looked at as a whole."""

    def __init__(self) -> None:
        self.began_ns = self.settled_ns = self._calm_ns = 0
        self._look_ns = _NEVER

    def begin(self, now_ns: int) -> None:
        """The first frame."""
        self.began_ns = now_ns
        self._look_ns, self._calm_ns, self.settled_ns = (
            now_ns + round(s * 1e9) for s in (_LOOK_S, _SETTLE_S, _RESTLESS_S)
        )

    def is_over(self, now_ns: int, *, restless: bool) -> bool:
        """The noise is known well enough; of a restless face it takes longer."""
        return now_ns >= (self.settled_ns if restless else self._calm_ns)

    def break_off(self) -> None:
        """What was measured so far is held against something else: there is nothing to look back at."""
        self._look_ns = _NEVER

    def may_look(self, now_ns: int) -> bool:
        """Is it time for ``look_back``?"""
        if now_ns < self._look_ns:
            return False
        later = self._look_ns + round(_LOOK_S * 1e9)
        self._look_ns = later if later < self.settled_ns else _NEVER
        return True


class Opening(Struct, frozen=True):
    """What the first frames were, seen from the first of them."""

    reference: Values
    """(C + P,) the face before it moved."""
    variance: Values
    """(R,) of the noise."""
    level: Values
    """(R,) at rest."""
    movement: Movement


def look_back(
    track: Track, rest: Rest, channels: Channels, trust: Values, since_ns: int, frame_s: float, doubt: float
) -> Opening | None:
    """The movement that began at ``since_ns`` or later and is under way; None where the face has rested.

    trust: (C,). doubt: so many times what the head's turn may have done is no movement yet.
    """
    rows, times_s, first = track.since(since_ns, track.now_ns)
    if len(rows) < 4:
        return None
    stamps = track.stamps(first)
    reference = rows[times_s <= _START_S].mean(axis=0)
    means = centred_mean(rows, times_s, _MEAN_S)
    off = np.array([rest.off(row, reference) for row in means])
    size = np.array([channels.size(row, trust) for row in off])
    apart = max(1, int(np.searchsorted(times_s, _APART_S)))
    if len(size) < 2 * apart + 2:
        return None
    variance = np.mean(_bend(size, apart) ** 2, axis=0) / 6.0
    shake = np.array([channels.size(row, trust) for row in _bend(off, apart)])
    # at rest a mean and the start differ by the noise of both
    level = np.sqrt(np.mean(shake * shake, axis=0) / 3.0)
    limit = np.maximum(rest.threshold_of(variance), doubt * rest.doubt_px(reference))
    risen = size - level > limit
    if not risen[times_s > times_s[-1] - _CONFIRM_S].all(axis=0).any():
        return None
    along = (off * trust) @ off[int(np.argmax((size / limit).max(axis=1)))]
    speed = along[apart:] - along[:-apart]
    if speed[0] > _STILL * speed.max():
        return None
    opened = int(np.flatnonzero(risen.any(axis=1))[0])
    movement = Movement(int(stamps[opened]), limit, frame_s, trust)
    for at in range(opened, len(size)):
        movement.follow(size[at] - level, off[at], trust, channels, int(stamps[at]))
    return Opening(reference, variance, level, movement)


def _bend(curve: Values, apart: int) -> Values:
    """(T, N) → how far each moment is off the line between those before and after it: six times the noise's variance,
    and next to nothing of a movement.
    """
    bend: Values = curve[2 * apart :] - 2.0 * curve[apart:-apart] + curve[: -2 * apart]
    return bend
