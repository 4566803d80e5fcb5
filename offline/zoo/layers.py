"""What the zoo's networks share: how they read a map, and the shallow streams."""

from __future__ import annotations

from typing import Any

from offline.batches import TYPICAL, Scaling

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-3


def rescale(maps: Any, scaling: Scaling = "range") -> Any:
    """`offline.batches.rescaled` as a layer: (n, 28, 28, 3) 0..255 → the same; no parameters."""
    import keras

    if scaling == "range":
        scale, offset = [1 / 127.5, 1 / 127.5, 1 / 255], [-1.0, -1.0, 0.0]
        return keras.layers.Rescaling(scale, offset, name="rescale")(maps)
    size = TYPICAL[scaling]

    def read(x: Any) -> Any:
        moved, mean, square = centred(x)
        return size * moved / keras.ops.maximum(mean if scaling == "mean-abs" else keras.ops.sqrt(square), 1e-6)

    return keras.layers.Lambda(read, output_shape=(28, 28, 3), name="rescale")(maps)


def centred(maps: Any) -> tuple[Any, Any, Any]:
    """(n, 28, 28, 3) → maps less their medians, and their mean absolute and mean square: (n, 1, 1, 3)."""
    from keras import ops

    # the median of 784 values lies between the 392nd and the 393rd
    ranked = ops.top_k(ops.reshape(ops.transpose(maps, (0, 3, 1, 2)), (-1, 3, 784)), 393)[0]
    moved = maps - ops.reshape(ops.mean(ranked[..., 391:], axis=-1), (-1, 1, 1, 3))
    mean = ops.mean(ops.abs(moved), axis=(1, 2), keepdims=True)
    return moved, mean, ops.mean(moved * moved, axis=(1, 2), keepdims=True)


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


def shallow(streams: tuple[int, ...], dropout: float, scaling: Scaling, name: str) -> Any:
    """Streams side by side → average-pool → dense: (n, 28, 28, 3) float32, 0..255, [u, v, strain] → (n, 3) logits."""
    import keras

    maps = keras.Input((28, 28, 3), name="maps")
    x = rescale(maps, scaling)
    sides = [stream(x, kernels, dropout) for kernels in streams]
    x = keras.layers.Concatenate()(sides) if len(sides) > 1 else sides[0]  # (n, 10, 10, kernels)
    x = keras.layers.AveragePooling2D(2)(x)  # (n, 5, 5, kernels)
    logits = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(maps, logits, name=name)
