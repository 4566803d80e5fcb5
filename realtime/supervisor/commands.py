"""What somebody asks of the running session, by the page or by ``--control``: mark, rest, record, stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from realtime.ipc.board import Board
from realtime.types import SourceInfo

if TYPE_CHECKING:
    from realtime.ipc.ring import RingReader


def frame_at(t_ns: int, board: Board, info: SourceInfo | None) -> int:
    """Number of the frame of that moment, by the newest frame's own number and time; −1 before the first.

    Only where the source's time is the monotonic clock: a recording's marks are at its newest frame.
    """
    row = board.row("capture")
    last, last_t_ns = row.get("last_number"), row.get("last_t_ns")
    if last < 0 or info is None or not info.live:
        return last
    return max(0, last + math.floor((t_ns - last_t_ns) * info.fps / 1e9))


def frame_in(ring: RingReader, t_ns: int) -> int | None:
    """Number of the last frame in the ring that was exposed by then; None where that one is gone, or still to come."""
    newest = ring.count - 1
    later = False
    for index in range(newest, max(-1, newest - ring.slots + 2), -1):
        found = ring.view(index)
        if found is None:
            return None
        if found[1].t_ns <= t_ns:
            return found[1].number if later else None
        later = True
    return None
