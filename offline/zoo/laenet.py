"""LAENet (Lien and Chiang 2020), figure 2 and table 2: two streams of 3 and 5 kernels, 843 parameters.

Layer order as in STSTNet: conv → ReLU → batch norm → max-pool → dropout in each stream, then concatenate,
average-pool, dense. 8 kernels × 28 = 224, batch norm γ, β 16, dense 200 × 3 + 3 = 603.
"""

from __future__ import annotations

from typing import Any

from offline.inputs import flow_map
from offline.training.fold_parallel import FoldParallel
from offline.training.protocol import IN_VIEW, Entry
from offline.zoo.layers import shallow

STREAMS = (3, 5)
PARAMETERS = 843


def build(dropout: float = 0.5) -> Any:
    """Keras model: (n, 28, 28, 3) float32, 0..255, [u, v, strain] → (n, 3) logits."""
    return shallow(STREAMS, dropout, "laenet")


MODEL = Entry(
    name="laenet",
    source="Lien and Chiang 2020",
    published="LAENet",
    also=(flow_map.MASKED,),
    trainer=FoldParallel(STREAMS, build, PARAMETERS),
    settled="The recipe (a start as in STSTNet's published code, the rest from an earlier trial) was settled "
    + IN_VIEW,
)
