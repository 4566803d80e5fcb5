"""The inner loops of ``Spotter`` while a face rests: a few thousand additions a frame, in one pass each.

In NumPy each line would be a call of its own, and the calls cost ten times what the sums do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.vision.jit import jit

Values = NDArray[np.float64]


@jit
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


@jit
def measure(
    smooth: Values, reference: Values, weights: Values, trust: Values, roi_of: NDArray[np.int64], signed: bool,
    off: Values, size: Values,
) -> None:  # fmt: skip
    """How far each channel, and each ROI, is from the reference, less what the head's pose foretells.

    smooth, reference: (C + P,); weights: (C, P) of the forecast; trust: (C,); roi_of: (C,). Fills off (C,) and size
    (R,): of displacements the weighted root mean square over the ROI's patches, of differences the value itself.
    """
    channels, features = weights.shape
    for c in range(channels):
        value = smooth[c] - reference[c]
        for p in range(features):
            value -= weights[c, p] * (smooth[channels + p] - reference[channels + p])
        off[c] = value
    if not signed:
        size[:] = off
        return
    shares = np.zeros(len(size))
    size[:] = 0.0
    for c in range(channels):
        size[roi_of[c]] += trust[c] * off[c] * off[c]
        shares[roi_of[c]] += trust[c]
    for r in range(len(size)):
        size[r] = np.sqrt(2.0 * size[r] / max(shares[r], 1e-9))  # two channels make one patch


@jit
def alive(own: Values, trust: Values) -> float:
    """Share of the group's weight (C,) that shows the skin that it should, well or badly."""
    total = shown = 0.0
    for c in range(len(own)):
        total += own[c]
        if trust[c] > 0.0:
            shown += own[c]
    return shown / total if total > 0.0 else 0.0


@jit
def follow_noise(
    size: Values, low: Values, high: Values, gain: float, quick_gain: float, calmer: float, level: Values,
    variance: Values, lately: Values,
) -> None:  # fmt: skip
    """Running mean and variance of ``size`` clipped to low … high, all (R,), in place, and those of the last moments.

    Where the last moments (2, R) are ``calmer`` times as calm, they count.
    """
    for r in range(len(size)):
        value = min(max(size[r], low[r]), high[r])
        for mean, spread, pace in ((level, variance, gain), (lately[0], lately[1], quick_gain)):
            apart = value - mean[r]
            mean[r] += pace * apart
            spread[r] += pace * (apart * apart - spread[r])
        most = calmer * lately[1, r]
        variance[r] = min(variance[r], most)
        level[r] = min(level[r], lately[0, r] + np.sqrt(most))


@jit
def accumulate(sums: Values, features: Values, values: Values, fade: float) -> None:
    """sums[i, j] = fade · sums[i, j] + row[i] row[j], the row being 1, features (P,), values (C,)."""
    p = len(features)
    row = np.empty(1 + p + len(values))
    row[0] = 1.0
    row[1 : p + 1] = features
    row[p + 1 :] = values
    for i in range(sums.shape[0]):
        a = row[i]
        for j in range(sums.shape[1]):
            sums[i, j] = fade * sums[i, j] + a * row[j]
