"""Record: ring → files, in a process of its own. A mere lossy reader: it can lose frames, never delay
them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np

from realtime.ipc.ring import RingReader
from realtime.session.write import Recorder
from realtime.stages.runner import StageContext

_WAIT_S = 0.2
_RESERVE_BYTES = 128 * 2**20
_LOOK_EVERY = 100  # frames between two looks at the free space


def run(context: StageContext) -> None:
    """Copy each frame out of the ring and append it, until the source ends or we are told to stop."""
    import cv2

    cv2.setNumThreads(1)
    order = context.wait_ring()
    if order is None or order.info is None:
        return
    output = context.settings.output
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ") + f"-{context.spec.parent}"
    reader = RingReader.attach(order.ring)
    recorder = Recorder(output.record or ".", name, order.info, order.fps, output.record_format)
    try:
        context.ready({"recording": str(recorder.folder)})
        written = _copy(context, reader, recorder)
    finally:
        recorder.close()
        reader.close()
    context.drained({"frames": float(written)})
    context.stopping.wait()


def _copy(context: StageContext, reader: RingReader, recorder: Recorder) -> int:
    frame = np.empty((reader.height, reader.width), np.uint8)
    index, written, row = reader.start, context.row.get("frames"), context.row
    full = False
    while True:
        count = reader.wait(index, _WAIT_S)
        begun = time.monotonic_ns()
        row.put("heartbeat_ns", begun)
        if count <= index:
            if reader.ended or context.stopping.is_set():
                return written
            continue
        index = reader.catch_up(index)
        header = reader.copy(index, frame)
        index += 1
        if index % _LOOK_EVERY == 1 and full != (recorder.free_bytes() < _RESERVE_BYTES):
            full = not full
            what = "disk full" if full else "disk has space again"
            context.notice(what, f"{recorder.folder}: recording {'paused' if full else 'goes on'}")
        if header is not None and not full:
            recorder.write(frame, header.number, header.t_ns, header.captured_ns)
            written += 1
            row.put("frames", written)
            row.put("last_number", header.number)
        row.put("dropped", index - written)
        row.put("queue", count - index)
        row.put("busy_ns", row.get("busy_ns") + time.monotonic_ns() - begun)
