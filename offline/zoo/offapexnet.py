"""OFF-ApexNet (Gan et al. 2019, "OFF-ApexNet on micro-expression recognition system"): u and v apart.

Each stream conv 5×5 × 6 → pool → conv 5×5 × 16 → pool; then two dense layers of 1024.
2 × (156 + 2416) + 1 606 656 + 1 049 600 + 3075 = 2 664 475 (LAENet's table says 2.77 M; a public
reimplementation counts 2.66 M as here).
"""

from __future__ import annotations

from typing import Any

from offline.training.batches import Recipe
from offline.training.keras_folds import KerasFolds
from offline.training.protocol import IN_VIEW, Entry
from offline.zoo.layers import rescale

PARAMETERS = 2_664_475


def build(dropout: float = 0.5) -> Any:
    """Keras model: (n, 28, 28, 3) float32, 0..255, [u, v, strain] → (n, 3) logits; the strain is not used."""
    import keras

    maps = keras.Input((28, 28, 3), name="maps")
    x = rescale(maps)
    streams = []
    for name, channel in (("u", 0), ("v", 1)):
        y = x[..., channel : channel + 1]  # (n, 28, 28, 1)
        for number, kernels in enumerate((6, 16), 1):
            y = keras.layers.Conv2D(kernels, 5, padding="same", activation="relu", name=f"{name}{number}")(y)
            y = keras.layers.MaxPooling2D(2)(y)  # 14, then 7
        streams.append(keras.layers.Flatten()(y))  # 784
    y = keras.layers.Concatenate()(streams)
    for number in (1, 2):
        y = keras.layers.Dense(1024, activation="relu", name=f"dense{number}")(y)
        y = keras.layers.Dropout(dropout)(y)
    return keras.Model(maps, keras.layers.Dense(3, name="logits")(y), name="offapexnet")


MODEL = Entry(
    name="offapexnet",
    reads="28×28×2 u, v",
    source="Gan et al. 2019",
    published="OFF-ApexNet",
    trainer=KerasFolds(build, PARAMETERS),
    recipe=Recipe(epochs=20, learning_rate=5e-4),
    settled="The recipe (epochs and rate by hand, the rest LAENet's) was settled " + IN_VIEW,
)
