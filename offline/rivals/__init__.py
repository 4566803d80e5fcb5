"""Spotters of others, small and honest, to run beside ours on the same clips.

Each file states what its paper says, and what had to be assumed. All are called alike:
``spot_clip(frames, fps, mesh_finder) -> [(onset, offset, apex, kind), …]``, frames counted from 0, offset inclusive.
"""

from __future__ import annotations

from offline.rivals import frame_difference, mdmd
from offline.rivals.found import Found, MeshFinder, SpotClip

__all__ = ["RIVALS", "Found", "MeshFinder", "SpotClip"]

RIVALS: dict[str, SpotClip] = {
    "frame-difference": frame_difference.spot_clip,
    "mdmd": mdmd.spot_clip,
}
