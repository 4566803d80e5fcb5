"""NMER (Liu et al. 2019, "A neural micro-expression recognizer"): part-based pooling, adversary, magnified and reduced.

ResNet-18 on the flow from onset to apex; the last map pooled whole, in its upper and in its lower part. With
``--pretrain ckplus`` macro-expressions are trained beside the micro-expressions, and a domain classifier behind a
reversed gradient takes away what tells them apart (`offline.training.adversarial`). Expression magnification and
reduction is done by the input (`offline.inputs.flow_emr`). Without macro-expressions what is left is the part-based
network. The abstract names these parts and no sizes: the backbone and its parts are those of a public entry to the same
challenge, the rest is ours. The paper gives no number of parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline.inputs import flow_emr, flow_map
from offline.training.adversarial import Adversarial
from offline.training.batches import NetworkRecipe
from offline.training.protocol import Entry
from offline.zoo import layers

SIZE = 224
PARAMETERS = 11_181_123


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.5, size: int = 0) -> Any:
    """Keras model: (n, *shape) 0..255 → (n, classes) logits; the layer "parts" is what the adversary sees."""
    import keras

    given, x = layers.picture(shape, size or SIZE, "unit")
    x = layers.resnet18_stages(x, 4)  # (n, 7, 7, 512)
    edge = max(1, round(x.shape[1] * 3 / 7))  # brows and eyes above it
    pooled = [keras.layers.GlobalAveragePooling2D(name=f"pool_{n}")(part)
              for n, part in (("whole", x), ("upper", x[:, :edge]), ("lower", x[:, edge - (x.shape[1] == 1)
              :]))]  # fmt: skip
    x = keras.layers.Concatenate(name="parts")(pooled)  # 1536
    return keras.Model(given, layers.logits_of(keras.layers.Dropout(dropout)(x), classes), name="nmer")


MODEL = Entry(
    name="nmer",
    source="Liu et al. 2019",
    published="NMER (part-based, adversarial, EMR)",
    input=flow_emr.INPUT,
    also=(flow_map.INPUT,),
    reads=f"{flow_emr.INPUT.title}, enlarged to {SIZE}×{SIZE}; or flow maps, likewise, without EMR",
    trainer=Adversarial(build, PARAMETERS),
    recipe=NetworkRecipe(epochs=20, learning_rate=1e-4, batch=32, warmup_steps=0),
    settled="The recipe is that of the other large networks on maps, untuned: the abstract gives none.",
)
