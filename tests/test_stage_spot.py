"""The spotting stage by itself, on a real ring, with a meter that does as told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from _stages import CLIP, LIVE, FakeContext

from realtime.config import Settings, load
from realtime.errors import MerealtimeError
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.ipc.ring import FrameHeader, RingReader, RingWriter
from realtime.ipc.sent import SentEvents
from realtime.stages import spot as spot_stage
from realtime.stages.ticks import TickSender
from realtime.supervisor import cleanup
from realtime.types import SourceInfo, SpotEvent
from realtime.vision.spotting.face_meter import Measurement


class Sent:
    """A socket that keeps what it is given."""

    def __init__(self, *_: object) -> None:
        self.messages: list = []

    def send(self, message: messages.Message) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


class FakeMeter:
    """Sees a movement every ``every`` frames, and can be slow."""

    roi_names = ("brow", "mouth")
    open_ns: int | None = None

    def __init__(self, every: int = 5, pause_s: float = 0.0) -> None:
        self.seen: list[int] = []
        self.resets = 0
        self._every, self._pause_s = every, pause_s

    def process(
        self, gray: np.ndarray, number: int, t_ns: int, is_whole: Callable[[], bool] | None = None
    ) -> tuple[object, list[SpotEvent]]:
        if is_whole is not None and not is_whole():
            return None, []
        self.seen.append(number)
        assert (gray == number % 256).all()
        if self._pause_s:
            time.sleep(self._pause_s)
        notices = [("face found", "frame")] if len(self.seen) == 1 else []
        measurement = Measurement(True, np.array([0.5, 1.0]), notices)
        return measurement, [self.event(number, t_ns)] if len(self.seen) % self._every == 0 else []

    def event(self, number: int, t_ns: int) -> SpotEvent:
        return SpotEvent(
            kind="micro", onset=number - 4, apex=number - 2, offset=number, onset_t_ns=t_ns - 4, apex_t_ns=t_ns - 2,
            offset_t_ns=t_ns, score=5.0, rois={"brow": 0.5, "mouth": 1.0}, decided=number,
        )  # fmt: skip

    def crops(self, event: SpotEvent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if event.onset < 0:
            raise MerealtimeError("frame has left the history")
        return np.full((170, 140), 1, np.uint8), np.full((170, 140), 2, np.uint8), np.zeros((68, 2), np.float32)

    def flush(self) -> list[SpotEvent]:
        return [self.event(self.seen[-1], 0)] if self.seen else []

    @property
    def open_since_ns(self) -> int | None:
        return self.open_ns

    def sensitivities(self) -> dict[str, dict[str, float]]:
        return {"": {}}

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
    board: Board,
    reader: RingReader,
    meter: FakeMeter,
    info: SourceInfo = LIVE,
    settings: Settings | None = None,
    **order: float,
) -> tuple[spot_stage.Spot, FakeContext]:
    context = FakeContext(board, "spot", settings)
    kept = order.pop("kept", None)
    ring = messages.Control(order="ring", ring=reader.name, info=info, **{"fps": 100.0, **order})  # type: ignore[arg-type]
    return spot_stage.Spot(context, reader, meter, ring, kept), context  # type: ignore[arg-type]


@pytest.fixture
def kept() -> Iterator[SentEvents]:
    made = SentEvents.create(f"{cleanup.session_prefix()}tests-sent")
    yield made
    made.close()
    made.unlink()


def put(ring: RingWriter, *numbers: int, step_ns: int = 10_000_000) -> None:
    for number in numbers:
        ring.reserve()[:] = number % 256
        ring.commit(number, number * step_ns, time.monotonic_ns())


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
    assert end == messages.Ended(stage="spot")
    first = events[0]
    assert first.capture_ns == 4 * 10_000_000  # a camera's exposure
    assert first.ring_ns <= first.taken_ns <= first.sent_ns
    assert messages.unpack_picture(first.apex).shape == (170, 140)
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


def test_ticks_keep_their_rate(board: Board, sockets: dict[str, Sent]) -> None:
    ticks = TickSender(FakeContext(board, "spot"), FakeMeter.roi_names)  # type: ignore[arg-type]
    seen = [Measurement(True, np.zeros(2))]
    now = 10**12
    for number in range(400):  # two seconds at 200 fps; each frame is done with a little late
        now = 10**12 + number * 5_000_000 + number % 3 * 1_000_000
        ticks.take(FrameHeader(number, number, now, now), seen, now)
    assert len(sockets["ticks"].messages) == 40
    now += 10**9  # a second without frames is not caught up
    for number in range(400, 440):
        now += 5_000_000
        ticks.take(FrameHeader(number, number, now, now), seen, now)
    assert len(sockets["ticks"].messages) == 44


def test_of_several_faces_each_in_view_has_a_tick(board: Board, sockets: dict[str, Sent]) -> None:
    ticks = TickSender(FakeContext(board, "spot"), FakeMeter.roi_names)  # type: ignore[arg-type]

    def seen(number: int, size: float, face: bool = True) -> Measurement:
        return Measurement(face, np.array([size, 0.0]), number=number)

    def take(number: int, *faces: Measurement) -> list[tuple[object, ...]]:
        sockets["ticks"].messages.clear()
        now = number * 5_000_000
        ticks.take(FrameHeader(number, number, now, now), list(faces), now)
        sent = [messages.decode_broadcast(messages.encode(tick)) for tick in sockets["ticks"].messages]
        return [(tick.frame, tick.face, tick.found, tick.peak["brow"]) for tick in sent]

    assert take(100, seen(0, 1.0), seen(2, 3.0)) == [(100, 0, True, 1.0), (100, 2, True, 3.0)]
    assert take(105, seen(0, 2.0), seen(2, 4.0)) == [], "20 a second, for all of them"
    assert take(110, seen(2, 1.0)) == [(110, 2, True, 4.0)], "face 0 has left"
    (nobody,) = take(120, seen(0, 0.0, face=False))
    assert nobody == (120, 0, False, 0.0)
    assert nobody[1] is not False, "the number of a face, also when it is not there"
    assert take(130, Measurement(True, np.zeros(2)))[0][1] is True, "where one is followed, whether it is there"


def test_what_each_face_can_show_is_stated_once(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = FakeMeter(every=10**6)
    levels = {"face 0: ": {"brow": 0.2, "mouth": 0.3}, "face 1: ": {"brow": 0.4}}
    monkeypatch.setattr(meter, "sensitivities", lambda: levels)
    put(ring, *range(30))
    put(ring, 150, 151)  # more than a second later
    ring.finish()
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        spot, context = make_spot(board, reader, meter, CLIP)
        spot.run()
    assert [detail for what, detail in context.notices if what == "sensitivity"] == [
        "face 0: 0.20 to 0.30 px (mouth), face 152 px wide",
        "face 1: 0.40 to 0.40 px (brow), face 152 px wide",
    ]


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


def test_a_torn_frame_is_forgotten_and_nothing_else_is_lost(
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
    assert meter.seen == [2, 3], "the meter goes on as if the torn frames had been lost"
    assert context.gaps() == [(0, 1, 2, "ring")]
    assert context.row.get("frames") == 2
    # the event of frame 3 was on its way out: its onset lies before the first frame, which is said and not silent
    assert ("event without crops", "frame has left the history") in context.notices


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
        context.resend.append([1])
        context.resend.append([])  # nothing is missed, but the end mark may be
        spot._resend()
    again, end, once_more = sockets["motion"].messages
    assert again.id == 1
    assert end == once_more == messages.Ended(stage="spot")


def run_until_killed(spot: spot_stage.Spot, frames: int) -> None:
    for _ in range(frames):
        spot._frame(time.monotonic_ns())


def test_a_successor_finds_what_was_under_way_and_tells_nothing_twice(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], kept: SentEvents
) -> None:
    """It goes back to before the movement that was under way; what it sees again is not counted again."""
    put(ring, *range(13), step_ns=100_000_000)
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter()
        first, _ = make_spot(board, reader, meter, fps=10.0, kept=kept)
        run_until_killed(first, 11)
        meter.open_ns = 600_000_000  # since frame 6
        run_until_killed(first, 1)
    assert board.row("spot").get("needed_index") == 1, "half a second before that, by the frame that was the last"
    meter = FakeMeter()
    meter.seen = [0]  # so that its events come at the same frames
    with RingReader.attach(ring.name) as reader:
        second, context = make_spot(board, reader, meter, fps=10.0, kept=kept)
        ring.finish()
        second.run()
        context.resend.append([0, 1])
        second._resend()
    assert meter.seen == list(range(13))
    assert context.gaps() == []
    assert context.notices == [], "it has been told that there is a face"
    assert context.row.get("frames") == 13
    sent = [m for m in sockets["motion"].messages if isinstance(m, messages.Spotted)]
    assert [m.id for m in sent] == [0, 1, 2, 0, 1], "two by the first, one at the end, and two again that it never saw"
    assert [m.event.apex for m in sent] == [2, 7, 10, 2, 7]


def test_an_event_that_a_spotter_died_over_is_sent_by_its_successor(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], kept: SentEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ring, *range(6), step_ns=100_000_000)
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        first, _ = make_spot(board, reader, FakeMeter(), fps=10.0, kept=kept)

        def die(_: messages.Message) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(first._work, "send", die)
            with pytest.raises(RuntimeError):
                run_until_killed(first, 6)
    board.row("spot").put("next_id", 0)  # killed a moment earlier
    with RingReader.attach(ring.name) as reader:
        second, context = make_spot(board, reader, FakeMeter(every=99), fps=10.0, kept=kept)
        assert context.row.get("next_id") == 1, "the supervisor will ask for it"
        context.resend.append([0])
        second._resend()
    assert [m.id for m in sockets["motion"].messages] == [0]


def test_a_successor_counts_what_the_ring_has_lost(board: Board, ring: RingWriter, sockets: dict[str, Sent]) -> None:
    put(ring, *range(5))
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        run_until_killed(make_spot(board, reader, FakeMeter())[0], 5)
        put(ring, *range(5, 50))
    with RingReader.attach(ring.name) as reader:
        meter = FakeMeter()
        second, context = make_spot(board, reader, meter)
        ring.finish()
        second.run()
    assert meter.seen == list(range(26, 50)), "the oldest safe frame of 32, though that is far behind"
    assert context.gaps() == [(5, 25, 21, "spotter")]
    assert context.row.get("frames") == 5 + 24


@pytest.mark.parametrize("deaths", [1, 2])
def test_of_a_recording_all_is_seen_again_and_counted_once(
    deaths: int, board: Board, sockets: dict[str, Sent], kept: SentEvents
) -> None:
    with RingWriter.create(f"{cleanup.session_prefix()}twice-ring", 64, 48, 64, lossless=1) as ring:
        first = 0
        for _ in range(deaths):
            put(ring, *range(14))
            with RingReader.attach(ring.name, cursor=0) as reader:
                run_until_killed(make_spot(board, reader, FakeMeter(), CLIP, kept=kept, first=first)[0], 12)
            first = ring.reopen()
        sockets["motion"].messages.clear()
        meter = FakeMeter()
        with RingReader.attach(ring.name, cursor=0) as reader:
            last, context = make_spot(board, reader, meter, CLIP, kept=kept, first=first)
            assert not ring.wait_space(0.0) or ring.count - first < 64
            put(ring, *range(20))
            ring.finish()
            last.run()
    assert meter.seen == list(range(20))
    assert (context.row.get("frames"), context.row.get("last_number")) == (20, 19)
    assert context.notices == []
    assert context.gaps() == []
    *events, end = sockets["motion"].messages
    assert [event.id for event in events] == [0, 1, 2, 3, 4], "the same ids: the journal passes over those it has"
    assert isinstance(end, messages.Ended)


def test_frames_that_come_with_the_end_are_seen(
    board: Board, ring: RingWriter, sockets: dict[str, Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loaded machine: between a wait in vain and the look whether the source has ended, the last frames come."""
    put(ring, *range(3))
    with RingReader.attach(ring.name) as reader:
        reader.start = 0
        meter = FakeMeter()
        spot, context = make_spot(board, reader, meter)
        wait = reader.wait

        def slow(index: int, timeout_s: float) -> int:
            count = wait(index, 0.001)
            if index == count == 3:
                put(ring, *range(3, 20))
                ring.finish()
            return count

        monkeypatch.setattr(reader, "wait", slow)
        spot.run()
    assert meter.seen == list(range(20))
    assert context.row.get("frames") == 20


def test_what_is_kept_outlives_the_spotter_and_half_an_event_is_none(kept: SentEvents, ring: RingWriter) -> None:
    event = FakeMeter().event(10, 10**9)
    picture = messages.pack_picture(np.zeros((170, 140), np.uint8))

    def spotted(number: int) -> messages.Spotted:
        return messages.Spotted(
            id=number, event=event, onset=picture, apex=picture, landmarks=bytes(544), capture_ns=1, ring_ns=2,
            taken_ns=3, sent_ns=4,
        )  # fmt: skip

    for number in range(40):
        kept.keep(spotted(number))
    other = SentEvents.attach(kept.name)
    assert [message.id for message in other.all()] == list(range(8, 40))
    assert other.all()[0] == spotted(8)
    kept._memory[64 * 1024 * (39 % 32)] = 0  # as while it is written
    kept._memory[64 * 1024 * (38 % 32) + 16] ^= 0xFF
    assert [message.id for message in other.all()] == list(range(8, 38))
    other.close()
