"""AlexNet: Krizhevsky et al. 2012 in two towers, as MATLAB has it, and Krizhevsky 2014 in one, as torchvision has it.

With a thousand classes 60,965,224 and 61,100,840: both papers' "61 million". The six-CNN paper counts one
tower's filters
(128, 192, 128) in layers 2, 4 and 5, which have two, and calls the eight layers convolutional; five are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from offline.inputs import face
from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry
from offline.zoo import layers, recipes

SIZE = 227
WIDTHS = {2: (96, 256, 384, 384, 256), 1: (64, 192, 384, 256, 256)}
PARAMETERS = {2: 56_880_515, 1: 57_016_131}
"""With three classes, by towers."""


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.5, size: int = 0, towers: int = 2) -> Any:
    """Keras model: (n, *shape) 0..255 → (n, classes) logits; size: side of the picture, 0: 227."""
    import keras

    first, second, third, fourth, fifth = WIDTHS[towers]
    given, x = layers.picture(shape, size or SIZE, "torch")
    if towers == 1:
        x = keras.layers.ZeroPadding2D(2)(x)  # torchvision takes 224 and pads
    x = keras.layers.Conv2D(first, 11, 4, activation="relu", name="conv1")(x)  # 55
    x = _pooled(x, 1, towers)  # 27
    x = _pooled(_conv(x, second, 5, "conv2", towers), 2, towers)  # 13
    x = keras.layers.Conv2D(third, 3, padding="same", activation="relu", name="conv3")(x)
    x = _conv(x, fourth, 3, "conv4", towers)
    x = keras.layers.MaxPooling2D(3, 2, name="pool5")(_conv(x, fifth, 3, "conv5", towers))  # 6
    x = keras.layers.Flatten()(x)
    for name in ("fc6", "fc7"):
        x = keras.layers.Dense(4096, activation="relu", name=name)(x)
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(given, layers.logits_of(x, classes), name="alexnet")


def _conv(x: Any, kernels: int, side: int, name: str, towers: int) -> Any:
    """In two towers each half of the kernels sees half of the channels."""
    import keras

    if towers == 1:
        return keras.layers.Conv2D(kernels, side, padding="same", activation="relu", name=name)(x)
    half = x.shape[-1] // 2
    parts = [
        keras.layers.Conv2D(kernels // 2, side, padding="same", activation="relu", name=f"{name}{letter}")(own)
        for letter, own in (("a", x[..., :half]), ("b", x[..., half:]))
    ]
    return keras.layers.Concatenate(name=name)(parts)


def _pooled(x: Any, number: int, towers: int) -> Any:
    import keras

    if towers == 2:
        x = layers.local_response(x, f"norm{number}")
    return keras.layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)


MODELS = (
    Entry(
        name="alexnet",
        source="Krizhevsky et al. 2012",
        published="AlexNet",
        reads=recipes.enlarged(SIZE),
        in_paper="61 M",
        trainer=Network(build, PARAMETERS[2], note="with 1000 classes 60,965,224"),
        recipe=recipes.MAPS,
        settled=recipes.UNTUNED,
    ),
    Entry(
        name="alexnet-one-tower",
        source="Krizhevsky 2014",
        published="AlexNet",
        reads=recipes.enlarged(SIZE),
        in_paper="61 M",
        trainer=Network(partial(build, towers=1), PARAMETERS[1], note="with 1000 classes 61,100,840"),
        recipe=recipes.MAPS,
        settled=recipes.UNTUNED,
    ),
    Entry(
        name="alexnet-frames",
        source="six-CNN paper",
        accuracy="six CNNs: AlexNet",
        input=face.INPUT,
        frames=recipes.FRAMES,
        reads=f"grey faces, enlarged to {SIZE}×{SIZE}",
        in_paper="61 M",
        weights="imagenet",
        trainer=Network(build, PARAMETERS[2], note="with 1000 classes 60,965,224"),
        recipe=NetworkRecipe(**recipes.SIX_CNNS, epochs=50, learning_rate=1e-4),
        settled=recipes.AS_PRINTED,
    ),
)
