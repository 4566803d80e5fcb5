"""Spot: ring → spotted events. Consumes frames in place; emits ``Spotted`` (PUSH, reliable), ``Tick`` (PUB,
lossy) and, for the page, ``Outline`` (PUB, lossy).

A thin loop around ``realtime.vision.spotting``: ``FaceMeter``, or for several faces ``Crowd``. Behind a live source it
skips to the newest frame rather than read pixels that are about to be overwritten; every skipped frame is counted, with
its cause. What it takes over from one that died: ``takeover.py``.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from realtime import pipeline
from realtime.errors import MerealtimeError, UserError
from realtime.ipc import bus, messages
from realtime.ipc.board import Row
from realtime.ipc.ring import FrameHeader, RingReader
from realtime.ipc.sent import SentEvents
from realtime.stages.curves import CurveSender
from realtime.stages.networks import check_size, load
from realtime.stages.outlines import OutlineSender
from realtime.stages.poses import PoseSender
from realtime.stages.runner import StageContext
from realtime.stages.sensing import Sensing
from realtime.stages.takeover import Needed, take_over
from realtime.stages.ticks import TickSender
from realtime.types import GapCause, SpotEvent

if TYPE_CHECKING:
    from realtime.vision.spotting.crowd import Meter

_WAIT_S = 0.1
_KEEP_SENT = 64
_RELEASE_EVERY = 16  # each release wakes a waiting capture process; the board knows the exact frame
_BIN_NS, _BINS = 50_000, 4000  # histogram of frame latencies: 50 µs steps up to 200 ms


def run(context: StageContext) -> None:
    """Load the networks, compile, wait for the ring, spot until the source has ended, stay for resends."""
    from realtime.vision.spotting.crowd import make_meter

    loaded = context.loaded or load(context.settings, None)  # the slow part, while capture opens the source
    context.progress("waiting for the source")
    order = context.wait_ring()
    if order is None:
        loaded.mesh.close()
        return
    check_size(order.info)
    lossless = order.info is not None and not order.info.live
    reader = RingReader.attach(order.ring, cursor=pipeline.CURSORS["spot"] if lossless else None)
    meter = loaded.meter
    if meter is None:
        context.progress("warming the spotter")
        meter = make_meter(context.settings.spot, order.fps, loaded.mesh)
    try:
        if loaded.meter is None:
            meter.warm_up(reader.height, reader.width)
        spot = Spot(context, reader, meter, order, SentEvents.attach(context.spec.sent))
        context.ready({"rois": ", ".join(meter.roi_names)})
        spot.run()
        spot.linger()
    finally:
        meter.close()
        if context.stopping.is_set():
            reader.close()  # not when we fail: the cursor then tells our successor where to go on


class Spot:
    """State of a running spotter."""

    def __init__(
        self,
        context: StageContext,
        reader: RingReader,
        meter: Meter,
        order: messages.Control,
        kept: SentEvents | None = None,
    ) -> None:
        """kept: where events outlive us."""
        info = order.info
        self._context = context
        self._reader = reader
        self._meter = meter
        self._row = context.row
        self._live = info is None or info.live
        self._exposure_is_real = self._live  # a recording's times are those of its making
        self._max_lag = self._lag_limit(order.fps, reader.slots)
        self._needed = Needed(order.fps)
        self._kept = kept
        self._past = past = take_over(self._row, reader, order, kept)
        self._last, self._analysed, self._next_id = past.told, past.frames, past.next_id
        self._index = past.counted
        self._skipped: dict[GapCause, int] = {}
        self._sent: deque[messages.Spotted] = deque(past.sent, maxlen=_KEEP_SENT)
        self._work = bus.Sender(context.zmq, context.endpoint("motion"))
        self._ticks = TickSender(context, meter.roi_names)
        self._curves = CurveSender(context, meter) if context.settings.output.record is not None else None
        self._poses = PoseSender(context, meter) if context.settings.flow.dense else None
        self._outlines = OutlineSender(context, meter) if context.settings.output.web is not None else None
        self._sensing = Sensing()
        self._delays = [0] * (_BINS + 1)
        self._ended = False
        self._catching_up = self._live and past.begin < reader.count
        self._skip_to(past.begin, "spotter")  # what was overwritten meanwhile
        self._index = past.begin

    def _lag_limit(self, fps: float, slots: int) -> int:
        """Frames behind at which a live spotter skips: ``max_lag_s``, and never near the end of the ring."""
        wanted = round(self._context.settings.spot.max_lag_s * fps)
        return max(2, min(wanted, slots * 3 // 4))

    def run(self) -> None:
        """Every frame, until the writer has finished and all are seen; then the last event and the end
        mark.
        """
        reader, words, stopping = self._reader, self._row.words, self._context.stopping
        while True:
            count = reader.wait(self._index, _WAIT_S)
            if count <= self._index:
                words[_BEAT] = time.monotonic_ns()
                self._resend()
                if reader.is_over(self._index) or stopping.is_set():
                    break
                continue
            behind = count - self._index > self._max_lag
            self._catching_up = self._catching_up and behind  # a successor has the whole ring to itself
            if self._live and behind and not self._catching_up:
                self._skip_to(count - 1, "spotter")
            begun = time.monotonic_ns()
            while self._index < count:
                begun = self._frame(begun)
            reader.release(self._index - 1)
            words[_QUEUE] = reader.count - self._index
            if self._context.resend:
                self._resend()
            if self._context.rest.is_set():
                self._context.rest.clear()
                self._meter.rest()
        self._finish()

    def _frame(self, begun: int) -> int:
        """Analyse the frame at the index; returns the time when it was done with, monotonic ns."""
        reader, index = self._reader, self._index
        found = reader.view(index)
        if found is None:
            self._catching_up = False
            self._skip_to(max(reader.catch_up(index), index + 1), "ring")
            return time.monotonic_ns()
        gray, header = found
        is_whole = (lambda: reader.still_valid(index)) if self._live else None
        measurement, events = self._meter.process(gray, header.number, header.t_ns, is_whole)
        for event in events:
            if not self._past.has_told(event):
                self._send(event, header, begun)
        if measurement is None:  # it was being overwritten while it was read
            self._skip_to(index + 1, "ring")
            return time.monotonic_ns()
        is_new = header.number > self._past.told
        if is_new:
            for what, detail in measurement.notices:
                self._context.notice(what, detail, header.t_ns)
        for detail, sensed in self._sensing.look(self._meter, header.t_ns):
            if is_new:
                self._context.notice("sensitivity", detail, header.t_ns, sensed)
        if self._skipped:
            self._report_gaps(header.number)
        self._index = index + 1
        if not self._index % _RELEASE_EVERY:
            reader.release(index)
        if self._poses is not None:
            self._poses.send(header)
        now = self._account(header, measurement.face, begun) if is_new else self._look_again(header)
        if is_new or not self._live:
            self._ticks.take(header, measurement.each(), now)
        if is_new and self._curves is not None:
            self._curves.take(header, measurement.each(), now)
        if is_new and self._outlines is not None:
            self._outlines.take(header, now)
        return now

    def _look_again(self, header: FrameHeader) -> int:
        """A frame that is in the counters already; the time, monotonic ns."""
        self._needed.index(self._index, header.t_ns, self._meter.open_since_ns)  # it remembers
        now = time.monotonic_ns()
        self._row.words[_BEAT], self._row.words[_NEXT] = now, max(self._index, self._past.counted)
        return now

    def _account(self, header: FrameHeader, face: bool, begun: int) -> int:
        """Counters; the time, monotonic ns."""
        words = self._row.words
        now = time.monotonic_ns()
        self._analysed += 1
        self._last = header.number
        if self._analysed == 1:
            self._row.put("first_number", header.number)
            self._row.put("first_ns", now)
        # in this order: whoever dies here has counted a frame once or not at all
        words[_NEEDED] = self._needed.index(self._index, header.t_ns, self._meter.open_since_ns)
        words[_NEXT], words[_LAST_T], words[_LAST], words[_FRAMES] = (
            self._index,
            header.t_ns,
            header.number,
            self._analysed,
        )
        words[_LAST_NS], words[_BEAT], words[_FACE] = now, now, face
        words[_BUSY] += now - begun
        delay = now - (header.t_ns if self._exposure_is_real else header.captured_ns)
        self._delays[min(max(delay, 0) // _BIN_NS, _BINS)] += 1
        return now

    def _skip_to(self, index: int, cause: GapCause) -> None:
        """Leave frames out; they are reported with the next analysed one, whose number closes the gap."""
        skipped = index - max(self._index, self._past.counted)
        if skipped > 0:
            self._skipped[cause] = self._skipped.get(cause, 0) + skipped
        self._index = max(index, self._index)

    def _report_gaps(self, number: int) -> None:
        """Report what was left out before frame ``number``."""
        for cause, count in self._skipped.items():
            self._row.put("dropped", self._row.get("dropped") + count)
            self._context.report(messages.Gap(first=self._last + 1, last=number - 1, count=count, cause=cause))
        self._skipped.clear()

    def _send(self, event: SpotEvent, header: FrameHeader, taken_ns: int) -> None:
        """Send an event with its crops on to the flow."""
        try:
            crops = self._meter.crops(event)
        except UserError:
            raise
        except MerealtimeError as error:  # its onset is older than what the meter keeps
            self._context.notice("event without crops", str(error), header.t_ns)
            return
        capture_ns = header.t_ns if self._exposure_is_real else header.captured_ns
        message = messages.spotted(self._next_id, event, crops, capture_ns, header.captured_ns, taken_ns)
        if self._kept is not None:
            self._kept.keep(message)  # first of all: who dies from here on has lost no event
        self._next_id += 1
        self._row.put("next_id", max(self._next_id, self._row.get("next_id")))  # no successor gives an id twice
        self._work.send(message)
        self._sent.append(message)
        if self._curves is not None:
            self._curves.event(message.id, event)

    def _resend(self) -> None:
        """Send again what the supervisor misses after a restart further down, and the end mark if it was given."""
        while self._context.resend:
            wanted = set(self._context.resend.popleft())
            for message in self._sent:
                if message.id in wanted:
                    self._work.send(message)
            if self._ended:
                self._work.send(messages.Ended(stage="spot"))

    def _finish(self) -> None:
        """The movement under way at the end, the account, the end mark."""
        self._ticks.flush()
        for event in self._meter.flush():
            if self._past.has_told(event):
                continue
            now = time.monotonic_ns()
            index, t_ns = self._index - 1, self._row.get("last_t_ns")
            captured = t_ns if self._exposure_is_real else now
            self._send(event, FrameHeader(index, self._last, t_ns, captured), now)
        if self._skipped:
            self._report_gaps(self._last + 1 + sum(self._skipped.values()))
        timings = {f"{step}_s": ns / 1e9 for step, ns in self._meter.timings().items() if step != "frames"}
        self._work.send(messages.Ended(stage="spot"))
        if self._curves is not None:
            self._curves.end()
        self._ended = True
        span_s = (self._row.get("last_ns") - self._row.get("first_ns")) / 1e9
        figures = {"events": float(self._next_id), "torn": float(self._reader.torn), "span_s": span_s}
        if self._curves is not None:
            figures["curves_lost"] = float(self._curves.lost)
        self._context.drained(figures | timings | delay_percentiles(self._delays))

    def linger(self) -> None:
        """Stay until told to leave, to send events again if a stage further down is restarted."""
        while not self._context.stopping.wait(_WAIT_S):
            self._context.beat()
            self._resend()
        self._work.close()
        self._ticks.close()
        if self._curves is not None:
            self._curves.close()
        if self._outlines is not None:
            self._outlines.close()


def delay_percentiles(histogram: list[int]) -> dict[str, float]:
    """Capture of a frame → its analysis done, over all frames: p50, p95, p99, max (upper edge of the bin, ms)."""
    total, passed = sum(histogram), 0
    wanted = {"frame_p50_ms": 0.5, "frame_p95_ms": 0.95, "frame_p99_ms": 0.99, "frame_max_ms": 1.0}
    found: dict[str, float] = {}
    for at, count in enumerate(histogram):
        passed += count
        for name, share in wanted.items():
            if total and name not in found and passed >= share * total:
                found[name] = (at + 1) * _BIN_NS / 1e6
    return found


_BEAT, _FRAMES, _LAST = Row.at("heartbeat_ns"), Row.at("frames"), Row.at("last_number")
_LAST_T, _LAST_NS, _NEXT = Row.at("last_t_ns"), Row.at("last_ns"), Row.at("next_index")
_BUSY, _QUEUE, _FACE, _NEEDED = Row.at("busy_ns"), Row.at("queue"), Row.at("face"), Row.at("needed_index")
