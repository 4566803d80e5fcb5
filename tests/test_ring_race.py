"""The ring at full speed between real processes: a frame that is read as whole is bit-exact for its number.

The same check is run against a ring whose readers skip the sequence word: it must catch that one, else it
proves nothing.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
import uuid
from typing import Any, NamedTuple

import numpy as np
import pytest

from realtime.ipc.ring import RingReader, RingWriter

spawn = mp.get_context("spawn")
HEIGHT, WIDTH = 120, 160


class Outcome(NamedTuple):
    whole: int
    wrong: int
    torn: int
    missing: int


class BlindReader(RingReader):
    """The mutation: believes every slot that it looks at."""

    def still_valid(self, index: int) -> bool:
        return True


def picture(number: int, out: np.ndarray) -> None:
    """Fill ``out`` so that each 8-byte word of it depends on the frame number and its place."""
    words = out.reshape(-1).view(np.uint64)
    np.multiply(_PLACES, np.uint64(2 * number + 1), out=words)


_PLACES = np.arange(1, HEIGHT * WIDTH // 8 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def write(name: str, frames: int, seed: int, lossless: bool) -> None:
    writer = RingWriter.attach(name)
    random = np.random.default_rng(seed)
    for number in range(frames):
        while lossless and not writer.wait_space(5):
            pass
        picture(number, writer.reserve())
        writer.commit(number, 10 * number, 10 * number + 1)
        if random.random() < 0.01:
            time.sleep(random.random() * 0.002)
    writer.finish()
    writer.close()


def read(cls: type[RingReader], name: str, cursor: int | None, seed: int, ready: Any, answer: Any) -> None:
    reader = cls.attach(name, cursor)
    ready.release()
    random = np.random.default_rng(seed)
    out, expected = np.empty((2, HEIGHT, WIDTH), np.uint8)
    index = reader.start
    whole = wrong = missing = 0
    while True:
        if reader.wait(index, 20) <= index:
            assert reader.ended, "the writer is silent"
            break
        header = read_slowly(reader, index, out) if random.random() < 0.05 else reader.copy(index, out)
        if header is None:
            missing += 1
            after = reader.catch_up(index + 1)
            missing += after - index - 1
            index = after
            continue
        picture(index, expected)
        whole += 1
        wrong += not (header.number == index and header.t_ns == 10 * index and np.array_equal(out, expected))
        reader.release(index)
        index += 1
        if random.random() < 0.01:
            time.sleep(random.random() * 0.01)
    answer.put(Outcome(whole, wrong, reader.torn, missing)._asdict())
    reader.close()


def read_slowly(reader: RingReader, index: int, out: np.ndarray) -> Any:
    """A reader that works on the view, and falls asleep in the middle of it."""
    found = reader.view(index)
    if found is None:
        return None
    half = HEIGHT // 2
    out[:half] = found[0][:half]
    time.sleep(0.001)
    out[half:] = found[0][half:]
    return found[1] if reader.still_valid(index) else None


def race(cls: type[RingReader], *, frames: int, slots: int, cursors: list[int | None], seed: int) -> list[Outcome]:
    name = f"merealtime-race-{uuid.uuid4().hex[:12]}"
    lossless = sum(cursor is not None for cursor in cursors)
    answer, ready = spawn.Queue(), spawn.Semaphore(0)
    with RingWriter.create(name, slots, HEIGHT, WIDTH, lossless=lossless):
        readers = [
            spawn.Process(target=read, args=(cls, name, cursor, seed + k, ready, answer))
            for k, cursor in enumerate(cursors, 1)
        ]
        for process in readers:
            process.start()
        for _ in readers:
            assert ready.acquire(timeout=60)
        writer = spawn.Process(target=write, args=(name, frames, seed, bool(lossless)))
        writer.start()
        outcomes = [Outcome(**answer.get(timeout=120)) for _ in readers]
        for process in [*readers, writer]:
            process.join(60)
            assert process.exitcode == 0
    assert not os.path.exists(f"/dev/shm/{name}")
    return outcomes


@pytest.mark.parametrize("seed", [1, 2])
def test_whole_frames_are_bit_exact_and_the_rest_is_counted(seed: int) -> None:
    for outcome in race(RingReader, frames=20_000, slots=8, cursors=[None, None, None], seed=seed):
        assert outcome.wrong == 0
        assert outcome.whole + outcome.missing == 20_000
        assert outcome.torn > 0, "the race was not run hard enough to mean anything"
        assert outcome.torn < outcome.missing, "no reader was lapped"


def test_the_check_catches_a_ring_without_the_sequence_word() -> None:
    outcomes = race(BlindReader, frames=20_000, slots=8, cursors=[None, None], seed=3)
    assert sum(outcome.wrong for outcome in outcomes) > 0


def test_lossless_readers_lose_nothing() -> None:
    for outcome in race(RingReader, frames=5_000, slots=8, cursors=[0, 1], seed=4):
        assert outcome == Outcome(whole=5_000, wrong=0, torn=0, missing=0)


def test_a_lossy_reader_does_not_disturb_a_lossless_one() -> None:
    outcomes = race(RingReader, frames=5_000, slots=4, cursors=[0, None], seed=5)
    assert max(outcome.whole for outcome in outcomes) == 5_000
    assert all(outcome.wrong == 0 and outcome.whole + outcome.missing == 5_000 for outcome in outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("slots", [2, 3, 16, 64])
def test_long_race(slots: int) -> None:
    for outcome in race(RingReader, frames=100_000, slots=slots, cursors=[None, None, None], seed=slots):
        assert outcome.wrong == 0
        assert outcome.whole + outcome.missing == 100_000
