"""Single pictures of a recording, by frame number: of the whole session, or of the clip of one event.

A frame of a raw recording is read from its place in the file, which follows from its row; one of a compressed file is
decoded, forwards from where the last one was.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import MerealtimeError
from realtime.session import matroska
from realtime.session.read import FrameTable, Rows, read_frame_table, table_beside

Gray = npt.NDArray[np.uint8]
_FORWARD = 400  # frames that are decoded rather than looked up


class Pictures:
    """One video with its frame table. Not for two threads."""

    def __init__(self, video: Path) -> None:
        """MerealtimeError where there is no table, or nothing to be read."""
        self.video = video
        table = table_beside(str(video))
        if table is None:
            raise MerealtimeError(f"{video}: no frame table beside it")
        self._table: FrameTable = read_frame_table(table)
        self._capture: cv2.VideoCapture | None = None
        self._next = 0
        try:
            self._raw = matroska.raw_places(str(video))
        except OSError as error:
            raise MerealtimeError(f"{video}: can't be read ({error.strerror})") from error
        rows = self._table.rows
        count = len(rows) if self._raw is None else min(len(rows), self._raw.frames)
        self._rows = rows[:count]
        known = np.flatnonzero(self._rows[:, 0] >= 0)
        self._known: Rows = self._rows[known]
        self._place = known

    @property
    def frames(self) -> Rows:
        """(n, 2) int64, rising: number and exposure, ns, of each frame that is there."""
        return self._known

    def picture(self, number: int) -> Gray | None:
        """The frame with that number, (H, W) uint8; None where it is not there."""
        at = int(np.searchsorted(self._known[:, 0], number))
        if at >= len(self._known) or self._known[at, 0] != number:
            return None
        return self._read(int(self._place[at]))

    def _read(self, row: int) -> Gray | None:
        if self._raw is not None:
            return self._raw.read(row)
        if self._capture is None:
            self._capture = cv2.VideoCapture(str(self.video), cv2.CAP_FFMPEG)
            self._next = 0
        if not self._next <= row < self._next + _FORWARD:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, row)
            self._next = row
        while self._next < row:
            if not self._capture.grab():
                return None
            self._next += 1
        there, picture = self._capture.read()
        self._next += 1
        if not there:
            return None
        return np.asarray(picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)

    def close(self) -> None:
        """Close the files."""
        if self._raw is not None:
            os.close(self._raw.fd)
            self._raw = None
        if self._capture is not None:
            self._capture.release()
            self._capture = None
