"""A scene of light alone: flicker, a lamp and the camera's answer, shadows, shading that looks like a movement."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.planted.courses import ease
from bench.planted.props import lit
from bench.planted.scenes import Scene, seconds, spell
from bench.planted.takes import Take
from bench.planted.tracks import Frame

_EXPOSURE = ((5.9, 0.94), (6.1, 0.9), (6.3, 0.86), (6.5, 0.84), (14.3, 0.9), (14.5, 0.96), (14.7, 1.0))
"""s, gain from then on: the camera follows in steps."""
_SHADOWS = ((7.3, 1), (15.6, -1))
"""s, direction: an edge passes over the face in 0.4 s."""
_SPOTS = (
    (8.5, 0.14, 0.2, 105, -0.10),
    (10.2, 0.10, 0.22, 334, -0.10),
    (11.7, 0.12, 0.16, 61, 0.08),
    (12.8, 0.1, 0.18, 291, -0.10),
    (17.0, 0.12, 0.2, 168, -0.09),
)
"""s, rise in s, fall in s, landmark, change of brightness: shading with a micro-expression's time course and place."""


def lamp(take: Take, rng: np.random.Generator) -> Scene:
    """Nothing moves; only the light does."""
    t = seconds(take)
    flicker = 1 + 0.025 * np.sin(2 * np.pi * 3.1 * t) * (t < 5)
    on = ease((t - 5.5) / 0.12) * (1 - ease((t - 14) / 0.1))
    exposure = np.ones(len(take))
    for start, gain in _EXPOSURE:
        exposure[t >= start] = gain
    height, width = take.frames[0].shape[:2]
    side = np.clip(1.25 - 1.1 * np.linspace(0, 1, width)[None, :], 0, 1) * np.ones((height, 1))
    x, y = np.meshgrid(np.arange(width), np.arange(height))

    def after(i: int, frame: Frame) -> Frame:
        gain: Any = np.full((height, width), flicker[i] * exposure[i], np.float32)
        gain = gain * (1 + 0.45 * on[i] * side)
        for start, direction in _SHADOWS:
            way = (t[i] - start) / 0.4
            if -0.2 < way < 1.5:
                edge = 1.2 * way if direction > 0 else 1.2 - 1.2 * way
                gain = gain * (1 - 0.28 * np.exp(-0.5 * ((x / width + 0.15 * y / height - edge) / 0.10) ** 2))
        for start, rise, fall, point, change in _SPOTS:
            amount = ease((t[i] - start) / rise) * (1 - ease((t[i] - start - rise) / fall))
            if amount > 0 and np.isfinite(take.width[i]):
                place, face = take.mesh[i][point], take.width[i]
                near = ((x - place[0]) / (0.1 * face)) ** 2 + ((y - place[1]) / (0.07 * face)) ** 2
                gain = gain * (1 + change * amount * np.exp(-0.5 * near))
        return lit(frame, gain.astype(np.float32))

    spells = (
        ("3 Hz flicker 2.5 %", 0, 5),
        ("side lamp on (0.12 s), exposure steps", 5.5, 6.6),
        ("shadow passes", 7.2, 7.9),
        ("lamp off, exposure steps", 14, 14.8),
        ("shadow passes back", 15.5, 16.2),
    )
    notes = [spell(take, *one) for one in spells]
    for start, rise, fall, point, change in _SPOTS:
        what = f"local shading {change:+.2f} at landmark {point}, micro time course, nothing moves"
        notes.append(spell(take, what, start, start + rise + fall))
    return Scene(after, notes=notes)
