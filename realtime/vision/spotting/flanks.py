"""Where a movement begins, peaks and ends: minimum-jerk flanks fitted to a difference curve.

A reaching or facial movement between two rests follows s(τ) = 10τ³ − 15τ⁴ + 6τ⁵ (Flash & Hogan 1985), so its ends
are flat and drown in noise, while its middle is steep. The times at which a flank crosses shares of the peak are
therefore put on a straight line against the τ of those shares, and the line gives the flank's ends.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_GRID = np.linspace(0.0, 1.0, 513)
_RISE = _GRID**3 * (10 - 15 * _GRID + 6 * _GRID**2)
_LOW, _HIGH = 0.12, 0.9
_UPPER = np.linspace(_HIGH, 0.4, 11)
_LOWER = np.linspace(0.6, _LOW, 11)
_SMOOTH_S = 0.025


class Course(Struct, frozen=True):
    """Times of a movement, frames (fractions too) from the start of the curve it was fitted to."""

    onset: float
    apex: float
    """First moment of full amplitude."""
    fall: float
    """Last moment of full amplitude."""
    offset: float
    length: int
    """Frames in the curve."""

    def frames(self) -> tuple[int, int, int]:
        """Onset, apex and offset as whole frames in order, inside the curve."""
        last = self.length - 1
        onset = min(max(round(self.onset), 0), last)
        apex = min(max(round(self.apex), onset), last)
        return onset, apex, min(max(round(self.offset), apex), last)


def progress_at(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """τ in 0..1 at which a minimum-jerk movement has done ``share`` (0..1) of its way."""
    return np.interp(share, _RISE, _GRID)


def fit_course(curve: NDArray[np.float64], opened: int, fps: float) -> Course | None:
    """Fit one movement.

    curve: (T,) float64, rise above the resting level. opened: index at which the movement had been noticed.
    fps: frames a second. Returns None where nothing rises.
    """
    width = max(1, round(_SMOOTH_S * fps)) | 1
    smooth = _running_mean(curve, width)
    peak_at = opened + int(np.argmax(smooth[opened:])) if opened < len(curve) else int(np.argmax(smooth))
    peak = float(smooth[peak_at])
    if peak <= 0:
        return None
    share = smooth / peak
    rise = _flank(share[: peak_at + 1][::-1])
    fall = _flank(share[peak_at:])
    if rise is None:
        onset = apex = float(peak_at)
    else:
        onset, apex = peak_at - rise[1], peak_at - rise[0]
    # a movement cut short by the end of the source has no fall
    hold_end, offset = (peak_at + fall[0], peak_at + fall[1]) if fall else (float(len(curve) - 1),) * 2
    if apex > hold_end and fall:  # no hold: the two flanks meet
        apex = hold_end = (apex + hold_end) / 2
    return Course(onset=onset, apex=apex, fall=hold_end, offset=offset, length=len(curve))


def _flank(share: NDArray[np.float64]) -> tuple[float, float] | None:
    """Frames from the peak to the flank's full and to its zero end. share: (n,) outwards from the peak."""
    below = np.flatnonzero(share < _LOW)
    if len(below) == 0:
        return None
    foot = int(below[0])
    top = int(np.flatnonzero(share[:foot] >= _HIGH)[-1]) if (share[:foot] >= _HIGH).any() else 0
    index = np.arange(top, foot + 1, dtype=np.float64)
    value = np.minimum.accumulate(share[top : foot + 1])
    # the upper part gives the full end, the lower part the zero end: a flank that is no minimum-jerk course
    # (a smile that creeps on) then spoils neither with the other's shape
    full = _line(_UPPER, index, value)
    zero = _line(_LOWER, index, value)
    return max(full[0], 0.0), max(zero[0] + zero[1], full[0])


def _line(levels: NDArray[np.float64], index: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, float]:
    """Index at τ = 0 (full amplitude), and frames from there to τ = 1, by the flank's crossings of ``levels``."""
    # crossings are interpolated, so that a flank of one frame has them as well
    slope, start = np.polyfit(1.0 - progress_at(levels), np.interp(-levels, -value, index), 1)
    return float(start), float(slope)


def _running_mean(curve: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred mean over ``width`` (odd) samples, fewer at the ends."""
    if width == 1:
        return curve
    half = width // 2
    total = np.concatenate([[0.0], np.cumsum(curve)])
    index = np.arange(len(curve))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(curve))
    return (total[high] - total[low]) / (high - low)
