"""What ``--protocol nested`` chooses from, written down before any nested result had been seen.

The networks' settings are `DRAWS` random draws from a product of plain values (random search: Bergstra and Bengio
2012), so that none of them was picked with a result in view. What stays as it is: architecture, Adam, warm-up, cosine,
and how many members are averaged, which is a matter of time.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.training.batches import Recipe

Float32 = NDArray[np.float32]
Spread = Literal["none", "std"]

DRAWS = 12
SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "epochs": (20, 40),
    "batch": (32, 64),
    "mirror": (True, False),
    "shift_px": (0, 1),
    "mixup": (0.0, 0.4),
    "dropout": (0.25, 0.5),
    "class_weight": (0.5, 1.0),
    "spread": ("none", "std"),
}
ADJUSTMENTS = (0.0, 0.3, -0.3)
"""How much of log p(class) the logits lose (Menon et al. 2021); on a tie the first of each list counts."""
SHARES = (0.5, 0.25, 0.75, 0.0, 1.0)
"""Of the linear machines in a fusion."""
SHARPNESSES = (2.0, 1.0, 4.0)
"""Softmax of this × the machines' mean margin, before it is fused."""

_STRETCH = np.array([42.5, 42.5, 85.0], np.float32)
_ZERO = np.array([127.5, 127.5, 0.0], np.float32)


class Setting(msgspec.Struct, frozen=True):
    """One way to train a network."""

    name: str
    changes: dict[str, Any]
    """Of the recipe."""
    spread: Spread
    """std: each channel of a map loses its median and is divided by its spread, as the linear machines see it."""

    def recipe(self, usual: Recipe) -> Recipe:
        return msgspec.structs.replace(usual, members=1, **self.changes)


def settings() -> tuple[Setting, ...]:
    """The draws, the same ones always; no two are alike."""
    random, found = np.random.default_rng(0), dict[str, Setting]()
    while len(found) < DRAWS:
        drawn = {key: values[int(random.integers(len(values)))] for key, values in SPACE.items()}
        name = " ".join(f"{key}={value:g}" if not isinstance(value, str) else value for key, value in drawn.items())
        spread = drawn.pop("spread")
        found.setdefault(name, Setting(name, drawn, spread))
    return tuple(found.values())


def normalised(maps: Float32, spread: Spread) -> Float32:
    """(n, 28, 28, 3) 0..255 → the same shape; std: rest at 127.5 (strain: 0), three spreads at 255."""
    if spread == "none":
        return maps
    centred = maps - np.median(maps, axis=(1, 2), keepdims=True)
    size = np.sqrt((centred**2).mean((1, 2), keepdims=True))
    return (centred / np.maximum(size, 1e-6) * _STRETCH + _ZERO).astype(np.float32)


def normalised_tf(maps: Any, spread: Spread) -> Any:
    """`normalised` of one map in TensorFlow, for what is served."""
    from offline.training.pooled_flow import served_normal

    return maps if spread == "none" else served_normal(maps, ("std",)) * _STRETCH + _ZERO
