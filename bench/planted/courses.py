"""The time course of a movement: rest, onset, apex, offset, and what is left afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

STILL = 0.012
"""Share of the apex below which nothing is moved any more."""
_RESIDUALS = {"micro": (0, 0.1, 0.25, 0.35, 0.5, 0.6, 0.8), "macro": (0, 0.1, 0.3)}
_RISES = {"fast_rise": (0.3, 0.4), "slow_rise": (0.58, 0.68), "even": (0.45, 0.55)}
"""Rise as a share of a micro-expression's length."""
_SHORTEST_FALL_S = 0.14


@dataclass(frozen=True)
class Movement:
    """One action unit's movement, times in s. Onset: last instant at rest; offset: the fall has ended."""

    kind: str
    """micro or macro."""
    unit: str
    side: str
    """R, L (the person's own) or both."""
    px: float
    """Largest displacement on the face at the apex, px at 152."""
    residual: float
    """Share of it that is left at the offset."""
    decay_s: float
    """How fast that goes away; 0: there is none."""
    rise_s: float
    fall_s: float
    """When the fall begins, after the onset."""
    length_s: float
    onset_s: float = math.nan

    def at(self, onset_s: float) -> Movement:
        return replace(self, onset_s=onset_s)

    @property
    def top_s(self) -> float:
        """When the apex is reached."""
        return self.onset_s + self.rise_s

    @property
    def falls_s(self) -> float:
        """When it is left."""
        return self.onset_s + self.fall_s

    @property
    def apex_s(self) -> float:
        """The middle of both."""
        return (self.top_s + self.falls_s) / 2

    @property
    def offset_s(self) -> float:
        return self.onset_s + self.length_s

    @property
    def gone_s(self) -> float | None:
        """When the residual is gone too; None without one."""
        if self.residual == 0:
            return None
        return float(self.offset_s + self.decay_s * np.log(max(self.residual, 0.0121) / STILL) ** (1 / 1.5))


def ease(share: Any) -> Any:
    """Minimum jerk: 0 to 1 as ``share`` goes from 0 to 1, no speed and no acceleration at both ends (Flash & Hogan)."""
    t = np.clip(share, 0, 1)
    return t * t * t * (10 - 15 * t + 6 * t * t)


def pulse(t_s: Any, start_s: float, rise_s: float, fall_s: float) -> Any:
    """Up and down again at once: 0 to 1, a micro-expression's time course for what is none."""
    return ease((t_s - start_s) / rise_s) * (1 - ease((t_s - start_s - rise_s) / fall_s))


def share(move: Movement, t_s: float | npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Share of the apex displacement at ``t_s``, 0 to 1."""
    t = np.asarray(t_s, float)
    rise = ease((t - move.onset_s) / (move.top_s - move.onset_s))
    fall = 1 - (1 - move.residual) * ease((t - move.falls_s) / (move.offset_s - move.falls_s))
    course = np.where(t < move.top_s, rise, fall)
    if move.decay_s:
        after = np.maximum(t - move.offset_s, 0) / move.decay_s
        course = np.where(t > move.offset_s, move.residual * np.exp(-(after**1.5)), course)
    return np.where(course < STILL, 0, course)


def drawn(
    rng: np.random.Generator, unit: str, side: str, px: float, kind: str = "micro", residual: float | None = None
) -> Movement:
    """A movement whose times are drawn; it has no onset yet."""
    if kind == "micro":
        length = rng.uniform(0.24, 0.48)
        shape = rng.choice(list(_RISES))
        part = {name: rng.uniform(*bounds) for name, bounds in _RISES.items()}[shape]  # three draws, whatever the shape
        rise = length * part
        hold = 0.0 if length * (1 - part) < _SHORTEST_FALL_S else rng.choice([0, 0.03])
    else:
        length = rng.uniform(0.85, 2.4)
        rise = rng.uniform(0.3, 0.42) * length
        hold = rng.uniform(0.05, 0.3) * length
    left = float(rng.choice(_RESIDUALS[kind])) if residual is None else residual
    decay = 0.0 if left == 0 else float(rng.choice([0.8, 1.5, 2.5])) if left < 0.75 else 4.0
    return Movement(kind, unit, side, px, left, decay, rise, rise + hold, length)
