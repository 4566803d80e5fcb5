"""Recipes and phrases that several models share."""

from __future__ import annotations

from typing import Any

from offline.training.batches import NetworkRecipe

MAPS = NetworkRecipe(epochs=20, learning_rate=1e-4, warmup_steps=0, batch=32)
"""Large networks on flow maps: the LAENet paper reports their figures, not how they were trained."""
UNTUNED = (
    "The recipe (Adam 1e-4, cosine, 20 epochs, the shallow networks' mirroring, shifts and class weights) was written "
    "down before any result and not changed: the LAENet paper does not say how it trained these networks."
)
SIX_CNNS: dict[str, Any] = {
    "optimizer": "sgdm", "schedule": "constant", "batch": 20, "warmup_steps": 0,
    "mirror": False, "shift_px": 0, "class_weight": 0.0,
}  # fmt: skip
"""What the six-CNN paper says of all six: SGD with momentum, 20 a batch; it names no augmentation and no weights."""
AS_PRINTED = "The recipe is the paper's: nothing was settled here."
FRAMES = 10
"""Frames a clip that the six networks see; ``--frames 0`` takes all, as the paper did."""


def enlarged(size: int) -> str:
    """What a network of pictures reads of a flow map."""
    return f"28×28×3 u, v, strain, enlarged to {size}×{size}"
