"""Capture by itself, on a real ring, with a source that does as told."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import pytest
from _stages import CLIP, FakeContext, H, Script, W

from realtime.config import Settings, load
from realtime.errors import MerealtimeError, SourceError, SourceLostError
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.ipc.ring import RingReader, RingWriter
from realtime.sources.pacing import PacedSource
from realtime.stages import capture as capture_stage
from realtime.supervisor import cleanup
from realtime.types import SourceInfo, SourceRequest, Stamp


def make_capture(
    board: Board, ring: RingWriter, source: Script, settings: Settings | None = None
) -> tuple[capture_stage.Capture, FakeContext]:
    context = FakeContext(board, "capture", settings)
    order = messages.Control(order="ring", ring=ring.name, info=source.info, fps=100.0)
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
    ((first, last, count, cause),) = context.gaps()
    assert (first, last, cause) == (1, count, "reconnect"), "the time that it was waited for counts"
    assert count >= 4


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


def test_a_frame_that_a_capture_process_died_over_is_not_counted_twice(board: Board, ring: RingWriter) -> None:
    """It was in the ring, and analysed, but not yet in the counters."""
    make_capture(board, ring, Script([0, 1, 2]))[0].run()
    row = board.row("capture")
    for field, value in (("frames", 2), ("last_number", 1), ("last_t_ns", 10_000_000)):
        row.put(field, value)
    capture, context = make_capture(board, ring, Script([0, 1, 2], start_ns=70_000_000))
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 8, 9]
    assert context.gaps() == [(3, 7, 5, "reconnect")]
    assert row.get("frames") == 5


def test_a_gap_that_was_told_is_not_told_again_by_a_successor(
    board: Board, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture process dies after it has found its camera again and before the first frame."""
    back = Script([0, RuntimeError("killed")], start_ns=70_000_000)
    monkeypatch.setattr(capture_stage, "open_source", lambda spec, request: back)
    capture, context = make_capture(board, ring, Script([0, 1, 2, SourceLostError("gone")]))
    with pytest.raises(RuntimeError):
        capture.run()
    assert context.gaps() == [(3, 7, 5, "reconnect")]
    capture, context = make_capture(board, ring, Script([0, 1, 2], start_ns=90_000_000))
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 10, 11]
    assert context.gaps() == [(8, 9, 2, "reconnect")]


def test_a_successor_reads_a_recording_from_where_it_was(board: Board) -> None:
    with RingWriter.create(f"{cleanup.session_prefix()}again-ring", 32, H, W, lossless=1) as ring:
        make_capture(board, ring, Script([0, 1, 2], CLIP))[0].run()
        capture, context = make_capture(board, ring, Script(list(range(6)), CLIP))
        capture.run()
        assert numbers_in(ring) == [0, 1, 2, 3, 4, 5]
        assert context.gaps() == []


def paced(count: int, now_ns: list[int]) -> PacedSource:
    """A recording of that many frames at 100 fps, played by a clock that is ours to turn."""
    source = Script([], CLIP)
    stamps = iter(range(count))
    now: dict[str, int] = {}

    def advance() -> Stamp | None:
        now["number"] = next(stamps, -1)
        return Stamp(now["number"], now["number"] * 10_000_000) if now["number"] >= 0 else None

    def picture(out: np.ndarray) -> bool:
        out[:] = now["number"]
        return True

    source.advance, source.picture = advance, picture  # type: ignore[attr-defined]

    def sleep(seconds: float) -> None:
        now_ns[0] += round(seconds * 1e9)

    return PacedSource(source, lambda: now_ns[0], sleep)  # type: ignore[arg-type]


def test_a_successor_plays_a_live_recording_on(board: Board, ring: RingWriter) -> None:
    """It has gone on meanwhile: what was due is lost, and no picture gets another's number."""
    now_ns = [10**12]
    settings = load(overrides={"source.frames": 3})
    make_capture(board, ring, paced(10, now_ns), settings)[0].run()  # type: ignore[arg-type]
    now_ns[0] += 45_000_000
    capture, context = make_capture(board, ring, paced(10, now_ns))  # type: ignore[arg-type]
    capture.run()
    assert numbers_in(ring) == [0, 1, 2, 6, 7, 8, 9]
    assert context.gaps() == [(3, 5, 3, "reconnect")]
    with RingReader.attach(ring.name) as reader:
        for index in range(reader.count):
            found = reader.view(index)
            assert found is not None
            assert (found[0] == found[1].number).all()
            assert found[1].t_ns == 10**12 + found[1].number * 10_000_000


def test_frames_that_came_too_late_at_the_end_are_counted(board: Board, ring: RingWriter) -> None:
    now_ns = [10**12]
    source = paced(12, now_ns)
    capture, context = make_capture(board, ring, source)  # type: ignore[arg-type]
    read = source.read

    def slow(out: np.ndarray) -> Stamp | None:
        stamp = read(out)
        if stamp is not None and stamp.number == 6:
            now_ns[0] += 10**9
        return stamp

    source.read = slow  # type: ignore[method-assign]
    capture.run()
    assert numbers_in(ring) == list(range(7))
    assert context.gaps() == [(7, 11, 5, "camera")]
    assert context.row.get("last_number") == 11
    assert context.ended == ["end of source"]


def test_lossless_capture_waits_for_the_reader(board: Board) -> None:
    with RingWriter.create(f"{cleanup.session_prefix()}wait-ring", 4, H, W, lossless=1) as ring:
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


def test_a_recording_that_is_begun_again_is_counted_and_told_once(board: Board) -> None:
    """Its holes too; a successor that dies in the second pass goes on in it."""
    script = [0, 1, 4, 5, 6]
    with RingWriter.create(f"{cleanup.session_prefix()}pass-ring", 32, H, W, lossless=1) as ring:
        settings = load(overrides={"source.frames": 4})
        capture, context = make_capture(board, ring, Script(list(script), CLIP), settings)
        capture.run()
        row = context.row
        assert context.gaps() == [(2, 3, 2, "camera")]
        assert (row.get("frames"), row.get("last_number")) == (4, 5)
        first = RingWriter.attach(ring.name).reopen()
        order = messages.Control(order="ring", ring=ring.name, info=CLIP, fps=100.0, first=first)
        died = Script([*script[:3], RuntimeError("killed")], CLIP)
        context = FakeContext(board, "capture")
        with pytest.raises(RuntimeError):
            capture_stage.Capture(context, died, context.settings.source, order).run()  # type: ignore[arg-type]
        assert (row.get("frames"), row.get("last_number")) == (4, 5), "counters never go back"
        RingWriter.attach(ring.name).reopen()
        last = capture_stage.Capture(context, Script(list(script), CLIP), context.settings.source, order)  # type: ignore[arg-type]
        last.run()
        assert numbers_in(ring) == [0, 1, 4, 5, 0, 1, 4, 5, 6]
        assert context.gaps() == []
        assert (row.get("frames"), row.get("last_number"), row.get("dropped")) == (5, 6, 2)
