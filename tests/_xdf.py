"""A recorder of LSL streams into an XDF file, as LabRecorder writes it: for tests. Run with the file as argument.

Chunks by the specification of XDF 1.0: file header, a header for each stream, samples with a time stamp each, clock
offsets, a footer for each stream. ``python _xdf.py FILE SECONDS NAME …`` records the streams of these names; it
prints a line when it records, and ends when standard input does.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import pylsl

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER = 1, 2, 3, 4, 6


def varlen(number: int) -> bytes:
    """A length: how many bytes it takes, then the number."""
    if number < 256:
        return struct.pack("<BB", 1, number)
    if number < 1 << 32:
        return struct.pack("<BI", 4, number)
    return struct.pack("<BQ", 8, number)


def write_chunk(file: BinaryIO, tag: int, content: bytes) -> None:
    file.write(varlen(len(content) + 2) + struct.pack("<H", tag) + content)


def packed(samples: list[list[Any]], stamps: list[float]) -> bytes:
    """Samples with a time stamp each."""
    made = [varlen(len(samples))]
    for sample, stamp in zip(samples, stamps, strict=True):
        made.append(struct.pack("<Bd", 8, stamp))
        for value in sample:
            if isinstance(value, str):
                text = value.encode()
                made.append(varlen(len(text)) + text)
            else:
                made.append(struct.pack("<f", value))
    return b"".join(made)


def record(path: Path, names: list[str], patience_s: float) -> None:
    inlets = []
    for name in names:
        found = pylsl.resolve_byprop("name", name, timeout=patience_s)
        assert found, f"no stream {name}"
        inlet = pylsl.StreamInlet(found[0], recover=False)
        inlet.open_stream(timeout=10)
        inlets.append(inlet)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with path.open("wb") as file:
        file.write(b"XDF:")
        write_chunk(file, _FILE_HEADER, b'<?xml version="1.0"?><info><version>1.0</version></info>')
        for number, inlet in enumerate(inlets, 1):
            write_chunk(file, _STREAM_HEADER, struct.pack("<I", number) + inlet.info(10).as_xml().encode())
        print("recording", flush=True)
        counts, next_offset_s = [0] * len(inlets), 0.0
        lost: set[int] = set()
        quiet_s = time.monotonic()
        while len(lost) < len(inlets) and not (ended.is_set() and time.monotonic() - quiet_s > 1):
            if time.monotonic() >= next_offset_s:
                next_offset_s = time.monotonic() + 2.5
                for number, inlet in enumerate(inlets, 1):
                    with contextlib.suppress(RuntimeError):  # lost: the samples that are here come first
                        offset = struct.pack("<Idd", number, pylsl.local_clock(), inlet.time_correction(5))
                        write_chunk(file, _CLOCK_OFFSET, offset)
            for number, inlet in enumerate(inlets, 1):
                if number in lost:
                    continue
                try:
                    samples, stamps = inlet.pull_chunk(timeout=0.02)
                except RuntimeError:
                    lost.add(number)
                    continue
                if samples:
                    quiet_s = time.monotonic()
                    counts[number - 1] += len(samples)
                    write_chunk(file, _SAMPLES, struct.pack("<I", number) + packed(samples, stamps))
        for number, count in enumerate(counts, 1):
            footer = f"<?xml version='1.0'?><info><sample_count>{count}</sample_count></info>"
            write_chunk(file, _STREAM_FOOTER, struct.pack("<I", number) + footer.encode())


if __name__ == "__main__":
    record(Path(sys.argv[1]), sys.argv[3:], float(sys.argv[2]))
