"""STSTNet (Liong et al. 2019, "Shallow triple stream three-dimensional CNN"): streams of 3, 5 and 8 kernels.

16 kernels × 28 = 448, batch norm 32, dense 400 × 3 + 3 = 1203: 1683 (the paper's table counts 1670).
"""

from __future__ import annotations

from typing import Any

from offline.training.fold_parallel import FoldParallel
from offline.training.protocol import IN_VIEW, Entry
from offline.zoo.layers import shallow

STREAMS = (3, 5, 8)
PARAMETERS = 1683


def build(dropout: float = 0.5) -> Any:
    """Keras model: (n, 28, 28, 3) float32, 0..255, [u, v, strain] → (n, 3) logits."""
    return shallow(STREAMS, dropout, "ststnet")


MODEL = Entry(
    name="ststnet",
    source="Liong et al. 2019",
    published="STSTNet",
    trainer=FoldParallel(STREAMS, build, PARAMETERS),
    settled="The recipe is LAENet's, which was settled " + IN_VIEW,
)
