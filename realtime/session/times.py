"""When each frame was exposed, also one that no table names: what is known, and the clock's step between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Moments = npt.NDArray[np.int64]
"""(n, 2) frame number and exposure, ns; both rising."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Of one session."""

    known: Moments
    step_ns: float
    """Median step from frame to frame; 0 where nothing tells it."""

    @classmethod
    def of(cls, moments: Moments | Sequence[tuple[int, int]], fps: float = 0.0) -> FrameTimes:
        """moments: (n, 2) in any order, a frame may come twice; fps: the rate where they are too few to tell it.

        The step is a median, not a mean over the first frames: a machine that is busy when a session begins is late
        with these, and frames that were lost must not slow the clock.
        """
        given = np.asarray(moments, np.int64).reshape(-1, 2)
        _, first = np.unique(given[:, 0], return_index=True)
        known = given[first]
        steps = np.diff(known[:, 1]) / np.diff(known[:, 0])
        median = float(np.median(steps)) if len(steps) else 0.0
        return cls(known, median if median > 0 else 1e9 / fps if fps > 0 else 0.0)

    def at(self, frame: int) -> int:
        """Exposure, ns: as known; between two that are, by their clock; beyond, counted on from the nearest. 0 where
        nothing is known.
        """
        known = self.known
        if not len(known):
            return round(frame * self.step_ns)
        after = int(np.searchsorted(known[:, 0], frame))
        if after < len(known) and known[after, 0] == frame:
            return int(known[after, 1])
        if 0 < after < len(known):
            (left, left_ns), (right, right_ns) = known[after - 1].tolist(), known[after].tolist()
            return int(left_ns + (frame - left) * (right_ns - left_ns) // (right - left))
        number, t_ns = known[min(after, len(known) - 1)].tolist()
        return int(t_ns + round((frame - number) * self.step_ns))
