"""What an input is to the rest: a shape, a digest, and a clip's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.common import Clip
from offline.datasets.mapping import FollowedClip, Gray


class Made(msgspec.Struct, frozen=True):
    """A clip's arrays, and how they were made."""

    maps: NDArray[Any]
    """(frames, *shape): of the apex, or of each of the frames asked for."""
    frames: tuple[int, ...]
    """Their numbers."""
    apex: int
    note: str = ""


class Input(Protocol):
    """One way to show a clip to a model."""

    @property
    def name(self) -> str:
        """As files and options call it."""

    @property
    def title(self) -> str:
        """For the list of models: size and channels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one array."""

    @property
    def spec(self) -> msgspec.Struct:
        """All settings; written into reports and bundles."""

    def digest(self) -> str:
        """SHA-256 (hex) of kind and settings: maps and bundles with another one don't go together."""

    def make(self, clip: Clip, detect: Callable[[Gray], Any], frames: int = 1) -> Made:
        """A clip's arrays; detect: gray (H, W) uint8 → (478, 2) float32 mesh, px, or None.

        frames > 1: so many, evenly over the clip after its onset, instead of the apex alone (for the frame-split
        protocol). Raises UnusableClip.
        """


def each_frame(followed: FollowedClip, frames: int, one: Callable[[int], NDArray[Any]]) -> Made:
    """What `one` makes of the apex, spotted where the data set gives none, or of so many frames of the clip."""
    clip = followed.clip
    apex = clip.apex if clip.apex is not None else followed.spotted_apex()
    wanted = [apex] if frames == 1 else _spread(clip.numbers[1:], frames)
    maps = np.stack([one(number) for number in wanted])
    note = "" if clip.apex is not None else f"apex spotted at frame {apex}"
    return Made(maps, tuple(wanted), apex, "; ".join(filter(None, [note, followed.note])))


def _spread(numbers: Sequence[int], count: int) -> list[int]:
    picked = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [numbers[i] for i in sorted(set(picked.tolist()))]
