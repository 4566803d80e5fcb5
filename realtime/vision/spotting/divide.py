"""D&C-RoIs: the apex of a whole clip by divide and conquer (LAENet §2.2.1; Liong et al. 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.errors import InputError

Curve = NDArray[np.float64]


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
