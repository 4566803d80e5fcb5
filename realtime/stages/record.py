"""Record: ring → frames on disk, and the spotter's curves beside them, in a process of its own.

Consumes frames, ``Rows`` and ``Span``. A live source it can't delay: what it loses is told when it happens, a disk that
is full or fails, a ring that came round. A recording that is played again waits for it (a cursor in the ring), so that
every frame is kept however slow the disk is. ``output.record_frames`` says which: all, a clip of each event, or none.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import numpy as np

from realtime import pipeline
from realtime.errors import UserError
from realtime.ipc import bus, messages
from realtime.ipc.ring import RingReader
from realtime.session.curves import CurveLog
from realtime.session.read import readable as count_readable
from realtime.stages.keep import Keeper, open_keeper
from realtime.stages.runner import StageContext

_WAIT_S = 0.2
_RESERVE_BYTES = 128 * 2**20
_LOOK_S = 0.1  # between two looks at the free space
_RETRY_S = 0.5  # between two attempts to write to a disk that fails
_TELL_S = 1.0  # between two notices of lost frames
_RELEASE_EVERY = 16  # each release wakes a waiting capture process
_BEHIND_S = 0.01  # between two looks whether the disk has caught up


def run(context: StageContext) -> None:
    """Keep what is to be kept, until source and spotter have ended or we are told to stop."""
    import cv2

    cv2.setNumThreads(1)
    order = context.wait_ring()
    if order is None or order.info is None:
        return
    output = context.settings.output
    folder = Path(output.record or ".") / context.spec.recording
    receiver = bus.Receiver(context.zmq, context.endpoint("curves"))
    lossless = not order.info.live and context.stage in output.held_back_by
    reader = RingReader.attach(order.ring, cursor=pipeline.CURSORS[context.stage] if lossless else None)
    keeper = open_keeper(context, folder, order, reader)
    beside = Beside(context, receiver, folder, keeper)
    copying = Copying(context, reader, keeper, folder, beside, lossless=lossless)
    try:
        context.ready({"recording": str(folder)})
        copying.run()
    except BaseException:
        with contextlib.suppress(OSError):
            keeper.close()
        raise  # the ring's cursor is not given back: it tells our successor where to go on
    reader.close()
    context.drained(copying.close())
    context.stopping.wait()


class Beside:
    """What the spotter tells: curves, events, its end."""

    def __init__(self, context: StageContext, receiver: bus.Receiver, folder: Path, keeper: Keeper) -> None:
        """UserError where the curves can't be written."""
        self._context, self._receiver, self._keeper = context, receiver, keeper
        self.ended = False
        self.broken = ""
        """What the disk says, while it does not take rows."""
        try:
            self._log = CurveLog(folder)
        except OSError as error:
            raise UserError(f"{folder}: can't record there ({error.strerror})") from error

    def take(self, timeout_s: float = 0.0) -> None:
        """All that came."""
        while (message := self._receiver.take(messages.decode_kept, timeout_s)) is not None:
            timeout_s = 0.0
            match message:
                case messages.Rows():
                    self._write(message.rows)
                case messages.Span():
                    self._keeper.want(message)
                case messages.Ended():
                    self.ended = True

    def _write(self, rows: bytes) -> None:
        before = self.broken
        try:
            self._log.add(rows)
            self.broken = ""
        except OSError as error:
            self.broken = str(error.strerror)
        if self.broken and not before:
            self._context.notice("curves interrupted", f"{self.broken}; kept in memory, tried again")
        elif before and not self.broken:
            self._context.notice("curves go on", "none was lost")

    def close(self) -> str:
        """Make ``curves.parquet``; what went wrong, or nothing."""
        self._receiver.close()
        try:
            self._log.close()
        except OSError as error:
            return str(error.strerror)
        return ""


class Copying:
    """State of a running recording."""

    def __init__(
        self,
        context: StageContext,
        reader: RingReader,
        keeper: Keeper,
        folder: Path,
        beside: Beside,
        *,
        lossless: bool = False,
    ) -> None:
        """lossless: the writer waits for what the reader has not released."""
        self._context, self._reader, self._keeper, self._beside = context, reader, keeper, beside
        self._folder, self._lossless = folder, lossless
        self._row = context.row
        self.unwritten = 0
        """Frames that the disk did not take."""
        self._full = False
        self._failing = False
        self._paused = False
        self._retry_at = self._look_at = self._tell_at = 0.0
        self._lost = 0  # since the last notice
        frames = context.settings.output.record_frames
        self._all, self._none = frames == "all", frames == "none"

    def run(self) -> None:
        """Until the ring's end, or we are told to stop."""
        reader, row = self._reader, self._row
        index = row.get("next_index") or reader.start  # one that died is gone on for
        row.put("frames", self._keeper.written)
        row.put("last_number", max(row.get("last_number"), self._keeper.last_number))
        while True:
            count = reader.wait(index, _WAIT_S)
            begun = time.monotonic_ns()
            row.put("heartbeat_ns", begun)
            self._beside.take()
            self._look(begun / 1e9)
            if count <= index:
                if reader.is_over(index) or self._context.stopping.is_set():
                    break
                continue
            if self._none:
                index = count
                time.sleep(_WAIT_S)
                continue
            if self._lossless:
                if self._keeper.is_behind:
                    time.sleep(_BEHIND_S)
                    continue
            else:
                oldest = reader.catch_up(index)
                self._lost += oldest - index
                index = oldest
            index = self._frame(index)
            self._tell_lost(begun / 1e9)
            self._note(index, count)
            if not index % _RELEASE_EVERY or index == count:
                reader.release(index - 1)
            row.put("busy_ns", row.get("busy_ns") + time.monotonic_ns() - begun)
        self._tell_lost(np.inf)
        self._wait_for_spotter()

    def _frame(self, index: int) -> int:
        """Keep the frame at the index, unless we pause; the index of the next."""
        paused = not self._context.recording.is_set()
        if paused != self._paused:
            self._paused = paused
            if paused:
                self._keeper.pause()
        if paused:
            self._row.put("paused", self._row.get("paused") + 1)
        elif self._is_repeated(index):
            self._row.put("repeated", self._row.get("repeated") + 1)
        else:
            self._write(index)
        return index + 1

    def _is_repeated(self, index: int) -> bool:
        """The analysis of a recording has begun again: the frame is on disk."""
        seen = self._reader.view(index)
        return seen is not None and seen[1].number <= self._row.get("last_number")

    def _left_out(self) -> int:
        """Frames that came and were not to be written."""
        return self._row.get("paused") + self._row.get("repeated")

    def _note(self, index: int, count: int) -> None:
        row, written = self._row, self._keeper.written
        row.put("frames", written)
        row.put("next_index", index)
        row.put("dropped", index - written - self._left_out() if self._all else self._keeper.missing())
        row.put("queue", count - index)
        for trouble in self._keeper.troubles():
            self._context.notice("clip incomplete", trouble)

    def _wait_for_spotter(self) -> None:
        """Its last curves and its last event may follow the last frame."""
        while not self._beside.ended and not self._context.stopping.is_set():
            self._context.beat()
            self._beside.take(_WAIT_S)
        self._beside.take()

    def close(self) -> dict[str, float]:
        """See everything onto the disk: how many frames can be read there, and what went wrong."""
        broken = 0.0
        try:
            readable = self._keeper.close()
        except OSError as error:
            broken = 1.0
            detail = f"{self._folder}: the end of it did not reach the disk ({error.strerror})"
            self._context.notice("recording damaged", detail)
            readable = count_readable(self._folder)
        why = self._beside.close()
        if why:
            broken = 1.0
            self._context.notice("curves damaged", f"{self._folder}: {why}; what is readable is in curves.rows")
        self._note(self._row.get("next_index"), self._row.get("next_index"))
        self._row.put("frames", readable)
        if self._all:
            self._row.put("dropped", self._row.get("next_index") - readable - self._left_out())
        unwritten = self.unwritten + self._keeper.missing()
        return {"readable": float(readable), "unwritten": float(unwritten), "broken": broken}

    def _write(self, index: int) -> None:
        """Keep a frame, unless the disk is full, or fails and it isn't time to try again."""
        now = time.monotonic()
        if self._full or (self._failing and now < self._retry_at):  # clips are written, and fail, by themselves
            self.unwritten += 1
            return
        try:
            header = self._keeper.keep(self._reader, index)
        except OSError as error:
            self.unwritten += 1
            self._retry_at = now + _RETRY_S
            if not self._failing:
                self._failing = True
                self._context.notice("recording interrupted", f"{self._folder}: {error.strerror}; tried again")
            return
        if header is None:
            self._lost += 1
        else:
            self._row.put("last_number", header.number)
        if self._failing:
            self._failing = False
            self._goes_on("recording goes on")

    def _look(self, now: float) -> None:
        """Stop at a frame's end before the disk is full, and go on when there is room."""
        if now < self._look_at or not self._all:
            return
        self._look_at = now + _LOOK_S
        stat = os.statvfs(self._folder)
        if self._full == (stat.f_bavail * stat.f_frsize < _RESERVE_BYTES):
            return
        self._full = not self._full
        if self._full:
            self._context.notice("disk full", f"{self._folder}: recording paused")
        else:
            self._goes_on("disk has space again")

    def _goes_on(self, what: str) -> None:
        detail = f"{self._folder}: recording goes on; {self.unwritten} frames so far not recorded"
        self._context.notice(what, detail)

    def _tell_lost(self, now: float) -> None:
        """Frames that the ring did not keep until they were copied."""
        if self._lost and now >= self._tell_at:
            self._tell_at = now + _TELL_S
            self._context.notice("recording lost frames", f"{self._lost}: the recorder was too slow for them")
            self._lost = 0
