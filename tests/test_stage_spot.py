"""The spotting stage by itself, on a real ring, with a meter that does as told."""

from __future__ import annotations

import numpy as np
import pytest
from _spot_stage import FakeMeter, Sent, make_spot, put
from _stages import CLIP, FakeContext

from realtime.config import load
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.ipc.ring import FrameHeader, RingReader, RingWriter
from realtime.stages.ticks import TickSender
from realtime.vision.spotting.face_meter import Measurement


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
