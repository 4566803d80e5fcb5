"""Dual-Inception (Zhou et al. 2019, "Dual-inception network for cross-database micro-expression recognition").

u and v apart, each through inception blocks of 6 and 16 kernels a branch; one dense layer of 1024. The paper gives no
number of parameters; the authors' public code, which shows each component as three equal channels, has a few more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry

PARAMETERS = 6_449_867


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.0, size: int = 0) -> Any:
    """Keras model: (n, 28, 28, 3) 0..255, [u, v, strain] → (n, classes) logits; the strain is not used."""
    import keras

    given = keras.Input(tuple(shape), name="maps")
    streams = []
    for name, channel in (("u", 0), ("v", 1)):
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name=f"{name}_scale")(given[..., channel : channel + 1])
        for number, kernels in enumerate((6, 16), 1):
            x = keras.layers.MaxPooling2D(2, name=f"{name}{number}_pool")(_inception(x, kernels, f"{name}{number}"))
        streams.append(keras.layers.Flatten()(x))  # 7 × 7 × 64
    x = keras.layers.Dense(1024, activation="relu", name="dense")(keras.layers.Concatenate()(streams))
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(given, keras.layers.Dense(classes, name="logits")(x), name="dual-inception")


def _inception(x: Any, kernels: int, name: str) -> Any:
    """1×1, 1×1 → 3×3, 1×1 → 5×5, pool → 1×1 side by side."""
    import keras

    def conv(y: Any, side: int, own: str) -> Any:
        return keras.layers.Conv2D(kernels, side, padding="same", activation="relu", name=f"{name}_{own}")(y)

    pooled = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_around")(x)
    sides = [conv(x, 1, "1"), conv(conv(x, 1, "3_reduce"), 3, "3"), conv(conv(x, 1, "5_reduce"), 5, "5")]
    return keras.layers.Concatenate(name=name)([*sides, conv(pooled, 1, "pool_proj")])


MODEL = Entry(
    name="dual-inception",
    source="Zhou et al. 2019",
    published="Dual-Inception",
    reads="28×28×2 u, v",
    trainer=Network(build, PARAMETERS),
    recipe=NetworkRecipe(epochs=40, learning_rate=1e-4, warmup_steps=0, batch=32, dropout=0.0),
    settled="The rate and epochs are those of the authors' public code; their batch of 3 became 32, and the best epoch "
    "on the held-out subjects that they kept the last one.",
)
