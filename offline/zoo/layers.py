"""What the zoo's shallow networks share."""

from __future__ import annotations

from typing import Any

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-3


def rescale(maps: Any) -> Any:
    """0..255 maps → u, v in [−1, 1] (so that mirroring negates u) and strain in [0, 1]; no parameters."""
    import keras

    scale, offset = [1 / 127.5, 1 / 127.5, 1 / 255], [-1.0, -1.0, 0.0]
    return keras.layers.Rescaling(scale, offset, name="rescale")(maps)


def stream(x: Any, kernels: int, dropout: float) -> Any:
    """(n, 28, 28, 3) → conv 3×3 same → ReLU → batch norm → max-pool 3/3 → dropout: (n, 10, 10, kernels)."""
    import keras

    name = f"k{kernels}"
    x = keras.layers.Conv2D(kernels, 3, padding="same", activation="relu", name=f"conv_{name}")(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"norm_{name}")(
        x
    )
    x = keras.layers.MaxPooling2D(3, 3, padding="same")(x)
    return keras.layers.Dropout(dropout)(x)


def shallow(streams: tuple[int, ...], dropout: float, name: str) -> Any:
    """Streams side by side → average-pool → dense: (n, 28, 28, 3) float32, 0..255, [u, v, strain] → (n, 3) logits."""
    import keras

    maps = keras.Input((28, 28, 3), name="maps")
    x = rescale(maps)
    sides = [stream(x, kernels, dropout) for kernels in streams]
    x = keras.layers.Concatenate()(sides) if len(sides) > 1 else sides[0]  # (n, 10, 10, kernels)
    x = keras.layers.AveragePooling2D(2)(x)  # (n, 5, 5, kernels)
    logits = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(maps, logits, name=name)
