"""A linear support vector machine (scikit-learn's `LinearSVC`, one against the rest) on handcrafted features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from offline.export import litert
from offline.files import write_npz
from offline.training.batches import class_weights
from offline.training.pooled_flow import softmax
from offline.training.protocol import Fitted, Job, Task, Trainer
from realtime.errors import UserError

SHARPNESS = 2.0
"""Softmax of this × margin; a bundle's own is fitted on its training subjects."""
Features = NDArray[np.float32]


class SvmRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the machine; nothing is searched for."""

    cost: Annotated[float, Meta(gt=0)] = 1.0
    """Of an error, in units of the training features' mean square."""
    class_weight: Annotated[float, Meta(ge=0, le=2)] = 1.0
    """Power of the inverse class frequency; 0: none."""


@dataclass(frozen=True)
class LinearSvm(Trainer):
    """Nothing random in it: all seeds with the same folds are one."""

    name = "linear SVM"
    seeded = False
    features: int
    """Of a clip, with the model's own input."""
    describe: Callable[[NDArray[Any], str], Features] = lambda arrays, shown: np.asarray(arrays, np.float32)
    """(n, *shape) arrays and the name of their input → (n, features), computed once for all folds."""
    describe_tf: Callable[[Any, str], Any] = lambda arrays, shown: arrays
    """The same in TensorFlow, for what is served."""

    def check(self, model: str, recipe: Any, pretrained: bool) -> None:
        if pretrained:
            raise UserError(f"{model}: a support vector machine has nothing to pre-train; leave out --pretrain")

    def any_classes(self) -> bool:
        return True

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return 3 * (self.features + 1)

    def fit(self, task: Task) -> Fitted:
        data, classes = task.data, len(task.data.labels)
        key = hashlib.sha256(np.packbits(task.held_out).tobytes()).hexdigest()[:8]
        done = task.state / f"svm-{key}.npz"
        if not done.exists():
            features = self.describe(data.maps, data.shown)
            scores = np.full((len(data), classes), np.nan, np.float32)
            for number, held in enumerate(task.held_out, 1):
                weights, bias = train(features[~held], data.label[~held], classes, task.job.recipe)
                scores[held] = softmax(SHARPNESS * (features[held] @ weights + bias))
                task.progress(number)
            write_npz(done, scores=scores, weights=weights, bias=bias)
        task.progress(len(task.held_out))
        with np.load(done) as saved:
            return Fitted(saved["scores"], trained=int(saved["weights"].size + saved["bias"].size))

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        import tensorflow as tf

        # the machine that was trained on everything stands in the file of any set of folds
        with np.load(min(state.glob("svm-*.npz"))) as saved:
            weights, bias = saved["weights"] * factor * SHARPNESS, saved["bias"] * factor * SHARPNESS
        seen = job.shown.name
        return litert.function_to_litert(
            lambda arrays: tf.nn.softmax(
                tf.matmul(tf.reshape(self.describe_tf(arrays, seen), (1, -1)), weights) + bias
            ),
            shape=job.shown.shape,
        )


def train(features: Features, label: NDArray[np.int64], classes: int, recipe: SvmRecipe) -> tuple[Features, Features]:
    """(n, f) features → (f, classes) weights and (classes,) biases of the margins."""
    from sklearn.svm import LinearSVC

    centre = features.mean(0)
    scale = max(float(np.sqrt(((features - centre) ** 2).sum(1).mean())), 1e-9)
    weights, bias = np.zeros((features.shape[1], classes), np.float32), np.full(classes, -10.0, np.float32)
    there = np.unique(label)
    if len(there) == 1:
        bias[there] = 1.0
        return weights, bias
    own = dict(enumerate(class_weights(label, recipe.class_weight, classes).tolist()))
    machine = LinearSVC(
        C=recipe.cost, class_weight={c: own[c] for c in there.tolist()}, max_iter=20_000, random_state=0
    )
    machine.fit((features - centre) / scale, label)
    rows, offset = machine.coef_ / scale, machine.intercept_
    if len(there) == 2:  # one machine that tells the second from the first
        rows, offset = np.concatenate([-rows, rows]), np.concatenate([-offset, offset])
    weights[:, there] = rows.T
    bias[there] = offset - rows @ centre
    return weights, bias
