"""Dense optical flow (TV-L1) and optical strain, on the CPU and on a GPU."""

from realtime.vision.flow.api import (
    Backend,
    DenseFlow,
    check_flow,
    check_pair,
    resolve_backend,
    strain,
    tvl1,
    warm_up,
)
from realtime.vision.flow.params import TvL1Params

__all__ = [
    "Backend",
    "DenseFlow",
    "TvL1Params",
    "check_flow",
    "check_pair",
    "resolve_backend",
    "strain",
    "tvl1",
    "warm_up",
]
