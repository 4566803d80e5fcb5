"""Where the head is: yaw, pitch, roll, shift and size over time, drawn once for a clip.

Positive yaw turns the nose to the picture's right, positive pitch lowers it, positive roll turns the head clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .courses import minimum_jerk
from .settings import LivingSettings

Array = npt.NDArray[np.float64]
Times = Array
POSE = ("yaw", "pitch", "roll", "shift_x", "shift_y", "growth")
"""rad, rad, rad, px of the output, px of the output, relative change of size."""

_DRIFT = np.array([0.0, 0.0, 0.3, 1.5, 1.5, 0.3])
_DRIFT_TURN = np.array([0.25, 0.25, 0, 0, 0, 0])
"""A head that sits still wanders so far: degrees, px on a 145-px face, percent."""
_POSTURE = np.array([1.6, 1.3, 0.8, 3.0, 1.8, 0.8])
"""Wander of a person at ease, rms: degrees, px, percent."""
_RESETTLE = np.array([2.2, 1.8, 1.0, 4.0, 2.5, 1.2])
_JERK_PX, _JERK_DEG, _JERK_S = 8.0, 3.0, 0.15
_UNITS = np.array([np.pi / 180, np.pi / 180, np.pi / 180, 1.0, 1.0, 0.01])


@dataclass(frozen=True, slots=True)
class Jump:
    """A change of the pose from one resting place to the next."""

    begin_s: float
    length_s: float
    change: Array
    """(6,) degrees, px on a 145-px face, percent; it stays."""


def poses(settings: LivingSettings, t_s: Times, jumps: list[Jump], px: float, rng: np.random.Generator) -> Array:
    """(n, 6) pose at each time, in ``POSE``'s units. ``px``: output px per px of a 145-px face."""
    track: Array = settings.drift * (_DRIFT + _DRIFT_TURN) * wander(rng, t_s, (0.05, 2.5), 1.0, peak=True)
    if settings.posture:
        track += settings.posture * _POSTURE * wander(rng, t_s, (0.02, 1.2), 1.5, peak=False)
    for swing in settings.swings:
        column = {"yaw": 0, "pitch": 1, "roll": 2, "sway": 3, "lean": 5}[swing.axis]
        angle = 2 * np.pi * t_s / swing.period_s + rng.uniform(0, 2 * np.pi)
        track[:, column] += swing.amount * np.sin(angle)
        if swing.axis == "sway":
            track[:, 2] += 0.2 * swing.amount * np.sin(angle)  # a swaying head tilts
    for jump in jumps:
        track += minimum_jerk((t_s - jump.begin_s) / jump.length_s)[:, None] * jump.change
    track *= _UNITS
    track[:, 3:5] *= px
    return track


def wander(rng: np.random.Generator, t_s: Times, band_hz: tuple[float, float], slope: float, peak: bool) -> Array:
    """(n, 6) slow noise whose amplitude falls with frequency; rms 1, or about 1 at its largest."""
    hz = np.exp(rng.uniform(np.log(band_hz[0]), np.log(band_hz[1]), (6, 12)))
    phase = rng.uniform(0, 2 * np.pi, (6, 12))
    share = rng.uniform(0.5, 1.0, (6, 12)) / (hz + 0.1) ** slope
    share /= np.sqrt((share**2).sum(1, keepdims=True) / 2)
    if peak:
        share /= 2.6
    out = np.zeros((len(t_s), 6))
    for wave in range(12):
        out += share[:, wave] * np.sin(2 * np.pi * hz[:, wave] * t_s[:, None] + phase[:, wave])
    return out


def resettlings(rng: np.random.Generator, seconds: float, amount: float) -> list[Jump]:
    """A person at ease shifts to another posture every few seconds; each leads back towards the middle."""
    jumps: list[Jump] = []
    now, place = rng.uniform(2, 6), np.zeros(6)
    while now < seconds:
        target = amount * _RESETTLE * rng.normal(0, 0.7, 6)
        length = rng.uniform(0.5, 1.4)
        jumps.append(Jump(now, length, target - place))
        place = target
        now += length + rng.uniform(3, 9)
    return jumps


def jerks(rng: np.random.Generator, seconds: float, gap_s: tuple[float, float]) -> list[Jump]:
    """Sudden movements of 8 px and 3°; every second one leads back."""
    jumps: list[Jump] = []
    now, back = rng.uniform(*gap_s), None
    while now < seconds - _JERK_S:
        if back is None:
            angle = rng.uniform(0, 2 * np.pi)
            turn = rng.choice([-1.0, 1.0], 3) * _JERK_DEG * np.array([0.7, 0.5, 0.5])
            change = np.array([*turn, _JERK_PX * np.cos(angle), _JERK_PX * np.sin(angle), 0.0])
            back = -change
        else:
            change, back = back, None
        jumps.append(Jump(now, _JERK_S * rng.uniform(0.8, 1.3), change))
        now += _JERK_S + rng.uniform(*gap_s)
    return jumps


def turn_and_back(rng: np.random.Generator, begin_s: float) -> list[Jump]:
    """A short head turn, as often follows an expression."""
    change = np.array([rng.uniform(2, 6), rng.uniform(0.5, 2), rng.uniform(0, 1), 0, 0, 0])
    change[:3] *= rng.choice([-1.0, 1.0], 3)
    length, rest = rng.uniform(0.3, 0.6), rng.uniform(0.3, 1.0)
    return [Jump(begin_s, length, change), Jump(begin_s + length + rest, length * 1.2, -change)]


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """(3, 3) rotation of head points (right, down, towards the camera)."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    matrix: Array = tilt @ nod @ turn
    return matrix
