"""GoogLeNet (Szegedy et al. 2015), without its auxiliary classifiers: 6,998,552 with a thousand classes.

That is the LAENet paper's 7 million. The six-CNN paper calls its first convolution 3×3; it is 7×7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline.inputs import face
from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry
from offline.zoo import layers, recipes

SIZE = 224
PARAMETERS = 5_976_627
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Kernels of 1×1; 3×3, reduced first; 5×5, reduced first; after the pool."""


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.4, size: int = 0) -> Any:
    """Keras model: (n, *shape) 0..255 → (n, classes) logits; size: side of the picture, 0: 224."""
    import keras

    given, x = layers.picture(shape, size or SIZE, "unit")
    x = keras.layers.Conv2D(64, 7, 2, padding="same", activation="relu", name="conv1")(x)  # 112
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)  # 56
    x = layers.local_response(x, "norm1")
    x = keras.layers.Conv2D(64, 1, activation="relu", name="conv2_reduce")(x)
    x = keras.layers.Conv2D(192, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.local_response(x, "norm2")
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)  # 28
    for name, kernels in BLOCKS.items():
        x = _inception(x, kernels, f"inception_{name}")
        if name in ("3b", "4e"):
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{name[0]}")(x)  # 14, 7
    x = keras.layers.GlobalAveragePooling2D(name="pool5")(x)
    return keras.Model(given, layers.logits_of(keras.layers.Dropout(dropout)(x), classes), name="googlenet")


def _inception(x: Any, kernels: tuple[int, ...], name: str) -> Any:
    import keras

    def conv(y: Any, count: int, side: int, own: str) -> Any:
        return keras.layers.Conv2D(count, side, padding="same", activation="relu", name=f"{name}_{own}")(y)

    one, reduce3, three, reduce5, five, pool = kernels
    sides = [
        conv(x, one, 1, "1"),
        conv(conv(x, reduce3, 1, "3_reduce"), three, 3, "3"),
        conv(conv(x, reduce5, 1, "5_reduce"), five, 5, "5"),
        conv(keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x), pool, 1, "pool_proj"),
    ]
    return keras.layers.Concatenate(name=name)(sides)


MODELS = (
    Entry(
        name="googlenet",
        source="Szegedy et al. 2015",
        published="GoogLeNet",
        reads=recipes.enlarged(SIZE),
        in_paper="7 M",
        trainer=Network(build, PARAMETERS, note="with 1000 classes 6,998,552"),
        recipe=recipes.MAPS,
        settled=recipes.UNTUNED,
    ),
    Entry(
        name="googlenet-frames",
        source="six-CNN paper",
        accuracy="six CNNs: GoogLeNet",
        input=face.INPUT,
        frames=recipes.FRAMES,
        reads=f"grey faces, enlarged to {SIZE}×{SIZE}",
        in_paper="7 M",
        weights="imagenet",
        trainer=Network(build, PARAMETERS, note="with 1000 classes 6,998,552"),
        recipe=NetworkRecipe(**recipes.SIX_CNNS, epochs=15, learning_rate=1e-3),
        settled=recipes.AS_PRINTED,
    ),
)
