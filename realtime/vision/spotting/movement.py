"""The buffers and the small states behind ``Spotter``: the stored track, a movement under way, an open macro."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.vision.face.forecast import Law
from realtime.vision.spotting import kernels
from realtime.vision.spotting.channels import Channels

Values = NDArray[np.float64]

_QUIET_S = 0.020
_RELEASE = 0.12
"""Share of its peak under which a ROI has come back."""
_STEP_S = 0.030
"""Speeds are differences of two neighbouring means of this length."""
_FALLEN = 0.08
"""Share of the peak that must have gone before a movement can be said to have stopped."""
_SLOW = 0.12
"""Speed, as a share of the fastest fall, at which a movement has stopped."""
_CALM = 0.03
"""Change of two neighbouring means, as a share of the peak, at which it hardly moves."""
_LEVEL_S = 0.20
_LEVEL = 0.15
_NO_FEATURES = np.zeros(0)


class Track:
    """The last seconds of a group: values and the head's features of each frame, twice, so that any stretch is
    contiguous.
    """

    def __init__(self, keep: int, channels: int, features: int) -> None:
        self.channels = channels
        self.features = features
        self.count = 0
        self.now_ns = 0
        self._keep = keep
        self._rows = np.zeros((2 * keep, channels + features))
        self._numbers = np.zeros(2 * keep, np.int64)
        self._times = np.zeros(2 * keep, np.int64)
        self._sum = np.zeros(channels + features)
        self._held = 0
        self.smooth = np.zeros(channels + features)
        """Mean of the last few frames."""
        self.latest = np.zeros(channels + features)

    def store(self, number: int, t_ns: int, values: Values, features: Values | None, smooth_s: float) -> float:
        """Append a frame; seconds since the one before."""
        dt_s = (t_ns - self.now_ns) / 1e9 if self.count else 0.0
        self._held = kernels.store(
            self._rows,
            self._numbers,
            self._times,
            self._sum,
            self.smooth,
            self.latest,
            values,
            _NO_FEATURES if features is None else features,
            self.count,
            self._held,
            number,
            t_ns,
            int((smooth_s - 1e-4) * 1e9),
        )
        self.count += 1
        self.now_ns = t_ns
        return max(0.0, dt_s)

    def restart(self) -> None:
        """What is stored so far is of another reference."""
        self._held = 0

    def since(self, begin_ns: int, end_ns: int) -> tuple[Values, Values, int]:
        """Rows (T, C + P) from ``begin_ns`` to ``end_ns`` (inclusive), their times in s from the first, its index."""
        end = (self.count - 1) % self._keep + self._keep + 1
        start = end - min(self.count, self._keep)
        times = self._times[start:end]
        low, high = np.searchsorted(times, begin_ns, "left"), np.searchsorted(times, end_ns, "right")
        stamps = times[low:high]
        seconds = (stamps - stamps[0]) / 1e9 if len(stamps) else np.zeros(0)
        first = self.count - min(self.count, self._keep) + int(low)
        return self._rows[start + low : start + high], seconds, first

    def stamps(self, first: int) -> NDArray[np.int64]:
        """Times of the stored frames from index ``first`` on, ns."""
        end = (self.count - 1) % self._keep + self._keep + 1
        return self._times[end - (self.count - first) : end]

    def identity(self, index: int) -> tuple[int, int]:
        """(frame number, ns) of a stored frame."""
        at = index % self._keep
        return int(self._numbers[at]), int(self._times[at])


class Hold(msgspec.Struct):
    """A macro-expression that is open."""

    reference: Values
    """(C + P,) the face at rest before it."""
    direction: Values
    peak: float
    peaks: Values
    moved: dict[str, tuple[float, float]]
    """See ``Channels.moved``."""
    score: float
    onset: tuple[int, int]
    """(frame, ns)."""
    apex: tuple[int, int]
    law: Law | None = None
    """The forecast when it began: what is learnt while it is held mixes it up with the head's pose."""
    told: bool = False
    """It was reported when it had lasted too long; its return is no news."""

    @property
    def onset_ns(self) -> int:
        return self.onset[1]


class Movement:
    """A movement under way, followed along its own direction."""

    def __init__(self, opened_ns: int, limit: Values, frame_s: float, trust: Values) -> None:
        self.opened_ns = opened_ns
        self.limit = limit
        self.peak = np.zeros(len(limit))
        """(R,) largest rise of each ROI."""
        self.direction = np.zeros(len(trust))
        """(C,): its product with the channels' distances is the movement's size, in their unit."""
        self.furthest = self.weights = self.direction
        """(C,) distances from the reference where it had gone furthest, and how much each counted."""
        self.step_s = max(_STEP_S, 2 * frame_s)
        self.stopped = False
        self.residual_px = 0.0
        self._quiet_ns = round(max(_QUIET_S, 1.9 * frame_s) * 1e9)
        self._top = 0.0
        self._fastest = 0.0
        self._noise: float | None = None
        self._back_ns = self._calm_ns = 0
        self._past: deque[tuple[int, float]] = deque()
        self._now = 0.0
        self._now_ns = opened_ns

    def follow(self, rise: Values, off: Values, trust: Values, channels: Channels | None, now_ns: int) -> None:
        """One more frame. rise: (R,), off: (C,) from the reference."""
        assert channels is not None
        self._now_ns = now_ns
        np.maximum(self.peak, rise, out=self.peak)
        took_part = self.peak > self.limit
        weights = trust * took_part[channels.roi_of]
        total = weights.sum() / (2.0 if channels.signed else 1.0)
        if total > 0:
            length = float(np.sqrt((weights * off * off).sum() / total))
            if length > self._top:
                self._top = length
                self.direction = weights * off / (total * length)
                self.furthest, self.weights = off, weights
                self._fastest, self._noise, self._calm_ns = 0.0, None, 0
        self._now = float(self.direction @ off)
        self._past.append((now_ns, self._now))
        while self._past and now_ns - self._past[0][0] > max(2.5 * self.step_s, _LEVEL_S + 0.05) * 1e9:
            self._past.popleft()
        back = (rise < np.maximum(_RELEASE * self.peak, 0.35 * self.limit))[took_part].all()
        self._back_ns = (self._back_ns or now_ns) if back else 0

    @property
    def pattern(self) -> Values:
        """(C,) where each channel that took part is when the movement has gone by 1."""
        return np.where(self.weights > 0, self.furthest, 0.0) / max(self._top, 1e-9)

    @property
    def is_back(self) -> bool:
        """All that took part have come back to rest."""
        return self._back_ns > 0 and self._now_ns - self._back_ns >= self._quiet_ns - 1_000_000

    @property
    def residual(self) -> float:
        """Share of the peak at which it has stopped."""
        return self.residual_px / self._top if self._top > 0 else 0.0

    def has_fallen(self, still_noise: Callable[[Values], float]) -> bool:
        """It is on its way down from its peak, by more than noise."""
        means = self._means()
        recent = self._now if means is None else means[0]
        return self._is_down(recent, still_noise(self.direction) if self._noise is None else self._noise)

    def _is_down(self, recent: float, noise: float) -> bool:
        return self._top - recent > max(_FALLEN * self._top, 4.0 * noise, 0.02)

    def _means(self) -> tuple[float, float] | None:
        """Mean of the last step and of the one before it; None while there are not two."""
        step_ns = self.step_s * 1e9
        recent = [s for t, s in self._past if self._now_ns - t < step_ns]
        before = [s for t, s in self._past if step_ns <= self._now_ns - t < 2 * step_ns]
        if not recent or not before:
            return None
        return sum(recent) / len(recent), sum(before) / len(before)

    def has_stopped(self, still_noise: Callable[[Values], float]) -> bool:
        """It has fallen from its peak and now falls no more, back at rest or not."""
        means = self._means()
        if means is None:
            return False
        recent, before = means
        drop = before - recent
        self._fastest = max(self._fastest, drop)
        if self._noise is None:
            if self._top - recent < _FALLEN * self._top:
                return False
            self._noise = still_noise(self.direction)
        fallen = self._is_down(recent, self._noise)
        calm = abs(drop) <= max(_SLOW * self._fastest, 1.5 * self._noise)
        if not (fallen and calm):
            self._calm_ns = 0
            return False
        self._calm_ns = self._calm_ns or self._now_ns
        if self._now_ns - self._calm_ns < self._quiet_ns:
            return False
        self.stop_at(recent)
        return True

    def stop_at(self, level_px: float) -> None:
        """It has stopped, at this distance from the reference."""
        self.stopped, self.residual_px = True, level_px

    @property
    def level_px(self) -> float:
        """Mean of the time over which ``is_level`` looks."""
        values = self._lately()
        return sum(values) / len(values)

    def _lately(self) -> list[float]:
        return [s for t, s in self._past if self._now_ns - t <= _LEVEL_S * 1e9]

    @property
    def is_calm(self) -> bool:
        """It hardly moves, wherever it is."""
        means = self._means()
        return means is not None and abs(means[0] - means[1]) <= max(_CALM * self._top, 0.03)

    @property
    def is_level(self) -> bool:
        """It has stayed at one level for a while."""
        if not self._past or self._now_ns - self._past[0][0] < _LEVEL_S * 1e9:
            return False
        values = self._lately()
        third = max(1, len(values) // 3)
        parts = [sum(values[i : i + third]) / third for i in range(0, len(values) - third + 1, third)]
        return max(parts) - min(parts) < max(_LEVEL * self._top, 0.5 * float(self.limit.min()))
