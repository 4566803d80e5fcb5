"""Whether the head can be measured on: one that is turned far away, or whips round, shows its turn and nothing else."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_FAR_DEG, _NEAR_DEG = 16.0, 15.0
"""Turn from where the face usually looks: unusable beyond the one, usable within the other."""
_PROFILE_DEG = 35.0
"""However used to it: a face that is turned further from the camera shows one side only."""
_PRIOR_S, _MEMORY_S = 2.0, 20.0
"""Where a face usually looks is at first the camera, with the weight of so many seconds, then its own mean."""
_FAST_DEG_S, _SLOW_DEG_S = 20.5, 15.0
_STEP_S = 0.15
"""Speeds are measured over this time."""
_REST_S = 0.1
"""The head must be steady for so long before its face is measured again."""


class Steadiness:
    """Follows the head's pose by time stamps, with some reluctance to change its mind."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Another face, or the same one found anew."""
        self._past: deque[tuple[int, float, float]] = deque()
        self._since_ns: int | None = None
        self._begun_ns: int | None = None
        self._usual = np.zeros(2)
        self.steady = True

    def note(self, t_ns: int, yaw_deg: float, pitch_deg: float, facing_deg: float | None = None) -> str:
        """One frame's pose, against the frame in which the face was found; facing_deg: yaw against the camera's axis,
        where it is known. "head turned away", "head back" where that has changed, else nothing.
        """
        facing = np.array([yaw_deg if facing_deg is None else facing_deg, pitch_deg])
        speed, turned = self._speed(t_ns, yaw_deg, pitch_deg), self._turned(t_ns, facing)
        if self.steady:
            if turned > _FAR_DEG or speed > _FAST_DEG_S:
                self.steady, self._since_ns = False, None
                return "head turned away"
            return ""
        if turned > _NEAR_DEG or speed > _SLOW_DEG_S:
            self._since_ns = None
            return ""
        self._since_ns = t_ns if self._since_ns is None else self._since_ns
        if t_ns - self._since_ns < _REST_S * 1e9:
            return ""
        self.steady = True
        return "head back"

    def _speed(self, t_ns: int, yaw_deg: float, pitch_deg: float) -> float:
        """How fast it turns, degrees a second."""
        self._past.append((t_ns, yaw_deg, pitch_deg))
        while len(self._past) > 2 and t_ns - self._past[1][0] >= _STEP_S * 1e9:
            self._past.popleft()
        then_ns, yaw, pitch = self._past[0]
        dt_s = (t_ns - then_ns) / 1e9
        return max(abs(yaw_deg - yaw), abs(pitch_deg - pitch)) / dt_s if dt_s >= 0.5 * _STEP_S else 0.0

    def _turned(self, t_ns: int, facing: NDArray[np.float64]) -> float:
        """How far it is turned from where it usually looks, degrees."""
        if self._begun_ns is None:
            self._begun_ns = self._last_ns = t_ns
        seen_s = min(_PRIOR_S + (t_ns - self._begun_ns) / 1e9, _MEMORY_S)
        self._usual += min(1.0, (t_ns - self._last_ns) / 1e9 / seen_s) * (facing - self._usual)
        self._last_ns = t_ns
        if abs(facing[0]) > _PROFILE_DEG:
            return float(abs(facing[0]))
        return float(np.abs(facing - self._usual).max())
