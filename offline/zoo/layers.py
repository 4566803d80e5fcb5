"""What the zoo's networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-3
Scaling = Literal["unit", "torch", "caffe", "bytes"]
"""How a network wants 0..255: ``unit`` −1..1; ``torch``, ``caffe``: as ImageNet weights of that name; as it is."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_BGR = (103.939, 116.779, 123.68)


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


def picture(shape: Sequence[int], size: int, scaling: Scaling) -> tuple[Any, Any]:
    """A network's input, and what a network for pictures wants of it: (n, *shape) 0..255 → (n, size, size, 3).

    shape: (height, width, 1 or 3); grey is shown three times, another size is resized bilinearly.
    """
    import keras

    given = keras.Input(tuple(shape), name="maps")
    x = given
    if shape[-1] == 1:
        x = keras.layers.Concatenate(name="grey_to_three")([x, x, x])
    if tuple(shape[:2]) != (size, size):
        x = keras.layers.Resizing(size, size, name="resize")(x)
    if scaling == "unit":
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")(x)
    elif scaling == "torch":
        scale, offset = [1 / (255 * s) for s in _STD], [-m / s for m, s in zip(_MEAN, _STD, strict=True)]
        x = keras.layers.Rescaling(scale, offset, name="scale")(x)
    elif scaling == "caffe":
        x = keras.layers.Rescaling([1.0] * 3, [-m for m in _CAFFE_BGR], name="scale")(x[..., ::-1])
    return given, x


def logits_of(x: Any, classes: int) -> Any:
    """(n, features) → (n, classes)."""
    import keras

    return keras.layers.Dense(classes, name="logits")(x)


def local_response(x: Any, name: str, radius: int = 2, bias: float = 1.0, alpha: float = 2e-5) -> Any:
    """Over 2 × radius + 1 neighbouring channels: x / (bias + alpha Σ x²)^0.75 (Krizhevsky et al. 2012)."""
    return _local_response()(radius, bias, alpha, name=name)(x)


def _local_response() -> Callable[..., Any]:
    import keras
    import tensorflow as tf

    class LocalResponse(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, radius: int, bias: float, alpha: float, **more: Any) -> None:
            super().__init__(**more)
            self.radius, self.bias_, self.alpha = radius, bias, alpha

        def call(self, x: Any) -> Any:
            return tf.nn.local_response_normalization(x, self.radius, self.bias_, self.alpha, 0.75)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return LocalResponse


def basic_block(x: Any, kernels: int, stride: int, name: str) -> Any:
    """ResNet's block of two 3×3 convolutions (He et al. 2016), padded as there."""
    import keras

    def conv_norm(y: Any, side: int, step: int, own: str) -> Any:
        if side == 3:
            y = keras.layers.ZeroPadding2D(1, name=f"{own}_pad")(y)
        y = keras.layers.Conv2D(kernels, side, step, use_bias=False, name=own)(y)
        return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, name=f"{own}_norm")(y)

    y = keras.layers.ReLU(name=f"{name}_relu1")(conv_norm(x, 3, stride, f"{name}_conv1"))
    y = conv_norm(y, 3, 1, f"{name}_conv2")
    if stride != 1 or x.shape[-1] != kernels:
        x = conv_norm(x, 1, stride, f"{name}_down")
    return keras.layers.ReLU(name=f"{name}_relu2")(keras.layers.Add(name=f"{name}_add")([x, y]))


def resnet18_stages(x: Any, stages: int = 4, stem_pool: bool = True) -> Any:
    """(n, 224, 224, 3) → ResNet-18 up to a stage: 3 → (n, 14, 14, 256), 4 → (n, 7, 7, 512).

    stem_pool: without it the map is twice as wide, as in CapsuleNet's public code.
    """
    import keras

    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = keras.layers.Conv2D(64, 7, 2, use_bias=False, name="conv1")(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, name="conv1_norm")(x)
    x = keras.layers.ReLU(name="conv1_relu")(x)
    if stem_pool:
        x = keras.layers.MaxPooling2D(3, 2, name="pool1")(keras.layers.ZeroPadding2D(1, name="pool1_pad")(x))
    for stage in range(stages):
        for block in range(2):
            x = basic_block(x, 64 << stage, 2 if stage and not block else 1, f"stage{stage + 1}_{block + 1}")
    return x


def quick_norms(model: Any) -> Any:
    """Let batch norm follow in some ten steps (keras.applications: some hundred, more than small sets have)."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return model
