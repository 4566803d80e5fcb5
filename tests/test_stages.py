"""Stages by themselves: capture and spotter on a real ring, with a source and a meter that do as told."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest

from realtime.config import Settings, load
from realtime.errors import MerealtimeError, SourceError, SourceLostError
from realtime.ipc import codec, names
from realtime.ipc.board import Board
from realtime.ipc.ring import FrameHeader, RingReader, RingWriter
from realtime.stages import capture as capture_stage
from realtime.stages import habits
from realtime.stages import spot as spot_stage
from realtime.types import SourceInfo, SourceRequest, SpotEvent, Stamp

H, W = 48, 64
LIVE = SourceInfo(source="0", kind="camera", width=W, height=H, fps=100.0, live=True)
CLIP = SourceInfo(source="clip", kind="recording", width=W, height=H, fps=100.0, live=False)


class Script:
    """A source that follows a script: numbers to deliver, or errors to raise."""

    def __init__(self, steps: list, info: SourceInfo = LIVE, start_ns: int = 0) -> None:
        self.info, self.closed, self.notices = info, False, []
        self._steps, self._start_ns = deque(steps), start_ns

    def read(self, out: np.ndarray) -> Stamp | None:
        if not self._steps:
            return None
        step = self._steps.popleft()
        if isinstance(step, Exception):
            raise step
        out[:] = step % 256
        return Stamp(step, self._start_ns + step * 10_000_000)

    def close(self) -> None:
        self.closed = True


class FakeContext:
    """What a stage gets from the runner, without sockets."""

    def __init__(self, board: Board, stage: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.row = board.row(stage)
        self.reports: list[codec.Message] = []
        self.notices: list[tuple[str, str]] = []
        self.started, self.stopping = threading.Event(), threading.Event()
        self.resend: deque[int] = deque()
        self.ended: list[str] = []
        self.zmq = None

    def endpoint(self, name: str) -> str:
        return name

    def report(self, message: codec.Message) -> None:
        self.reports.append(message)

    def notice(self, what: str, detail: str, t_ns: int | None = None) -> None:
        self.notices.append((what, detail))

    def beat(self) -> None:
        self.row.put("heartbeat_ns", time.monotonic_ns())

    def drained(self, detail: dict[str, float] | None = None, reason: str = "") -> None:
        self.ended.append(reason)

    def gaps(self) -> list[tuple[int, int, int, str]]:
        return [(g.first, g.last, g.count, g.cause) for g in self.reports if isinstance(g, codec.Gap)]


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(f"{names.session_prefix()}stages-board")
    yield made
    made.close()
    made.unlink()


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    with RingWriter.create(f"{names.session_prefix()}stages-ring", 32, H, W) as made:
        yield made


def make_capture(
    board: Board, ring: RingWriter, source: Script, settings: Settings | None = None
) -> tuple[capture_stage.Capture, FakeContext]:
    context = FakeContext(board, "capture", settings)
    order = codec.Control(order="ring", ring=ring.name, info=source.info, fps=100.0)
    return capture_stage.Capture(context, source, SourceRequest(), order), context  # type: ignore[arg-type]


def numbers_in(ring: RingWriter) -> list[int]:
    with RingReader.attach(ring.name) as reader:
        found = [reader.view(index) for index in range(reader.count)]
        return [item[1].number for item in found if item is not None]


def test_capture_writes_every_frame_and_reports_holes(board: Board, ring: RingWriter) -> None:
    capture, context = make_capture(board, ring, Script([0, 1, 2, 5, 6, 10]))
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 5, 6, 10]
    assert context.gaps() == [(3, 4, 2, "camera"), (7, 9, 3, "camera")]
    assert context.row.get("frames") == 6
    assert context.row.get("last_number") == 10
    assert context.ended == ["end of source"]
    with RingReader.attach(ring.name) as reader:
        assert reader.ended


def test_capture_stops_at_its_limits(board: Board, ring: RingWriter) -> None:
    settings = load(overrides={"source.frames": 4})
    capture, context = make_capture(board, ring, Script(list(range(20))), settings)
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 3]
    assert context.ended == ["--frames"]


@pytest.mark.parametrize("start_ns", [0, 10**15])
def test_the_duration_of_a_recording_is_its_own_time(board: Board, ring: RingWriter, start_ns: int) -> None:
    settings = load(overrides={"source.duration_s": 0.05})
    capture, context = make_capture(board, ring, Script(list(range(20)), CLIP, start_ns), settings)
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 3, 4]
    assert context.ended == ["--duration"]
    capture, context = make_capture(board, ring, Script(list(range(20)), CLIP, start_ns), settings)
    capture._resume()  # a successor counts from the first frame too
    assert capture._time_is_up(start_ns + 50_000_000)
    assert not capture._time_is_up(start_ns + 49_000_000)


def test_a_camera_runs_warm_and_starts_at_frame_0(board: Board, ring: RingWriter) -> None:
    source = Script(list(range(1000)))
    capture, context = make_capture(board, ring, source)
    read = source.read

    def watched(out: np.ndarray) -> Stamp | None:
        stamp = read(out)
        if stamp is not None and stamp.number == 500:
            context.started.set()
        return stamp

    source.read = watched  # type: ignore[method-assign]
    capture.wait_start()
    source._steps = deque([501, 502, 504])
    capture.run()
    assert numbers_in(ring) == [0, 1, 3]
    assert context.gaps() == [(2, 2, 1, "camera")]


def test_a_lost_camera_is_found_again(board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Script([0, 1, 2, SourceLostError("0: camera gone")])
    back = Script([0, 1, 2], start_ns=120_000_000)  # its frame 0 is exposed 100 ms after the last
    attempts = iter([SourceError("no camera"), SourceLostError("not yet"), back])

    def reopen(spec: str, request: SourceRequest) -> Script:
        step = next(attempts)
        if isinstance(step, Exception):
            raise step
        return step

    monkeypatch.setattr(capture_stage, "open_source", reopen)
    monkeypatch.setattr(capture_stage, "_RETRY_S", 0.01)
    capture, context = make_capture(board, ring, first)
    capture.run()
    assert first.closed
    assert [what for what, _ in context.notices] == ["camera gone", "camera back"]
    assert numbers_in(ring) == [0, 1, 2, 13, 14]  # frame 12 was read to learn the time
    assert context.gaps() == [(3, 12, 10, "reconnect")]


def test_numbers_that_fall_back_go_on(board: Board, ring: RingWriter) -> None:
    """A driver that starts its sequence anew without a word."""
    capture, context = make_capture(board, ring, Script([0, 1, 2, 0, 1, 3]))
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 3, 4, 6]
    assert context.gaps() == [(5, 5, 1, "camera")]


def test_a_camera_lost_while_warming_is_looked_for_after_the_start(
    board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Script([0, 1, SourceLostError("gone"), SourceLostError("gone"), 0])
    monkeypatch.setattr(capture_stage, "open_source", lambda spec, request: Script([7, 8, 9]))
    capture, context = make_capture(board, ring, source)
    threading.Timer(0.05, context.started.set).start()
    capture.wait_start()
    assert context.started.is_set()
    capture.run()
    assert numbers_in(ring) == [0, 1]
    assert context.gaps() == []


def test_the_duration_ends_also_without_a_camera(
    board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reopen(spec: str, request: SourceRequest) -> Script:
        raise SourceError("no camera")

    monkeypatch.setattr(capture_stage, "open_source", reopen)
    monkeypatch.setattr(capture_stage, "_RETRY_S", 0.01)
    settings = load(overrides={"source.duration_s": 0.1})
    capture, context = make_capture(board, ring, Script([0, SourceLostError("gone")]), settings)
    capture.run()
    assert context.ended == ["--duration"]


def test_patience_with_a_lost_camera_ends(board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def reopen(spec: str, request: SourceRequest) -> Script:
        raise SourceError("no camera")

    monkeypatch.setattr(capture_stage, "open_source", reopen)
    monkeypatch.setattr(capture_stage, "_RETRY_S", 0.01)
    settings = load(overrides={"source.reconnect_s": 0.05})
    capture, context = make_capture(board, ring, Script([0, SourceLostError("gone")]), settings)
    with pytest.raises(MerealtimeError, match="did not come back within"):
        capture.run()
    with RingReader.attach(ring.name) as reader:
        assert reader.ended, "the spotter must not wait for ever"
    assert context.gaps() == []


def test_a_camera_that_comes_back_with_another_size_is_refused(
    board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Script([0], SourceInfo(source="0", kind="camera", width=W * 2, height=H, fps=100.0))
    monkeypatch.setattr(capture_stage, "open_source", lambda spec, request: other)
    capture, _ = make_capture(board, ring, Script([0, SourceLostError("gone")]))
    with pytest.raises(SourceError, match="now gives 128x48"):
        capture.run()


def test_a_successor_goes_on_with_the_numbers(board: Board, ring: RingWriter) -> None:
    make_capture(board, ring, Script([0, 1, 2]))[0].run()
    capture, context = make_capture(board, ring, Script([0, 1, 2], start_ns=70_000_000))
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 8, 9]
    assert context.gaps() == [(3, 7, 5, "reconnect")]


def test_a_successor_reads_a_recording_from_where_it_was(board: Board) -> None:
    with RingWriter.create(f"{names.session_prefix()}again-ring", 32, H, W, lossless=1) as ring:
        make_capture(board, ring, Script([0, 1, 2], CLIP))[0].run()
        capture, context = make_capture(board, ring, Script(list(range(6)), CLIP))
        capture.run()
        assert numbers_in(ring) == [0, 1, 2, 3, 4, 5]
        assert context.gaps() == []


def test_lossless_capture_waits_for_the_reader(board: Board) -> None:
    with RingWriter.create(f"{names.session_prefix()}wait-ring", 4, H, W, lossless=1) as ring:
        capture, _ = make_capture(board, ring, Script(list(range(20)), CLIP))
        thread = threading.Thread(target=capture.run)
        thread.start()
        seen = []
        with RingReader.attach(ring.name, cursor=0) as reader:
            index = 0
            while reader.wait(index, 5.0) > index:
                found = reader.view(index)
                assert found is not None
                seen.append((found[1].number, int(found[0][0, 0])))
                reader.release(index)
                index += 1
        thread.join()
    assert seen == [(number, number) for number in range(20)]


class Sent:
    """A socket that keeps what it is given."""

    def __init__(self, *_: object) -> None:
        self.messages: list = []

    def send(self, message: codec.Message) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


class FakeMeter:
    """Sees a movement every ``every`` frames, and can be slow."""

    roi_names = ("brow", "mouth")

    def __init__(self, every: int = 5, pause_s: float = 0.0) -> None:
        self.seen: list[int] = []
        self.resets = 0
        self._every, self._pause_s = every, pause_s

    def process(self, gray: np.ndarray, number: int, t_ns: int) -> tuple[object, SpotEvent | None]:
        self.seen.append(number)
        assert (gray == number % 256).all()
        if self._pause_s:
            time.sleep(self._pause_s)
        notices = [("face found", "frame")] if len(self.seen) == 1 else []
        measurement = type("M", (), {"face": True, "difference": np.array([0.5, 1.0]), "notices": notices})()
        return measurement, self.event(number, t_ns) if len(self.seen) % self._every == 0 else None

    def event(self, number: int, t_ns: int) -> SpotEvent:
        return SpotEvent(
            kind="micro", onset=number - 4, apex=number - 2, offset=number, onset_t_ns=t_ns - 4, apex_t_ns=t_ns - 2,
            offset_t_ns=t_ns, score=5.0, rois={"brow": 0.5, "mouth": 1.0}, decided=number,
        )  # fmt: skip

    def crops(self, event: SpotEvent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if event.onset < 0:
            raise MerealtimeError("frame has left the history")
        return np.full((170, 140), 1, np.uint8), np.full((170, 140), 2, np.uint8), np.zeros((68, 2), np.float32)

    def flush(self) -> SpotEvent | None:
        return self.event(self.seen[-1], 0) if self.seen else None

    def reset(self) -> None:
        self.resets += 1

    def timings(self) -> dict[str, int]:
        return {"track": 1_000_000, "frames": len(self.seen)}


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sent]:
    made: dict[str, Sent] = {}

    def sender(_: object, endpoint: str) -> Sent:
        return made.setdefault(endpoint, Sent())

    monkeypatch.setattr(spot_stage.bus, "Sender", sender)
    monkeypatch.setattr(spot_stage.bus, "Broadcaster", sender)
    return made


def make_spot(
    board: Board, reader: RingReader, meter: FakeMeter, info: SourceInfo = LIVE, settings: Settings | None = None
) -> tuple[spot_stage.Spot, FakeContext]:
    context = FakeContext(board, "spot", settings)
    order = codec.Control(order="ring", ring=reader.name, info=info, fps=100.0)
    return spot_stage.Spot(context, reader, meter, order), context  # type: ignore[arg-type]


def put(ring: RingWriter, *numbers: int) -> None:
    for number in numbers:
        ring.reserve()[:] = number % 256
        ring.commit(number, number * 10_000_000, time.monotonic_ns())


def test_spot_sees_every_frame_and_sends_events(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    put(ring, *range(12))
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter()
        spot, context = make_spot(board, reader, meter)
        spot.run()
    assert meter.seen == list(range(12))
    *events, end = sockets["motion"].messages
    assert [event.id for event in events] == [0, 1, 2]
    assert [event.event.decided for event in events] == [4, 9, 11]
    assert isinstance(end, codec.Ended)
    first = events[0]
    assert first.capture_ns == 4 * 10_000_000  # a camera's exposure
    assert first.ring_ns <= first.taken_ns <= first.sent_ns
    assert codec.unpack_picture(first.apex).shape == (170, 140)
    assert context.row.get("frames") == 12
    assert context.row.get("next_id") == 3
    assert context.notices == [("face found", "frame")]
    assert sockets["ticks"].messages[0].difference == {"brow": 0.5, "mouth": 1.0}


def test_a_recording_is_timed_by_its_arrival(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    put(ring, *range(5))
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        make_spot(board, reader, FakeMeter(), CLIP)[0].run()
    event = sockets["motion"].messages[0]
    assert event.capture_ns == event.ring_ns


def test_a_lapped_spotter_counts_what_it_missed(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    settings = load(overrides={"spot.max_lag_s": 1000.0})
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter(every=10**6)
        spot, context = make_spot(board, reader, meter, settings=settings)
        spot._max_lag = 10**6
        put(ring, *range(100))  # the ring holds 32
        ring.finish()
        spot.run()
    gaps = context.gaps()
    assert [gap[3] for gap in gaps] == ["ring"]
    assert gaps[0][0] == 0
    assert gaps[0][1] == meter.seen[0] - 1
    assert gaps[0][2] + len(meter.seen) == 100
    assert meter.seen[-1] == 99


def test_a_slow_spotter_skips_to_the_newest_frame(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    settings = load(overrides={"spot.max_lag_s": 0.05})  # 5 frames
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter(every=10**6)
        spot, context = make_spot(board, reader, meter, settings=settings)
        put(ring, *range(20))
        ring.finish()
        spot.run()
    assert meter.seen == [19]
    assert context.gaps() == [(0, 18, 19, "spotter")]


def test_holes_of_the_camera_are_not_counted_twice(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter(every=10**6)
        spot, context = make_spot(board, reader, meter)
        put(ring, 0, 1, 5, 6)
        ring.finish()
        spot.run()
    assert meter.seen == [0, 1, 5, 6]
    assert context.gaps() == []  # capture reports 2–4


def test_ticks_keep_their_rate(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RingReader.attach(ring.name) as reader:
        spot, _ = make_spot(board, reader, FakeMeter())
        measurement = type("M", (), {"face": True, "difference": np.zeros(2), "notices": []})()
        clock = [10**12]
        monkeypatch.setattr(spot_stage.time, "monotonic_ns", lambda: clock[0])
        for number in range(400):  # two seconds at 200 fps; each frame is done with a little late
            clock[0] = 10**12 + number * 5_000_000 + number % 3 * 1_000_000
            spot._account(FrameHeader(number, number, clock[0], clock[0]), measurement, clock[0])
        assert len(sockets["ticks"].messages) == 40
        clock[0] += 10**9  # a second without frames is not caught up
        for number in range(400, 440):
            clock[0] += 5_000_000
            spot._account(FrameHeader(number, number, clock[0], clock[0]), measurement, clock[0])
        assert len(sockets["ticks"].messages) == 44


def test_an_id_is_used_up_before_its_event_is_sent(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the spotter's successor must not give it to another event."""
    put(ring, 0, 1, 2, 3, 4)
    ring.finish()
    known: list[int] = []
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        spot, context = make_spot(board, reader, FakeMeter(every=5))
        work = sockets["motion"]
        monkeypatch.setattr(work, "send", lambda message: known.append(context.row.get("next_id")))
        spot.run()
    assert known == [1, 2, 2]


def test_a_torn_frame_is_dropped_and_the_meter_reset(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ring, *range(4))
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter(every=2)
        spot, context = make_spot(board, reader, meter)
        monkeypatch.setattr(reader, "still_valid", lambda index: index not in (0, 1))
        spot.run()
    assert meter.resets == 2
    assert context.gaps() == [(0, 1, 2, "ring")]
    assert context.notices[0] == ("face found", "frame")  # though that frame was torn
    assert context.row.get("frames") == 2
    decided = [message.event.decided for message in sockets["motion"].messages[:-1]]
    assert 1 not in decided  # the movement seen in the torn frame


def test_an_event_older_than_the_history_is_told(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    put(ring, *range(3))
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        spot, context = make_spot(board, reader, FakeMeter(every=3))
        spot.run()
    assert ("event without crops", "frame has left the history") in context.notices
    assert context.row.get("next_id") == 0


def test_sent_events_are_sent_again(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    put(ring, *range(10))
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        spot, context = make_spot(board, reader, FakeMeter())
        spot.run()
        sockets["motion"].messages.clear()
        context.resend.extend([1])
        spot._resend()
    again, end = sockets["motion"].messages
    assert again.id == 1
    assert isinstance(end, codec.Ended)


def test_a_spotter_s_successor_accounts_for_what_was_missed(
    board: Board, ring: RingWriter, sockets: dict[str, Sent]
) -> None:
    put(ring, *range(5))
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        first, _ = make_spot(board, reader, FakeMeter())
        for _ in range(5):
            first._frame(time.monotonic_ns())
        put(ring, *range(5, 9))
    with RingReader.attach(ring.name) as reader:  # starts at the newest frame
        meter = FakeMeter()
        second, context = make_spot(board, reader, meter)
        ring.finish()
        second.run()
    assert meter.seen == [8]
    assert context.gaps() == [(5, 7, 3, "spotter")]
    assert context.row.get("frames") == 6
    assert sockets["motion"].messages[-2].id == 1  # ids go on


def test_refused_habits_are_told_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(habits.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(habits.os, "sched_setaffinity", refuse)
    runtime = load(overrides={"runtime.fifo_priority": 50, "runtime.cpus": {"spot": [0]}}).runtime
    assert "SCHED_FIFO refused" in habits.settle("spot", runtime)[0]
    assert "refused" in habits.pin("spot", runtime)[0]
    assert habits.settle("classify", runtime) == []
    assert habits.pin("motion", runtime) == []


def test_thread_environment_limits_each_library() -> None:
    environment = habits.thread_environment(1)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "TF_NUM_INTRAOP_THREADS"):
        assert environment[name] == "1"
