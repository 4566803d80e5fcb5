"""Whether the head can be measured on: one that is turned far away, or whips round, shows its turn and nothing else."""

from __future__ import annotations

from collections import deque

_FAR_DEG, _NEAR_DEG = 15.0, 14.0
"""Yaw or pitch against the frame in which the face was found: unusable beyond the one, usable within the other."""
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
        self.steady = True

    def note(self, t_ns: int, yaw_deg: float, pitch_deg: float) -> str:
        """One frame's pose; "head turned away", "head back" where that has changed, else nothing."""
        self._past.append((t_ns, yaw_deg, pitch_deg))
        while len(self._past) > 2 and t_ns - self._past[1][0] >= _STEP_S * 1e9:
            self._past.popleft()
        then_ns, yaw, pitch = self._past[0]
        dt_s = (t_ns - then_ns) / 1e9
        speed = max(abs(yaw_deg - yaw), abs(pitch_deg - pitch)) / dt_s if dt_s >= 0.5 * _STEP_S else 0.0
        angle = max(abs(yaw_deg), abs(pitch_deg))
        if self.steady:
            if angle > _FAR_DEG or speed > _FAST_DEG_S:
                self.steady, self._since_ns = False, None
                return "head turned away"
            return ""
        if angle > _NEAR_DEG or speed > _SLOW_DEG_S:
            self._since_ns = None
            return ""
        self._since_ns = t_ns if self._since_ns is None else self._since_ns
        if t_ns - self._since_ns < _REST_S * 1e9:
            return ""
        self.steady = True
        return "head back"
