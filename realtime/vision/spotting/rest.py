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
_NO_DOUBT = np.zeros((0, 0))
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
        least = max(floor, _LEAST_FLOOR)
        self._bounds = params.threshold_sigmas, least, _CEILING * least if floor else _NO_LIMIT
        """Of a threshold: standard deviations, at least, at most."""
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

    def _fade(self, dt_s: float, direction: Values, pattern: Values) -> None:
        """Follow what goes back the way that the last movement came."""
        if self._track.now_ns > self._ease_ns:
            self._left = None
            return
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

    def look(self, trust: Values, channels: Channels, doubted: float) -> tuple[float, Values, Values, Values]:
        """The frame stored last: the share of the group that shows the skin that it should (``kernels.alive``); (C,)
        how far each channel, and (R,) each ROI, is from the reference, the head's part removed; (R,) the rise that
        opens an event, ``doubted`` times what the head's motion may do beyond what is foretold at least.
        """
        off, (size, limit) = np.empty(self._track.channels), np.empty((2, len(channels.names)))
        self._off = off
        law, doubt = self._law, _NO_DOUBT if self.forecast is None else self.forecast.doubt
        share = kernels.look(
            self._track.smooth, self.reference, law.first, law.learnt, law.low, law.high, channels.weights, trust,
            channels.roi_of, channels.signed, self.variance, *self._bounds, doubt, doubted, off, size, limit,
        )  # fmt: skip
        return share, off, size, limit

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
        kernels.limits(variance, *self._bounds, limit)
        return limit

    def doubt_px(self, then: Values) -> float:
        """How far the head's motion since ``then`` (C + P,) may have moved a patch beyond what is foretold."""
        if self.forecast is None:
            return 0.0
        return float(kernels.doubt(self._track.smooth, then, self._track.channels, self.forecast.doubt))

    def settle(self, size: Values, dt_s: float) -> None:
        """The first moments: the noise, quickly. By how it changes from one moment to the next, as a movement may be
        under way already: a clip may begin with it.
        """
        self.settled += 1
        size = self._bounded(size)
        self._stay(size, np.full(len(size), _NO_LIMIT), 1.0, 1.0 / self.settled, dt_s)
        now_ns = self._track.now_ns
        self._firsts.append((now_ns, size))
        while now_ns - self._firsts[0][0] > _APART_S * 1e9 and now_ns - self._firsts[1][0] >= _APART_S * 1e9:
            self._firsts.popleft()
        if self.settled > 1:
            change = size - self._firsts[0][1]
            self._restless += (0.5 * change * change - self._restless) / (self.settled - 1)
            np.minimum(self.variance, self._restless, out=self.variance)
            np.minimum(self.level, _REST * np.sqrt(self.variance), out=self.level)

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

    def stay(self, size: Values, limit: Values, dt_s: float) -> None:
        """One frame in which nothing moves: the noise, the reference, what the head's pose does."""
        # what is half-way to an event is no noise, but a level that drifts must be followed in the end
        self._stay(size, limit, 0.5, min(1.0, dt_s / self.params.noise_window_s), dt_s)

    def _stay(self, size: Values, below: Values, above: float, gain: float, dt_s: float) -> None:
        """below: (R,) under the level a size is no noise, nor ``above`` times that over it. A hand that has passed is
        forgotten once all is calm.
        """
        self._seen += 1
        in_tail = self.in_tail
        pace = 0.0 if in_tail else min(max(dt_s / self.params.reference_window_s, 1.0 / self._seen), 1.0)
        if self._left is not None and not in_tail:
            self._fade(dt_s, *self._left)
        quick = max(gain, min(_LATELY * gain, 1.0 / _LATELY_FRAMES))
        noise = self.level, self.variance, self._lately
        kernels.stay(size, below, above, gain, quick, _CALMER, *noise, self.reference, self._track.smooth, pace)
        if in_tail:
            self.reference[:] = self._track.smooth
            self.part()
        else:
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
