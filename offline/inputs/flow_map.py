"""The flow map of LAENet and STSTNet: 28×28×3 [u, v, strain] from onset to apex, each channel stretched to 0..255."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray
from offline.inputs.seam import Made, each_frame
from realtime.vision.features import FeatureSpec, feature_map


class FlowMap(msgspec.Struct, frozen=True):
    """The camera's own feature map (`realtime.vision.features.feature_map`) of a recorded clip."""

    spec: FeatureSpec = FeatureSpec()

    @property
    def name(self) -> str:
        return "flow-map-masked" if self.spec.eye_mask else "flow-map"

    @property
    def title(self) -> str:
        return f"{self.spec.map_size}×{self.spec.map_size}×3 u, v, strain" + (
            ", eyes masked" if self.spec.eye_mask else ""
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.map_size, self.spec.map_size, 3)

    def digest(self) -> str:
        """The spec's own: a bundle of these maps carries it, and the camera compares it."""
        return self.spec.digest()

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        followed = FollowedClip(clip, detect, self.spec)

        def one(number: int) -> NDArray[np.float32]:
            pair = followed.pair(number)
            return feature_map(pair.onset, pair.apex, pair.landmarks, self.spec)

        return each_frame(followed, frames, one)


INPUT = FlowMap()
MASKED = FlowMap(FeatureSpec(eye_mask=True))
"""With the eyes zeroed, as the LAENet paper has it (its Table 7 tries both)."""
