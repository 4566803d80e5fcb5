"""The ring of gray frames: what one process writes, others read whole, or know that they did not."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from realtime.errors import RingError
from realtime.ipc import _ring_memory, futex
from realtime.ipc.ring import RingReader, RingWriter, ring_bytes

spawn = mp.get_context("spawn")


@pytest.fixture
def name() -> Iterator[str]:
    ring = f"merealtime-test-{uuid.uuid4().hex[:12]}"
    yield ring
    path = f"/dev/shm/{ring}"
    if os.path.exists(path):
        os.unlink(path)


def put(writer: RingWriter, number: int) -> None:
    writer.reserve()[...] = number % 251
    writer.commit(number, 1000 * number, 1000 * number + 1)


def test_frame_and_header_come_back_as_written(name: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (37, 53), np.uint8)
    with RingWriter.create(name, 4, 37, 53) as writer, RingReader.attach(name) as reader:
        writer.reserve()[...] = frame
        assert writer.commit(7, -5, 2**60) == 0
        out = np.empty_like(frame)
        header = reader.copy(0, out)
        assert header is not None
        assert (header.index, header.number, header.t_ns, header.captured_ns) == (0, 7, -5, 2**60)
        np.testing.assert_array_equal(out, frame)
        found = reader.view(0)
        assert found is not None
        assert not found[0].flags.writeable
        np.testing.assert_array_equal(found[0], frame)
        assert reader.still_valid(0)
        assert reader.torn == 0


def test_lapped_frames_are_known(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as writer, RingReader.attach(name) as reader:
        for number in range(10):
            put(writer, number)
        out = np.empty((8, 8), np.uint8)
        assert [i for i in range(10) if reader.copy(i, out) is not None] == [6, 7, 8, 9]
        assert reader.catch_up(2) == 8
        assert reader.catch_up(9) == 9


def test_view_that_is_overwritten_is_torn(name: str) -> None:
    with RingWriter.create(name, 2, 8, 8) as writer, RingReader.attach(name) as reader:
        put(writer, 0)
        assert reader.view(0) is not None
        put(writer, 1)
        assert reader.still_valid(0)
        writer.reserve()  # the slot of frame 0: odd from here
        assert not reader.still_valid(0)
        assert reader.torn == 1
        writer.abandon()
        assert not reader.still_valid(0), "an abandoned slot may be spoilt"
        put(writer, 2)
        assert reader.view(2) is not None


def test_misuse_is_a_ring_error(name: str) -> None:
    with RingWriter.create(name, 2, 8, 8, lossless=1) as writer, RingReader.attach(name) as reader:
        with pytest.raises(RingError, match="not written yet"):
            reader.view(0)
        with pytest.raises(RingError, match="without reserve"):
            writer.commit(0, 0, 0)
        writer.reserve()
        with pytest.raises(RingError, match="twice"):
            writer.reserve()
        with pytest.raises(RingError, match="exists"):
            RingWriter.create(name, 2, 8, 8)
        with pytest.raises(RingError, match="no cursor 1"):
            RingReader.attach(name, cursor=1)
        other = RingWriter.attach(name)
        with pytest.raises(RingError, match="only the process that created"):
            other.unlink()
        other.close()
    with pytest.raises(RingError, match="No such file"):
        RingReader.attach(name)
    with pytest.raises(RingError, match="must start with"):
        RingWriter.create("elsewhere", 2, 8, 8)


def test_foreign_or_half_made_file_is_refused(name: str) -> None:
    for content in (b"", b"\0" * 100, b"\0" * 100_000):
        with open(f"/dev/shm/{name}", "wb") as file:
            file.write(content)
        with pytest.raises(RingError, match=r"no ring|not made by"):
            RingReader.attach(name)


def test_undersized_shared_memory_is_one_line_not_a_bus_error(name: str) -> None:
    stat = os.statvfs("/dev/shm")
    slots = stat.f_bavail * stat.f_frsize // (480 * 640) + 100
    with pytest.raises(RingError, match=r"\d+ MB needed, \d+ MB free in /dev/shm") as caught:
        RingWriter.create(name, slots, 480, 640)
    assert "\n" not in str(caught.value)
    assert not os.path.exists(f"/dev/shm/{name}")


def test_allocation_refused_by_the_kernel_leaves_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_ring_memory.os, "posix_fallocate", refuse)
    with pytest.raises(RingError, match="No space left"):
        RingWriter.create(name, 4, 480, 640)
    assert not os.path.exists(f"/dev/shm/{name}")


def test_every_page_is_allocated_before_the_first_frame(name: str) -> None:
    with RingWriter.create(name, 16, 480, 640):
        stat = os.stat(f"/dev/shm/{name}")
        assert stat.st_size == ring_bytes(16, 480, 640)
        assert stat.st_blocks * 512 >= stat.st_size
        assert stat.st_mode & 0o777 == 0o600


def test_lossless_writer_waits_for_the_slowest_cursor(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8, lossless=2) as writer:
        quick, slow = RingReader.attach(name, 0), RingReader.attach(name, 1)
        for number in range(4):
            assert writer.wait_space(0)
            put(writer, number)
        quick.release(3)
        assert not writer.wait_space(0.01)
        slow.release(0)
        assert writer.wait_space(0)
        put(writer, 4)
        assert not writer.wait_space(0)
        slow.close()
        assert writer.wait_space(0), "a reader that left holds nobody up"
        quick.close()


def test_writer_sleeping_for_space_is_woken(name: str) -> None:
    with RingWriter.create(name, 2, 8, 8, lossless=1) as writer, RingReader.attach(name, 0) as reader:
        put(writer, 0)
        put(writer, 1)
        threading.Timer(0.2, reader.release, (0,)).start()
        assert writer.wait_space(5)


def test_cursor_survives_its_reader(name: str) -> None:
    """A restarted lossless reader goes on where the dead one stopped; one that was closed holds nobody up."""
    with RingWriter.create(name, 8, 8, 8, lossless=1) as writer:
        for number in range(6):
            put(writer, number)
        first = RingReader.attach(name, 0)
        assert first.start == 0
        first.release(3)
        second = RingReader.attach(name, 0)
        assert second.start == 4  # the first was never closed: it "died"
        second.close()
        assert writer.wait_space(0)
        assert RingReader.attach(name, 0).start == 6
        assert RingReader.attach(name).start == 5


def test_end_of_stream_wakes_a_waiting_reader(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as writer, RingReader.attach(name) as reader:
        put(writer, 0)
        threading.Timer(0.2, writer.finish).start()
        assert reader.wait(1, 10) == 1
        assert reader.ended


def test_polling_does_where_there_is_no_futex(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futex, "_found", None)
    assert not futex.available()
    with RingWriter.create(name, 4, 8, 8) as writer, RingReader.attach(name) as reader:
        threading.Timer(0.1, put, (writer, 0)).start()
        assert reader.wait(0, 5) == 1


def test_second_writer_goes_on_where_the_first_stopped(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as owner, RingReader.attach(name) as reader:
        first = RingWriter.attach(name)
        put(first, 0)
        first.reserve()
        first.close()  # dies in the middle of slot 1
        second = RingWriter.attach(name)
        assert second.count == owner.count == 1
        put(second, 5)
        found = reader.view(1)
        assert found is not None
        assert found[1].number == 5
        second.close()


def test_close_with_a_view_still_out(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as writer:
        reader = RingReader.attach(name)
        put(writer, 3)
        found = reader.view(0)
        reader.close()
        assert found is not None
        assert int(found[0][0, 0]) == 3


def _hold(name: str, ready: object) -> None:
    reader = RingReader.attach(name)
    reader.wait(0, 10)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(60)


def _write_half_a_frame(name: str) -> None:
    writer = RingWriter.attach(name)
    put(writer, 0)
    writer.reserve()[:4] = 99
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_reader_leaves_the_segment_and_nobody_unlinks(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as writer:
        put(writer, 0)
        ready = spawn.Event()
        child = spawn.Process(target=_hold, args=(name, ready))
        child.start()
        assert ready.wait(30)
        child.kill()
        child.join(30)
        put(writer, 1)
        with RingReader.attach(name) as reader:
            assert reader.count == 2
    assert not os.path.exists(f"/dev/shm/{name}")


def test_reader_that_exits_unlinks_nothing(name: str) -> None:
    """Python 3.11's resource tracker would: a whole interpreter comes and goes here."""
    with RingWriter.create(name, 4, 8, 8) as writer:
        put(writer, 0)
        code = f"from realtime.ipc.ring import RingReader as R; print(R.attach({name!r}).count)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("1\n", "")
        assert os.path.exists(f"/dev/shm/{name}")


def test_writer_dead_in_the_middle_of_a_slot_does_not_hang_the_reader(name: str) -> None:
    with RingWriter.create(name, 4, 8, 8) as owner, RingReader.attach(name) as reader:
        child = spawn.Process(target=_write_half_a_frame, args=(name,))
        child.start()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
        assert owner.count == 1
        assert reader.wait(1, 0.2) == 1
        assert not reader.ended
        assert reader.view(0) is not None
