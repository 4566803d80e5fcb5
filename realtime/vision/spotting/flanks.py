"""Where a movement begins, peaks and ends: minimum-jerk flanks fitted to a difference curve.

A reaching or facial movement between two rests follows s(τ) = 10τ³ − 15τ⁴ + 6τ⁵ (Flash & Hogan 1985), so its ends
are flat and drown in noise, while its middle is steep. The times at which a flank crosses shares of its height are
therefore put on a straight line against the τ of those shares, and the line gives the flank's ends. A fall need not
come back to zero: it ends where it flattens, as coders mark an offset. All by time stamps, so that a hole in the
frames stretches nothing.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Curve = NDArray[np.float64]
"""(T,) float64."""

_GRID = np.linspace(0.0, 1.0, 513)
_RISE = _GRID**3 * (10 - 15 * _GRID + 6 * _GRID**2)
_LOW, _HIGH = 0.12, 0.9
_UPPER = np.linspace(_HIGH, 0.4, 11)
_LOWER = np.linspace(0.6, _LOW, 11)
_SEEN = 0.94
"""Share of a flank, from its full end, that can be seen: the rest is two thousandths of its height. Nor does every
flank end as flatly: one that is a cosine looks a tenth longer than it is.
"""
_SMOOTH_S = 0.025


class Course(Struct, frozen=True):
    """Times of a movement, s, from the first sample of the curve it was fitted to."""

    onset: float
    apex: float
    """First moment of full amplitude."""
    fall: float
    """Last moment of full amplitude."""
    offset: float
    peak: float
    """Height of the movement, in the unit of the curve."""

    def frames(self, times_s: Curve) -> tuple[int, int, int]:
        """Onset, apex and offset as indices of the samples next to them, in order."""
        onset, apex, offset = (int(nearest(times_s, t)) for t in (self.onset, self.apex, self.offset))
        return onset, max(apex, onset), max(offset, apex, onset)


def nearest(times_s: Curve, moment_s: float) -> int:
    """Index of the sample next to a moment; ``times_s`` rise."""
    after = int(np.searchsorted(times_s, moment_s))
    if after == 0:
        return 0
    if after == len(times_s):
        return after - 1
    return after if times_s[after] - moment_s <= moment_s - times_s[after - 1] else after - 1


def progress_at(share: Curve) -> Curve:
    """τ in 0..1 at which a minimum-jerk movement has done ``share`` (0..1) of its way."""
    return np.interp(share, _RISE, _GRID)


def fit_course(curve: Curve, times_s: Curve, opened: int, residual: float = 0.0) -> Course | None:
    """Fit one movement.

    curve: (T,) rise above the resting level. times_s: (T,) s, rising. opened: index at which the movement had been
    noticed. residual: level at which the fall ends, in the unit of the curve. None where nothing rises.
    """
    smooth = centred_mean(curve, times_s, _SMOOTH_S)
    peak_at = opened + int(np.argmax(smooth[opened:])) if opened < len(curve) else int(np.argmax(smooth))
    peak = float(smooth[peak_at])
    if peak <= max(0.0, residual):
        return None
    begin = times_s[0]
    top = float(times_s[peak_at] - begin)
    rise = _flank(smooth[: peak_at + 1][::-1] / peak, times_s[peak_at] - times_s[: peak_at + 1][::-1])
    fall = _flank((smooth[peak_at:] - residual) / (peak - residual), times_s[peak_at:] - times_s[peak_at])
    onset, apex = (top - rise[1], top - rise[0]) if rise else (top, top)
    # a movement cut short by the end of the source has no fall
    hold_end, offset = (top + fall[0], top + fall[1]) if fall else (float(times_s[-1] - begin),) * 2
    if apex > hold_end and fall:  # no hold: the two flanks meet
        apex = hold_end = (apex + hold_end) / 2
    return Course(onset=onset, apex=apex, fall=hold_end, offset=offset, peak=peak)


def _flank(share: Curve, away_s: Curve) -> tuple[float, float] | None:
    """Seconds from the peak to the flank's full and to its zero end. share, away_s: (n,) outwards from the peak."""
    below = np.flatnonzero(share < _LOW)
    if len(below) == 0:
        return None
    foot = int(below[0])
    high = np.flatnonzero(share[:foot] >= _HIGH)
    top = int(high[-1]) if len(high) else 0
    moments = away_s[top : foot + 1]
    value = np.minimum.accumulate(share[top : foot + 1])
    # the upper part gives the full end, the lower part the zero end: a flank that is no minimum-jerk course
    # (a smile that creeps on) then spoils neither with the other's shape
    full = _line(_UPPER, moments, value)
    zero = _line(_LOWER, moments, value)
    return max(full[0], 0.0), max(zero[0] + _SEEN * zero[1], full[0])


def _line(levels: Curve, moments: Curve, value: Curve) -> tuple[float, float]:
    """Moment at τ = 0 (full amplitude), and seconds from there to τ = 1, by the flank's crossings of ``levels``."""
    # crossings are interpolated, so that a flank of one frame has them as well
    slope, start = np.polyfit(1.0 - progress_at(levels), np.interp(-levels, -value, moments), 1)
    return float(start), float(slope)


def centred_mean(curve: Curve, times_s: Curve, width_s: float) -> Curve:
    """Mean of the samples within half a width before and after each; (T,) or (T, C)."""
    edge = 0.5 * width_s + 1e-9
    low = np.searchsorted(times_s, times_s - edge, side="left")
    high = np.searchsorted(times_s, times_s + edge, side="right")
    reach = np.minimum(np.arange(len(times_s)) - low, high - 1 - np.arange(len(times_s)))
    low, high = np.arange(len(times_s)) - reach, np.arange(len(times_s)) + reach + 1  # no lag at either end
    total = np.concatenate([np.zeros((1, *curve.shape[1:])), np.cumsum(curve, axis=0)])
    count = (high - low).reshape(-1, *[1] * (curve.ndim - 1))
    mean: Curve = (total[high] - total[low]) / count
    return mean
