"""Everything of one session that lives in the system, made and removed by the supervisor alone.

Shared counters, socket directory, sockets, ring. ``close`` removes whatever was made, in any state; what can't be made
leaves nothing of the rest.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import zmq

from realtime import pipeline
from realtime.ipc import bus, messages
from realtime.ipc.board import Board
from realtime.ipc.sent import SentEvents
from realtime.supervisor import cleanup
from realtime.types import SourceInfo

if TYPE_CHECKING:
    from realtime.ipc.ring import RingWriter

_HANDSHAKE_S = 10.0


class Resources:
    """Made at once but for the ring, which follows when the source's size is known."""

    def __init__(self) -> None:
        """RingError where shared memory is full, BusError where there is no place for sockets."""
        prefix = cleanup.session_prefix()
        self.swept = cleanup.sweep()
        self.ring_name = f"{prefix}ring"
        self._ring: RingWriter | None = None
        self.first_index = 0
        """Ring index at which the source begins: above 0 where a recording has been begun again."""
        self.info: SourceInfo | None = None
        """Of the source whose frames the ring has."""
        self._cursors = 0
        with contextlib.ExitStack() as undo:
            self.board = Board.create(f"{prefix}board")
            undo.callback(self.board.unlink)
            undo.callback(self.board.close)
            self.sent = SentEvents.create(f"{prefix}sent")
            undo.callback(self.sent.unlink)
            undo.callback(self.sent.close)
            self.directory = bus.make_directory(prefix)
            undo.callback(bus.remove_directory, self.directory)
            self._zmq: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(self._zmq.destroy, linger=0)
            self.reports = bus.Receiver(self._zmq, self.endpoint("reports"))
            self.ticks = bus.Listener(self._zmq, self.endpoint("ticks"))
            self._undo = undo.pop_all()
        self._poller = zmq.Poller()
        self._poller.register(self.reports.socket, zmq.POLLIN)
        self._poller.register(self.ticks.socket, zmq.POLLIN)

    def endpoint(self, name: str) -> str:
        return bus.address(self.directory, name)

    def shake_hands(self) -> None:
        """Prove that broadcasts arrive; BusError if they don't."""
        bus.hear_itself(self._zmq, self.ticks, self.endpoint("ticks"), _HANDSHAKE_S)

    @property
    def refused(self) -> int:
        """What came to our sockets and was no message."""
        return self.reports.refused + self.ticks.refused

    def wait(self, timeout_s: float) -> bool:
        """Wait for a report or a tick."""
        return bool(self._poller.poll(round(timeout_s * 1000)))

    def to_supervisor(self) -> bus.Sender:
        """A way to its reports from another thread, which is to close it."""
        return bus.Sender(self._zmq, self.endpoint("reports"))

    @property
    def has_ring(self) -> bool:
        return self._ring is not None

    def make_ring(self, info: SourceInfo, slots: int, least: int, cursors: int = 1) -> int:
        """Shared memory for frames of that size: so many slots, or, where they don't fit, as many as do; how many.

        cursors: stages that a lossless source waits for. RingError if there is no room for the least.
        """
        from realtime.ipc.ring import SHM_DIR, RingWriter, ring_bytes

        lossless = 0 if info.live else cursors
        if slots > least:
            there = os.statvfs(SHM_DIR)
            fit = there.f_bavail * there.f_frsize // ring_bytes(1, info.height, info.width)
            slots = max(least, min(slots, fit))
        self.info, self._cursors = info, lossless
        self._ring = RingWriter.create(self.ring_name, slots, info.height, info.width, lossless=lossless)
        self._undo.callback(self._ring.unlink)
        self._undo.callback(self._ring.close)
        return slots

    def end_ring(self) -> int:
        """Say "no more frames" in place of a capture process that can't; the number of the last, −1 without one."""
        last = None
        if self._ring is not None:
            from realtime.ipc.ring import RingWriter

            writer = RingWriter.attach(self.ring_name)  # ours does not know how many were written
            last = writer.last()
            writer.finish()
            writer.close()
        return -1 if last is None else last.number

    def free_cursor(self, stage: str) -> None:
        """Have a lossless source wait no longer for a stage that is no more."""
        if self._ring is None or self.info is None or self.info.live or pipeline.CURSORS[stage] >= self._cursors:
            return
        from realtime.ipc.ring import RingReader

        RingReader.attach(self.ring_name, pipeline.CURSORS[stage]).close()

    def reopen_ring(self) -> None:
        """Frames come again, from the source's first. While no capture process is there."""
        from realtime.ipc.ring import RingWriter

        writer = RingWriter.attach(self.ring_name)
        self.first_index = writer.reopen()
        writer.close()

    def feeder(self, name: str) -> bus.Feeder:
        """A sending end that never waits."""
        return bus.Feeder(self._zmq, self.endpoint(name))

    def ask(self, stage: str, order: messages.Control, timeout_s: float) -> bool:
        """Give a stage an order; False if it does not answer."""
        caller = bus.Caller(self._zmq, self.endpoint(pipeline.control_of(stage)))
        try:
            return caller.ask(order, timeout_s).ok
        except bus.BusError:
            return False

    def close(self) -> None:
        """Leave nothing in the system."""
        self._undo.close()
