"""The face itself: the crop of the apex, or of each of the frames asked for, grey, as the camera cuts it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray
from offline.inputs.seam import Made, each_frame
from realtime.vision.features import FeatureSpec


def digest_of(name: str, spec: msgspec.Struct) -> str:
    """SHA-256 (hex) of an input's kind and settings."""
    return hashlib.sha256(name.encode() + msgspec.json.encode(spec, order="deterministic")).hexdigest()


class Face(msgspec.Struct, frozen=True):
    """(170, 140, 1) uint8: one frame, as it was taken, unaveraged."""

    spec: FeatureSpec = FeatureSpec(average_s=0.0)

    @property
    def name(self) -> str:
        return "face"

    @property
    def title(self) -> str:
        return f"{self.spec.crop_height}×{self.spec.crop_width} grey face"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.spec.crop_height, self.spec.crop_width, 1)

    def digest(self) -> str:
        return digest_of(self.name, self.spec)

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        followed = FollowedClip(clip, detect, self.spec)
        return each_frame(followed, frames, lambda number: np.asarray(followed.pair(number).apex[..., None]))


INPUT = Face()
