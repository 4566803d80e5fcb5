"""The state machine behind ``Spotter``: rest, movement, hold; what each becomes.

At rest the reference follows the face. A rise out of the noise is a ``Movement``. It becomes an event when it has come
back or has stopped; what stays far away, or stays for longer than a micro-expression lasts, becomes a ``Hold``: an open
macro-expression, from whose level the group watches on until it comes back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.spotting import kernels
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.movement import Hold, Movement, Track
from realtime.vision.spotting.opening import Beginning, look_back
from realtime.vision.spotting.rest import Rest
from realtime.vision.spotting.telling import Placed, Telling

Values = NDArray[np.float64]
_CONFIRM_S = 0.010
_TAIL, _TAIL_S = 0.3, 0.25
"""An event is closed before its fall is over: share of apex to offset that may still come, and at most so long."""
_EACH = 2.0
"""What ``kernels.alive`` says of a group of which every channel is."""
_ALIVE = 0.3
"""A group with less of its weight alive is out of play."""
_SUNK, _SURELY = 0.2, 3.0
"""What is level after longer than a micro-expression lasts, below its peak by this share and so many times the noise,
is a short movement that has left something behind.
"""
_HELD = 0.6
"""What has lasted longer than a micro-expression and still has this share of its peak is held."""
_LARGE = 18.0
"""So many floors (3 px) are more than a micro-expression moves: what stays there is held, however short it has been."""
_HIDDEN_S = 0.3
"""What begins so soon after a jerk of the head and does not come back is the end of what the jerk has hidden."""
_BACK = 0.4
"""An open macro-expression with less than this share left has come back."""
_NEAR = 0.7
"""Further than so many of its peaks from where it began, in whatever direction, it has not come back."""
_GONE = 0.3
_SPENT = 8.0
"""A macro-expression that was told while it lasted is waited for so many times the longest duration."""
_DOUBT = 1.5
"""A movement must be so many times as large as what the head's turn since the reference may have done, for all that is
known yet.
"""


class Watch:
    """One group with its buffers. ``push`` once a frame that is in the track already."""

    def __init__(self, params: SpotSettings, fps: float, channels: Channels, track: Track, rest: Rest) -> None:
        self.params = params
        self.channels = channels
        self.track = track
        self.rest = rest
        self.movement: Movement | None = None
        self._opening: Movement | None = None
        """The movement that the first frames showed already."""
        self.hold: Hold | None = None
        self.ended_hold = False
        """The last movement began or ended an open macro-expression."""
        self.alive = True
        self.size = np.zeros(len(channels.names))
        self.beginning = Beginning()
        self._telling = Telling(params, fps, channels, track, rest)
        self._frame_s = 1.0 / fps
        self._hits = 0
        self._first_ns = 0
        self._closed_ns = self._jerked_ns = -(2**62)
        self._strange: NDArray[np.bool_] = np.zeros(len(channels.roi_of), bool)
        """(C,) lost since the reference was taken."""
        self._some_strange = False

    def push(self, trust: Values, dt_s: float) -> SpotEvent | None:
        """The frame stored last; the event that it completes. trust: (C,) of each channel now."""
        track, rest = self.track, self.rest
        if rest.stale:
            rest.take()
        share, off, size, limit = rest.look(trust, self.channels, _DOUBT)
        if share < _EACH or self._some_strange:
            trust = self._known(trust)
            share, off, size, limit = rest.look(trust, self.channels, _DOUBT)
        was_alive = self.alive
        if not self._in_play(share):
            return None
        if not was_alive:
            _, off, size, limit = rest.look(trust, self.channels, _DOUBT)
        if rest.settled == 0:
            self.beginning.begin(track.now_ns)
        self.size = size
        if self.hold is not None:
            size = np.abs(size)  # an open macro-expression may come down: that is a movement too
        if not rest.surveyed:
            if track.now_ns < self.beginning.settled_ns:
                rest.survey(size)
            elif self.movement is None and self._hits == 0:
                rest.end_survey()
                limit = np.maximum(limit, rest.threshold())
        free = self.movement is None and not rest.in_tail
        if self.beginning.may_look(track.now_ns) and free and self._look_back(trust):
            return None
        if rest.settled < 3 or not self.beginning.is_over(track.now_ns, restless=rest.is_restless):
            rest.settle(size, dt_s)
            return None
        if self.movement is not None:
            return self._follow(size, off, trust)
        return self._watch(size, off, trust, limit, dt_s)

    def rebase(self) -> None:
        """Take the face as it is in the next frame for rest. The noise learnt is kept."""
        self.movement = None
        self._hits = 0
        self.track.restart()
        self.beginning.break_off()
        self._closed_ns = self.track.now_ns
        self.rest.stale = True

    def jerked(self) -> None:
        """The head has jerked until now: what moves next may be the end of what that has hidden."""
        self._jerked_ns = self.track.now_ns

    @property
    def is_far(self) -> bool:
        """What is held is more than a micro-expression moves."""
        return self.hold is not None and self.hold.peak > _LARGE * self.rest.floor

    # --- which channels count ------------------------------------------------------------------------------

    def _known(self, trust: Values) -> Values:
        """A patch that was lost since the reference was taken says nothing until the group rests again."""
        lost = trust <= 0.0
        if self.movement is None:
            back = self._strange & ~lost
            if back.any():
                self.rest.take_channels(back)
            self._strange = lost
        else:
            self._strange |= lost
        self._some_strange = bool(self._strange.any())
        return np.where(self._strange, 0.0, trust)

    def _in_play(self, share: float) -> bool:
        """False while most patches show something else (a hand, a shadow); then rest is where they come back."""
        alive = share >= _ALIVE
        if alive and not self.alive:
            self.hold = None
            self.rest.take()
            self.rest.let_settle()
        if not alive:
            self.movement = None
            self._hits = 0
            self._closed_ns = self.track.now_ns
        self.alive = alive
        return alive

    def _look_back(self, trust: Values) -> bool:
        """Have the first moments been a movement? Then it is followed from its first frame on."""
        since_ns = self.beginning.began_ns
        began = look_back(self.track, self.rest, self.channels, trust, since_ns, self._frame_s, _DOUBT)
        if began is None:
            return False
        self.rest.take_start(began.reference, began.level, began.variance)
        self.movement = self._opening = began.movement
        return True

    # --- at rest ----------------------------------------------------------------------------------------

    def _watch(self, size: Values, off: Values, trust: Values, limit: Values, dt_s: float) -> SpotEvent | None:
        """At rest: does a movement begin?"""
        rest, now_ns = self.rest, self.track.now_ns
        if rest.in_tail or not kernels.rises(size, rest.level, limit):
            self._hits = 0
            rest.stay(size, limit, dt_s)
            return None if self.hold is None else self._watch_hold(self.hold, size, limit)
        if self._hits == 0:
            self._first_ns = now_ns
        self._hits += 1
        if now_ns - self._first_ns < (_CONFIRM_S - 0.5 * self._frame_s) * 1e9 and self._hits < 3:
            return None
        self.movement = Movement(self._first_ns, limit, self._frame_s, trust)
        self.movement.follow(size - rest.level, off, trust, self.channels, now_ns)
        return None

    def _watch_hold(self, hold: Hold, size: Values, limit: Values) -> SpotEvent | None:
        """At rest with a macro-expression open: has it crept back, or lasted long enough?"""
        age_s = (self.track.now_ns - hold.onset_ns) / 1e9
        if hold.told:
            if age_s > _SPENT * self.params.max_duration_s:
                self.hold = None
            return None
        still = (np.abs(size - self.rest.level) < 0.25 * limit).all()
        if still and self.share(hold) < _GONE and age_s > self.params.micro_max_s:
            self.hold = None
            self.rest.let_settle()
            return self._told(hold, self.track.count - 1)
        return self._told_for_its_age(hold)

    def _told_for_its_age(self, hold: Hold) -> SpotEvent | None:
        """What lasts its longest is told while it lasts, or its onset would leave the history."""
        if hold.told or self.track.now_ns - hold.onset_ns < self.params.max_duration_s * 1e9:
            return None
        hold.told = True
        return self._told(hold, self.track.count - 1)

    def share(self, hold: Hold) -> float:
        """How much of an open macro-expression is still there, 1 all, 0 back at rest."""
        return float(hold.direction @ self.rest.off(self.track.smooth, hold.reference, hold.law)) / hold.peak

    def _is_back(self, hold: Hold, trust: Values) -> bool:
        """Is the group about where it was before the open macro-expression, and not away in another direction?"""
        if self.share(hold) >= _BACK:
            return False
        away = self.channels.size(self.rest.off(self.track.smooth, hold.reference, hold.law), trust)
        return float(away.max()) < _NEAR * float(hold.peaks.max())

    # --- in a movement ----------------------------------------------------------------------------------

    def _follow(self, size: Values, off: Values, trust: Values) -> SpotEvent | None:
        """In a movement: is it over, and how?"""
        movement, params = self.movement, self.params
        assert movement is not None
        movement.follow(size - self.rest.level, off, trust, self.channels, self.track.now_ns)
        if self.hold is not None and (told := self._told_for_its_age(self.hold)):
            return told
        age_s = (self.track.now_ns - movement.opened_ns) / 1e9
        stopped = movement.has_stopped(self._still_noise)
        if self.hold is not None and self._is_back(self.hold, trust) and (movement.is_calm or stopped):
            return self._close_hold(movement, self.hold)
        if movement.is_back:
            return self._close(movement)
        if stopped:
            # a smile that gives way a little is held, not over
            large = movement.residual_px > _LARGE * self.rest.floor
            held = movement.residual > _HELD and (large or age_s > params.micro_max_s - _CONFIRM_S)
            return self._keep_as_hold(movement) if held else self._close(movement)
        if age_s > params.micro_max_s + 0.1 and movement.is_level:
            return self._close(movement) if self._has_sunk(movement) else self._keep_as_hold(movement)
        return self._close(movement) if age_s >= params.max_duration_s else None

    def _has_sunk(self, movement: Movement) -> bool:
        """It came to rest at a lower level some time ago, which shows only now: noise hid where its fall ended."""
        level_px = movement.level_px
        if self.hold is not None or level_px > _LARGE * self.rest.floor:
            return False
        course = self._place(movement, level_px).course
        if course is None or course.offset - course.onset > self.params.micro_max_s:
            return False
        fallen_px = course.peak - level_px
        if fallen_px < max(_SUNK * course.peak, _SURELY * self._still_noise(movement.direction)):
            return False
        movement.stop_at(level_px)
        return True

    def _still_noise(self, direction: Values) -> float:
        assert self.movement is not None
        return self._telling.still_noise(self.movement, direction)

    def _place(self, movement: Movement, residual_px: float = 0.0) -> Placed:
        return self._telling.place(movement, self._closed_ns, held=self.hold is not None, residual_px=residual_px)

    def _close(self, movement: Movement) -> SpotEvent | None:
        """Place onset, apex and offset; None for what is too short to be a movement, or was the head's."""
        residual_px = movement.residual_px if movement.stopped else 0.0
        placed = self._place(movement, residual_px)
        course, event = placed.course, None
        if course is not None and course.offset - course.onset >= self.params.min_duration_s:
            onset, apex, offset = course.frames(placed.times_s)
            if onset < apex < offset and not self._telling.is_head(movement, placed, onset):
                moments = [self.track.identity(placed.first + at) for at in (onset, apex, offset)]
                left = max(0.0, residual_px) / max(course.peak, 1e-9)
                event = self._telling.event(
                    moments, movement.peak, self._telling.moved(movement), self._telling.score(movement.peak), left
                )
                if movement is self._opening and event.kind == "macro":
                    event = None  # who films somebody who talks begins in the middle of a movement
                elif apex - onset == 1 and event.kind == "micro":
                    event = None  # a face takes 60 ms and more: this is where a camera or codec left frames out
        self._after()
        if movement.stopped:
            self.rest.let_fade(movement.direction, movement.pattern)
        if event is not None:
            self.rest.keep_tail(min(_TAIL_S, _TAIL * (event.offset_t_ns - event.apex_t_ns) / 1e9))
        return event

    def _after(self, *, of_hold: bool = False) -> None:
        """What stays goes into the reference at once."""
        self.ended_hold = of_hold
        self._closed_ns = self.track.now_ns
        self.movement = None
        self._hits = 0
        self.rest.take()
        if of_hold:
            self.rest.let_settle()

    # --- open macro-expressions -------------------------------------------------------------------------

    def _keep_as_hold(self, movement: Movement) -> SpotEvent | None:
        """It stays away from rest: remember it, and watch on from here."""
        placed, told = self._place(movement), None
        if placed.course is not None:
            onset, apex, _ = placed.course.frames(placed.times_s)
            own = movement is not self._opening and not self._is_hidden(movement)
            if own and not self._telling.is_head(movement, placed, onset):
                if self.hold is None:
                    self.hold = Hold(
                        reference=self.rest.reference.copy(),
                        direction=movement.direction.copy(),
                        peak=max(placed.course.peak, 1e-9),
                        peaks=movement.peak.copy(),
                        moved=self._telling.moved(movement),
                        score=self._telling.score(movement.peak),
                        onset=self.track.identity(placed.first + onset),
                        apex=self.track.identity(placed.first + apex),
                        law=None if self.rest.forecast is None else self.rest.forecast.law.copy(),
                    )
                elif self.share(self.hold) < 0.7:
                    hold, self.hold = self.hold, None
                    told = None if hold.told else self._told(hold, placed.first + apex)
        self._after(of_hold=True)
        return told

    def _is_hidden(self, movement: Movement) -> bool:
        """A small step right after a jerk: the face goes back from a movement whose beginning the jerk has hidden."""
        soon = movement.opened_ns - self._jerked_ns < _HIDDEN_S * 1e9
        return soon and self.hold is None and float(movement.peak.max()) <= _LARGE * self.rest.floor

    def _close_hold(self, movement: Movement, hold: Hold) -> SpotEvent | None:
        """The open macro-expression has come back: it ends where this movement, its fall, ends."""
        placed = self._place(movement)
        last = placed.course.frames(placed.times_s)[1] if placed.course else len(placed.rows) - 1
        told = None if hold.told else self._told(hold, placed.first + last)
        self.hold = None
        self._after(of_hold=True)
        return told

    def _told(self, hold: Hold, end: int) -> SpotEvent | None:
        """The macro-expression that was open, ended by the stored frame ``end``."""
        offset = self.track.identity(end)
        if offset[1] <= hold.apex[1]:
            return None
        left = min(max(self.share(hold), 0.0), 1.0)
        return self._telling.event([hold.onset, hold.apex, offset], hold.peaks, hold.moved, hold.score, left)

    def flush(self) -> SpotEvent | None:
        """The end: see ``Spotter.flush``."""
        movement, hold = self.movement, self.hold
        if hold is not None and not hold.told:
            self.hold = self.movement = None
            return self._told(hold, self.track.count - 1)
        if movement is None:
            return None
        falling = movement.has_fallen(self._still_noise)
        event = self._close(movement)
        return event if event is None or falling or event.kind == "macro" else None
