"""The camera: flicker, blur, contrast and gamma, fixed pattern, noise, 8 bits, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..settings import SynthesisSettings
from ..signals import Signals
from . import _kernels
from .settings import LivingSettings

Picture = npt.NDArray[np.float32]
Gray = npt.NDArray[np.uint8]

_BANK = 1 << 20
_LEVELS = 1025


class Camera:
    """Turns a clean picture into what a sensor delivers."""

    def __init__(self, settings: LivingSettings, seed: int) -> None:
        self._settings = settings
        rng = np.random.default_rng([seed, 14])
        width, height = settings.size
        self._bank = rng.standard_normal(_BANK, dtype=np.float32)
        self._key = int(rng.integers(0, 1 << 63))
        pattern = 0.5 if settings.noise_grey else 0.0
        self._fixed = rng.standard_normal((height, width), dtype=np.float32) * np.float32(pattern)
        variance = max(settings.noise_grey**2 - 1 / 12, 0.0) if settings.noise_grey else 0.0
        self._read_var = np.float32(0.4 * variance)
        self._shot_var = np.float32(0.6 * variance / 128)
        light = SynthesisSettings(
            flicker_depth=settings.flicker_depth,
            mains_hz=settings.mains_hz,
            exposure_s=settings.exposure_s,
            pulse_percent=settings.pulse_percent,
        )
        self._signals = Signals(light, seed, settings.fps)
        level = np.arange(_LEVELS) / (4 * 255)
        curve = 255 * np.minimum(level, 1.0) ** settings.gamma
        self._curve = (curve - 128) * settings.contrast + 128 - settings.dark_grey

    def pulse(self, t_s: float) -> float:
        """Relative change of the skin's grey by the heart beat."""
        return self._signals.pulse(t_s)

    def expose(self, clean: Picture, number: int, t_s: float) -> Gray:
        """(H, W) float32 0..255 → (H, W) uint8."""
        settings = self._settings
        if settings.blur_px:
            clean = np.asarray(cv2.GaussianBlur(clean, (0, 0), settings.blur_px), np.float32)
        out = np.empty(clean.shape, np.uint8)
        curve = (self._curve * self._signals.light(t_s)).astype(np.float32)
        key = np.uint64((self._key + number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
        _kernels.expose(clean, self._fixed, self._bank, key, curve, self._read_var, self._shot_var, out)
        if settings.jpeg_quality is None:
            return out
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
