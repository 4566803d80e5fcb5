"""Time courses: how far a movement is at a time, 0..1.

Rise, fall and total are drawn from the quantiles of the coded data sets; coders set the offset where the movement
stops, so a share of the peak is left there, which decays over seconds or stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from realtime.types import MICRO_MAX_S

from ..settings import Span

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_CODED_MS = {
    "CASME II": ((75, 115, 150, 208, 325), (50, 106, 150, 210, 327), (180, 255, 310, 430, 500)),
    "SAMM": ((70, 120, 160, 198, 301), (54, 138, 200, 260, 330), (200, 298, 390, 448, 500)),
    "DFME": ((90, 146, 200, 243, 313), (60, 130, 180, 230, 300), (201, 308, 393, 461, 498)),
}
"""Rise, fall, total at 5, 25, 50, 75, 95 %."""
_RESIDUALS = (0.07, 0.21, 0.22, 0.25, 0.38, 0.48, 0.56, 0.59, 0.60, 0.62, 0.80, 0.95, 0.95)
"""Measured in 13 clips, cut at 95 %."""

_LEAST_TOTAL_S = 0.12


@dataclass(frozen=True, slots=True)
class Course:
    """One movement in time, s from the clip's start."""

    onset_s: float
    rise_s: float
    hold_s: float
    fall_s: float
    residual: float
    """Share of the peak that is left at the offset."""
    decay_s: float = 3.0
    """Time constant of what is left; infinite: it stays."""

    @property
    def apex_s(self) -> float:
        """When the peak is reached."""
        return self.onset_s + self.rise_s

    @property
    def offset_s(self) -> float:
        """When the fall has flattened."""
        return self.apex_s + self.hold_s + self.fall_s

    @property
    def total_s(self) -> float:
        """Onset to offset."""
        return self.rise_s + self.hold_s + self.fall_s

    def shares(self, t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Share of the peak at the times ``t_s``."""
        rise = minimum_jerk((t_s - self.onset_s) / self.rise_s)
        fall = minimum_jerk((t_s - self.apex_s - self.hold_s) / self.fall_s)
        share = rise * (1 - (1 - self.residual) * fall)
        if self.residual > 0 and np.isfinite(self.decay_s):
            share *= np.exp(-np.maximum(t_s - self.offset_s, 0) / self.decay_s)
        return share


def minimum_jerk(progress: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of a movement done (Flash & Hogan 1985), ``progress`` clamped to 0..1."""
    t = np.clip(progress, 0.0, 1.0)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


def returning(rng: np.random.Generator, onset_s: float) -> Course:
    """A movement that goes back to zero within half a second, as the first generator made them."""
    while True:
        rise, hold, fall = rng.uniform(0.06, 0.25), rng.uniform(0, 0.12), rng.uniform(0.06, 0.25)
        if rise + hold + fall <= MICRO_MAX_S:
            return Course(onset_s, rise, hold, fall, 0.0)


def coded(rng: np.random.Generator, onset_s: float, residual_max: float) -> Course:
    """A movement with the times of one of the coded data sets and a measured residual."""
    rise_ms, fall_ms, total_ms = _CODED_MS[list(_CODED_MS)[int(rng.integers(len(_CODED_MS)))]]
    while True:
        rise, fall, total = (_from_quantiles(rng, q) / 1000 for q in (rise_ms, fall_ms, total_ms))
        hold = total - rise - fall  # three separate tables: keep draws that agree, as a clip's three times do
        if -0.04 <= hold <= 0.1 and _LEAST_TOTAL_S <= rise + max(hold, 0) + fall <= MICRO_MAX_S:
            break
    while (residual := _residual(rng)) > residual_max:
        pass
    decay = float(rng.choice([4.0, 6.0, 10.0, np.inf]))
    return Course(onset_s, rise, max(hold, 0.0), fall, residual, decay)


def long_one(rng: np.random.Generator, onset_s: float, hold_s: Span) -> Course:
    """A macro-expression: slow rise, a hold, slow fall to rest."""
    return Course(onset_s, rng.uniform(0.3, 0.6), rng.uniform(*hold_s), rng.uniform(0.35, 0.8), 0.0)


def _from_quantiles(rng: np.random.Generator, values: tuple[float, ...]) -> float:
    """Piecewise-linear inverse of the distribution; the ends are not extended."""
    return float(np.interp(rng.uniform(_LEVELS[0], _LEVELS[-1]), _LEVELS, values))


def _residual(rng: np.random.Generator) -> float:
    return float(np.interp(rng.random(), np.linspace(0, 1, len(_RESIDUALS)), _RESIDUALS))
