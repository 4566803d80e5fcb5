"""Half the say to the linear machines on pooled flow, half to five LAENets together."""

from __future__ import annotations

from offline.training.batches import Recipe
from offline.training.estimators import Fusion
from offline.training.fold_parallel import FoldParallel
from offline.training.protocol import IN_VIEW, Entry
from offline.zoo import laenet

MODEL = Entry(
    name="fusion",
    source="ours: half pooled-flow, half five LAENets together",
    trainer=Fusion(FoldParallel(laenet.STREAMS, laenet.build, laenet.PARAMETERS)),
    recipe=Recipe(members=5),
    settled="That the two are joined, and the recipes of both, was settled " + IN_VIEW,
)
