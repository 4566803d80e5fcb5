"""For the recorder, the spotter's half: every frame's curves, and where events begin and end.

Emits ``Rows`` some ten times a second and ``Span`` with each event, both to a queue that never makes the spotter wait:
a recorder that hangs loses rows, counted, not frames of the analysis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.ipc import bus, messages
from realtime.ipc.ring import FrameHeader
from realtime.session.curves import ROW
from realtime.stages.runner import StageContext
from realtime.types import SpotEvent
from realtime.vision.face.regions import IMAGE_HEIGHT, IMAGE_WIDTH, ROI_NAMES
from realtime.vision.features.crop import apply

if TYPE_CHECKING:
    from realtime.vision.spotting.crowd import Meter
    from realtime.vision.spotting.face_meter import FaceMeter, Measurement

_EVERY_NS = 100_000_000
_MOST = 4096
_CENTRE = np.array([[IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2]])
_NOWHERE = (np.nan,) * (len(ROI_NAMES) + 6)


class CurveSender:
    """Takes every frame's measurements."""

    def __init__(self, context: StageContext, meter: Meter) -> None:
        self._meter = meter
        self._feed = bus.Feeder(context.zmq, context.endpoint("curves"))
        self._rows = np.zeros(_MOST, ROW)
        self._count = 0
        self._next_ns = 0

    @property
    def lost(self) -> int:
        """Messages that the recorder did not take."""
        return self._feed.dropped

    def take(self, header: FrameHeader, faces: list[Measurement], now: int) -> None:
        """One frame, done with at ``now``, monotonic ns."""
        meters = self._meter.meters()
        for seen in faces:
            face = seen.number or 0
            self._rows[self._count] = _row(header, face, seen, meters[face])
            self._count += 1
        if now >= self._next_ns or self._count > _MOST - 64:
            self._next_ns = now + _EVERY_NS
            self._send()

    def event(self, number: int, event: SpotEvent) -> None:
        """An event was spotted that gets this id."""
        self._feed.send(messages.Span(id=number, onset_t_ns=event.onset_t_ns, offset_t_ns=event.offset_t_ns))

    def _send(self) -> None:
        if self._count:
            self._feed.send(messages.Rows(rows=self._rows[: self._count].tobytes()))
            self._count = 0

    def end(self) -> None:
        """No frame and no event follows."""
        self._send()
        self._feed.send(messages.Ended(stage="spot"))

    def close(self) -> None:
        self._feed.close()


def _row(header: FrameHeader, face: int, seen: Measurement, meter: FaceMeter) -> tuple[float, ...]:
    """In the order of ``ROW``."""
    anchor = meter.anchor
    eyes_open, speech = not meter.blinking, meter.speaking
    if not seen.face or anchor is None:
        return (header.number, header.t_ns, face, False, *_NOWHERE, True, False)
    x, y = apply(anchor.to_frame, _CENTRE)[0]
    scale = float(np.sqrt(abs(np.linalg.det(anchor.to_frame[:, :2]))))
    moved = (seen.difference * meter.detector.unit_px).tolist()
    return (header.number, header.t_ns, face, True, *moved, *seen.head, scale, x, y, eyes_open, speech)
