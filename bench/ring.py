"""What the ring costs: a frame written and read, against memcpy and ``multiprocessing``.

    python bench/ring.py [--size 640x480] [--frames 4000] [--json bench/results/ring.json]

"Of it own" is what the ring adds to the copy of the pixels. "Delivered" is the time from handing a frame over in
one process to having its copy in another that slept, at 200 frames a second; the ways take turns, and the median
of the rounds counts.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from _harness import machine, write_json  # noqa: E402

from realtime.ipc.ring import RingReader, RingWriter  # noqa: E402

SPAWN = mp.get_context("spawn")
SLOTS = 64
PACE_S = 1 / 200
ROUNDS = 5


def median_us(run: Callable[[int], object], count: int) -> float:
    """Median time of ``run(0) … run(count - 1)``, µs."""
    times = np.empty(count)
    for index in range(count):
        start = time.perf_counter_ns()
        run(index)
        times[index] = time.perf_counter_ns() - start
    return float(np.median(times) / 1e3)


def single_process(height: int, width: int, count: int) -> dict[str, float]:
    """Copy, write and read in one process, nobody waiting."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    pool = np.empty((SLOTS, height, width), np.uint8)
    out = np.empty_like(frame)
    with RingWriter.create(f"merealtime-bench-{os.getpid()}", SLOTS, height, width) as writer:

        def write(index: int) -> None:
            writer.reserve()[...] = frame
            writer.commit(index, index, index)

        def write_nothing(index: int) -> None:
            writer.reserve()
            writer.commit(index, index, index)

        with RingReader.attach(writer.name) as reader:
            result = {
                "memcpy_us": median_us(lambda n: np.copyto(pool[n % SLOTS], frame), count),
                "write_us": median_us(write, count),
                "write_own_us": median_us(write_nothing, count),
            }
            last = reader.count - SLOTS + 1
            result["read_copy_us"] = median_us(lambda n: reader.copy(last + n % (SLOTS - 1), out), count)

            def look(index: int) -> None:
                at = last + index % (SLOTS - 1)
                reader.wait(at, 0)
                reader.view(at)
                reader.still_valid(at)
                reader.release(at)

            result["read_view_us"] = median_us(look, count)
            assert reader.torn == 0
    size = height * width
    result["memcpy_mb_s"] = size / result["memcpy_us"]
    result["write_mb_s"] = size / result["write_us"]
    return result


# Two processes: each way is a producer and a consumer of the same frames.


def ring_consumer(name: str, pipe: Any, count: int) -> None:
    reader = RingReader.attach(name, 0)
    out = np.empty((reader.height, reader.width), np.uint8)
    late = []
    pipe.send("ready")
    for index in range(count):
        reader.wait(index, 30)
        header = reader.copy(index, out)
        assert header is not None
        late.append(time.monotonic_ns() - header.captured_ns)
        reader.release(index)
    pipe.send(late)


def through_ring(frame: np.ndarray, count: int, pace_s: float) -> tuple[float, list[int]]:
    name = f"merealtime-bench-{os.getpid()}"
    with RingWriter.create(name, SLOTS, *frame.shape, lossless=1) as writer:

        def send(index: int) -> None:
            while not writer.wait_space(30):
                pass
            writer.reserve()[...] = frame
            writer.commit(index, 0, time.monotonic_ns())

        return run_pair(ring_consumer, (name,), send, count, pace_s)


def queue_consumer(name: str, shape: tuple[int, int], full: Any, free: Any, pipe: Any, count: int) -> None:
    memory = shared_memory.SharedMemory(name)
    pool = np.ndarray((SLOTS, *shape), np.uint8, memory.buf)
    out = np.empty(shape, np.uint8)
    late = []
    pipe.send("ready")
    for _ in range(count):
        slot, sent = full.get()
        np.copyto(out, pool[slot])
        late.append(time.monotonic_ns() - sent)
        free.put(slot)
    pipe.send(late)
    memory.close()


def through_queue(frame: np.ndarray, count: int, pace_s: float) -> tuple[float, list[int]]:
    """The usual way: a pool in shared memory, indices through two ``mp.Queue``."""
    memory = shared_memory.SharedMemory(create=True, size=SLOTS * frame.size)
    pool = np.ndarray((SLOTS, *frame.shape), np.uint8, memory.buf)
    pool[:] = 0
    full, free = SPAWN.Queue(), SPAWN.Queue()
    for slot in range(SLOTS):
        free.put(slot)

    def send(_: int) -> None:
        slot = free.get()
        np.copyto(pool[slot], frame)
        full.put((slot, time.monotonic_ns()))

    try:
        return run_pair(queue_consumer, (memory.name, frame.shape, full, free), send, count, pace_s)
    finally:
        memory.close()
        memory.unlink()


def pipe_consumer(frames: Any, pipe: Any, count: int) -> None:
    late = []
    pipe.send("ready")
    for _ in range(count):
        frame, sent = frames.recv()
        assert frame.size
        late.append(time.monotonic_ns() - sent)
    pipe.send(late)


def through_pipe(frame: np.ndarray, count: int, pace_s: float) -> tuple[float, list[int]]:
    """The simple way: the frame itself, pickled, through an ``mp.Pipe``."""
    receive, transmit = SPAWN.Pipe(duplex=False)
    return run_pair(pipe_consumer, (receive,), lambda _: transmit.send((frame, time.monotonic_ns())), count, pace_s)


def run_pair(
    consumer: Callable[..., None],
    arguments: tuple[Any, ...],
    send: Callable[[int], object],
    count: int,
    pace_s: float,
) -> tuple[float, list[int]]:
    """Seconds for ``count`` frames and the delay of each, ns. ``pace_s`` 0: as fast as it goes."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=consumer, args=(*arguments, theirs, count))
    process.start()
    assert ours.recv() == "ready"
    start = time.perf_counter()
    for index in range(count):
        if pace_s:
            time.sleep(max(0.0, start + index * pace_s - time.perf_counter()))
        send(index)
    late: list[int] = ours.recv()
    seconds = time.perf_counter() - start
    process.join()
    return seconds, late


def two_processes(frame: np.ndarray, count: int) -> dict[str, dict[str, float]]:
    ways = {"ring": through_ring, "shared memory + mp.Queue": through_queue, "mp.Pipe, pickled": through_pipe}
    rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            seconds, _ = run(frame, count, 0)
            _, late = run(frame, min(count, 400), PACE_S)
            p50, p99 = np.percentile(late[20:], [50, 99]) / 1e3
            rows[way].append((count / seconds, p50, p99))
    names = ("frames_per_s", "delivered_p50_us", "delivered_p99_us")
    return {way: dict(zip(names, np.median(row, axis=0).tolist(), strict=True)) for way, row in rows.items()}


def show(single: dict[str, float], pairs: dict[str, dict[str, float]], size: str) -> None:
    table = Table(title=f"one process, {size}, µs a frame (median)")
    for column in (
        "memcpy",
        "write",
        "of it own",
        "read, copied",
        "read in place",
        "memcpy MB/s",
        "write MB/s",
    ):
        table.add_column(column, justify="right")
    keys = (
        "memcpy_us",
        "write_us",
        "write_own_us",
        "read_copy_us",
        "read_view_us",
        "memcpy_mb_s",
        "write_mb_s",
    )
    table.add_row(*(f"{single[key]:.1f}" if key.endswith("us") else f"{single[key]:.0f}" for key in keys))
    both = Table(title="two processes")
    both.add_column("way")
    for column in ("frames/s, flat out", "delivered p50 µs", "p99 µs"):
        both.add_column(column, justify="right")
    for way, row in pairs.items():
        both.add_row(way, *(f"{value:.0f}" for value in row.values()))
    console = Console()
    console.print(table)
    console.print(both)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the frame ring costs, against memcpy and multiprocessing.")
    parser.add_argument("--size", default="640x480", help="picture, WxH px")
    parser.add_argument("--frames", type=int, default=4000, help="frames a case")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "ring.json")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    frame = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    single = single_process(height, width, arguments.frames)
    pairs = two_processes(frame, arguments.frames)
    show(single, pairs, arguments.size)
    stamp = {"machine": machine(), "size": arguments.size, "frames": arguments.frames}
    write_json(arguments.json, {**stamp, "one_process": single, "two_processes": pairs})


if __name__ == "__main__":
    main()
