"""CapsuleNet (Van Quang et al. 2019, "CapsuleNet for micro-expression recognition"): the apex's face alone.

ResNet-18 up to its third stage, conv 9×9 × 256, 32 primary capsules of 8, one capsule of 16 a class, three rounds of
routing; margin loss. As in the authors' public code the stem has no pool, so that 9×9 twice fits (28 → 20 → 6).
The paper gives no number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from offline.inputs import face, flow_map
from offline.training.batches import NetworkRecipe
from offline.training.networks import Network
from offline.training.protocol import Entry
from offline.zoo import layers

SIZE, PRIMARY, CAPSULE, ROUNDS = 224, 8, 16, 3
PARAMETERS = 13_842_496


def build(shape: Sequence[int], classes: int = 3, dropout: float = 0.0, size: int = 0) -> Any:
    """Keras model: (n, *shape) 0..255 → (n, classes) logarithms of the capsules' lengths; size: 0: 224."""
    import keras

    given, x = layers.picture(shape, size or SIZE, "torch")
    x = layers.resnet18_stages(x, 3, stem_pool=False)  # (n, 28, 28, 256)
    side = min(9, x.shape[1] // 3)  # a smaller picture leaves room for less
    x = keras.layers.Conv2D(256, side, activation="relu", name="conv_caps")(x)  # 20
    x = keras.layers.Conv2D(32 * PRIMARY, side, 2, name="primary")(x)  # 6
    x = keras.layers.Reshape((-1, PRIMARY), name="capsules")(x)  # (n, 1152, 8)
    lengths = _routing()(classes, name="routing")(keras.layers.Dropout(dropout)(x))
    return keras.Model(given, lengths, name="capsulenet")


def margin_loss(targets: Any, logits: Any) -> Any:
    """Of capsule lengths exp(logits), margins .99 and .01, as in the authors' code; a row's sum is its weight."""
    import tensorflow as tf

    length, weight = tf.exp(logits), tf.reduce_sum(targets, axis=-1, keepdims=True)
    there = targets / tf.maximum(weight, 1e-9)
    missed = tf.square(tf.maximum(0.99 - length, 0)) * there
    wrong = 0.5 * tf.square(tf.maximum(length - 0.01, 0)) * (1 - there)
    return tf.reduce_mean(tf.reduce_sum(weight * (missed + wrong), axis=-1))


def _routing() -> Callable[..., Any]:
    import keras
    import tensorflow as tf

    def squash(x: Any) -> Any:
        square = tf.reduce_sum(x * x, axis=-1, keepdims=True)
        return x * (square / (1 + square) / tf.sqrt(square + 1e-8))

    class Routing(keras.layers.Layer):  # type: ignore[misc]
        """(n, i, 8) → (n, classes): log-lengths of capsules that the primary ones agree on (Sabour et al. 2017)."""

        def __init__(self, classes: int, **more: Any) -> None:
            super().__init__(**more)
            self.classes = classes

        def build(self, shape: Any) -> None:
            form, start = (shape[1], PRIMARY, self.classes * CAPSULE), keras.initializers.RandomNormal(stddev=0.01)
            self.kernel = self.add_weight(shape=form, initializer=start, name="kernel")

        def call(self, x: Any) -> Any:
            votes = tf.einsum("nip,ipc->nic", squash(x), self.kernel)
            votes = tf.reshape(votes, (-1, x.shape[1], self.classes, CAPSULE))
            still, prior = tf.stop_gradient(votes), tf.zeros_like(votes[..., :1])
            for _ in range(ROUNDS - 1):
                agreed = squash(tf.reduce_sum(tf.nn.softmax(prior, axis=2) * still, axis=1, keepdims=True))
                prior += tf.reduce_sum(still * agreed, axis=-1, keepdims=True)
            out = squash(tf.reduce_sum(tf.nn.softmax(prior, axis=2) * votes, axis=1))
            return 0.5 * tf.math.log(tf.reduce_sum(out * out, axis=-1) + 1e-12)

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], self.classes)

    return Routing


MODEL = Entry(
    name="capsulenet",
    source="Van Quang et al. 2019",
    published="CapsuleNet",
    input=face.INPUT,
    also=(flow_map.INPUT,),
    reads=f"the apex's grey face, enlarged to {SIZE}×{SIZE}; or flow maps, likewise",
    trainer=Network(build, PARAMETERS, loss=margin_loss),
    recipe=NetworkRecipe(epochs=30, learning_rate=1e-4, batch=32, warmup_steps=0, dropout=0.0),
    settled="The rate, batch and epochs are those of the authors' public code; they kept the best epoch on the "
    "held-out subject, here the last one counts.",
)
