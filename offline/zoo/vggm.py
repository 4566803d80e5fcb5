"""VGG-M of the SPP paper (Lim et al. 2021, Table II), alone and with spatial pyramid pooling after layer 1 or 2.

75×75 u and v; strides as printed. A branch: average pool → batch norm → ReLU → resized back; all are concatenated with
what they came from. Ten variants (Tables IV to VII). The paper gives no number of parameters.

Errors of the paper, and what is done here. From "Conv5" on, Table II names the type of the row below: the text is
followed. The text gives the fifth variant three kernels, Table IV four branches: 2, 4, 6, 8. The abstract calls five
branches with kernels 2 to 6 the best, the conclusion four branches with these five kernels; by Tables IV and VI it is
four branches with 2, 4, 6, 8 (76.87 %). Table V's rows for SMIC and SAMM contradict Table IV. The text has 441 videos
and 570, which is all of the three data sets (247 + 159 + 164) and not what falls into three classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from offline.inputs import flow_map, flow_pair
from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry
from offline.zoo import layers

SIZE = 75
RECIPE = NetworkRecipe(
    optimizer="adamax", schedule="constant", learning_rate=1e-4, batch=64, epochs=120, warmup_steps=0,
    mirror=False, shift_px=0, class_weight=0.0, dropout=0.0,
)  # fmt: skip
"""Table III; the paper names no augmentation, no class weights and no dropout."""
KERNELS = {"2": (2, 4), "3": (2, 4, 6), "4": (2, 4, 6, 8), "5": (2, 4, 6, 8, 10), "5-small": (2, 3, 4, 5, 6)}
BASE = 8_900_259
PARAMETERS = {
    (branches, after): BASE + len(kernels) * (2 * width + width * next_kernel)
    for branches, kernels in KERNELS.items()
    for after, width, next_kernel in ((1, 96, 25 * 256), (2, 256, 9 * 512))
}
"""Each branch adds its batch norm, and its channels to the next convolution."""


def build(
    shape: Sequence[int], classes: int = 3, dropout: float = 0.0, size: int = 0,
    kernels: tuple[int, ...] = (), after: int = 0,
) -> Any:  # fmt: skip
    """Keras model: (n, *shape) 0..255, [u, v, …] → (n, classes) logits; kernels: of branches after layer `after`."""
    import keras

    given, size = keras.Input(tuple(shape), name="maps"), size or SIZE
    x = given[..., :2]
    if tuple(shape[:2]) != (size, size):
        x = keras.layers.Resizing(size, size, name="resize")(x)
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")(x)
    for number, (width, side) in enumerate(((96, 7), (256, 5)), 1):
        x = keras.layers.Conv2D(width, side, 2, activation="relu", name=f"conv{number}")(x)  # 35, 15
        x = layers.local_response(x, f"norm{number}", bias=2.0, alpha=1e-4)
        x = keras.layers.MaxPooling2D(3, 1, name=f"pool{number}")(x)  # 33, 13
        if number == after:
            x = _pyramid(x, kernels)
    for number in (3, 4, 5):
        x = keras.layers.Conv2D(512, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(3, 2, name="pool5")(x))  # 6 × 6 × 512
    for name in ("fc1", "fc2"):
        x = keras.layers.Dropout(dropout)(keras.layers.Dense(128, activation="relu", name=name)(x))
    return keras.Model(given, layers.logits_of(x, classes), name="vggm")


def _pyramid(x: Any, kernels: tuple[int, ...]) -> Any:
    import keras

    branches = [x]
    for kernel in kernels:
        y = keras.layers.AveragePooling2D(kernel, padding="same", name=f"spp{kernel}_pool")(x)
        y = keras.layers.BatchNormalization(momentum=layers.BATCH_NORM_MOMENTUM, name=f"spp{kernel}_norm")(y)
        y = keras.layers.ReLU(name=f"spp{kernel}_relu")(y)
        branches.append(keras.layers.Resizing(x.shape[1], x.shape[2], name=f"spp{kernel}_resize")(y))
    return keras.layers.Concatenate(name="spp")(branches)


def _entry(name: str, parameters: int, row: str, **more: Any) -> Entry:
    return Entry(
        name=name,
        source="SPP paper",
        accuracy=f"SPP: {row}",
        input=flow_pair.INPUT,
        also=(flow_map.INPUT,),
        reads=f"{SIZE}×{SIZE}×2 u, v; or those of flow maps, enlarged",
        trainer=Network(partial(build, **more), parameters),
        recipe=RECIPE,
        settled="The recipe is the paper's (Table III): nothing was settled here.",
    )


MODELS = (
    _entry("vggm", BASE, "base"),
    *(
        _entry(
            f"vggm-spp{branches}-after{after}",
            PARAMETERS[branches, after],
            f"{branches} after {after}",
            kernels=kernels,
            after=after,
        )
        for branches, kernels in KERNELS.items()
        for after in (1, 2)
    ),
)
