"""VGG16, ResNet-50, MobileNet-V2 and EfficientNet-B0 as keras.applications builds them, with a head of our classes.

With a thousand classes they train 138,357,544 (LAENet paper: 138 million), 25,583,592, 3,504,872 and 5,288,548
numbers. The six-CNN paper counts 237 layers of EfficientNet-B0 and calls all of them
convolutional; 82 are. Of ResNet-50 its text repeats block 3 four and block 4 three times; block 4 comes six times.
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

SIZE = 224
SCALINGS: dict[str, layers.Scaling] = {
    "VGG16": "caffe", "ResNet50": "caffe", "MobileNetV2": "unit", "EfficientNetB0": "bytes",
}  # fmt: skip
"""What Keras' own ImageNet weights want."""


def build(
    shape: Sequence[int], classes: int = 3, dropout: float = 0.2, size: int = 0,
    kind: str = "ResNet50", torch: bool = False,
) -> Any:  # fmt: skip
    """Keras model: (n, *shape) 0..255 → (n, classes) logits; size: side of the picture, 0: 224.

    torch: scaled as for weights that PyTorch trained.
    """
    import keras

    given, x = layers.picture(shape, size or SIZE, "torch" if torch else SCALINGS[kind])
    body = getattr(keras.applications, kind)(include_top=False, weights=None, input_tensor=x)
    x = body.output
    if kind == "VGG16":
        x = keras.layers.Flatten(name="flatten")(x)
        for name in ("fc1", "fc2"):
            x = keras.layers.Dense(4096, activation="relu", name=name)(x)
            x = keras.layers.Dropout(dropout)(x)
    else:
        x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D(name="pooled")(x))
    return layers.quick_norms(keras.Model(given, layers.logits_of(x, classes), name=kind.lower()))


def _maps(name: str, kind: str, parameters: int, source: str, note: str, published: str | None = None) -> Entry:
    return Entry(
        name=name,
        source=source,
        published=published,
        reads=recipes.enlarged(SIZE),
        in_paper="138 M" if published else "",
        trainer=Network(partial(build, kind=kind), parameters, cached=kind, note=note),
        recipe=recipes.MAPS,
        settled=recipes.UNTUNED if published else "The recipe is that of the other large networks on maps, untuned.",
    )


def _frames(name: str, kind: str, parameters: int, accuracy: str, note: str, rate: float) -> Entry:
    return Entry(
        name=f"{name}-frames",
        source="six-CNN paper",
        accuracy=f"six CNNs: {accuracy}",
        input=face.INPUT,
        frames=recipes.FRAMES,
        reads=f"grey faces, enlarged to {SIZE}×{SIZE}",
        weights="imagenet",
        trainer=Network(partial(build, kind=kind), parameters, cached=kind, note=note),
        recipe=NetworkRecipe(**recipes.SIX_CNNS, epochs=10, learning_rate=rate),
        settled=recipes.AS_PRINTED,
    )


_VGG16 = _maps("vgg16", "VGG16", 134_272_835, "Simonyan and Zisserman 2014", "with 1000 classes 138,357,544", "VGG16")
_RESNET50 = (23_540_739, "with 1000 classes 25,583,592")
_MOBILENET = (2_227_715, "with 1000 classes 3,504,872")
_EFFICIENTNET = (4_011_391, "with 1000 classes 5,288,548")

MODELS = (
    _VGG16,
    _maps("resnet50", "ResNet50", _RESNET50[0], "He et al. 2016", _RESNET50[1]),
    _maps("mobilenet-v2", "MobileNetV2", _MOBILENET[0], "Sandler et al. 2018", _MOBILENET[1]),
    _maps("efficientnet-b0", "EfficientNetB0", _EFFICIENTNET[0], "Tan and Le 2019", _EFFICIENTNET[1]),
    _frames("resnet50", "ResNet50", _RESNET50[0], "ResNet-50", _RESNET50[1], 1e-4),
    _frames("mobilenet-v2", "MobileNetV2", _MOBILENET[0], "MobileNet-V2", _MOBILENET[1], 1e-4),
    _frames("efficientnet-b0", "EfficientNetB0", _EFFICIENTNET[0], "EfficientNet-B0", _EFFICIENTNET[1], 1e-3),
)
