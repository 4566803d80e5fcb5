"""Linear machines on rectified, pooled flow: `offline.training.pooled_flow` says what they see and how they vote."""

from __future__ import annotations

from offline.training.estimators import PooledFlow
from offline.training.protocol import IN_VIEW, Entry

MODEL = Entry(
    name="pooled-flow",
    source="ours: see offline/training/pooled_flow.py",
    trainer=PooledFlow(),
    recipe=None,
    settled="The kind of features and the grid of machines were settled " + IN_VIEW,
)
