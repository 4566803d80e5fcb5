"""Whether the head can be measured on: one that is turned far away, or whips round, shows its turn and nothing else;
one that has jerked leaves its regions a little off, which is no expression.
"""

from __future__ import annotations

from collections import deque

_FAR_DEG, _NEAR_DEG = 16.0, 15.0
"""Turn from where the face usually looks: unusable beyond the one, usable within the other."""
_PROFILE_DEG = 35.0
"""However used to it: a face that is turned further from the camera shows one side only."""
_PRIOR_S, _MEMORY_S = 2.0, 20.0
"""Where a face usually looks is at first the camera, with the weight of so many seconds, then its own mean."""
_FAST_DEG_S, _SLOW_DEG_S = 20.5, 8.0
"""Turning faster than the one: unusable. Usable again below the other, which is where a head that looks around stops:
one that only sweeps through the middle shows parts of itself that nothing has learnt yet.
"""
_STEP_S = 0.15
"""Speeds are measured over this time."""
_REST_S = 0.1
"""The head must be steady for so long before its face is measured again."""


_JERK_DEG_S, _JERK_DEG, _JERK_S = 9.0, 0.8, 0.4
"""A jerk is at least so fast, and so far, and at most so long."""
_JERK_STEP_S = 0.06
_CALM = 0.25
"""Share of its fastest speed at which a jerk is over."""


class Steadiness:
    """Follows the head's pose by time stamps, with some reluctance to change its mind."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Another face, or the same one found anew."""
        self._past: deque[tuple[int, float, float]] = deque()
        self._since_ns: int | None = None
        self._begun_ns: int | None = None
        self._usual = 0.0, 0.0
        self.steady = True

    def note(self, t_ns: int, yaw_deg: float, pitch_deg: float, facing_deg: float | None = None) -> str:
        """One frame's pose, against the frame in which the face was found; facing_deg: yaw against the camera's axis,
        where it is known. "head turned away", "head back" where that has changed, else nothing.
        """
        facing = (yaw_deg if facing_deg is None else facing_deg, pitch_deg)
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
        turned, dt_s = _turn_over(self._past, t_ns, yaw_deg, pitch_deg, _STEP_S)
        return turned / dt_s if dt_s >= 0.5 * _STEP_S else 0.0

    def _turned(self, t_ns: int, facing: tuple[float, float]) -> float:
        """How far it is turned from where it usually looks, degrees."""
        if self._begun_ns is None:
            self._begun_ns = self._last_ns = t_ns
        seen_s = min(_PRIOR_S + (t_ns - self._begun_ns) / 1e9, _MEMORY_S)
        gain = min(1.0, (t_ns - self._last_ns) / 1e9 / seen_s)
        yaw, pitch = (usual + gain * (now - usual) for usual, now in zip(self._usual, facing, strict=True))
        self._usual, self._last_ns = (yaw, pitch), t_ns
        if abs(facing[0]) > _PROFILE_DEG:
            return abs(facing[0])
        return max(abs(facing[0] - yaw), abs(facing[1] - pitch))


class Jerks:
    """Tells when a short, quick turn of the head is over."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Another face, or the same one found anew."""
        self._past: deque[tuple[int, float, float]] = deque()
        self._begun: tuple[int, float, float] | None = None
        self._top = 0.0

    def note(self, t_ns: int, yaw_deg: float, pitch_deg: float) -> tuple[int, int] | None:
        """One frame's pose; begin and end of the jerk that is just over, ns."""
        turned, dt_s = _turn_over(self._past, t_ns, yaw_deg, pitch_deg, _JERK_STEP_S)
        speed = turned / dt_s if dt_s >= 0.5 * _JERK_STEP_S else 0.0
        if self._begun is None:
            if speed > _JERK_DEG_S:
                self._begun, self._top = self._past[0], speed
            return None
        self._top = max(self._top, speed)
        if speed > _CALM * self._top:
            return None
        (begun_ns, yaw, pitch), self._begun = self._begun, None
        short = t_ns - begun_ns <= (_JERK_S + _JERK_STEP_S) * 1e9
        far = max(abs(yaw_deg - yaw), abs(pitch_deg - pitch)) >= _JERK_DEG
        # the speed is a mean over the step: the head had stopped before half of it and more
        return (begun_ns, t_ns - round(0.5 * _JERK_STEP_S * 1e9)) if short and far else None


def _turn_over(
    past: deque[tuple[int, float, float]], t_ns: int, yaw_deg: float, pitch_deg: float, step_s: float
) -> tuple[float, float]:
    """Note a pose; how far the head has turned over the last ``step_s``, degrees, and how long that really was, s."""
    past.append((t_ns, yaw_deg, pitch_deg))
    while len(past) > 2 and t_ns - past[1][0] >= step_s * 1e9:
        past.popleft()
    then_ns, yaw, pitch = past[0]
    return max(abs(yaw_deg - yaw), abs(pitch_deg - pitch)), (t_ns - then_ns) / 1e9
