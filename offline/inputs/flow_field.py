"""The flow field of the crop, unreduced and unstretched: what magnitude there was is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray
from offline.inputs.face import digest_of
from offline.inputs.seam import Made, each_frame
from realtime.vision.features import FeatureSpec
from realtime.vision.flow import strain, tvl1


class FlowField(msgspec.Struct, frozen=True):
    """(170, 140, 3) float32: u, v in px, strain in px per px."""

    spec: FeatureSpec = FeatureSpec()

    @property
    def name(self) -> str:
        return "flow-field"

    @property
    def title(self) -> str:
        return f"{self.spec.crop_height}×{self.spec.crop_width}×3 u, v, strain in px"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.crop_height, self.spec.crop_width, 3)

    def digest(self) -> str:
        return digest_of(self.name, self.spec)

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        followed = FollowedClip(clip, detect, self.spec)

        def one(number: int) -> NDArray[np.float32]:
            pair = followed.pair(number)
            flow = tvl1(pair.onset, pair.apex, self.spec.flow)
            return np.concatenate([flow, strain(flow)[..., None]], axis=-1)

        return each_frame(followed, frames, one)


INPUT = FlowField()
