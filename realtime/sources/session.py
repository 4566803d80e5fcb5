"""A recorded session, or a clip of one, played again: pictures of its video, numbers and times of its table.

Holes stay holes, and a camera that was granted 30 fps but delivered 15 is played at 15.
"""

from __future__ import annotations

import os

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.session.read import FrameTable, read_frame_table, table_beside
from realtime.sources.recording import VideoFileSource
from realtime.types import SourceInfo, SourceRequest, Stamp

Gray = npt.NDArray[np.uint8]


class SessionSource:
    """A `Recording`. With ``--fps`` the numbers are the table's, and time is number / fps."""

    def __init__(self, spec: str, video: str, request: SourceRequest) -> None:
        self._video = VideoFileSource(video, request)
        self.notices = self._video.notices
        path = table_beside(video)
        if path is None:
            missing = os.path.splitext(video)[0] + ".csv"
            detail = f"{missing} is missing or no frame table: frames are counted, at the video's rate"
            self.notices.append(("frame table", detail))
        self._table = FrameTable(video, np.empty((0, 2), np.int64)) if path is None else read_frame_table(path)
        self._rows = self._table.rows
        fps = request.fps or self._table.rate() or self._video.info.fps
        self._period_ns = 1e9 / fps
        self._restated = request.fps is not None
        self._told_short = path is None
        self._known = np.flatnonzero(self._rows[:, 0] >= 0)
        self._tell_damaged()
        self.info = self._info(spec, fps, path is not None)

    def _info(self, spec: str, fps: float, has_table: bool) -> SourceInfo:
        video = self._video.info
        stamps = "numbers" if self._restated else "numbers and times"
        said = f", {stamps} of the frame table ({fps:.5g} fps)" if has_table else ""
        return msgspec.structs.replace(video, source=spec, fps=fps, detail=video.detail + said)

    def _tell_damaged(self) -> None:
        damaged = self._table.damaged
        tail = len(self._rows) - 1 - int(self._known[-1]) if len(self._known) else len(self._rows)
        if damaged > tail:
            detail = f"{self._table.path}: {damaged - tail} rows can't be read: their frames are left out"
            self.notices.append(("frame table", detail))
        self._rows = self._rows[: len(self._rows) - tail]  # what follows the last known row is counted on from it

    def advance(self) -> Stamp | None:
        """Go to the next frame that the table knows; None at the end."""
        while (picture := self._video.advance()) is not None:
            stamp = self._stamp(picture.number)
            if stamp is not None:
                return stamp
        self._tell_truncated()
        return None

    def picture(self, out: Gray) -> bool:
        """The picture of the frame gone to, into ``out`` (height, width) uint8."""
        return self._video.picture(out)

    def read(self, out: Gray) -> Stamp | None:
        """Next frame into ``out`` (height, width) uint8; None at the end."""
        stamp = self.advance()
        return stamp if stamp is not None and self.picture(out) else None

    def _stamp(self, row: int) -> Stamp | None:
        if row < len(self._rows):
            number, t_ns = (int(value) for value in self._rows[row])
        else:
            number, t_ns = self._counted(row)
        if number < 0:
            return None
        return Stamp(number, round(number * self._period_ns) if self._restated else t_ns)

    def _counted(self, row: int) -> tuple[int, int]:
        """Number and time of a picture beyond the table: counted on from its last row."""
        last = len(self._rows)
        if not self._told_short:
            self._told_short = True
            detail = f"{self._table.path}: ends after {last} rows, the video goes on: further frames are counted"
            self.notices.append(("frame table", detail))
        if not last:
            return row, round(row * self._period_ns)
        number, t_ns = (int(value) for value in self._rows[-1])
        steps = row - last + 1
        return number + steps, t_ns + round(steps * self._period_ns)

    def _tell_truncated(self) -> None:
        seen, listed = self._video.passed, len(self._rows)
        if seen < listed and all(what != "recording truncated" for what, _ in self.notices):
            detail = f"{self._table.path}: lists {listed} frames, the video has {seen}"
            self.notices.append(("recording truncated", detail))

    def close(self) -> None:
        """Close the video."""
        self._video.close()
