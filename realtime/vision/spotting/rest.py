"""The group at rest: its reference, its noise, and what the head's pose does to it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.vision.face.forecast import Forecast, Law
from realtime.vision.spotting import kernels
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.movement import Track

Values = NDArray[np.float64]

_CEILING = 14.0
"""However restless a face is, a rise of so many floors is a movement."""
_RESTLESS = 7.0
"""So many floors (1.1 px) are a high threshold."""
_LATELY, _CALMER = 8.0, 8.0
"""The noise of the last moments (an eighth of the window) counts where it is so many times less than the window's."""
_LATELY_FRAMES = 25.0
"""The last moments are so many frames at least: a slow or compressed video repeats pictures, which is no calm."""
_LEAST_FLOOR = 1e-9
"""With the floor set to 0 the noise alone decides; a curve without noise needs something above 0 still."""
_NO_LIMIT = 1e300
_LEARN_S, _SOLVE_S = 0.01, 0.1
_RENEWED_S = 0.06
_APART_S = 0.016
"""Sizes so far apart share no frame in their means."""
_EASE_S, _EASING_S = 4.0, 0.1
"""What a movement has left behind fades over up to so long; that way the reference follows within so short a time."""
_REST = 2.0
"""A size at rest, how far it is from where it began, is about so many of its standard deviations."""


class Rest:
    """Reference (C + P,), resting level and variance (R,) of one group; rolls on while nothing moves."""

    def __init__(self, params: SpotSettings, floor: float, track: Track, rois: int, forecast: Forecast | None) -> None:
        self.params = params
        self.floor = floor
        self.forecast = forecast
        self.reference = np.zeros(track.channels + track.features)
        self.level = np.zeros(rois)
        self.variance = np.zeros(rois)
        self._lately = np.zeros((2, rois))
        """Level and variance of the last moments."""
        self._survey = np.zeros((3, rois))
        """Of the whole beginning, movement or not: count, mean and variance of the sizes."""
        self.surveyed = False
        """What the beginning showed is in the noise."""
        self._firsts: deque[tuple[int, Values]] = deque()
        self._restless = np.zeros(rois)
        """Half the mean square of a change: the variance of what does not go anywhere."""
        self.settled = 0
        """Frames from which the noise was learnt at the start."""
        self.stale = True
        """The reference is of another place: the next frame is."""
        self._track = track
        none = np.zeros((track.channels, 0))
        self._law = Law(none, none, np.zeros(0), np.zeros(0)) if forecast is None else forecast.law
        self._seen = 0
        self._tail_ns = self._ease_ns = 0
        self._left: tuple[Values, Values] | None = None
        self._off = np.zeros(track.channels)
        """(C,) as measured last."""
        self._learned_ns = self._solved_ns = 0

    @property
    def in_tail(self) -> bool:
        """What moves now begins no event: the fall of the last one is going on, or the templates were renewed."""
        return self._track.now_ns < self._tail_ns

    def keep_tail(self, seconds: float) -> None:
        """Follow whatever moves for so long."""
        self._tail_ns = self._track.now_ns + round(seconds * 1e9)

    def let_settle(self) -> None:
        """The templates were renewed: rest is where they are then."""
        self.keep_tail(_RENEWED_S)

    def let_fade(self, direction: Values, pattern: Values) -> None:
        """A movement has stopped away from where it began: what it left will fade, and that is no movement.

        direction: (C,) its product with distances is how far they go that way; pattern: (C,) of a movement by 1.
        """
        self._left = direction, pattern
        self._ease_ns = self._track.now_ns + round(_EASE_S * 1e9)

    def _fade(self, dt_s: float) -> None:
        """Follow what goes back the way that the last movement came."""
        if self._left is None:
            return
        if self._track.now_ns > self._ease_ns:
            self._left = None
            return
        direction, pattern = self._left
        back = float(direction @ self._off)
        if back < 0.0:
            self.reference[: self._track.channels] += min(dt_s / _EASING_S, 1.0) * back * pattern

    def take(self) -> None:
        """The face is at rest where it is now."""
        self.part()
        self.reference[:] = self._track.smooth
        self._seen = 1
        self.stale = False

    def take_start(self, reference: Values, level: Values, variance: Values) -> None:
        """The face was at rest at the very start, and has moved since: reference (C + P,), level and variance (R,)."""
        self.take()
        self.reference[:] = reference
        self.level[:], self.variance[:] = level, variance
        self._survey[:] = 0.0

    def take_channels(self, which: NDArray[np.bool_]) -> None:
        """Take these channels (C,) as they are now: they had been lost."""
        split = self._track.channels
        self.reference[:split][which] += self.off(self._track.smooth, self.reference)[which]
        self.part()

    def off(self, now: Values, then: Values, law: Law | None = None) -> Values:
        """(C,) how far each channel is from ``then``, less what the head's pose foretells. now, then: (C + P,).

        law: of an earlier forecast, instead of today's.
        """
        split = self._track.channels
        left: Values = now[:split] - then[:split] - (law or self._law).foretold(now[split:], then[split:])
        return left

    def measure(self, trust: Values, channels: Channels) -> tuple[Values, Values]:
        """(C,) how far each channel, and (R,) each ROI, is from the reference now, the head's part removed."""
        off, size = np.empty(self._track.channels), np.empty(len(channels.names))
        self._off = off
        law = self._law
        known = law.first, law.learnt, law.low, law.high
        kernels.measure(self._track.smooth, self.reference, *known, trust, channels.roi_of, channels.signed, off, size)
        return off, size

    def part(self) -> None:
        """What moved since then is an expression's, or a new template's: no effect of the head's pose."""
        if self.forecast is not None:
            self.forecast.part()

    def project(self, rows: Values, direction: Values) -> Values:
        """(T,) of stored rows (T, C + P): how far along ``direction`` the group has moved from the reference."""
        split = self._track.channels
        moved = rows[:, :split] - self.reference[:split]
        along: Values = (moved - self._law.foretold(rows[:, split:], self.reference[split:])) @ direction
        return along

    def threshold(self) -> Values:
        """(R,) rise above the resting level that opens an event, in the unit of the difference."""
        return self.threshold_of(self.variance)

    def threshold_of(self, variance: Values) -> Values:
        """``threshold``, if the noise were that: (R,)."""
        limit = np.empty(len(variance))
        floor = max(self.floor, _LEAST_FLOOR)
        most = _CEILING * floor if self.floor else _NO_LIMIT
        kernels.limits(variance, self.params.threshold_sigmas, floor, most, limit)
        return limit

    def doubt_px(self, then: Values | None = None) -> float:
        """How far the head's motion since the reference, or ``then`` (C + P,), may have moved a patch beyond what is
        foretold.
        """
        if self.forecast is None:
            return 0.0
        then = self.reference if then is None else then
        return float(kernels.doubt(self._track.smooth, then, self._track.channels, self.forecast.doubt))

    def settle(self, size: Values, dt_s: float) -> None:
        """The first moments: the noise, quickly. By how it changes from one moment to the next, as a movement may be
        under way already: a clip may begin with it.
        """
        self.settled += 1
        size = self._bounded(size)
        self.learn_noise(size, np.full(len(size), _NO_LIMIT), 1.0, 1.0 / self.settled)
        now_ns = self._track.now_ns
        self._firsts.append((now_ns, size))
        while now_ns - self._firsts[0][0] > _APART_S * 1e9 and now_ns - self._firsts[1][0] >= _APART_S * 1e9:
            self._firsts.popleft()
        if self.settled > 1:
            change = size - self._firsts[0][1]
            self._restless += (0.5 * change * change - self._restless) / (self.settled - 1)
            np.minimum(self.variance, self._restless, out=self.variance)
            np.minimum(self.level, _REST * np.sqrt(self.variance), out=self.level)
        self.roll(dt_s)

    def _bounded(self, size: Values) -> Values:
        """Not so far from rest that one movement would make a face restless for long."""
        most = _CEILING / 3.0 * self.floor if self.floor else _NO_LIMIT
        return np.clip(size, -most, most)

    def survey(self, size: Values) -> None:
        """One of the first frames, whatever happens in it."""
        count, mean, variance = self._survey
        count += 1
        apart = self._bounded(size) - mean
        mean += apart / count
        variance += (apart * apart - variance) / count

    def end_survey(self) -> None:
        """All that the beginning showed counts from here on: a face that began restless is so, most likely."""
        self.surveyed = True
        np.maximum(self.variance, self._survey[2], out=self.variance)
        np.maximum(self.level, self._survey[1], out=self.level)
        np.maximum(self._lately, self._survey[1:], out=self._lately)

    @property
    def is_restless(self) -> bool:
        """So much noise that some region would have to move far."""
        return bool(self.floor and self.variance.max() > (_RESTLESS * self.floor / self.params.threshold_sigmas) ** 2)

    def learn_noise(self, size: Values, below: Values, above: float, gain: float) -> None:
        """Follow the resting level and its variance; a hand that has passed is forgotten once all is calm.

        below: (R,) under the level a size is no noise, nor ``above`` times that over it.
        """
        quick = max(gain, min(_LATELY * gain, 1.0 / _LATELY_FRAMES))
        kernels.follow_noise(size, below, above, gain, quick, _CALMER, self.level, self.variance, self._lately)

    def roll(self, dt_s: float) -> None:
        """Let the reference follow the face, and learn what the head's pose does to it."""
        self._seen += 1
        if self.in_tail:
            self.reference[:] = self._track.smooth
            self.part()
        else:
            self._fade(dt_s)
            gain = max(dt_s / self.params.reference_window_s, 1.0 / self._seen)
            kernels.approach(self.reference, self._track.smooth, min(gain, 1.0))
            self._learn_head()

    def _learn_head(self) -> None:
        track, forecast, now = self._track, self.forecast, self._track.now_ns
        if forecast is None:
            return
        if now - self._learned_ns >= _LEARN_S * 1e9:
            dt_s = min((now - self._learned_ns) / 1e9, 1.0) if self._learned_ns else _LEARN_S
            self._learned_ns = now
            forecast.learn(track.latest[track.channels :], track.latest[: track.channels], dt_s)
        if now - self._solved_ns >= _SOLVE_S * 1e9:
            self._solved_ns = now
            forecast.solve()

    def learn_rows(self, rows: Values, fps: float) -> None:
        """These rows (T, C + P) showed the head's motion and nothing else."""
        if self.forecast is None:
            return
        split = self._track.channels
        self.forecast.part()
        for row in rows[:: max(1, round(_LEARN_S * fps))]:
            self.forecast.learn(row[split:], row[:split], _LEARN_S)
        self.forecast.part()
        self.forecast.solve()
