"""The inner loops of ``Spotter`` while a face rests: a few thousand additions a frame, in one pass each.

In NumPy each line would be a call of its own, and the calls cost ten times what the sums do. Plain arithmetic: fast
arithmetic rounds by how small arrays lie in memory, and two runs over the same frames would differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.vision.jit import jit

Values = NDArray[np.float64]
_ALONE, _ALONE_PX = 3.0, 0.2
"""No patch counts as having moved more than so many times as far as the median of its ROI, and so far."""


@jit(fastmath=False)
def store(
    rows: Values, numbers: NDArray[np.int64], times: NDArray[np.int64], total: Values, smooth: Values, latest: Values,
    values: Values, features: Values, count: int, held: int, number: int, t_ns: int, window_ns: int,
) -> int:  # fmt: skip
    """Frame ``count`` of a track into its two places; ``smooth`` becomes the mean of the frames within ``window_ns``.

    rows: (2 · keep, C + P); numbers, times: (2 · keep,); total, smooth, latest: (C + P,); values: (C,); features: (P,).
    Returns the number of frames in the mean; ``held`` was the number before.
    """
    keep = len(numbers) // 2
    width, channels = len(latest), len(values)
    while held > 0 and t_ns - times[(count - held) % keep] > window_ns:
        old = (count - held) % keep
        for k in range(width):
            total[k] -= rows[old, k]
        held -= 1
    if held == 0:
        total[:] = 0.0  # no rounding adds up
    at = count % keep
    held += 1
    for k in range(width):
        value = values[k] if k < channels else features[k - channels]
        latest[k] = value
        rows[at, k] = value
        rows[at + keep, k] = value
        total[k] += value
        smooth[k] = total[k] / held
    numbers[at] = numbers[at + keep] = number
    times[at] = times[at + keep] = t_ns
    return held


@jit(fastmath=False)
def look(
    smooth: Values, reference: Values, first: Values, learnt: Values, low: Values, high: Values, own: Values,
    trust: Values, roi_of: NDArray[np.int64], signed: bool, variance: Values, sigmas: float, floor: float,
    ceiling: float, covariance: Values, doubted: float, off: Values, size: Values, limit: Values,
) -> float:  # fmt: skip
    """One frame of a group, all at once: returns ``alive``, fills off and size by ``measure``, and limit (R,) with the
    larger of ``limits`` and ``doubted`` times ``doubt``.
    """
    measure(smooth, reference, first, learnt, low, high, trust, roi_of, signed, off, size)
    limits(variance, sigmas, floor, ceiling, limit)
    unknown = doubted * doubt(smooth, reference, len(own), covariance)
    for r in range(len(limit)):
        limit[r] = max(limit[r], unknown)
    return alive(own, trust)


@jit(fastmath=False)
def stay(
    size: Values, below: Values, above: float, gain: float, quick_gain: float, calmer: float, level: Values,
    variance: Values, lately: Values, reference: Values, smooth: Values, pace: float,
) -> None:  # fmt: skip
    """One frame at rest: ``follow_noise``, and the reference goes ``pace`` of the way to the face."""
    follow_noise(size, below, above, gain, quick_gain, calmer, level, variance, lately)
    approach(reference, smooth, pace)


@jit(fastmath=False)
def measure(
    smooth: Values, reference: Values, first: Values, learnt: Values, low: Values, high: Values, trust: Values,
    roi_of: NDArray[np.int64], signed: bool, off: Values, size: Values,
) -> None:  # fmt: skip
    """How far each channel, and each ROI, is from the reference, less what the head's pose foretells.

    smooth, reference: (C + P,); first, learnt: (C, P), low, high: (P,) of the forecast's ``Law``; trust: (C,);
    roi_of: (C,). Fills off (C,) and size (R,): of displacements the weighted root mean square over the ROI's patches,
    none of which counts for much more than the others, of differences the value itself.
    """
    channels, features = first.shape
    change, known = np.empty(features), np.empty(features)
    for p in range(features):
        now, then = smooth[channels + p], reference[channels + p]
        change[p] = now - then
        known[p] = min(max(now, low[p]), high[p]) - min(max(then, low[p]), high[p])
    for c in range(channels):
        value = smooth[c] - reference[c]
        for p in range(features):
            value -= first[c, p] * change[p] + learnt[c, p] * known[p]
        off[c] = value
    if not signed:
        size[:] = off
        return
    _hold_together(off, trust, roi_of, len(size))
    shares = np.zeros(len(size))
    size[:] = 0.0
    for c in range(channels):
        size[roi_of[c]] += trust[c] * off[c] * off[c]
        shares[roi_of[c]] += trust[c]
    for r in range(len(size)):
        size[r] = np.sqrt(2.0 * size[r] / max(shares[r], 1e-9))  # two channels make one patch


@jit(fastmath=False)
def doubt(smooth: Values, reference: Values, channels: int, covariance: Values) -> float:
    """How far a patch may be off for what is not known of the head's pose, px: standard deviation.

    smooth, reference: (C + P,); covariance: (P, P) of the forecast, for a pose that differs by 1.
    """
    total = 0.0
    for p in range(len(covariance)):
        along = 0.0
        for q in range(len(covariance)):
            along += covariance[p, q] * (smooth[channels + q] - reference[channels + q])
        total += along * (smooth[channels + p] - reference[channels + p])
    return float(np.sqrt(max(total, 0.0)))


@jit(fastmath=False)
def _hold_together(off: Values, trust: Values, roi_of: NDArray[np.int64], rois: int) -> None:
    """Shorten what a patch, two channels, has moved to ``_ALONE`` times the median of its ROI, and a little, in place.

    Skin hangs together: a patch that moves alone has slid along an edge.
    """
    lengths = np.empty(len(off) // 2)
    for r in range(rois):
        count = 0
        for c in range(0, len(off), 2):
            if roi_of[c] == r and trust[c] > 0.0:
                lengths[count] = np.sqrt(off[c] * off[c] + off[c + 1] * off[c + 1])
                count += 1
        if count < 3:
            continue
        most = _ALONE * np.median(lengths[:count]) + _ALONE_PX
        for c in range(0, len(off), 2):
            if roi_of[c] == r:
                length = np.sqrt(off[c] * off[c] + off[c + 1] * off[c + 1])
                if length > most:
                    off[c] *= most / length
                    off[c + 1] *= most / length


@jit(fastmath=False)
def alive(own: Values, trust: Values) -> float:
    """Share of the group's weight (C,) that shows the skin that it should, well or badly; 2 if every channel does."""
    total = shown = 0.0
    lost = 0
    for c in range(len(own)):
        total += own[c]
        if trust[c] > 0.0:
            shown += own[c]
        else:
            lost += 1
    if lost == 0:
        return 2.0
    return shown / total if total > 0.0 else 0.0


@jit(fastmath=False)
def rises(size: Values, level: Values, limit: Values) -> bool:
    """Whether a ROI (R,) has risen by more than its limit."""
    for r in range(len(size)):  # noqa: SIM110 (numba has no any() of a generator)
        if size[r] - level[r] > limit[r]:
            return True
    return False


@jit(fastmath=False)
def limits(variance: Values, sigmas: float, floor: float, ceiling: float, limit: Values) -> None:
    """Fills (R,) so many standard deviations, between floor and ceiling."""
    for r in range(len(variance)):
        limit[r] = min(max(sigmas * np.sqrt(variance[r]), floor), ceiling)


@jit(fastmath=False)
def approach(reference: Values, smooth: Values, gain: float) -> None:
    """reference (N,) goes ``gain`` of the way to ``smooth``."""
    for k in range(len(reference)):
        reference[k] += gain * (smooth[k] - reference[k])


@jit(fastmath=False)
def follow_noise(
    size: Values, below: Values, above: float, gain: float, quick_gain: float, calmer: float, level: Values,
    variance: Values, lately: Values,
) -> None:  # fmt: skip
    """Running mean and variance of ``size``, all (R,), in place, and those of the last moments.

    size counts from ``below`` under the level to ``above`` times that over it. Where the last moments (2, R) are
    ``calmer`` times as calm, they count.
    """
    for r in range(len(size)):
        value = min(max(size[r], level[r] - below[r]), level[r] + above * below[r])
        for mean, spread, pace in ((level, variance, gain), (lately[0], lately[1], quick_gain)):
            apart = value - mean[r]
            mean[r] += pace * apart
            spread[r] += pace * (apart * apart - spread[r])
        most = calmer * lately[1, r]
        variance[r] = min(variance[r], most)
        level[r] = min(level[r], lately[0, r] + np.sqrt(most))
