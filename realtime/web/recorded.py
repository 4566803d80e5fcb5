"""A recorded session as the page shows it: its log, its curves, its pictures, whatever there is of them.

A session that was killed, or recorded without frames, or with clips alone, shows what it has and says what it lacks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from realtime.errors import MerealtimeError, UserError
from realtime.session.clips import FOLDER as CLIPS
from realtime.session.curves import Rows
from realtime.session.load import Session, load
from realtime.session.pictures import Pictures
from realtime.session.times import FrameTimes
from realtime.sinks.lines import EventLine
from realtime.vision.face.regions import FACE_WIDTH_PX, IMAGE_HEIGHT, ROI_NAMES

_MOST_FRAMES = 4000
"""Of one clip on the page."""
_AROUND_S = 0.5
"""Of an event's clip, before the onset and after the offset."""
MOST_BINS = 4000


class Recorded:
    """A session folder, opened. Not for two threads."""

    def __init__(self, folder: Path) -> None:
        """UserError where it is no session folder."""
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of one session, below --record's DIR")
        self.folder = folder
        self.session: Session = load(folder)
        self.events = sorted(self.session.events, key=lambda event: (event.onset_t_ns, event.id))
        self.why_no_pictures, self._whole = _open(folder / "frames.mkv")
        self._clips: dict[int, Pictures | None] = {}
        self.fps = self.session.fps or 200.0
        self.zero_ns = self.session.zero_ns
        self._times = self._known_times()

    @property
    def curves(self) -> Rows:
        """(n,) ``realtime.session.curves.ROW``; empty where there are none."""
        return self.session.curves

    # ---------------------------------------------------------------- time

    def _known_times(self) -> FrameTimes:
        """By the frames of the recording, where there are any."""
        if self._whole is not None and len(self._whole.frames):
            return FrameTimes.of(np.concatenate([self._whole.frames, self.session.times.known]), self.fps)
        return self.session.times

    def time_of(self, frame: int) -> int:
        """Exposure of a frame, ns: as the tables say, else counted from the nearest frame that they know."""
        return self._times.at(frame)

    def seconds(self) -> float:
        """Length of the time line."""
        lasts = [event.offset_t_ns for event in self.events] + [mark.t_ns for mark in self.session.markers]
        lasts += [int(times[-1]) for times in (self._times.known[:, 1], self.curves["t_ns"]) if len(times)]
        return max(0.1, (max(lasts, default=self.zero_ns) - self.zero_ns) / 1e9)

    # ---------------------------------------------------------------- curves

    def reduced(
        self, begin_ns: int, end_ns: int, bins: int, face: int
    ) -> tuple[list[int], dict[str, list[float | None]]]:
        """Times, ns, and per region the largest value of each bin: a short movement never falls between two points.
        None where there was no face.
        """
        own = self.curves[self.curves["face"] == face]
        first, last = np.searchsorted(own["t_ns"], [begin_ns, end_ns])
        own = own[first:last]
        if not len(own):
            return [], {name: [] for name in ROI_NAMES}
        count = max(1, min(bins, MOST_BINS, len(own)))
        starts = np.unique(np.linspace(0, len(own), count, endpoint=False).astype(np.int64))
        reduced: dict[str, list[float | None]] = {}
        for name in ROI_NAMES:
            peaks = np.fmax.reduceat(np.where(own["found"], own[name], np.nan), starts)
            reduced[name] = [round(float(peak), 4) if np.isfinite(peak) else None for peak in peaks]
        return own["t_ns"][starts].tolist(), reduced

    def faces(self) -> list[int]:
        """Which there are."""
        return [int(face) for face in np.unique(self.curves["face"])] or [0]

    def face_centre(self, event: EventLine) -> tuple[float, float] | None:
        """Where the event's face was at its onset, px; None without curves."""
        row = self._row_of(event.onset, event.face)
        return None if row is None else (float(row["centre_x"]), float(row["centre_y"]))

    def face_box(self, event: EventLine | None, frame: int) -> list[float] | None:
        """x0, y0, x1, y1 around the face, frame px; None without curves, or where there is none."""
        row = self._row_of(frame, 0 if event is None else event.face)
        if row is None:
            return None
        x, y, wide, high = row["centre_x"], row["centre_y"], row["scale"] * FACE_WIDTH_PX, row["scale"] * IMAGE_HEIGHT
        return [round(float(v), 1) for v in (x - 0.75 * wide, y - 0.5 * high, x + 0.75 * wide, y + 0.5 * high)]

    def _row_of(self, frame: int, face: int) -> np.void | None:
        """The curves' row of a face in a frame, or soon after."""
        rows = self.curves
        first = int(np.searchsorted(rows["frame"], frame))
        near = rows[first : first + 64]
        own = near[(near["face"] == face) & near["found"] & np.isfinite(near["centre_x"])]
        return own[0] if len(own) else None

    # ---------------------------------------------------------------- pictures

    def event(self, number: int) -> EventLine:
        """By its id; MerealtimeError without."""
        for event in self.events:
            if event.id == number:
                return event
        raise MerealtimeError(f"event {number}: there is none")

    def pictures_of(self, event: int | None) -> Pictures | None:
        """The video that shows an event: the whole recording, or its own clip."""
        if self._whole is not None or event is None:
            return self._whole
        if event not in self._clips:
            self.event(event)
            self._close_clips()
            self._clips[event] = _open(self.folder / CLIPS / f"event-{event}.mkv")[1]
        return self._clips[event]

    def has_pictures(self) -> str:
        """``all``, ``clips`` or ``none``."""
        if self._whole is not None:
            return "all"
        return "clips" if any((self.folder / CLIPS).glob("event-*.mkv")) else "none"

    def clip(self, event: int | None, first: int, last: int) -> list[tuple[int, int]]:
        """Number and time, ns, of the frames between two, inclusive, half a second more on both sides: those that have
        a picture, else those that were analysed, else as they must have been.
        """
        around = round(_AROUND_S * self.fps)
        low = max(0, first - around)
        high = min(last + around, low + _MOST_FRAMES)
        pictures = self.pictures_of(event)
        known = pictures.frames if pictures is not None else self._times.known if len(self.curves) else None
        if known is None:
            return [(number, self.time_of(number)) for number in range(low, high + 1)]
        begin, end = np.searchsorted(known[:, 0], [low, high + 1])
        return [(int(number), int(t_ns)) for number, t_ns in known[begin:end]]

    def picture(self, event: int | None, number: int) -> npt.NDArray[np.uint8] | None:
        """(H, W) uint8, or None where it is not there."""
        pictures = self.pictures_of(event)
        return None if pictures is None else pictures.picture(number)

    def sensitivity(self) -> dict[str, float]:
        """Per region what was stated last, px."""
        stated = [notice.sensitivity_px for notice in self.session.notices if notice.sensitivity_px]
        return dict(stated[-1]) if stated and isinstance(stated[-1], dict) else {}

    def _close_clips(self) -> None:
        """One is open at a time."""
        for pictures in self._clips.values():
            if pictures is not None:
                pictures.close()
        self._clips.clear()

    def close(self) -> None:
        """Close the files."""
        self._close_clips()
        if self._whole is not None:
            self._whole.close()


def _open(video: Path) -> tuple[str, Pictures | None]:
    """The pictures, or why there are none."""
    if not video.exists():
        return "not recorded", None
    try:
        return "", Pictures(video)
    except MerealtimeError as error:
        return str(error), None
