"""For the page, the spotter's half: where regions and patches are, and from where on a difference is an event.

Emits ``Outline`` (PUB, lossy), as often as ticks, one for each face that is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from realtime.ipc import bus, messages
from realtime.ipc.ring import FrameHeader
from realtime.stages.runner import StageContext
from realtime.vision.face.regions import ROI_NAMES, ROI_OUTLINE
from realtime.vision.features.crop import apply

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from realtime.vision.face.registration import Anchor
    from realtime.vision.spotting.crowd import Meter
    from realtime.vision.spotting.face_meter import FaceMeter


class OutlineSender:
    """Some hundred points a face; what does not change while a face is followed is made once."""

    def __init__(self, context: StageContext, meter: Meter) -> None:
        self._meter = meter
        self._socket = bus.Broadcaster(context.zmq, context.endpoint("outlines"))
        self._every_ns = int(1e9 / context.settings.output.tick_hz)
        self._next_ns = 0
        self._seq = 0
        self._hulls: dict[int, tuple[Anchor, list[NDArray[np.float32]]]] = {}

    def take(self, header: FrameHeader, now: int) -> None:
        """The frame that the meter has just seen, done with at ``now``, monotonic ns."""
        if now < self._next_ns:
            return
        self._next_ns = max(self._next_ns + self._every_ns, now)
        for face, meter in enumerate(self._meter.meters()):
            if meter.anchor is not None and not meter.anchor.slipped:
                self._send(header, face, meter, meter.anchor)

    def _send(self, header: FrameHeader, face: int, meter: FaceMeter, anchor: Anchor) -> None:
        hulls = self._hulls_of(face, anchor)
        rest = anchor.layout.centres.astype(np.float64)
        places = apply(anchor.to_frame, rest)
        moved = anchor.displacement @ anchor.to_frame[:, :2].T
        self._socket.send(
            messages.Outline(
                seq=self._seq,
                frame=header.number,
                index=header.index,
                t_ns=header.t_ns,
                face=face,
                corners=apply(anchor.to_frame, np.concatenate(hulls)).astype(np.float32).tobytes(),
                counts=[len(hull) for hull in hulls],
                patches=np.column_stack([places, moved]).astype(np.float32).tobytes(),
                rigid=anchor.layout.rigid,
                threshold=dict(zip(ROI_NAMES, meter.threshold().tolist(), strict=True)),
            )
        )
        self._seq += 1

    def _hulls_of(self, face: int, anchor: Anchor) -> list[NDArray[np.float32]]:
        """The regions' corners in the face image, px."""
        known = self._hulls.get(face)
        if known is None or known[0] is not anchor:
            mesh = anchor.layout.mesh
            hulls = [cv2.convexHull(mesh[list(ROI_OUTLINE[name])])[:, 0] for name in ROI_NAMES]
            known = self._hulls[face] = anchor, [hull.astype(np.float32) for hull in hulls]
        return known[1]

    def close(self) -> None:
        self._socket.close()
