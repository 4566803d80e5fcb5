"""Strain and flow of each region in every frame, against the face at rest (dense mode).

The reference is a running mean of the aligned crops while the face rests; it stands still during a movement, as the
spotter's own reference does, and begins anew where the spotter anchors the face again.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.vision.face.regions import region_masks
from realtime.vision.flow import Backend, DenseFlow, resolve_backend, strain


class RegionFlow(Struct, frozen=True):
    """What one frame showed, per region of ``rois.ROI_NAMES``."""

    strain: NDArray[np.float32]
    """(regions,) mean strain, px per px; 0 for a region without a pixel."""
    flow: NDArray[np.float32]
    """(regions, 2) mean u, v: crop px."""


class DenseMeter:
    """Pushes aligned crops through ``DenseFlow``. Not for use by two threads."""

    def __init__(self, window_s: float, backend: Backend = "cpu") -> None:
        """``window_s``: time over which the reference follows a face at rest."""
        self._window_ns = window_s * 1e9
        self._backend = resolve_backend(backend)[0]
        self._flow: DenseFlow | None = None
        self._anchor: int | None = None
        self._rest = np.zeros((0, 0), np.float32)
        self._weights = np.zeros((0, 0), np.float32)
        self._last_ns = self._renewed_ns = 0

    def push(
        self, crop: NDArray[np.uint8], t_ns: int, anchor: int, mesh: NDArray[np.float32], resting: bool
    ) -> RegionFlow:
        """Flow and strain from the reference to ``crop`` (H, W) uint8, averaged over each region.

        anchor: another number means that the spotter began anew, and so do we; mesh: (478, 2) px in the crop;
        resting: the face is at rest, so the reference may follow it.
        """
        if anchor != self._anchor or crop.shape != self._rest.shape or t_ns < self._last_ns:
            self._begin(crop, t_ns, anchor, mesh)
        elif resting:
            self._follow(crop, t_ns)
        self._last_ns = t_ns
        assert self._flow is not None
        flow = self._flow.push(crop)
        planes = np.empty((3, crop.size), np.float32)
        planes[0] = strain(flow, self._backend).ravel()
        planes[1:] = flow.reshape(-1, 2).T
        means = self._weights @ planes.T
        return RegionFlow(means[:, 0], means[:, 1:])

    def _begin(self, crop: NDArray[np.uint8], t_ns: int, anchor: int, mesh: NDArray[np.float32]) -> None:
        """This crop is the reference; the regions lie where its mesh says."""
        same_size = crop.shape == self._rest.shape
        self._anchor, self._rest, self._renewed_ns = anchor, crop.astype(np.float32), t_ns
        masks = region_masks(mesh, *crop.shape).reshape(-1, crop.size)
        self._weights = masks / np.maximum(masks.sum(1, keepdims=True), 1).astype(np.float32)
        if self._flow is not None and same_size:
            self._flow.reset(crop)
        else:
            self._flow = DenseFlow(crop, backend=self._backend)

    def _follow(self, crop: NDArray[np.uint8], t_ns: int) -> None:
        """Roll the reference on; the flow takes it over once a window (its solve then starts from nothing)."""
        gain = -math.expm1(-(t_ns - self._last_ns) / self._window_ns)
        self._rest += np.float32(gain) * (crop - self._rest)
        if t_ns - self._renewed_ns >= self._window_ns:
            self._renewed_ns = t_ns
            assert self._flow is not None
            self._flow.reset(self._rest.copy())
