"""The frames of published maps, and maps cut anew so that all show the face as the camera's do.

Frames were fitted on real clips whose published maps are known: CASME II and SMIC share one, which is
``FeatureSpec.frame = "eyes"`` too; SAMM has its own.
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.flowmaps import MapSet
from realtime.errors import ConfigError

Float32 = NDArray[np.float32]
FRAMES = {"casme2": (1.8, 2.2, 0.6), "smic": (1.8, 2.2, 0.6), "samm": (2.24, 2.27, 0.47)}
"""Width, height, and how far down the eyes' midpoint is, in distances of the eyes."""
COMMON = FRAMES["casme2"]


def recut(data: MapSet) -> MapSet:
    """The same maps, those of another frame (SAMM) cut to the common one.

    Each channel is stretched to 0..255 again, as published ones are; what the other frame does not show, a strip of
    the forehead, repeats its border. ConfigError where nothing is to be cut.
    """
    published = data.shown == "flow-map" and not data.feature_digest
    others = [name for name, frame in FRAMES.items() if frame != COMMON and name in data.dataset]
    if not published or not others:
        raise ConfigError("--recut: there are no published maps of SAMM among these; leave it out")
    maps = data.maps.copy()
    for name in others:
        own = np.array(data.dataset) == name
        maps[own] = [_cut(cells, FRAMES[name]) for cells in data.maps[own]]
    return msgspec.structs.replace(data, maps=maps, recut=tuple(others))


def _cut(cells: Float32, frame: tuple[float, float, float]) -> Float32:
    """(28, 28, 3) 0..255 of ``frame`` → of the common one."""
    width, height, down = COMMON
    own_width, own_height, own_down = frame
    across, along = ((np.arange(count) + 0.5) / count for count in (cells.shape[1], cells.shape[0]))
    x = (across * width - width / 2 + own_width / 2) / own_width * cells.shape[1] - 0.5
    y = (along * height - down + own_down) / own_height * cells.shape[0] - 0.5
    at = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
    found = cv2.remap(cells, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    low, high = found.min((0, 1)), found.max((0, 1))
    return (255.0 * (found - low) / np.maximum(high - low, 1e-6)).astype(np.float32)
