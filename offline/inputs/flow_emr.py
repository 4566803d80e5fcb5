"""Flow maps with expression magnification and reduction (Liu et al. 2019): macro and micro move about equally far.

A micro-expression's flow is multiplied, a macro-expression is shown at the frame on its way to the apex where it has
moved about as far. (The paper magnifies the picture; a linear magnification of motion by m multiplies the flow by m.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray
from offline.inputs.face import digest_of
from offline.inputs.seam import Made, each_frame
from realtime.vision.features import FeatureSpec
from realtime.vision.features.maps import reduce_map
from realtime.vision.flow import strain, tvl1

MACRO = ("ckplus",)
"""Data sets of macro-expressions."""


class EmrSpec(msgspec.Struct, frozen=True):
    """How far all are made to move."""

    features: FeatureSpec = FeatureSpec(map_size=112)
    aim_px: Annotated[float, Meta(gt=0)] = 3.0
    """95th percentile of the displacement over the crop, px."""
    most: Annotated[float, Meta(ge=1)] = 8.0
    """A micro-expression is magnified so many times at most."""
    steps: Annotated[int, Meta(ge=1)] = 6
    """Frames between onset and apex of a macro-expression that are tried."""


class FlowEmr(msgspec.Struct, frozen=True):
    """(112, 112, 3) float32, 0..255: u and v, 127.5 none and 0 or 255 twice the aim, and the strain."""

    spec: EmrSpec = EmrSpec()

    @property
    def name(self) -> str:
        return "flow-emr"

    @property
    def title(self) -> str:
        return f"{self.spec.features.map_size}×{self.spec.features.map_size}×3 u, v, strain, magnified or reduced"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.features.map_size, self.spec.features.map_size, 3)

    def digest(self) -> str:
        return digest_of(self.name, self.spec)

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        followed = FollowedClip(clip, detect, self.spec.features)

        def flow_to(number: int) -> NDArray[np.float32]:
            pair = followed.pair(number)
            return tvl1(pair.onset, pair.apex, self.spec.features.flow)

        def one(number: int) -> NDArray[np.float32]:
            if clip.dataset in MACRO:
                return self._shown(self._reduced(clip, number, flow_to))
            flow = flow_to(number)
            return self._shown(flow * np.float32(min(self.spec.most, self.spec.aim_px / max(extent(flow), 1e-3))))

        return each_frame(followed, frames, one)

    def _reduced(self, clip: Clip, number: int, flow_to: Callable[[int], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Flow to the first frame tried that has moved as far as the aim, or else to `number`."""
        way = [n for n in clip.numbers if clip.onset < n <= number] or [number]
        tried = sorted({way[round(i)] for i in np.linspace(0, len(way) - 1, min(self.spec.steps, len(way)))})
        for frame in tried:
            flow = flow_to(frame)
            if extent(flow) >= self.spec.aim_px:
                break
        return flow

    def _shown(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        small = reduce_map(np.concatenate([flow, strain(flow)[..., None]], axis=-1), self.spec.features)
        motion = 127.5 + 127.5 * small[..., :2] / (2 * self.spec.aim_px)
        stretched = 255 * small[..., 2:] / max(float(small[..., 2].max()), 1e-6)
        return np.clip(np.concatenate([motion, stretched], axis=-1), 0, 255).astype(np.float32)


def extent(flow: NDArray[np.float32]) -> float:
    """95th percentile of the displacement of (H, W, 2), px."""
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 95))


INPUT = FlowEmr()
