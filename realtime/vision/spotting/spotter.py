"""One region's curve -> onset, apex, offset: a causal state machine, and D&C-RoIs for whole clips.

A ``Spotter`` watches one group of channels (the displacements of some patches, or the LBP differences of some ROIs).
At rest its reference follows the face and it learns its noise. A movement begins when a ROI rises out of the noise;
it ends where it *stops*, back at rest or not, because real micro-expressions keep half of their way (coders mark the
offset there); what stays goes into the reference at once. What holds still away from rest for longer than a
micro-expression lasts is remembered as an open macro-expression, and the group goes on watching from there, so that a
micro-expression on a smile is seen. Onset, apex and offset are then placed by minimum-jerk flanks (``flanks.py``).
All durations are seconds by time stamps; frames may be missing.

``dc_rois`` is the paper's way (LAENet §2.2.1; Liong et al. 2015): it needs the whole clip and its onset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.errors import InputError
from realtime.types import Kind, SpotEvent
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.flanks import fit_course
from realtime.vision.spotting.forecast import Forecast
from realtime.vision.spotting.movement import Hold, Movement, Track

Curve = NDArray[np.float64]
"""(T,) or (T, ROIs) float64 ≥ 0: difference from the reference, px or 1 − correlation."""

_SMOOTH_S = 0.015
_CONFIRM_S = 0.010
_SETTLE_S = 0.30
_BEFORE_S = 0.60
_CEILING = 6.0
"""However restless a face is, a rise of so many floors is a movement."""
_LEAST_FLOOR = 1e-9
"""With the floor set to 0 the noise alone decides; a curve without noise needs something above 0 still."""
_JOIN = 0.5
"""ROIs with at least this share of the strongest one's peak are added up for the fit."""
_TAIL, _TAIL_S = 0.3, 0.25
"""An event is closed before its fall is over: share of apex to offset that may still come, and at most so long."""
_ALIVE = 0.3
"""A ROI with less of its weight alive is out of play."""
_HELD = 0.6
"""What has lasted longer than a micro-expression and still has this share of its peak is held."""
_LARGE = 18.0
"""So many floors (3 px) are more than a micro-expression moves: what stays there is held, however short it has been."""
_LEARN_S, _SOLVE_S = 0.01, 0.1
_TURNED_PX = 0.35
_HEAD_SHARE = 0.35
"""A movement of which the head's pose leaves no more than this was the head's."""
_RENEWED_S = 0.06
_TOGETHER_S = 0.2


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
        self._frame_s = 1.0 / self.fps
        self.reset()

    # --- state ------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget everything: the face was lost, or the camera changed."""
        self.channels = self._given
        self._names: tuple[str, ...] = ()
        self._track: Track | None = None
        self._hold: Hold | None = None
        self._movement: Movement | None = None
        self._hits = 0
        self._closed_ns = -(2**62)
        self._alive = True
        self.ended_hold = False
        """The last movement began or ended an open macro-expression."""
        self._strange = np.zeros(0, bool)
        self.size = np.zeros(len(self._given.names) if self._given else 1)
        """(ROIs,) how far each is from rest now."""

    @property
    def active(self) -> bool:
        """A movement is under way."""
        return self._movement is not None

    @property
    def began_ns(self) -> int | None:
        """When the movement under way was first seen, ns; None at rest."""
        return self._movement.opened_ns if self._movement else None

    @property
    def holding(self) -> bool:
        """The face rests away from where it was: a macro-expression is open."""
        return self._hold is not None and not self._hold.told

    def cut(self) -> SpotEvent | None:
        """The reference has changed: end the event under way, keep the noise learnt so far."""
        event = self.flush()
        self.rebase()
        # its end was not seen: a short one may be the beginning of a long one
        return event if event is not None and event.kind == "macro" else None

    def rebase(self) -> None:
        """Take the face as it is now for rest: what the old reference showed begins no event. The noise is kept."""
        self._movement = None
        self._hits = 0
        if self._track is not None:
            self._track.restart()
            self._closed_ns = self._track.now_ns

    @property
    def reach(self) -> float:
        """How far the movement under way has gone, in the unit of the difference; 0 at rest."""
        return float(self._movement.peak.max()) if self._movement else 0.0

    def reach_with(self, event: SpotEvent, *, together: bool) -> float:
        """How far this group has moved while ``event`` lasted, in the unit of the difference.

        together: only in what began about when it did.
        """
        reach = 0.0
        if self.began_ns is not None and self.began_ns <= event.offset_t_ns:
            apart_ns = abs(self.began_ns - event.onset_t_ns)
            reach = self.reach if not together or apart_ns < _TOGETHER_S * 1e9 else 0.0
        if self._hold is not None and abs(self._hold.onset_ns - event.onset_t_ns) < _TOGETHER_S * 1e9:
            reach = max(reach, float(self._hold.peaks.max()))
        return reach

    @property
    def is_settled(self) -> bool:
        """The noise has been learnt for long enough to be stated."""
        return self._track is not None and self._track.now_ns - self._settle_ns > self.params.noise_window_s * 1e9

    def least_rise(self) -> Curve:
        """(ROIs,) the smallest movement that would open an event now."""
        return self.threshold() + self._level

    @property
    def is_displaced(self) -> bool:
        """The face rests away from where it was, reported already or not."""
        return self._hold is not None

    @property
    def peaks(self) -> Curve:
        """(ROIs,) largest rise of each in the movement under way; zeros at rest."""
        return self._movement.peak if self._movement else np.zeros_like(self.size)

    def _begin(self, channels: int, features: int) -> None:
        """First frame: the buffers."""
        if self.channels is None:
            self.channels = Channels.of_differences(channels)
        rois = len(self.channels.names)
        seconds = self.params.max_duration_s + _BEFORE_S + 2 * _SETTLE_S + 0.5
        self._track = Track(round(1.25 * seconds * self.fps) + 8, channels, features)
        self._level = np.zeros(rois)
        self._variance = np.zeros(rois)
        self._settled = 0
        self._learned_ns = self._solved_ns = 0
        self._reference = np.zeros(channels + features)
        self._seen = 0
        self._tail_ns = 0
        self._settle_ns = 0

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
        if self._track is None:
            self._begin(len(values), 0 if features is None else len(features))
        track, channels = self._track, self.channels
        assert track is not None and channels is not None
        if len(values) != track.channels:
            raise InputError(f"difference has {len(values)} values, was {track.channels}: reset() the spotter first")
        dt_s = track.store(frame, t_ns, values, features, max(_SMOOTH_S, 1e-9))
        trust = channels.weights if weights is None else self._known(weights)
        if not self._in_play(trust):
            return None
        if self._settled == 0:
            self._reference[:] = track.smooth
            self._settle_ns = t_ns + round(_SETTLE_S * 1e9)
        off = self._off(track.smooth - self._reference)
        size = self.size = channels.size(off, trust)
        if self._hold is not None:
            size = np.abs(size)  # an open macro-expression may come down: that is a movement too
        if t_ns < self._settle_ns or self._settled < 3:
            self._settle(size, dt_s)
            return None
        if self._movement is not None:
            return self._follow(size, off, trust)
        return self._watch(size, off, trust, dt_s)

    def _values(self, difference: Mapping[str, float] | Sequence[float] | Curve) -> Curve:
        if isinstance(difference, Mapping):
            self._names = self._names or tuple(difference)
            if difference.keys() != set(self._names):
                raise InputError(f"ROIs are {list(difference)}, were {list(self._names)}: reset() the spotter first")
            if self.channels is None:
                self.channels = Channels.of_differences(len(self._names), self._names)
            difference = [difference[name] for name in self._names]
        values = np.atleast_1d(np.asarray(difference, np.float64))
        if values.ndim != 1 or not np.isfinite(values.sum()):
            raise InputError(f"a difference is (ROIs,) finite values, not {values}")
        return values

    def _known(self, trust: Curve) -> Curve:
        """A patch that was lost since the reference was taken says nothing until the group rests again."""
        track = self._track
        assert track is not None
        if self._settled == 0:
            self._strange = trust <= 0.0
            return trust
        lost = trust <= 0.0
        if self._movement is None:
            back = self._strange & ~lost
            if back.any():
                split = track.channels
                foretold = (
                    0.0
                    if self.forecast is None
                    else self.forecast.weights @ (track.smooth[split:] - self._reference[split:])
                )
                self._reference[:split][back] = (track.smooth[:split] - foretold)[back]
            self._strange = lost
        else:
            self._strange |= lost
        return np.where(self._strange, 0.0, trust)

    def _in_play(self, trust: Curve) -> bool:
        """False while most patches show something else (a hand, a shadow); then rest is where they come back."""
        assert self.channels is not None
        alive = self.channels.alive(trust) >= _ALIVE
        if alive and not self._alive and self._settled:
            self.rebase()
        self._alive = alive
        if not alive:
            self._movement = None
            self._hits = 0
        return alive

    def _off(self, change: Curve) -> Curve:
        """(C,) how far each channel is from the reference, less what the head's pose foretells. change: (C + P,)."""
        assert self._track is not None
        split = self._track.channels
        if self.forecast is None:
            return change[:split]
        return change[:split] - self.forecast.weights @ change[split:]

    def _settle(self, size: Curve, dt_s: float) -> None:
        """The first moments: the noise, quickly."""
        self._settled += 1
        self._learn_noise(size, 1.0 / self._settled)
        self._roll(dt_s)

    def _learn_noise(self, size: Curve, gain: float) -> None:
        off = size - self._level
        self._level += gain * off
        self._variance += gain * (off * off - self._variance)

    @property
    def level(self) -> Curve:
        """(ROIs,) resting level learnt so far, in the unit of the difference."""
        return np.zeros(1) if self._track is None else self._level

    def threshold(self) -> Curve:
        """(ROIs,) rise above the resting level that opens an event, in the unit of the difference."""
        wanted = self.params.threshold_sigmas * np.sqrt(self._variance)
        floor = max(self.floor, _LEAST_FLOOR)
        return np.clip(wanted, floor, _CEILING * floor if self.floor else None)

    def _roll(self, dt_s: float) -> None:
        """Let the reference follow the face, and learn what the head's pose does to it."""
        track = self._track
        assert track is not None
        self._seen += 1
        gain = max(dt_s / self.params.reference_window_s, 1.0 / self._seen)
        if track.now_ns < self._tail_ns:
            gain = 1.0
        self._reference += gain * (track.smooth - self._reference)
        self._learn_head()

    def _learn_head(self) -> None:
        track, forecast = self._track, self.forecast
        assert track is not None
        if forecast is None:
            return
        now = track.now_ns
        if now - self._learned_ns >= _LEARN_S * 1e9:
            dt_s = min((now - self._learned_ns) / 1e9, 1.0) if self._learned_ns else _LEARN_S
            self._learned_ns = now
            forecast.learn(track.latest[track.channels :], track.latest[: track.channels], dt_s)
        if now - self._solved_ns >= _SOLVE_S * 1e9:
            self._solved_ns = now
            forecast.solve()

    # --- at rest ----------------------------------------------------------------------------------------

    def _watch(self, size: Curve, off: Curve, trust: Curve, dt_s: float) -> SpotEvent | None:
        """At rest: does a movement begin?"""
        track = self._track
        assert track is not None
        rise = size - self._level
        limit = self.threshold()
        if track.now_ns < self._tail_ns or not (rise > limit).any():
            self._hits = 0
            # what is half-way to an event is no noise, but a level that drifts must be followed in the end
            gain = min(1.0, dt_s / self.params.noise_window_s)
            self._learn_noise(np.minimum(size, self._level + 0.5 * limit), gain)
            self._roll(dt_s)
            return self._watch_hold(bool((np.abs(size - self._level) < 0.25 * limit).all()))
        if self._hits == 0:
            self._first_ns = track.now_ns
        self._hits += 1
        if track.now_ns - self._first_ns < (_CONFIRM_S - 0.5 * self._frame_s) * 1e9 and self._hits < 3:
            return None
        self._movement = Movement(self._first_ns, limit, self._frame_s, trust)
        self._movement.follow(size - self._level, off, trust, self.channels, track.now_ns)
        return None

    def _watch_hold(self, still: bool) -> SpotEvent | None:
        """At rest with a macro-expression open: has it crept back, or lasted long enough?"""
        hold, track = self._hold, self._track
        if hold is None or track is None:
            return None
        age_s = (track.now_ns - hold.onset_ns) / 1e9
        if hold.told:
            self._hold = None if age_s > 8 * self.params.max_duration_s else hold
            return None
        if still and self._share_of_hold(hold) < 0.3 and age_s > self.params.micro_max_s:
            self._hold = None
            self.let_settle()
            return self._told_hold(hold, track.count - 1)
        if age_s >= self.params.max_duration_s:
            hold.told = True
            return self._told_hold(hold, track.count - 1)
        return None

    def _share_of_hold(self, hold: Hold) -> float:
        """How much of an open macro-expression is still there, 1 all, 0 back at rest."""
        assert self._track is not None
        return float(hold.direction @ self._off(self._track.smooth - hold.reference)) / hold.peak

    # --- in a movement ----------------------------------------------------------------------------------

    def _follow(self, size: Curve, off: Curve, trust: Curve) -> SpotEvent | None:
        """In a movement: is it over, and how?"""
        movement, track, channels = self._movement, self._track, self.channels
        assert movement is not None and track is not None and channels is not None
        movement.follow(size - self._level, off, trust, channels, track.now_ns)
        age_s = (track.now_ns - movement.opened_ns) / 1e9
        if self._hold is not None and movement.is_calm and self._share_of_hold(self._hold) < 0.4:
            return self._close_hold()
        long = age_s > self.params.micro_max_s + 0.1
        if movement.is_back:
            return self._close()
        if movement.has_stopped(self._still_noise):
            # a smile that gives way a little is held, not over
            large = movement.residual_px > _LARGE * self.floor
            held = movement.residual > _HELD and (large or age_s > self.params.micro_max_s - _CONFIRM_S)
            return self._keep_as_hold() if held else self._close()
        if long and movement.is_level:
            return self._keep_as_hold()
        if age_s >= self.params.max_duration_s:
            return self._close()
        return None

    def _still_noise(self, direction: Curve) -> float:
        """How much the projected curve's short means differ from one to the next while nothing moves."""
        movement, track = self._movement, self._track
        assert movement is not None and track is not None
        rows, times_s, _ = track.since(movement.opened_ns - 400_000_000, movement.opened_ns - 50_000_000)
        if len(rows) < 6:
            return 0.0
        curve = self._project(rows, direction)
        count = max(1, round(movement.step_s / max(np.diff(times_s).mean(), 1e-6)))
        if len(curve) < 3 * count:
            return 0.0
        means = np.convolve(curve, np.full(count, 1.0 / count), "valid")
        change = means[count:] - means[:-count]
        return float(np.sqrt(np.mean(change * change))) if len(change) else 0.0

    def _project(self, rows: Curve, direction: Curve) -> Curve:
        """(T,) of stored rows (T, C + P): how far along ``direction`` the group has moved from the reference."""
        assert self._track is not None
        split = self._track.channels
        change = rows - self._reference
        along = change[:, :split] @ direction
        if self.forecast is not None:
            along -= change[:, split:] @ (direction @ self.forecast.weights)
        return along

    def _span(self) -> tuple[Curve, Curve, int, int]:
        """Stored rows of the movement and of what was before it, their times (s), index of the first, and of the
        opening.
        """
        movement, track = self._movement, self._track
        assert movement is not None and track is not None
        begin_ns = max(self._closed_ns + 1, movement.opened_ns - round(_BEFORE_S * 1e9))
        rows, times_s, first = track.since(begin_ns, track.now_ns)
        opened = int(np.searchsorted(track.stamps(first), movement.opened_ns))
        return rows, times_s, first, min(opened, len(rows) - 1)

    def _close(self) -> SpotEvent | None:
        """Place onset, apex and offset; None for what is too short to be a movement, or was the head's."""
        movement, track = self._movement, self._track
        assert movement is not None and track is not None
        rows, times_s, first, opened = self._span()
        curve = self._curve(rows, movement)
        residual = movement.residual_px if movement.stopped else 0.0
        course = fit_course(curve, times_s, opened, residual)
        event = None
        if course is not None and course.offset - course.onset >= self.params.min_duration_s:
            onset, apex, offset = course.frames(times_s)
            if onset < apex < offset and not self._is_head(rows, curve, onset):
                left = max(0.0, residual) / max(course.peak, 1e-9)
                event = self._event(first + onset, first + apex, first + offset, movement.peak, left)
        returned = self._hold is not None and self._share_of_hold(self._hold) < 0.4
        if event is not None:
            self._tail_ns = track.now_ns + round(
                min(_TAIL_S, _TAIL * (event.offset_t_ns - event.apex_t_ns) / 1e9) * 1e9
            )
        self._after(movement)
        if returned:
            self._hold = None
            self.let_settle()
        return event

    def _after(self, movement: Movement, *, of_hold: bool = False) -> None:
        """What stays goes into the reference at once."""
        self.ended_hold = of_hold
        track = self._track
        assert track is not None
        self._closed_ns = track.now_ns
        self._movement = None
        self._hits = 0
        self._seen = 1
        self._reference[:] = track.smooth

    def _curve(self, rows: Curve, movement: Movement) -> Curve:
        """(T,) the movement along its own direction, from the level before it."""
        assert self.channels is not None
        curve = self._project(rows, movement.direction)
        return curve if self.channels.signed or self._hold else np.maximum(curve - self._base(movement), 0.0)

    def _base(self, movement: Movement) -> float:
        """Resting level along the direction; differences have one above zero."""
        assert self.channels is not None
        if self.channels.signed:
            return 0.0
        return float(movement.direction @ self._level[self.channels.roi_of])

    def _is_head(self, rows: Curve, curve: Curve, onset: int) -> bool:
        """Does the head's pose, with a bolder forecast than what was learnt so far, explain this movement?"""
        if self.forecast is None:
            return False
        assert self._track is not None and self._movement is not None
        change = rows[max(0, onset - 4) :, self._track.channels :]
        change = change - change[0]
        target = curve[max(0, onset - 4) :] - curve[max(0, onset - 4)]
        boldness = 2.0 * self.forecast.uncertainty(self._movement.direction)
        noise = 0.05
        system = change.T @ change + np.diag((noise / np.maximum(boldness, 1e-6)) ** 2 * 4.0)
        if np.ptp(change[:, :2], axis=0).max() < _TURNED_PX:
            return False
        extra = np.clip(np.linalg.solve(system, change.T @ target), -boldness, boldness)
        left = target - change @ extra
        before = np.sqrt(np.mean(target * target))
        if before <= 0 or np.sqrt(np.mean(left * left)) > _HEAD_SHARE * before:
            return False
        for row in rows[:: max(1, round(_LEARN_S * self.fps))]:
            self.forecast.learn(row[self._track.channels :], row[: self._track.channels], _LEARN_S)
        self.forecast.solve()
        return True

    # --- open macro-expressions ---------------------------------------------------------------------------

    def _keep_as_hold(self) -> SpotEvent | None:
        """It stays away from rest: remember it, and watch on from here."""
        movement, track = self._movement, self._track
        assert movement is not None and track is not None
        rows, times_s, first, opened = self._span()
        curve = self._curve(rows, movement)
        course = fit_course(curve, times_s, opened)
        told = None
        if course is not None and not self._is_head(rows, curve, course.frames(times_s)[0]):
            onset, apex, _ = course.frames(times_s)
            if self._hold is not None and self._share_of_hold(self._hold) < 0.7:
                hold, self._hold = self._hold, None
                if not hold.told:
                    told = self._told_hold(hold, first + apex)
            elif self._hold is None:
                self._hold = Hold(
                    reference=self._reference.copy(),
                    direction=movement.direction.copy(),
                    peak=max(course.peak, 1e-9),
                    peaks=movement.peak.copy(),
                    score=self._score(movement.peak),
                    onset=track.identity(first + onset),
                    apex=track.identity(first + apex),
                )
        self._after(movement, of_hold=True)
        self.let_settle()
        return told

    def let_settle(self) -> None:
        """The templates are about to be renewed: rest is where they are then."""
        assert self._track is not None
        self._tail_ns = self._track.now_ns + round(_RENEWED_S * 1e9)

    def _close_hold(self) -> SpotEvent | None:
        """The open macro-expression has come back: it ends where this movement, its fall, ends."""
        movement, hold = self._movement, self._hold
        assert movement is not None and hold is not None
        rows, times_s, first, opened = self._span()
        course = fit_course(self._curve(rows, movement), times_s, opened)
        end = first + (course.frames(times_s)[1] if course else len(rows) - 1)
        self._hold = None
        self._after(movement, of_hold=True)
        self.let_settle()
        return None if hold.told else self._told_hold(hold, end)

    def _told_hold(self, hold: Hold, end: int) -> SpotEvent | None:
        """The macro-expression that was open, ended by the stored frame ``end``."""
        track = self._track
        assert track is not None
        offset = track.identity(end)
        if offset[1] <= hold.apex[1]:
            return None
        share = min(max(self._share_of_hold(hold), 0.0), 1.0)
        return self._make(hold.onset, hold.apex, offset, hold.peaks, hold.score, share)

    # --- events -------------------------------------------------------------------------------------------

    def _score(self, peak: Curve) -> float:
        strongest = int(np.argmax(peak / self.threshold()))
        return float(peak[strongest] / max(float(np.sqrt(self._variance[strongest])), 1e-9))

    def _event(self, onset: int, apex: int, offset: int, peak: Curve, residual: float) -> SpotEvent:
        track = self._track
        assert track is not None
        begin, top, end = (track.identity(at) for at in (onset, apex, offset))
        return self._make(begin, top, end, peak, self._score(peak), residual)

    def _make(
        self,
        onset: tuple[int, int],
        apex: tuple[int, int],
        offset: tuple[int, int],
        peak: Curve,
        score: float,
        residual: float,
    ) -> SpotEvent:
        assert self.channels is not None and self._track is not None
        rois = {name: round(float(v), 4) for name, v in zip(self.channels.names, peak, strict=True)}
        return SpotEvent(
            kind=self._kind(onset[1], apex[1], offset[1]),
            onset=onset[0],
            apex=apex[0],
            offset=offset[0],
            onset_t_ns=onset[1],
            apex_t_ns=apex[1],
            offset_t_ns=offset[1],
            score=score,
            rois=rois,
            residual=round(residual, 3),
            decided=self._track.identity(self._track.count - 1)[0],
        )

    def _kind(self, onset_ns: int, apex_ns: int, offset_ns: int) -> Kind:
        """micro or macro, by the total, or as CASME has it by the total or the rise (``spot.micro_rule``)."""
        total_s, rise_s = (offset_ns - onset_ns) / 1e9, (apex_ns - onset_ns) / 1e9
        short = total_s <= self.params.micro_max_s + 1e-6
        if self.params.micro_rule == "casme":
            short = short or rise_s <= 0.5 * self.params.micro_max_s + 1e-6
        return "micro" if short else "macro"

    def flush(self) -> SpotEvent | None:
        """End of the source: the event under way, ended by the last frame, if there is one.

        An open macro-expression ends here too. A short movement that has not come half-way down is dropped: it may be
        the beginning of a long one.
        """
        movement, hold, track = self._movement, self._hold, self._track
        if hold is not None and not hold.told and track is not None:
            self._hold = self._movement = None
            return self._told_hold(hold, track.count - 1)
        if movement is None:
            return None
        falling = movement.is_half_back
        event = self._close()
        return event if event is None or falling or event.kind == "macro" else None


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
