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
    zero_ns: int = 0
    """Exposure of frame 0: the session's start."""

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
        """The same for a frame's number: by its own time where it was analysed, else by the rate."""
        at = int(np.searchsorted(self.curves["frame"], frame))
        if at < len(self.curves) and self.curves["frame"][at] == frame:
            return self.seconds(int(self.curves["t_ns"][at]))
        return frame / self.fps if self.fps else 0.0


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
    events = [line for line in lines if isinstance(line, EventLine)]
    first = next((line for line in lines if isinstance(line, SessionLine)), None)
    return Session(
        path=path,
        folder=folder,
        name=path.resolve().name if folder else path.stem,
        facts=_read_facts(folder) if folder else {},
        first=first,
        events=events,
        markers=[line for line in lines if isinstance(line, MarkerLine)],
        notices=[line for line in lines if isinstance(line, NoticeLine)],
        gaps=[line for line in lines if isinstance(line, GapLine)],
        summary=next((line for line in reversed(lines) if isinstance(line, SummaryLine)), None),
        verdicts=review.latest(reviewed.verdicts),
        curves=curves,
        damaged=damaged + reviewed.damaged,
        zero_ns=_zero_ns(folder, curves, events, first),
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


def _zero_ns(folder: Path | None, curves: Rows, events: list[EventLine], first: SessionLine | None) -> int:
    """When frame 0 was exposed, by the first thing that has a number and a time."""
    fps = (first.fps_measured or first.fps_granted) if first is not None else 0.0
    known: tuple[int, int] | None = None
    if len(curves):
        known = int(curves["frame"][0]), int(curves["t_ns"][0])
    elif folder is not None and (folder / "frames.csv").exists():
        rows = read_frame_table(str(folder / "frames.csv")).rows
        rows = rows[rows[:, 0] >= 0]
        known = (int(rows[0, 0]), int(rows[0, 1])) if len(rows) else None
    if known is None and events:
        known = events[0].onset, events[0].onset_t_ns
    if known is None:
        return 0
    number, t_ns = known
    return t_ns - (round(number * 1e9 / fps) if fps else 0)


def label_of(text: str, otherwise: str) -> str:
    """A name made of letters and digits alone, as BIDS wants its labels."""
    return re.sub(r"[^0-9A-Za-z]", "", text) or otherwise
