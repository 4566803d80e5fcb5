"""What every rival is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.types import Kind

Gray = NDArray[np.uint8]
Mesh = NDArray[np.float32]
MeshFinder = Callable[[Gray], Mesh | None]
"""(H, W) uint8 → (478, 2) float32 mesh, px, or None where there is no face: `FaceMesh().detect`."""


class Found(NamedTuple):
    """A spotted movement; frames from 0, offset inclusive."""

    onset: int
    offset: int
    apex: int
    kind: Kind


SpotClip = Callable[[Iterable[Gray], float, MeshFinder], list[Found]]


def runs_of(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last) of each run of True in (n,) bool."""
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))
