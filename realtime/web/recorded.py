"""A recorded session as the page shows it: its log, its curves, its pictures, whatever there is of them.

A session that was killed, or recorded without frames, or with clips alone, shows what it has and says what it lacks.
"""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import MerealtimeError, UserError
from realtime.session.pictures import Pictures
from realtime.session.read import Rows
from realtime.sinks.lines import EventLine, GapLine, MarkerLine, NoticeLine, SessionLine, SummaryLine
from realtime.vision.face.regions import ROI_NAMES
from realtime.web.curves import read_curves

_Logged = EventLine | GapLine | MarkerLine | NoticeLine | SessionLine | SummaryLine
_MOST_FRAMES = 4000
"""Of one clip on the page."""
_AROUND_S = 0.5
"""Of an event's clip, before the onset and after the offset."""


class Recorded:
    """A session folder, opened. Not for two threads."""

    def __init__(self, folder: Path) -> None:
        """UserError where it is no session folder."""
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of one session, below --record's DIR")
        self.folder = folder
        self.damaged = 0
        """Lines of the log that can't be read."""
        self.session: SessionLine | None = None
        self.summary: SummaryLine | None = None
        self.events: list[EventLine] = []
        self.markers: list[MarkerLine] = []
        self.notices: list[NoticeLine] = []
        self.gaps: list[GapLine] = []
        self.facts = self._facts()
        self._read_log()
        self.why_no_curves, self.curves = read_curves(folder / "curves.parquet")
        self.why_no_pictures, self._whole = _open(folder / "frames.mkv")
        self._clips: dict[int, Pictures | None] = {}
        if not self.events and self.session is None and self._whole is None:
            raise UserError(f"{folder}: holds neither events.jsonl nor frames.mkv; give the folder of one session")
        self.zero_ns = self._zero_ns()

    def _facts(self) -> dict[str, Any]:
        """``session.json``, empty where it is missing or damaged: the log says most of it too."""
        try:
            found = msgspec.json.decode((self.folder / "session.json").read_bytes())
        except (OSError, msgspec.DecodeError, RecursionError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _read_log(self) -> None:
        path = self.folder / "events.jsonl"
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{path}: can't be read ({error.strerror})") from error
        decoder = msgspec.json.Decoder(_Logged)
        for line in filter(None, lines):
            try:
                self._keep(decoder.decode(line))
            except (msgspec.DecodeError, RecursionError, ValueError):
                self.damaged += 1
        self.events.sort(key=lambda event: (event.onset_t_ns, event.id))

    def _keep(self, line: _Logged) -> None:
        match line:
            case EventLine():
                self.events.append(line)
            case MarkerLine():
                self.markers.append(line)
            case NoticeLine():
                self.notices.append(line)
            case GapLine():
                self.gaps.append(line)
            case SessionLine():
                self.session = line
            case SummaryLine():
                self.summary = line

    # ---------------------------------------------------------------- time

    @property
    def fps(self) -> float:
        """Frames a second: as measured over the whole, else at the start, else as the pictures say."""
        for line in (self.summary, self.session):
            if line is not None and line.fps_measured > 0:
                return line.fps_measured
        times = self._whole.frames[:, 1] if self._whole is not None else np.empty(0, np.int64)
        return float(1e9 / np.median(np.diff(times))) if len(times) > 1 else 200.0

    def _zero_ns(self) -> int:
        """Where the time line begins: the first frame that is known of."""
        firsts = [event.onset_t_ns for event in self.events[:1]] + [mark.t_ns for mark in self.markers[:1]]
        if self._whole is not None and len(self._whole.frames):
            firsts.append(int(self._whole.frames[0, 1]))
        if self.curves is not None and len(self.curves.t_ns):
            firsts.append(int(self.curves.t_ns[0]))
        return min(firsts, default=0)

    def seconds(self) -> float:
        """Length of the time line."""
        lasts = [event.offset_t_ns for event in self.events] + [mark.t_ns for mark in self.markers]
        if self._whole is not None and len(self._whole.frames):
            lasts.append(int(self._whole.frames[-1, 1]))
        if self.curves is not None and len(self.curves.t_ns):
            lasts.append(int(self.curves.t_ns[-1]))
        return max(0.1, (max(lasts, default=self.zero_ns) - self.zero_ns) / 1e9)

    def time_of(self, frame: int) -> int:
        """Exposure of a frame, ns: as the tables say, else counted from the nearest frame that they know."""
        known = self._frame_times()
        if not len(known):
            return self.zero_ns + round(frame * 1e9 / self.fps)
        at = int(np.clip(np.searchsorted(known[:, 0], frame), 0, len(known) - 1))
        number, t_ns = (int(value) for value in known[at])
        return t_ns + round((frame - number) * 1e9 / self.fps)

    def _frame_times(self) -> Rows:
        if self._whole is not None:
            return self._whole.frames
        if self.curves is not None:
            return np.column_stack([self.curves.frames, self.curves.t_ns])
        rows = [(e.onset, e.onset_t_ns) for e in self.events] + [(e.apex, e.apex_t_ns) for e in self.events]
        return np.array(sorted(rows), np.int64).reshape(-1, 2)

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
            self._clips = {event: _open(self.folder / "clips" / f"event-{event}.mkv")[1]}  # one at a time
        return self._clips[event]

    def has_pictures(self) -> str:
        """``all``, ``clips`` or ``none``."""
        if self._whole is not None:
            return "all"
        return "clips" if any((self.folder / "clips").glob("event-*.mkv")) else "none"

    def clip(self, event: int | None, first: int, last: int) -> list[tuple[int, int]]:
        """Number and time, ns, of the frames between two, inclusive, half a second more on both sides: those that have
        a picture, else those of the curves, else as they must have been.
        """
        around = round(_AROUND_S * self.fps)
        low, high = max(0, first - around), last + around
        high = min(high, low + _MOST_FRAMES)
        pictures = self.pictures_of(event)
        known = pictures.frames if pictures is not None else self._frame_times() if self.curves is not None else None
        if known is not None:
            begin, end = np.searchsorted(known[:, 0], [low, high + 1])
            rows: list[tuple[int, int]] = [(int(n), int(t)) for n, t in known[begin:end]]
            return rows
        return [(number, self.time_of(number)) for number in range(low, high + 1)]

    def picture(self, event: int | None, number: int) -> npt.NDArray[np.uint8] | None:
        """(H, W) uint8, or None where it is not there."""
        pictures = self.pictures_of(event)
        return None if pictures is None else pictures.picture(number)

    def face_centre(self, event: EventLine) -> tuple[float, float] | None:
        """Where the event's face was at its onset, px; None without curves."""
        return None if self.curves is None else self.curves.centre(event.onset, event.face)

    def sensitivity(self) -> dict[str, float]:
        """Per region what was stated last."""
        for notice in reversed(self.notices):
            if isinstance(notice.sensitivity_px, dict):
                return notice.sensitivity_px
        return {}

    def last_event_before(self, t_ns: int) -> int:
        """How many events begin before that time."""
        return bisect.bisect_right([event.onset_t_ns for event in self.events], t_ns)

    def close(self) -> None:
        """Close the files."""
        for pictures in (self._whole, *self._clips.values()):
            if pictures is not None:
                pictures.close()


def _open(video: Path) -> tuple[str, Pictures | None]:
    """The pictures, or why there are none."""
    if not video.exists():
        return "not recorded", None
    try:
        return "", Pictures(video)
    except MerealtimeError as error:
        return str(error), None


def in_order(differences: dict[str, float]) -> dict[str, float]:
    """Regions in the order of the page."""
    return {name: differences[name] for name in ROI_NAMES if name in differences}
