"""A spotter that dies, and its successor: nothing is lost, nothing is told twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from _spot_stage import FakeMeter, Sent, make_spot, put
from _stages import CLIP

from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.ipc.ring import RingReader, RingWriter
from realtime.ipc.sent import SentEvents
from realtime.stages import spot as spot_stage
from realtime.stages.takeover import Needed
from realtime.supervisor import cleanup


@pytest.fixture
def kept() -> Iterator[SentEvents]:
    made = SentEvents.create(f"{cleanup.session_prefix()}tests-sent")
    yield made
    made.close()
    made.unlink()


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


def test_nobody_begins_in_the_midst_of_a_fall() -> None:
    """A movement from 1.0 to 1.3 s, another from 1.5 to 1.6 s: until half a second after, before the first."""
    needed = Needed(100.0)
    begins = {}
    for index in range(300):
        t_ns = index * 10_000_000
        since = 1_000_000_000 if 100 <= index < 130 else 1_500_000_000 if 150 <= index < 160 else None
        begins[index] = needed.index(index + 1, t_ns, since)
    assert [begins[i] for i in (20, 80, 99)] == [0, 30, 49], "at rest: half a second"
    assert {begins[i] for i in range(100, 210)} == {50}
    assert [begins[i] for i in (211, 299)] == [161, 249], "what it begins with is rest"


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
