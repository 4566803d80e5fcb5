"""A recorded session read again: ``frames.csv``, which tells the number and time of each picture of its video.

Row n belongs to picture n. A copy that was cut may lack the table's end, or the video's, and a damaged disk may have
lost a row in the middle: what can be read is used, and what can't is told.
"""

from __future__ import annotations

import bisect
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError
from realtime.files import read_at_most
from realtime.session.matroska import frames_in

COLUMNS = ("number", "t_ns", "captured_ns")
HEADER = ",".join(COLUMNS)
_MOST_BYTES = 1 << 30  # a day and more

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Numbers and times of a recording's pictures."""

    path: str
    rows: Rows
    """(n, 2) int64: frame number, exposure ns; −1 where a row is damaged."""
    damaged: int = 0
    """Rows that could not be read or restored."""

    def rate(self) -> float | None:
        """Frames a second, by the median step; None where fewer than two rows are known."""
        known = self.rows[self.rows[:, 0] >= 0]
        if len(known) < 2:
            return None
        numbers, times = np.diff(known[:, 0]), np.diff(known[:, 1])
        return float(1e9 / np.median(times / numbers))


def table_beside(video: str) -> str | None:
    """The frame table that belongs to a video (same name, ``.csv``), or None."""
    path = str(Path(video).with_suffix(".csv"))
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return path if file.readline(len(HEADER) + 2).strip() == HEADER else None
    except OSError:
        return None


def readable(folder: Path | str) -> int:
    """How many frames of a session's folder can be read, each with its row. 0 where there is none."""
    try:
        rows = (Path(folder) / "frames.csv").read_bytes().count(b"\n") - 1
        fd = os.open(Path(folder) / "frames.mkv", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return max(0, min(rows, frames_in(fd)))
    except OSError:
        return 0
    finally:
        os.close(fd)


def read_frame_table(path: str) -> FrameTable:
    """Read ``frames.csv``, mending what can be mended; SourceError if it can't be opened."""
    try:
        text = read_at_most(path, _MOST_BYTES).decode(errors="replace")
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    head, _, body = text.partition("\n")
    lines = (body if head.strip() == HEADER else text).split("\n")
    if lines[-1]:  # cut within its last row: even if it looks whole, a digit may be missing
        lines[-1] = "cut"
    else:
        lines.pop()
    rows = _all_at_once(lines)
    if rows is None:
        rows = np.array([_row(line) for line in lines], np.int64).reshape(-1, 2)
    _leave_out_of_order(rows)
    _restore(rows)
    return FrameTable(os.fspath(path), rows, int((rows[:, 0] < 0).sum()))


def _all_at_once(lines: list[str]) -> Rows | None:
    """All rows by NumPy's reader (a million in a second); None if one of them is damaged."""
    try:
        table = np.loadtxt(lines, np.int64, delimiter=",", ndmin=2, comments=None) if lines else np.empty((0, 3))
    except ValueError:
        return None
    if len(table) != len(lines) or table.shape[1] != len(COLUMNS) or (table < 0).any():
        return None
    return table[:, :2].astype(np.int64)


def _row(line: str) -> tuple[int, int]:
    fields = line.split(",")
    if len(fields) != len(COLUMNS) or not all(field.isascii() and field.isdigit() for field in fields):
        return -1, -1
    number, t_ns = int(fields[0]), int(fields[1])
    return (number, t_ns) if max(number, t_ns) < 2**62 else (-1, -1)


def _leave_out_of_order(rows: Rows) -> None:
    """Mark as damaged the fewest rows without which numbers and times rise."""
    for column in (0, 1):
        known = np.flatnonzero(rows[:, 0] >= 0)
        values = rows[known, column]
        if (np.diff(values) <= 0).any():
            out = np.setdiff1d(known, known[_longest_rise(values)])
            rows[out] = -1


def _longest_rise(values: Rows) -> list[int]:
    """Places of a longest strictly rising subsequence (patience sorting)."""
    ends: list[int] = []  # the least last value of a rise of each length
    places: list[int] = []
    before = np.full(len(values), -1)
    for place, value in enumerate(values.tolist()):
        length = bisect.bisect_left(ends, value)
        before[place] = places[length - 1] if length else -1
        ends[length : length + 1] = [value]
        places[length : length + 1] = [place]
    rise = []
    place = places[-1]
    while place >= 0:
        rise.append(place)
        place = int(before[place])
    return rise[::-1]


def _restore(rows: Rows) -> None:
    """Fill damaged rows whose neighbours leave one way only: as many numbers between them as rows."""
    known = np.flatnonzero(rows[:, 0] >= 0)
    for first, last in itertools.pairwise(known.tolist()):
        count = last - first
        if count > 1 and rows[last, 0] - rows[first, 0] == count:
            share = np.arange(1, count)
            rows[first + 1 : last, 0] = rows[first, 0] + share
            rows[first + 1 : last, 1] = rows[first, 1] + (rows[last, 1] - rows[first, 1]) * share // count
