"""Where a partly frozen network can be cut, and the features that its frozen part gives, computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

CHUNK = 32


class Parts(msgspec.Struct, frozen=True):
    """A network in two."""

    before: Any | None
    """Keras model of what is frozen; None: nothing can be cut off."""
    after: Any
    """Of the rest. Its layers are those of the whole network."""


def split(model: Any) -> Parts:
    """Cut a functional Keras model after its last frozen operation through which everything passes.

    What is frozen beyond it (a layer with trainable ones beside it) stays in the second part, and stays frozen.
    """
    import keras

    operations = list(model.operations)
    place = {id(operation): i for i, operation in enumerate(operations)}
    reaches = list(range(len(operations)))  # the last operation that uses each one's output
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            for parent in node.parent_nodes:
                at = place[id(parent.operation)]
                reaches[at] = max(reaches[at], place[id(node.operation)])
    cut, weighted, farthest = None, False, 0
    for i, operation in enumerate(operations[:-1]):
        if getattr(operation, "trainable_variables", None) or hasattr(operation, "seed_generator"):
            break
        weighted = weighted or bool(getattr(operation, "variables", None))
        if farthest <= i and weighted:  # nothing before it is used after it
            cut = operation
        farthest = max(farthest, reaches[i])
    if cut is None:
        return Parts(None, model)
    return Parts(keras.Model(model.input, cut.output), keras.Model(cut.output, model.output))


def held(before: Any, maps: NDArray[Any], file: Path) -> NDArray[np.float32]:
    """(n, *shape) arrays → (n, *features) float32, read back from `file` where they are there already."""
    import tensorflow as tf

    shape = (len(maps), *before.output_shape[1:])
    if file.exists():
        found: NDArray[np.float32] = np.load(file, mmap_mode="r")
        if found.shape == shape:
            return found
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    out = np.lib.format.open_memmap(part, "w+", np.float32, shape)
    run = tf.function(lambda images: before(images, training=False), reduce_retracing=True)
    for at in range(0, len(maps), CHUNK):
        out[at : at + CHUNK] = run(tf.constant(np.asarray(maps[at : at + CHUNK], np.float32)))
    out.flush()
    part.replace(file)
    made: NDArray[np.float32] = np.load(file, mmap_mode="r")
    return made
