"""Time courses: rise and fall as in the corpora, what is left afterwards, slow drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

FPS = 200
_SHARES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
_RISE_MS = {
    "casme2": (50, 75, 115, 150, 208, 325, 360),
    "samm": (50, 70, 120, 160, 198, 301, 340),
    "dfme": (60, 90, 146, 200, 243, 313, 340),
}
_FALL_MS = {
    "casme2": (40, 50, 106, 150, 210, 327, 360),
    "samm": (40, 54, 138, 200, 260, 330, 360),
    "dfme": (50, 60, 130, 180, 230, 300, 340),
}
"""Quantiles at ``_SHARES``."""
_LONGEST_MS = 495
_LEFT = (0.07, 0.21, 0.22, 0.25, 0.38, 0.48, 0.56, 0.59, 0.60, 0.62, 0.80, 0.96, 0.98)
"""Shares of the peak left at the offset, measured on real ones: quantiles at equal steps."""
_HEIGHT_5 = 0.1893
"""Share of a minimum jerk's time at which it has gone 5 % of its way."""


def eased(t: Any) -> Any:
    """Minimum jerk: 0 to 1 as ``t`` goes from 0 to 1. (Not ``planted.courses.ease``: another last bit.)"""
    t = np.clip(t, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t * t)


def _slow_again() -> np.float64:
    """Share of a minimum jerk's time at which its speed is back at 5 % of its greatest."""
    x = np.linspace(0, 1, 20001)
    return x[np.where(30 * x**2 * (1 - x) ** 2 > 0.05 * 1.875)[0][-1]]


_SPEED_5 = _slow_again()


def drawn_times(rng: np.random.Generator) -> tuple[float, float, str]:
    """Rise and fall of a micro-expression, s, and the corpus whose they are."""
    corpus = rng.choice(list(_RISE_MS))
    while True:
        rise = np.interp(rng.random(), _SHARES, _RISE_MS[corpus])
        fall = np.interp(rng.random(), _SHARES, _FALL_MS[corpus])
        if rise + fall <= _LONGEST_MS:
            return rise / 1000, fall / 1000, corpus


def drawn_residual(rng: np.random.Generator) -> float:
    """Share of the peak that is left at the offset."""
    return float(np.interp(rng.random(), np.linspace(0, 1, len(_LEFT)), _LEFT))


@dataclass(frozen=True)
class Course:
    """One movement on a clip's time axis. Frame numbers."""

    share: npt.NDArray[np.float32]
    """(N,) share of the peak, frame by frame."""
    onset: int
    apex: int
    offset: int


def course(
    rng: np.random.Generator,
    t: Floats,
    onset_s: float,
    rise_s: float,
    fall_s: float,
    residual: float,
    hold_s: float = 0.0,
    relax_s: float | None = None,
    tremble: float = 0.0,
) -> Course:
    """Up, held, down to ``residual``, which goes away over ``relax_s`` (drawn if None).

    ``t``: (N,) s. ``tremble``: standard deviation, as a share of the peak, of the noise while it is held.
    """
    skew = rng.uniform(0.9, 1.15)
    # stated times count from 5 % of the height to where the fall is slow: what is eased takes longer
    up_s = rise_s / (1 - _HEIGHT_5 ** (1 / skew))
    begin = onset_s - up_s * _HEIGHT_5 ** (1 / skew)
    down_s = fall_s / _SPEED_5
    top = begin + up_s
    falls = top + hold_s
    share = eased(np.clip((t - begin) / up_s, 0, 1) ** skew)
    share = share * (1 - (1 - residual) * eased((t - falls) / down_s))
    end = falls + fall_s
    if residual > 0:
        relax = relax_s if relax_s else rng.uniform(1.5, 4.0)
        share = share - residual * eased((t - end) / relax) * (t > end)
    if tremble:
        shake = drift(rng, len(t), 1.5, 0.3, 8) * tremble
        share = share + shake * eased((t - top) / 0.3) * (1 - eased((t - falls + 0.3) / 0.3))
    share = np.maximum(share, 0).astype(np.float32)
    onset = int(np.where((share > 0.05) & (t > begin))[0][0])
    return Course(share, onset, round(top * FPS), round(end * FPS))


def drift(rng: np.random.Generator, count: int, power: float = 1.5, low: float = 0.05, high: float = 8.0) -> Floats:
    """(count,) noise of power f^-``power`` from ``low`` to ``high`` Hz, rolled off above; standard deviation 1."""
    whole = 4 * count
    hz = np.fft.rfftfreq(whole, 1 / FPS)
    size = np.zeros(len(hz))
    some = hz > 0
    size[some] = np.maximum(hz[some], low) ** (-power / 2) / (1 + (hz[some] / high) ** 4)
    x = np.fft.irfft(size * np.exp(2j * np.pi * rng.random(len(hz))), whole)[:count]
    x -= x.mean()
    return x / x.std()


def steps(t: Floats, times: Sequence[float], values: Sequence[float], durations: Sequence[float]) -> Floats:
    """(N,) what goes to each value in turn, from its time on and within its duration (s)."""
    y, before = np.zeros(len(t)), 0.0
    for time, value, duration in zip(times, values, durations, strict=True):
        y += (value - before) * eased((t - time) / duration)
        before = value
    return y
