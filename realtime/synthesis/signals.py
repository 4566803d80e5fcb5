"""What happens at all times: head drift, mains flicker, pulse. Functions of time drawn once from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .settings import SynthesisSettings

Array = npt.NDArray[np.float64]

GAMMA = 2.2
"""Coded = linear^(1/2.2): a gain g of the light is exactly a gain g^(1/2.2) of the coded value."""

_WAVES = 7


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Similarity of the head about its rest position."""

    shift_x: float
    shift_y: float
    """px of the output."""
    roll: float
    """rad."""
    scale: float


class Signals:
    """Drift, flicker and pulse of one (settings, seed)."""

    def __init__(self, settings: SynthesisSettings, seed: int, fps: float, px_scale: float = 1.0) -> None:
        """``px_scale``: px of the output per px of the settings."""
        rng = np.random.default_rng([seed, 3])
        self._hz, self._phase, shares = _waves(rng, settings.drift_max_hz)
        limits = np.array(
            [
                settings.drift_px * px_scale,
                settings.drift_px * px_scale,
                math.radians(settings.rotation_deg),
                settings.scale_percent / 100,
            ]
        )
        self._amount = shares * limits[:, None]
        # real mains wander by some hundredths of a hertz, so the beat against the frame rate slides
        self._ripple_hz = 2 * (settings.mains_hz + rng.uniform(-0.03, 0.03))
        self._ripple_phase = rng.uniform(0, 2 * math.pi)
        exposure_s = min(settings.exposure_s, 1 / fps)
        # the mean of a cosine over the exposure is sinc times its middle
        self._ripple = settings.flicker_depth * float(np.sinc(self._ripple_hz * exposure_s))
        self._pulse_hz = rng.uniform(0.9, 1.4)
        self._pulse_phase = rng.uniform(0, 2 * math.pi)
        self._pulse = settings.pulse_percent / 100

    def pose(self, t_s: float) -> HeadPose:
        """Where the head is, t_s seconds after the first frame."""
        x, y, roll, growth = (self._amount * np.sin(2 * math.pi * self._hz * t_s + self._phase)).sum(1)
        return HeadPose(float(x), float(y), float(roll), 1.0 + float(growth))

    def light(self, t_s: float) -> float:
        """Gain of the coded grey level by flicker, integrated over the exposure centred on t_s."""
        ripple = self._ripple * math.cos(2 * math.pi * self._ripple_hz * t_s + self._ripple_phase)
        gain: float = (1.0 + ripple) ** (1 / GAMMA)
        return gain

    def pulse(self, t_s: float) -> float:
        """Relative change of the skin's grey level: a heart beat with its first overtone."""
        angle = 2 * math.pi * self._pulse_hz * t_s + self._pulse_phase
        return self._pulse * (0.8 * math.sin(angle) + 0.2 * math.sin(2 * angle))


def _waves(rng: np.random.Generator, max_hz: float) -> tuple[Array, Array, Array]:
    """Frequencies, phases and shares (4, waves) of a slow wander whose largest value over two minutes is 1.

    All sines at their peaks at once would be the bound, but that moment hardly ever comes.
    """
    hz = rng.uniform(0.05, max_hz, (4, _WAVES))
    phase = rng.uniform(0, 2 * math.pi, (4, _WAVES))
    shares = rng.uniform(0.5, 1.0, (4, _WAVES)) / (hz + 0.3)
    t_s = np.arange(0, 120, 0.05)
    peak = np.abs((shares[..., None] * np.sin(2 * math.pi * hz[..., None] * t_s + phase[..., None])).sum(1)).max(1)
    return hz, phase, shares / peak[:, None]
