"""Capture: source → ring. Consumes nothing; emits frames into shared memory and reports lost ones.

A live source is never kept waiting: the oldest slot is overwritten. A lossless recording waits for the
spotter. A camera that goes away is looked for until ``source.reconnect_s`` is over; what it missed is a gap.
"""

from __future__ import annotations

import time

import numpy as np

from realtime.errors import MerealtimeError, SourceError, SourceLostError
from realtime.ipc import messages
from realtime.ipc.board import Row
from realtime.ipc.ring import RingWriter
from realtime.sources import Source, open_source, take_notices
from realtime.sources.pacing import PacedSource
from realtime.stages.absent import open_or_absent
from realtime.stages.runner import StageContext
from realtime.types import GapCause, SourceRequest, Stamp

_RETRY_S = 0.5
_TRUST_NS = 500_000_000  # a source's clock that was interrupted may differ so much from ours, by buffering


def run(context: StageContext) -> None:
    """Open the source, wait for ring and start, capture until told to stop."""
    context.progress("opening the source")
    request = context.settings.source
    source = open_or_absent(context, request)
    if source is None:
        return
    try:
        context.report(messages.Opened(info=source.info))
        order = context.wait_ring()
        if order is not None:
            capture = Capture(context, source, request, order)
            context.ready({"source": source.info.detail})
            capture.wait_start()
            capture.run()
            source = capture.source
    finally:
        source.close()
    context.stopping.wait()


class Capture:
    """State of a running capture."""

    def __init__(self, context: StageContext, source: Source, request: SourceRequest, order: messages.Control) -> None:
        self.source = source
        self._context = context
        self._request = request
        self._info = order.info or source.info
        self._fps = order.fps
        self._writer = RingWriter.attach(order.ring)
        self._row = context.row
        self._offset = 0  # added to the source's numbers, so that they go on after a reconnection
        self._hole: GapCause = "camera"  # why numbers before the next frame are missing
        self._shift_ns = 0  # added to the source's times, since its clock came back as another
        self._told = self._row.get("last_number")
        """Up to here everything has been counted and told, by a predecessor or before the source was begun again."""
        self._frames = self._take_over(order.first)
        duration_s = context.settings.source.duration_s
        self._duration_ns = 2**62 if duration_s is None else int(duration_s * 1e9)
        self._first_ns = self._row.get("first_ns" if self._info.live else "first_t_ns")
        self._resumed = self._frames > 0  # another capture process died before us
        self._check_size()

    def _take_over(self, first: int) -> int:
        """Where a predecessor stopped: frames in the ring since index ``first``, the last's number and time.

        The frame that it died over may be in the ring, and seen, but not yet in the counters.
        """
        last = self._writer.last()
        if last is None or last.index < first:
            self._last, self._last_t_ns = (-1, 0) if first else (self._told, self._row.get("last_t_ns"))
            return 0
        frames = last.index - first + 1
        if last.number > self._told:
            if frames == 1:
                self._note_first(last.number, last.t_ns, last.captured_ns)
            self._note(frames, last.number, last.t_ns, last.captured_ns)
            self._told = last.number
        if self._info.live:
            self._last, self._last_t_ns = self._told, self._row.get("last_t_ns")  # maybe behind a gap that was told
        else:
            self._last, self._last_t_ns = last.number, last.t_ns
        return frames

    def wait_start(self) -> None:
        """Wait for the start. A camera runs meanwhile: its frames are read and forgotten, so none is
        stale.
        """
        context, info = self._context, self.source.info
        scratch = np.empty((info.height, info.width), np.uint8)
        stamp: Stamp | None = None
        warming = info.kind in ("camera", "stream") and not self._resumed
        while not context.started.is_set() and not context.stopping.is_set():
            context.beat()
            if not warming:
                context.started.wait(0.1)
                continue
            try:
                stamp = self.source.read(scratch) or stamp
            except SourceLostError:
                warming = False  # run() meets it again, and looks for the camera
        if stamp is not None:
            self._offset = -(stamp.number + 1)  # the next frame is frame 0

    def run(self) -> None:
        """Capture until the source ends, a limit is reached, or the supervisor says stop."""
        try:
            if self._resumed:
                self._resume()
            reason = self._loop()
        finally:
            self._writer.finish()
            self._writer.close()
        self._context.drained({"frames": float(self._row.get("frames"))}, reason)

    def _loop(self) -> str:
        """Frame after frame; why it ended."""
        writer, context, live = self._writer, self._context, self._info.live
        stopping = context.stopping.is_set
        frame_limit = context.settings.source.frames
        frames = self._frames
        while not stopping():
            if frame_limit is not None and frames >= frame_limit:
                return "--frames"
            if not live and not self._wait_for_readers():
                break
            slot = writer.reserve()
            begun = time.monotonic_ns()
            try:
                stamp = self.source.read(slot)
            except SourceLostError as error:
                writer.abandon()
                if not self._reconnect(error):
                    break
                continue
            now = time.monotonic_ns()
            if getattr(self.source, "notices", None):
                self._pass_notices()
            if stamp is None or self._time_is_up(now if live else stamp.t_ns):
                writer.abandon()
                if stamp is not None:
                    return "--duration"
                self._count_late_end()
                return "end of source"
            number = stamp.number + self._offset
            if number != self._last + 1:
                self._gap(number, self._hole)
                number = stamp.number + self._offset
            t_ns = stamp.t_ns + self._shift_ns
            writer.commit(number, t_ns, now)
            self._last, self._hole = number, "camera"
            self._last_t_ns = t_ns
            frames += 1
            if frames == 1:
                self._note_first(number, t_ns, now)
            self._note(frames, number, t_ns, now)
            if not live:  # a live source's read is mostly waiting
                self._row.words[_BUSY] += now - begun
        return "--duration" if live and self._time_is_up(time.monotonic_ns()) else ""

    def _time_is_up(self, now: int) -> bool:
        """Whether ``--duration`` is over, counted from the first frame: by the clock, or where nothing is lost by
        the recording's own time, so that every run takes the same frames.
        """
        return self._row.words[_FRAMES] > 0 and now - self._first_ns >= self._duration_ns

    def _pass_notices(self) -> None:
        for what, detail in take_notices(self.source):
            self._context.notice(what, detail)

    def _note(self, frames: int, number: int, t_ns: int, now: int) -> None:
        words = self._row.words
        if number > self._told:  # else the source has been begun again: counters never go back
            words[_FRAMES], words[_LAST], words[_LAST_T], words[_LAST_NS] = frames, number, t_ns, now
        words[_BEAT] = now

    def _note_first(self, number: int, t_ns: int, now: int) -> None:
        self._first_ns = now if self._info.live else t_ns
        if number <= self._told:
            return
        self._row.put("first_number", number)
        self._row.put("first_t_ns", t_ns)
        self._row.put("first_ns", now)

    def _wait_for_readers(self) -> bool:
        """Wait for space in the ring; False if we are to stop."""
        while not self._writer.wait_space(0.2):
            self._context.beat()
            if self._context.stopping.is_set():
                return False
        return True

    def _gap(self, number: int, cause: GapCause) -> None:
        """Report the frames between the last one and ``number``, which is then the next."""
        first, last = self._last + 1, number - 1
        if last < first:  # the source counted backwards: go on from where we are
            self._offset += first - number
            return
        count = last - first + 1
        self._last = last
        if last <= self._told:
            return
        self._row.put("last_number", last)  # first: a successor must not tell this gap again
        self._row.put("dropped", self._row.get("dropped") + count)
        self._context.report(messages.Gap(first=first, last=last, count=count, cause=cause))

    def _count_late_end(self) -> None:
        """A recording played live may end in frames that came too late: they are lost as those before."""
        last = self.source.last_number if isinstance(self.source, PacedSource) else -1
        if last > self._last:
            self._gap(last + 1, self._hole)

    def _check_size(self) -> None:
        info, writer = self.source.info, self._writer
        if (info.height, info.width) != (writer.height, writer.width):
            raise SourceError(
                f"{info.source}: now gives {info.width}x{info.height}, "
                f"the session runs at {writer.width}x{writer.height}; start it anew"
            )

    def _reconnect(self, error: SourceLostError) -> bool:
        """Look for the lost source until it is back; False if we are to stop before: the time until then is a gap."""
        try:
            back = self._look_for_source(error)
        except MerealtimeError:
            self._count_missing_end()
            raise
        if not back:
            self._count_missing_end()
        return back

    def _count_missing_end(self) -> None:
        """Frames that a camera which is gone would have given until now, or the end of ``--duration``."""
        if not self._info.live or self._last < 0 or isinstance(self.source, PacedSource):
            return
        until = min(time.monotonic_ns(), self._first_ns + self._duration_ns)
        missing = int((until - self._row.get("last_ns")) * self._fps / 1e9)
        if missing > 0:
            self._gap(self._last + 1 + missing, "reconnect")

    def _look_for_source(self, error: SourceLostError) -> bool:
        """Until it is back; False if we are to stop before. Patience has an end: MerealtimeError."""
        context = self._context
        patience_s = context.settings.source.reconnect_s
        context.notice("camera gone", str(error))
        self.source.close()
        self._row.put("looking", 1)
        deadline = time.monotonic() + patience_s
        while not context.stopping.is_set() and not self._time_is_up(time.monotonic_ns()):
            if time.monotonic() > deadline:
                raise MerealtimeError(f"{self._info.source}: did not come back within {patience_s:g} s ({error})")
            context.beat()
            try:
                self.source = open_source(context.settings.source.camera, self._request)
            except (SourceError, SourceLostError):
                context.stopping.wait(_RETRY_S)
                continue
            context.beat()
            self._check_size()
            if self._continue_numbers():
                self._row.put("looking", 0)
                context.notice("camera back", self.source.info.detail)
                return True
            self.source.close()
        return False

    def _continue_numbers(self) -> bool:
        """Read the new source's first frame; its time tells how many frames were missed."""
        scratch = np.empty((self._writer.height, self._writer.width), np.uint8)
        try:
            stamp = self.source.read(scratch)
        except SourceLostError:
            return False
        if stamp is None:
            return False
        if self._last < 0:
            self._offset = -1 - stamp.number
            return True
        passed_ns = self._passed_ns(stamp.t_ns)
        missed = max(1, round(passed_ns * self._fps / 1e9))  # the frame read here is one of them
        self._offset = self._last + missed - stamp.number
        self._last_t_ns += passed_ns
        self._row.put("last_t_ns", self._last_t_ns)
        self._row.put("last_ns", time.monotonic_ns())
        self._gap(self._last + 1 + missed, "reconnect")
        return True

    def _passed_ns(self, t_ns: int) -> int:
        """Time from the last frame to this one: by the source's clock, unless ours knows that it is another now."""
        claimed, ours = t_ns - self._last_t_ns, time.monotonic_ns() - self._row.get("last_ns")
        if abs(claimed - ours) <= _TRUST_NS:
            self._shift_ns = 0
            return claimed
        self._shift_ns = ours - claimed
        detail = f"the source's clock came back {(claimed - ours) / 1e9:+.1f} s off: evened out"
        self._context.notice("camera time", detail)
        return ours

    def _resume(self) -> None:
        """Go on where a capture process that died has stopped."""
        if isinstance(self.source, PacedSource):  # it has gone on playing meanwhile
            if self._last >= 0:
                self.source.resume(self._last, self._last_t_ns, self._context.beat)
                self._hole = "reconnect"
            return
        if self._info.live:
            self._continue_numbers()
            return
        scratch = np.empty((self._writer.height, self._writer.width), np.uint8)
        for _ in range(self._frames):  # a recording is read again up to the last frame in the ring
            self.source.read(scratch)
            self._context.beat()


_BEAT, _FRAMES, _LAST = Row.at("heartbeat_ns"), Row.at("frames"), Row.at("last_number")
_LAST_T, _LAST_NS, _BUSY = Row.at("last_t_ns"), Row.at("last_ns"), Row.at("busy_ns")
