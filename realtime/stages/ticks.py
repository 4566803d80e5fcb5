"""The spotter's curves: emits ``Tick`` (PUB, lossy), some 20 times a second one for each face that is in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realtime.ipc import bus, messages
from realtime.ipc.ring import FrameHeader
from realtime.stages.runner import StageContext

if TYPE_CHECKING:
    from realtime.vision.spotting.face_meter import Measurement


class TickSender:
    """Takes every frame's measurements; sends the newest with the peaks since the tick before."""

    def __init__(self, context: StageContext, names: Sequence[str]) -> None:
        """names: of the regions, in the order of a measurement."""
        self._socket = bus.Broadcaster(context.zmq, context.endpoint("ticks"))
        self._names = list(names)
        self._every_ns = int(1e9 / context.settings.output.tick_hz)
        self._next_ns = 0
        self._seq = self._batches = 0
        self._peaks: dict[int | None, NDArray[np.float64]] = {}
        self._rows: list[tuple[FrameHeader, Measurement]] | None = [] if context.settings.output.lsl else None

    def take(self, header: FrameHeader, faces: list[Measurement], now: int) -> None:
        """One frame, done with at ``now``, monotonic ns."""
        for seen in faces:
            if seen.number not in self._peaks:
                self._peaks[seen.number] = np.zeros(len(self._names))
            if seen.face:
                np.maximum(self._peaks[seen.number], seen.difference, out=self._peaks[seen.number])
        if self._rows is not None:
            self._rows += [(header, seen) for seen in faces]
        if now < self._next_ns:
            return
        self.flush()
        for seen in faces:
            self._send(header, seen)
        for peak in self._peaks.values():
            peak[:] = 0
        self._next_ns += self._every_ns  # by the clock, so that lateness does not add up
        if self._next_ns <= now:
            self._next_ns = now + self._every_ns

    def _send(self, header: FrameHeader, seen: Measurement) -> None:
        difference = dict(zip(self._names, seen.difference.tolist(), strict=True))
        self._socket.send(
            messages.Tick(
                seq=self._seq,
                frame=header.number,
                t_ns=header.t_ns,
                difference=difference if seen.face else {},
                peak=dict(zip(self._names, self._peaks[seen.number].tolist(), strict=True)),
                face=seen.face if seen.number is None else seen.number,
                found=seen.face,
            )
        )
        self._seq += 1

    def flush(self) -> None:
        """Send the curves that wait for the next tick, where anybody needs every frame's."""
        if self._rows:
            self._send_rows(self._rows)

    def _send_rows(self, rows: list[tuple[FrameHeader, Measurement]]) -> None:
        """Every frame's curves since the last tick, for who needs them all."""
        values = np.array([seen.difference for _, seen in rows], np.float32)
        found = [seen.face for _, seen in rows]
        values[~np.array(found)] = np.nan
        self._socket.send(
            messages.Curves(
                seq=self._batches,
                frames=[header.number for header, _ in rows],
                t_ns=[header.t_ns for header, _ in rows],
                faces=[seen.number or 0 for _, seen in rows],
                found=found,
                values=values.tobytes(),
            )
        )
        self._batches += 1
        rows.clear()

    def close(self) -> None:
        self._socket.close()
