"""One group's curve -> onset, apex, offset, frame by frame.

A ``Spotter`` watches one group of channels (the displacements of some patches, or the LBP differences of some ROIs).
At rest its reference follows the face and it learns its noise. A movement begins when a ROI rises out of the noise;
it ends where it *stops*, back at rest or not, because real micro-expressions keep half of their way (coders mark the
offset there); what stays goes into the reference at once. What holds still away from rest for longer than a
micro-expression lasts is remembered as an open macro-expression, and the group goes on watching from there, so that a
micro-expression on a smile is seen. Onset, apex and offset are then placed by minimum-jerk flanks (``flanks.py``).
All durations are seconds by time stamps; frames may be missing. The states are in ``watch.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.errors import InputError
from realtime.types import SpotEvent
from realtime.vision.face.forecast import Forecast
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.movement import Track
from realtime.vision.spotting.rest import Rest
from realtime.vision.spotting.watch import Watch

Curve = NDArray[np.float64]
"""(T,) or (T, ROIs) float64 ≥ 0: difference from the reference, px or 1 − correlation."""

_SMOOTH_S = 0.015
_KEEP_S = 1.7
TOGETHER_S = 0.3
"""Movements of two groups that begin closer than this begin together."""


class Spotter:
    """Finds movements of one group, one at a time. Not thread-safe; holds a few seconds of the curve."""

    def __init__(
        self,
        params: SpotSettings | None = None,
        fps: float = 200.0,
        floor: float | None = None,
        channels: Channels | None = None,
        forecast: Forecast | None = None,
    ):
        """``fps``: nominal frames a second, for the size of buffers. ``floor``: least rise above the resting level, in
        the unit of the difference. Without ``channels`` each value is a ROI of its own and only its rise counts.
        """
        if not 0 < fps < np.inf:
            raise InputError(f"fps is {fps}: give the true frame rate, above 0")
        self.params = params or SpotSettings()
        self.fps = float(fps)
        self.floor = self.params.floor() if floor is None else floor
        self.forecast = forecast
        self._given = channels
        self.reset()

    def reset(self) -> None:
        """Forget everything: the face was lost, or the camera changed."""
        self.channels = self._given
        self._names: tuple[str, ...] = ()
        self._watch: Watch | None = None

    def _begin(self, count: int, features: int) -> Watch:
        """First frame: the buffers."""
        channels = self.channels = self.channels or Channels.of_differences(count, self._names)
        seconds = self.params.max_duration_s + _KEEP_S
        track = Track(round(1.25 * seconds * self.fps) + 8, count, features)
        rest = Rest(self.params, self.floor, track, len(channels.names), self.forecast)
        self._watch = Watch(self.params, self.fps, channels, track, rest)
        return self._watch

    # --- a frame ----------------------------------------------------------------------------------------

    def push(
        self,
        frame: int,
        t_ns: int,
        difference: Mapping[str, float] | Sequence[float] | Curve,
        features: Curve | None = None,
        weights: Curve | None = None,
    ) -> SpotEvent | None:
        """One frame's values; returns the event that this frame completes, if any.

        frame: its number. t_ns: exposure, monotonic ns. difference: ROI name -> value, or (C,) values. features:
        (P,) of the head's pose, px. weights: (C,) trust in each channel now, 0 for a patch that is lost.
        """
        values = self._values(difference)
        watch = self._watch or self._begin(len(values), 0 if features is None else len(features))
        if len(values) != watch.track.channels:
            known = watch.track.channels
            raise InputError(f"difference has {len(values)} values, was {known}: reset() the spotter first")
        dt_s = watch.track.store(frame, t_ns, values, features, _SMOOTH_S)
        return watch.push(watch.channels.weights if weights is None else weights, dt_s)

    def _values(self, difference: Mapping[str, float] | Sequence[float] | Curve) -> Curve:
        if isinstance(difference, Mapping):
            self._names = self._names or tuple(difference)
            if difference.keys() != set(self._names):
                raise InputError(f"ROIs are {list(difference)}, were {list(self._names)}: reset() the spotter first")
            difference = [difference[name] for name in self._names]
        values = difference if isinstance(difference, np.ndarray) else np.atleast_1d(np.asarray(difference, np.float64))
        if values.ndim != 1 or not math.isfinite(values @ values):
            raise InputError(f"a difference is (ROIs,) finite values, not {values}")
        return values

    def trust(self, weights: Curve) -> None:
        """The channels' weights (C,) from now on: there is a new template."""
        if self.channels is not None:
            self.channels = self.channels.weighted(weights)
            if self._watch is not None:
                self._watch.channels = self.channels
                self._watch.rest.part()

    def cut(self) -> SpotEvent | None:
        """The reference has changed: end the event under way, keep the noise learnt so far."""
        event = self.flush()
        self.rebase()
        # its end was not seen: a short one may be the beginning of a long one
        return event if event is not None and event.kind == "macro" else None

    def rebase(self) -> None:
        """Take the face as it is now for rest: what the old reference showed begins no event. The noise is kept."""
        if self._watch is not None:
            self._watch.rebase()

    def let_go(self) -> None:
        """A macro-expression that is open is over, wherever the face is now."""
        if self._watch is not None:
            self._watch.hold = None

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """The head has jerked from … to …: what began with it, and stays now that it is still, is the head's."""
        if self._watch is not None:
            self._watch.jerked()
        began_ns = self.began_ns
        if began_ns is None or span_ns[0] <= began_ns <= span_ns[1]:
            self.rebase()

    def let_settle(self) -> None:
        """Templates have been renewed: for a moment what moves is rest."""
        if self._watch is not None:
            self._watch.rest.let_settle()

    def flush(self) -> SpotEvent | None:
        """End of the source: the event under way, ended by the last frame, if there is one.

        An open macro-expression ends here too. A short movement that has not come half-way down is dropped: it may be
        the beginning of a long one.
        """
        return None if self._watch is None else self._watch.flush()

    # --- what it is doing ---------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """A movement is under way."""
        return self.began_ns is not None

    @property
    def began_ns(self) -> int | None:
        """When the movement under way was first seen, ns; None at rest."""
        movement = self._watch.movement if self._watch else None
        return movement.opened_ns if movement else None

    @property
    def open_since_ns(self) -> int | None:
        """When what is under way began, or what is held and not reported yet, ns; None at rest."""
        hold = self._watch.hold if self._watch else None
        return hold.onset_ns if hold is not None and not hold.told else self.began_ns

    @property
    def is_displaced(self) -> bool:
        """The face rests away from where it was, reported already or not."""
        return self._watch is not None and self._watch.hold is not None

    @property
    def is_far(self) -> bool:
        """A strong expression is held, reported already or not: more than a micro-expression moves."""
        return self._watch is not None and self._watch.is_far

    @property
    def holding(self) -> bool:
        """A macro-expression is open and not reported yet."""
        return self._watch is not None and self._watch.hold is not None and not self._watch.hold.told

    @property
    def ended_hold(self) -> bool:
        """The last movement began or ended an open macro-expression."""
        return self._watch is not None and self._watch.ended_hold

    @property
    def size(self) -> Curve:
        """(ROIs,) how far each is from rest now, in the unit of the difference."""
        if self._watch is not None:
            return self._watch.size
        return np.zeros(len(self.channels.names) if self.channels else 1)

    @property
    def peaks(self) -> Curve:
        """(ROIs,) largest rise of each in the movement under way; zeros at rest."""
        movement = self._watch.movement if self._watch else None
        return movement.peak if movement else np.zeros_like(self.size)

    @property
    def reach(self) -> float:
        """How far the movement under way has gone, in the unit of the difference; 0 at rest."""
        return float(self.peaks.max())

    def reach_with(self, event: SpotEvent, *, together: bool) -> float:
        """How far this group has moved while ``event`` lasted, in the unit of the difference.

        together: only in what began about when it did.
        """
        reach, began_ns = 0.0, self.began_ns
        if began_ns is not None and began_ns <= event.offset_t_ns:
            apart_ns = abs(began_ns - event.onset_t_ns)
            reach = self.reach if not together or apart_ns < TOGETHER_S * 1e9 else 0.0
        hold = self._watch.hold if self._watch else None
        if hold is not None and abs(hold.onset_ns - event.onset_t_ns) < TOGETHER_S * 1e9:
            reach = max(reach, float(hold.peaks.max()))
        return reach

    @property
    def is_settled(self) -> bool:
        """The noise has been learnt for long enough to be stated."""
        watch = self._watch
        return watch is not None and watch.track.now_ns - watch.beginning.settled_ns > self.params.noise_window_s * 1e9

    @property
    def is_in_play(self) -> bool:
        """Most of its patches show the skin that they should."""
        return self._watch is None or self._watch.alive

    @property
    def level(self) -> Curve:
        """(ROIs,) resting level learnt so far, in the unit of the difference."""
        return np.zeros(1) if self._watch is None else self._watch.rest.level

    def threshold(self) -> Curve:
        """(ROIs,) rise above the resting level that opens an event, in the unit of the difference."""
        return np.full(1, self.floor) if self._watch is None else self._watch.rest.threshold()

    def least_rise(self) -> Curve:
        """(ROIs,) the smallest movement that would open an event now."""
        return self.threshold() + self.level
