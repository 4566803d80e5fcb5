"""What a turn of the head does to a crop: each point moves by its height towards the camera times the angle.

Weak perspective, first order, as ``vision/face/head.py`` fits it: u = h·yaw, v = h·pitch.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.vision.features.crop import CropSpec

SURFACE = 468
"""Points of the mesh that lie on the face; those of the irises after them do not."""
_STEP_PX = 10
_SIGMA_PX = 7.0
_FAR = 1e-9
"""Weight of far points where the mesh does not reach: their mean, the nearest first."""


def relief(mesh: NDArray[Any], heights: NDArray[np.float64], spec: CropSpec) -> NDArray[np.float32]:
    """(crop_height, crop_width) height of the head's surface, smooth, in the unit of ``heights``.

    mesh: (n, 2) px of the crop; heights: (n,) towards the camera.
    """
    rows = np.arange(0, spec.crop_height + _STEP_PX, _STEP_PX, dtype=np.float32)
    columns = np.arange(0, spec.crop_width + _STEP_PX, _STEP_PX, dtype=np.float32)
    across = (columns[:, None] - mesh[:, 0].astype(np.float32)) ** 2
    down = (rows[:, None] - mesh[:, 1].astype(np.float32)) ** 2
    height = heights.astype(np.float32)
    # a Gaussian and the far tail are products over x and y: two matrix products do for all nodes and points
    near_x, near_y = np.exp(-across / (2 * _SIGMA_PX**2)), np.exp(-down / (2 * _SIGMA_PX**2))
    far_x, far_y = 1 / (1 + across), _FAR / (1 + down)
    total = near_y @ near_x.T + far_y @ far_x.T
    nodes = ((near_y * height) @ near_x.T + (far_y * height) @ far_x.T) / total
    x, y = np.meshgrid(np.arange(spec.crop_width), np.arange(spec.crop_height))
    at = [(one / _STEP_PX).astype(np.float32) for one in (x, y)]
    heightened: NDArray[np.float32] = cv2.remap(nodes, *at, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    return heightened


def parallax(
    turn: NDArray[np.float64], mesh: NDArray[Any], heights: NDArray[np.float64], spec: CropSpec
) -> NDArray[np.float32] | None:
    """(crop_height, crop_width, 2) px: how far a head that has turned by (yaw, pitch), rad, carries each point.

    mesh: (478, 2) px of the crop; heights: (478,) px of it. None without a turn.
    """
    if not np.any(turn):
        return None
    return relief(mesh[:SURFACE], heights[:SURFACE], spec)[..., None] * turn.astype(np.float32)
