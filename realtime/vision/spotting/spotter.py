"""Difference curve -> onset, apex, offset: a causal state machine, and D&C-RoIs for whole clips.

``Spotter`` sees one frame's difference per ROI at a time. It learns each ROI's noise while the face is at rest,
opens an event when a ROI rises out of it, closes it when all that took part have come back, and only then
places onset, apex and offset by fitting minimum-jerk flanks (Flash & Hogan 1985) to the stored curve: no
later frame is needed than the one that showed the return.

``dc_rois`` is the paper's way (LAENet §2.2.1; Liong et al. 2015): it needs the whole clip and its onset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.errors import InputError
from realtime.types import MICRO_MAX_S, SpotEvent
from realtime.vision.spotting.flanks import Course, fit_course

Curve = NDArray[np.float64]
"""(T,) or (T, ROIs) float64 ≥ 0: difference from the reference, px or 1 − correlation."""

_SMOOTH_S = 0.015
_CONFIRM_S = 0.010
_SETTLE_S = 0.30
_QUIET_S = 0.020
_PLATEAU_S = 0.30
_BEFORE_S = 0.60
_RELEASE = 0.12
"""Share of its peak under which a ROI has come back."""
_CEILING = 6.0
"""However restless a face is, a rise of so many floors is a movement."""
_LEAST_FLOOR = 1e-9
"""With the floor set to 0 the noise alone decides; a curve without noise needs something above 0 still."""
_JOIN = 0.5
"""ROIs with at least this share of the strongest one's peak are added up for the fit."""


class Spotter:
    """Finds movements in a stream of differences; one at a time.

    Not thread-safe; holds a few seconds of the curve. All durations in seconds, so any frame rate will do.
    """

    def __init__(self, params: SpotSettings | None = None, fps: float = 200.0, floor: float | None = None):
        """``fps``: frames a second. ``floor``: least rise above the resting level, in the unit of the difference."""
        if not 0 < fps < np.inf:
            raise InputError(f"fps is {fps}: give the true frame rate, above 0")
        self.params = params or SpotSettings()
        self.fps = float(fps)
        self.floor = self.params.floor() if floor is None else floor
        self._smooth = max(1, round(_SMOOTH_S * fps))
        self._confirm = max(1, round(_CONFIRM_S * fps))
        self._quiet = max(1, round(_QUIET_S * fps))
        self._settle = max(3, round(_SETTLE_S * fps))
        self._plateau = max(3, round(_PLATEAU_S * fps))
        self._keep = round((self.params.max_duration_s + _BEFORE_S + 0.5) * fps) + 2 * self._settle
        self._gain = 1.0 / max(2.0, self.params.noise_window_s * fps)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the face was lost, or the camera changed."""
        self._names: tuple[str, ...] = ()
        self._count = 0
        self._held = 0
        """Frames in the running sum, at most ``_smooth``."""
        self._closed = 0
        self._level: Curve | None = None
        self._rest()

    def cut(self) -> SpotEvent | None:
        """The reference has changed: end the event under way, keep the noise learnt so far."""
        event = self.flush()
        self._rest()
        # its end was not seen: a short one may be the beginning of a long one
        return event if event is not None and event.kind == "macro" else None

    def rebase(self) -> None:
        """The reference has been renewed: what the old one showed begins no event. The noise learnt is kept."""
        self._held = 0
        self._closed = self._count
        self._sum[:] = 0.0
        self._rest()

    def _rest(self) -> None:
        self.active = False
        self._hits = 0
        self._calm = 0

    def _begin(self, rois: int) -> None:
        """First frame: room for the curve of each ROI, twice, so that any stretch of it is contiguous."""
        self._curve = np.zeros((2 * self._keep, rois))
        self._numbers = np.zeros(2 * self._keep, np.int64)
        self._times = np.zeros(2 * self._keep, np.int64)
        self._sum = np.zeros(rois)
        self._level = np.zeros(rois)
        self._variance = np.zeros(rois)
        self._peak = np.zeros(rois)
        self.settled_at = self._settle

    def push(
        self, frame: int, t_ns: int, difference: Mapping[str, float] | Sequence[float] | Curve
    ) -> SpotEvent | None:
        """One frame's difference per ROI; returns the event that this frame completes, if any.

        frame: its number. t_ns: exposure, monotonic ns. difference: ROI name -> value, or (ROIs,) values ≥ 0.
        """
        values = self._values(difference)
        if self._level is None:
            self._begin(len(values))
        elif len(values) != len(self._level):
            raise InputError(f"difference has {len(values)} ROIs, was {len(self._level)}: reset() the spotter first")
        smooth = self._store(frame, t_ns, values)
        if self._count <= self.settled_at:
            self._learn(smooth, 1.0 / min(self._count, self._settle))
            return None
        if self.active:
            return self._follow(smooth)
        self._watch(smooth)
        return None

    def _values(self, difference: Mapping[str, float] | Sequence[float] | Curve) -> Curve:
        if isinstance(difference, Mapping):
            self._names = self._names or tuple(difference)
            if difference.keys() != set(self._names):
                raise InputError(f"ROIs are {list(difference)}, were {list(self._names)}: reset() the spotter first")
            difference = [difference[name] for name in self._names]
        values = np.atleast_1d(np.asarray(difference, np.float64))
        if values.ndim != 1 or not np.isfinite(values).all():
            raise InputError(f"a difference is (ROIs,) finite values, not {values}")
        return values

    def _store(self, frame: int, t_ns: int, values: Curve) -> Curve:
        """Append; returns the mean of the last few frames."""
        at = self._count % self._keep
        if self._held == self._smooth:
            self._sum -= self._curve[(self._count - self._smooth) % self._keep]
        else:
            self._held += 1
        self._sum += values
        for i in (at, at + self._keep):
            self._curve[i] = values
            self._numbers[i] = frame
            self._times[i] = t_ns
        self._count += 1
        return self._sum / self._held

    def _learn(self, smooth: Curve, gain: float) -> None:
        """Follow the resting level and its variance."""
        assert self._level is not None
        off = smooth - self._level
        self._level += gain * off
        self._variance += gain * (off * off - self._variance)

    @property
    def level(self) -> Curve:
        """(ROIs,) resting level learnt so far, in the unit of the difference."""
        return np.zeros(1) if self._level is None else self._level

    def threshold(self) -> Curve:
        """(ROIs,) rise above the resting level that opens an event, in the unit of the difference."""
        wanted = self.params.threshold_sigmas * np.sqrt(self._variance)
        floor = max(self.floor, _LEAST_FLOOR)
        return np.clip(wanted, floor, _CEILING * floor if self.floor else None)

    def _watch(self, smooth: Curve) -> None:
        """At rest: does a movement begin?"""
        assert self._level is not None
        rise = smooth - self._level
        limit = self.threshold()
        if not (rise > limit).any():
            self._hits = 0
            # what is half-way to an event is no noise, but a level that drifts must be followed in the end
            self._learn(np.minimum(smooth, self._level + 0.5 * limit), self._gain)
            return
        self._hits += 1
        if self._hits >= self._confirm:
            self.active = True
            self._opened = self._count - self._hits
            self._limit = limit
            self._peak = np.maximum(rise, 0.0)
            self._calm = 0

    def _follow(self, smooth: Curve) -> SpotEvent | None:
        """In a movement: is it over?"""
        assert self._level is not None
        rise = smooth - self._level
        np.maximum(self._peak, rise, out=self._peak)
        took_part = self._peak > self._limit
        back = rise < np.maximum(_RELEASE * self._peak, 0.35 * self._limit)
        self._calm = self._calm + 1 if back[took_part].all() else 0
        length = self._count - self._opened
        if self._calm >= self._quiet or self._resting_elsewhere(rise, took_part, length):
            return self._close()
        return self._close() if length >= self.params.max_duration_s * self.fps else None

    def _resting_elsewhere(self, rise: Curve, took_part: NDArray[np.bool_], length: int) -> bool:
        """True where the movement left the face at another level, well below its peak, and it stays there."""
        if length < 2 * self._plateau or (rise > 0.5 * self._peak)[took_part].any():
            return False
        recent = self._tail(self._plateau)[:, took_part]
        return bool((np.ptp(recent, axis=0) < np.maximum(self._limit, 0.1 * self._peak)[took_part]).all())

    def _tail(self, length: int) -> Curve:
        """The last ``length`` rows of the curve."""
        end = (self._count - 1) % self._keep + self._keep + 1
        return self._curve[end - length : end]

    def flush(self) -> SpotEvent | None:
        """End of the source: the event under way, ended by the last frame, if there is one.

        A short one that has not come half-way down is dropped: it may be the beginning of a long one.
        """
        if not self.active:
            return None
        assert self._level is not None
        took_part = self._peak > self._limit
        falling = (self._tail(1)[0] - self._level < 0.5 * self._peak)[took_part].all()
        event = self._close()
        return event if event is None or falling or event.kind == "macro" else None

    def _close(self) -> SpotEvent | None:
        """Place onset, apex and offset; None for what is too short to be a movement."""
        assert self._level is not None
        before = self._opened - max(self._closed, self._opened - round(_BEFORE_S * self.fps))
        span = min(self._keep, self._count - self._opened + before)
        self._closed = self._count
        end = (self._count - 1) % self._keep + self._keep + 1
        rise = self._curve[end - span : end] - self._level
        strongest = int(np.argmax(self._peak / self._limit))
        joined = (self._peak > self._limit) & (self._peak >= _JOIN * self._peak[strongest])
        course = fit_course(rise[:, joined].sum(1), span - (self._count - self._opened), self.fps)
        self._rest()
        if course is None or (course.offset - course.onset) / self.fps < self.params.min_duration_s:
            return None
        return self._event(course, end - span, strongest)

    def _event(self, course: Course, base: int, strongest: int) -> SpotEvent:
        onset, apex, offset = (base + i for i in course.frames())
        last = base + course.length - 1
        times = self._times
        sigma = max(float(np.sqrt(self._variance[strongest])), 1e-9)
        length_s = (times[offset] - times[onset]) / 1e9
        names = self._names or tuple(str(k) for k in range(len(self._peak)))
        return SpotEvent(
            kind="micro" if length_s <= min(self.params.micro_max_s, MICRO_MAX_S) + 1e-6 else "macro",
            onset=int(self._numbers[onset]),
            apex=int(self._numbers[apex]),
            offset=int(self._numbers[offset]),
            onset_t_ns=int(times[onset]),
            apex_t_ns=int(times[apex]),
            offset_t_ns=int(times[offset]),
            score=float(self._peak[strongest] / sigma),
            rois={name: round(float(v), 4) for name, v in zip(names, self._peak, strict=True)},
            decided=int(self._numbers[last]),
        )


def dc_rois(difference: Curve) -> int:
    """Apex of a whole clip by divide and conquer over the peaks (Liong et al. 2015).

    difference: (T,) or (T, ROIs), each frame against the clip's first; ROIs are added up. The clip is halved, the
    half whose peaks add up to more is kept, until one peak is left. Returns its index, 0..T−1.
    """
    curve = np.asarray(difference, np.float64)
    if curve.ndim == 2:
        curve = curve.sum(1)
    if curve.ndim != 1 or len(curve) == 0 or not np.isfinite(curve).all():
        raise InputError(f"difference must be (T,) or (T, ROIs), finite, T ≥ 1: it is {np.shape(difference)}")
    peaks = _peaks(curve)
    low, high = 0, len(curve)
    while len(peaks) > 1:
        middle = (low + high) // 2
        left, right = peaks[peaks < middle], peaks[peaks >= middle]
        if curve[left].sum() >= curve[right].sum():
            peaks, high = left, middle
        else:
            peaks, low = right, middle
    return int(peaks[0])


def _peaks(curve: Curve) -> NDArray[np.int64]:
    """Indices of the local maxima (first of a plateau); the largest value where there are none."""
    change = np.diff(curve)
    level = np.flatnonzero(change)
    if len(level) == 0:
        return np.array([0])
    rising = change[level] > 0
    tops = level[:-1][rising[:-1] & ~rising[1:]] + 1
    if rising[-1]:
        tops = np.append(tops, level[-1] + 1)
    return tops if len(tops) else np.array([int(np.argmax(curve))])
