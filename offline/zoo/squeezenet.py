"""SqueezeNet 1.1 (Iandola et al. 2016), first convolution 3×3 with 64 kernels: 1,235,496 with a thousand classes.

That is the LAENet paper's 1.24 million. The six-CNN paper's text gives fire module 3 two 1×1 expansions and ends with a
max-pool; the network that it names expands by 1×1 and 3×3 and ends with an average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline.inputs import face
from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry
from offline.zoo import layers, recipes

SIZE = 227
PARAMETERS = 724_035
START = "he_uniform"
"""As torchvision starts it: with Keras' own the signal fades over 18 layers without a norm."""
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.5, size: int = 0) -> Any:
    """Keras model: (n, *shape) 0..255 → (n, classes) logits; size: side of the picture, 0: 227."""
    import keras

    given, x = layers.picture(shape, size or SIZE, "torch")
    x = keras.layers.Conv2D(64, 3, 2, activation="relu", kernel_initializer=START, name="conv1")(x)  # 113
    x = keras.layers.MaxPooling2D(3, 2, name="pool1")(x)  # 56
    for number, (squeezed, expanded) in enumerate(FIRES, 2):
        x = _fire(x, squeezed, expanded, f"fire{number}")
        if number in (3, 5):
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)  # 27, 13
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Conv2D(classes, 1, activation="relu", kernel_initializer=START, name="conv10")(x)
    return keras.Model(given, keras.layers.GlobalAveragePooling2D(name="logits")(x), name="squeezenet")


def _fire(x: Any, squeezed: int, expanded: int, name: str) -> Any:
    import keras

    def conv(y: Any, kernels: int, side: int, own: str) -> Any:
        return keras.layers.Conv2D(
            kernels, side, padding="same", activation="relu", kernel_initializer=START, name=f"{name}_{own}"
        )(y)

    x = conv(x, squeezed, 1, "squeeze")
    sides = [conv(x, expanded, side, f"expand{side}") for side in (1, 3)]
    return keras.layers.Concatenate(name=name)(sides)


MODELS = (
    Entry(
        name="squeezenet",
        source="Iandola et al. 2016",
        published="SqueezeNet",
        reads=recipes.enlarged(SIZE),
        in_paper="1.24 M",
        trainer=Network(build, PARAMETERS, note="with 1000 classes 1,235,496"),
        recipe=recipes.MAPS,
        settled=recipes.UNTUNED,
    ),
    Entry(
        name="squeezenet-frames",
        source="six-CNN paper",
        accuracy="six CNNs: SqueezeNet",
        input=face.INPUT,
        frames=recipes.FRAMES,
        reads=f"grey faces, enlarged to {SIZE}×{SIZE}",
        in_paper="1.24 M",
        weights="imagenet",
        trainer=Network(build, PARAMETERS, note="with 1000 classes 1,235,496"),
        recipe=NetworkRecipe(**recipes.SIX_CNNS, epochs=50, learning_rate=1e-4),
        settled=recipes.AS_PRINTED,
    ),
)
