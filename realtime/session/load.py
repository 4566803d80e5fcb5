"""A session read again: its folder, or an event log alone; whole, running, killed, damaged."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from realtime.errors import UserError
from realtime.session import review
from realtime.session.curves import ROW, Rows, read_curves
from realtime.session.read import read_frame_table
from realtime.session.times import FrameTimes
from realtime.sinks.lines import EventLine, GapLine, MarkerLine, NoticeLine, SessionLine, SummaryLine

_Logged = EventLine | GapLine | MarkerLine | NoticeLine | SessionLine | SummaryLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What is there of it."""

    path: Path
    """As it was named."""
    folder: Path | None
    """None: the log alone."""
    name: str
    facts: dict[str, Any]
    """``session.json``; empty without a folder."""
    first: SessionLine | None
    events: list[EventLine]
    markers: list[MarkerLine]
    notices: list[NoticeLine]
    gaps: list[GapLine]
    summary: SummaryLine | None
    verdicts: list[review.Verdict] = field(default_factory=list)
    """Those that count: the last of each reviewer on each event."""
    curves: Rows = field(default_factory=lambda: np.empty(0, ROW))
    damaged: int = 0
    """Lines of log and review that can't be read."""
    times: FrameTimes = field(default_factory=lambda: FrameTimes.of([]))

    @property
    def zero_ns(self) -> int:
        """Exposure of frame 0: the session's start."""
        return self.times.at(0)

    @property
    def fps(self) -> float:
        """Measured, frames a second; 0 where nothing says."""
        if self.summary is not None and self.summary.fps_measured:
            return self.summary.fps_measured
        if len(self.curves) > 1:
            span_ns = int(self.curves["t_ns"][-1] - self.curves["t_ns"][0])
            count = int(self.curves["frame"][-1] - self.curves["frame"][0])
            return count * 1e9 / span_ns if span_ns else 0.0
        return self.first.fps_measured or self.first.fps_granted if self.first is not None else 0.0

    @property
    def subject(self) -> str:
        """Who was recorded; empty where it was not said."""
        return str(self.facts.get("subject") or "")

    def seconds(self, t_ns: int) -> float:
        """Time since the session's start."""
        return (t_ns - self.zero_ns) / 1e9

    def frame_seconds(self, frame: int) -> float:
        """The same for a frame's number, also of one that was not analysed."""
        return self.seconds(self.times.at(frame))


def load(path: Path | str) -> Session:
    """A session folder or an event log. UserError where it is neither, or can't be read."""
    path = Path(path)
    folder = path if path.is_dir() else None
    log = path / "events.jsonl" if folder else path
    lines, damaged = _read_log(log, folder)
    reviewed = review.read(folder) if folder else review.Review([])
    curves = read_curves(folder) if folder else np.empty(0, ROW)
    if not lines and not len(curves):
        raise UserError(f"{path}: holds no session; give a folder below --record's DIR, or an event log")
    facts = _read_facts(folder) if folder else {}
    events = [line for line in lines if isinstance(line, EventLine)]
    first = next((line for line in lines if isinstance(line, SessionLine)), None)
    return Session(
        path=path,
        folder=folder,
        name=path.resolve().name if folder else path.stem,
        facts=facts,
        first=first,
        events=events,
        markers=[line for line in lines if isinstance(line, MarkerLine)],
        notices=[line for line in lines if isinstance(line, NoticeLine)],
        gaps=[line for line in lines if isinstance(line, GapLine)],
        summary=next((line for line in reversed(lines) if isinstance(line, SummaryLine)), None),
        verdicts=review.latest(reviewed.verdicts),
        curves=curves,
        damaged=damaged + reviewed.damaged,
        times=_times(folder, _first_frame(facts, first), curves, events, first),
    )


def _read_log(path: Path, folder: Path | None) -> tuple[list[_Logged], int]:
    try:
        texts = path.read_bytes().splitlines()
    except FileNotFoundError:
        if folder is None:
            raise UserError(f"{path}: no such file or folder") from None
        return [], 0
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    decoder: msgspec.json.Decoder[_Logged] = msgspec.json.Decoder(_Logged)
    lines: list[_Logged] = []
    damaged = 0
    for text in filter(None, texts):
        try:
            lines.append(decoder.decode(text))
        except (msgspec.DecodeError, ValueError, RecursionError):
            damaged += 1
    return lines, damaged


def _read_facts(folder: Path) -> dict[str, Any]:
    """``session.json``; empty where it is missing or damaged: the log says most of it too."""
    try:
        found = msgspec.json.decode((folder / "session.json").read_bytes())
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first_frame(facts: dict[str, Any], first: SessionLine | None) -> tuple[int, int] | None:
    """Number and exposure of the first frame that came in, as the session says; older ones do not."""
    told = facts.get("first_frame")
    if isinstance(told, dict):
        number, t_ns = told.get("number"), told.get("t_ns")
        if isinstance(number, int) and isinstance(t_ns, int) and 0 <= number < 2**62 and abs(t_ns) < 2**62:
            return number, t_ns
    if first is not None and first.first_frame is not None and first.first_t_ns is not None:
        return first.first_frame, first.first_t_ns
    return None


def _times(
    folder: Path | None,
    begin: tuple[int, int] | None,
    curves: Rows,
    events: list[EventLine],
    first: SessionLine | None,
) -> FrameTimes:
    """Of all that has a number and a time: the first frame, those that were analysed, else those of the recording,
    else those that events name.
    """
    fps = (first.fps_granted or first.fps_measured) if first is not None else 0.0
    moments = np.column_stack([curves["frame"], curves["t_ns"]]).astype(np.int64)
    table = folder / "frames.csv" if folder is not None else None
    begun = begin is not None or (len(moments) > 0 and moments[0, 0] == 0)
    if table is not None and table.exists() and not (begun and len(moments)):
        rows = read_frame_table(str(table)).rows
        moments = np.concatenate([moments, rows[rows[:, 0] >= 0]])
    if not len(moments):
        found = [(getattr(e, at), getattr(e, f"{at}_t_ns")) for e in events for at in ("onset", "apex", "offset")]
        moments = np.array(sorted(found), np.int64).reshape(-1, 2)
    if begin is not None:
        moments = np.concatenate([np.array([begin], np.int64), moments])
    return FrameTimes.of(moments, fps)


def label_of(text: str, otherwise: str) -> str:
    """A name made of letters and digits alone, as BIDS wants its labels."""
    return re.sub(r"[^0-9A-Za-z]", "", text) or otherwise
