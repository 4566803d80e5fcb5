"""What somebody asks of the running session, by the page or by ``--control``: mark, rest, record, stop."""

from __future__ import annotations

from realtime.ipc.board import Board


def frame_at(t_ns: int, board: Board, fps: float) -> int:
    """Number of the frame of that moment, by the newest frame's own number and time; −1 before the first.

    Only where the source's time is the monotonic clock; a recording's marks are at its newest frame.
    """
    row = board.row("capture")
    last, last_t_ns = row.get("last_number"), row.get("last_t_ns")
    age_s = (last_t_ns - t_ns) / 1e9
    if last < 0 or abs(age_s) > 60 or fps <= 0:
        return last
    return max(0, last - round(age_s * fps))
