"""Dense mode, the spotter's half: where the face is in each frame, for motion to measure (``dense.py``).

Emits ``Pose`` (PUB, lossy).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from realtime.ipc import bus, messages
from realtime.ipc.ring import FrameHeader
from realtime.stages.runner import StageContext
from realtime.vision.features import FeatureSpec
from realtime.vision.features.crop import apply, compose, crop_transform, invert

if TYPE_CHECKING:
    from realtime.vision.face.registration import Anchor
    from realtime.vision.spotting.crowd import Meter


class PoseSender:
    """One small message a frame."""

    def __init__(self, context: StageContext, meter: Meter) -> None:
        self._meter = meter
        self._socket = bus.Broadcaster(context.zmq, context.endpoint("poses"))
        self._spec = FeatureSpec()
        self._anchor: Anchor | None = None
        self._anchor_ns = 0
        self._to_crop = np.zeros((2, 3))
        self._mesh = b""
        self._seq = 0

    def send(self, header: FrameHeader) -> None:
        """The pose of the frame that the meter has just seen; of several faces, that of face 0."""
        anchor = self._meter.anchor
        if anchor is None or anchor.slipped:
            return
        if anchor is not self._anchor:
            self._begin(anchor)
        transform = compose(self._to_crop, invert(anchor.to_frame))
        self._socket.send(
            messages.Pose(
                seq=self._seq,
                frame=header.number,
                index=header.index,
                t_ns=header.t_ns,
                transform=transform.tobytes(),
                mesh=self._mesh,
                anchor=self._anchor_ns,
                resting=not self._meter.busy,
            )
        )
        self._seq += 1

    def _begin(self, anchor: Anchor) -> None:
        from realtime.vision.face.landmarks import to_68

        mesh = anchor.layout.mesh
        self._anchor, self._anchor_ns = anchor, time.monotonic_ns()  # a successor's anchors have other numbers too
        self._to_crop = crop_transform(to_68(mesh), self._spec)
        self._mesh = apply(self._to_crop, mesh).astype(np.float32).tobytes()

    def close(self) -> None:
        self._socket.close()
