"""Record: ring → files, in a process of its own. A mere lossy reader: it can lose frames, never delay
them. What it loses is told when it happens: a disk that is full or fails, a ring that came round.
"""

from __future__ import annotations

import contextlib
import time

import numpy as np

from realtime.ipc.ring import RingReader
from realtime.session.read import readable as count_readable
from realtime.session.write import Recorder
from realtime.stages.runner import StageContext

_WAIT_S = 0.2
_RESERVE_BYTES = 128 * 2**20
_LOOK_S = 0.1  # between two looks at the free space
_RETRY_S = 0.5  # between two attempts to write to a disk that fails
_TELL_S = 1.0  # between two notices of lost frames


def run(context: StageContext) -> None:
    """Copy each frame out of the ring and append it, until the source ends or we are told to stop."""
    import cv2

    cv2.setNumThreads(1)
    order = context.wait_ring()
    if order is None or order.info is None:
        return
    output = context.settings.output
    reader = RingReader.attach(order.ring)
    recorder = Recorder(output.record or ".", context.spec.recording, order.info, order.fps, output.record_format)
    copying = Copying(context, reader, recorder)
    try:
        context.ready({"recording": str(recorder.folder)})
        copying.run()
    except BaseException:
        with contextlib.suppress(OSError):
            recorder.close()
        raise
    finally:
        reader.close()
    context.drained(copying.close())
    context.stopping.wait()


class Copying:
    """State of a running recording."""

    def __init__(self, context: StageContext, reader: RingReader, recorder: Recorder) -> None:
        self._context, self._reader, self._recorder = context, reader, recorder
        self._row = context.row
        self.unwritten = 0
        """Frames that the disk did not take."""
        self._full = False
        self._failing = False
        self._retry_at = self._look_at = self._tell_at = 0.0
        self._lost = 0  # since the last notice

    def run(self) -> None:
        """Until the ring's end, or we are told to stop."""
        reader, row = self._reader, self._row
        frame = np.empty((reader.height, reader.width), np.uint8)
        index = row.get("next_index") or reader.start  # one that died is gone on for
        row.put("frames", self._recorder.written)
        while True:
            count = reader.wait(index, _WAIT_S)
            begun = time.monotonic_ns()
            row.put("heartbeat_ns", begun)
            self._look(begun / 1e9)
            if count <= index:
                if reader.is_over(index) or self._context.stopping.is_set():
                    self._tell_lost(np.inf)
                    return
                continue
            oldest = reader.catch_up(index)
            self._lost += oldest - index
            index = oldest
            header = reader.copy(index, frame)
            index += 1
            if header is None:
                self._lost += 1
            elif header.number <= row.get("last_number"):  # the analysis of a recording has begun again
                row.put("repeated", row.get("repeated") + 1)
            elif self._write(frame, header.number, header.t_ns, header.captured_ns):
                row.put("last_number", header.number)
            self._tell_lost(begun / 1e9)
            row.put("frames", self._recorder.written)
            row.put("next_index", index)
            row.put("dropped", index - row.get("repeated") - self._recorder.written)
            row.put("queue", count - index)
            row.put("busy_ns", row.get("busy_ns") + time.monotonic_ns() - begun)

    def close(self) -> dict[str, float]:
        """See everything onto the disk: how many frames can be read there, and what went wrong."""
        recorder, broken = self._recorder, 0.0
        try:
            readable = recorder.close()
        except OSError as error:
            broken = 1.0
            detail = f"{recorder.folder}: the end of it did not reach the disk ({error.strerror})"
            self._context.notice("recording damaged", detail)
            readable = count_readable(recorder.folder)
        self._row.put("frames", readable)
        self._row.put("dropped", self._row.get("next_index") - self._row.get("repeated") - readable)
        return {"readable": float(readable), "unwritten": float(self.unwritten), "broken": broken}

    def _write(self, frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *stamp: int) -> bool:
        """Append a frame, unless the disk is full, or fails and it isn't time to try again."""
        now = time.monotonic()
        if self._full or (self._failing and now < self._retry_at):
            self.unwritten += 1
            return False
        try:
            self._recorder.write(frame, *stamp)
        except OSError as error:
            self.unwritten += 1
            self._retry_at = now + _RETRY_S
            if not self._failing:
                self._failing = True
                detail = f"{self._recorder.folder}: {error.strerror}; tried again"
                self._context.notice("recording interrupted", detail)
            return False
        if self._failing:
            self._failing = False
            self._goes_on("recording goes on")
        return True

    def _look(self, now: float) -> None:
        """Stop at a frame's end before the disk is full, and go on when there is room."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        if self._full == (self._recorder.free_bytes() < _RESERVE_BYTES):
            return
        self._full = not self._full
        if self._full:
            self._context.notice("disk full", f"{self._recorder.folder}: recording paused")
        else:
            self._goes_on("disk has space again")

    def _goes_on(self, what: str) -> None:
        detail = f"{self._recorder.folder}: recording goes on; {self.unwritten} frames so far not recorded"
        self._context.notice(what, detail)

    def _tell_lost(self, now: float) -> None:
        """Frames that the ring did not keep until they were copied."""
        if self._lost and now >= self._tell_at:
            self._tell_at = now + _TELL_S
            self._context.notice("recording lost frames", f"{self._lost}: the recorder was too slow for them")
            self._lost = 0
