"""Both flow components as the SPP paper has them: faces at 300×300, TV-L1, then 75×75; grey (127.5) is no motion."""

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
from realtime.vision.features.maps import reduce_map
from realtime.vision.flow import tvl1


class FlowPair(msgspec.Struct, frozen=True):
    """(75, 75, 2) float32, 0..255: u and v, each divided by its largest displacement."""

    spec: FeatureSpec = FeatureSpec(crop_height=300, crop_width=300, map_size=75)

    @property
    def name(self) -> str:
        return "flow-pair"

    @property
    def title(self) -> str:
        return f"{self.spec.map_size}×{self.spec.map_size}×2 u, v of {self.spec.crop_height}×{self.spec.crop_width}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.map_size, self.spec.map_size, 2)

    def digest(self) -> str:
        return digest_of(self.name, self.spec)

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        followed = FollowedClip(clip, detect, self.spec)

        def one(number: int) -> NDArray[np.float32]:
            pair = followed.pair(number)
            small = reduce_map(tvl1(pair.onset, pair.apex, self.spec.flow), self.spec)
            most = np.maximum(np.abs(small).max(axis=(0, 1)), 1e-6)
            return np.asarray(127.5 + 127.5 * small / most, np.float32)

        return each_frame(followed, frames, one)


INPUT = FlowPair()
