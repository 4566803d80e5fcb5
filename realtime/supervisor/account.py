"""The account of a session, read from the board: rates, first and last line, the state that views show."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from realtime import __version__
from realtime.config import Settings
from realtime.errors import without_passwords
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.sinks.lines import SessionLine, State, SummaryLine
from realtime.supervisor.journal import Journal
from realtime.supervisor.process import StageProcess, process_age_s, usage
from realtime.types import SourceInfo

_MEASURE_S = 0.5
_WINDOW = 11
_HELD = 0.98


def measured_fps(board: Board) -> float:
    """Frames a second that came in, by their own time stamps; 0 while unknown."""
    row = board.row("capture")
    frames, span_ns = row.get("frames"), row.get("last_t_ns") - row.get("first_t_ns")
    return round((frames - 1) * 1e9 / span_ns, 2) if span_ns > 0 and frames > 1 else 0.0


def is_measured(board: Board) -> bool:
    """Whether enough frames came in to state the source's rate."""
    row = board.row("capture")
    if not row.get("frames"):
        return False
    span_s = (row.get("last_t_ns") - row.get("first_t_ns")) / 1e9
    return span_s >= _MEASURE_S or time.monotonic() - row.get("first_ns") / 1e9 > 4 * _MEASURE_S


def session_line(
    settings: Settings,
    started_at: str,
    info: SourceInfo | None,
    board: Board,
    details: Mapping[str, Mapping[str, str]],
    start_up_s: Mapping[str, float],
) -> SessionLine:
    """The first line. Without ``info`` (stopped before the source was open) its facts are empty."""
    capture = board.row("capture")
    came = capture.get("frames") > 0
    return SessionLine(
        version=__version__,
        started_at=started_at,
        source=without_passwords(settings.source.camera),
        fps_requested=settings.source.fps,
        fps_measured=measured_fps(board),
        fps_granted=info.fps if info else 0.0,
        width=info.width if info else 0,
        height=info.height if info else 0,
        pixel_format=info.pixel_format if info else "",
        model=details.get("classify", {}).get("model", settings.recognition.bundle),
        flow_backend=details.get("motion", {}).get("flow_backend", settings.flow.backend),
        config_digest=settings.digest(),
        live=info.live if info else True,
        detector=settings.spot.detector,
        faces=settings.spot.faces,
        source_detail=info.detail if info else "",
        start_up_s=dict(start_up_s),
        first_frame=capture.get("first_number") if came else None,
        first_t_ns=capture.get("first_t_ns") if came else None,
    )


def summary_line(
    board: Board,
    journal: Journal,
    stages: Mapping[str, dict[str, float]],
    *,
    ended: str,
    restarts: int,
    ticks_lost: int,
    refused: int,
    recording: dict[str, int | str] | None,
) -> SummaryLine:
    """The last line."""
    capture, spot = board.row("capture"), board.row("spot")
    return SummaryLine(
        frames_captured=capture.get("last_number") + 1,
        frames_analysed=spot.get("frames"),
        frames_dropped=dict(journal.dropped),
        events=len(journal.events),
        fps_measured=measured_fps(board),
        latency_ms=journal.latency_summary(),
        seconds=round(max(0, capture.get("last_ns") - capture.get("first_ns")) / 1e9, 3),
        ended=ended,
        restarts=restarts,
        ticks_lost=ticks_lost,
        recording=recording,
        stages=dict(stages),
        sensitivity_px=dict(journal.sensitivity_px),
        connections=journal.connections(),
        messages_refused=refused,
    )


class Account:
    """One session's account: the ``State`` that views show, the first line, the last line."""

    def __init__(self, settings: Settings, board: Board, stages: Mapping[str, StageProcess], journal: Journal) -> None:
        self.state = State()
        self.info: SourceInfo | None = None
        self.details: dict[str, dict[str, str]] = {}
        """What each stage said when it was ready."""
        self.ended: dict[str, dict[str, float]] = {}
        """What each stage said at its end."""
        self.ready_s: dict[str, float] = {}
        self._settings = settings
        self._board = board
        self._stages = stages
        self._journal = journal
        self._birth_s = time.monotonic() - process_age_s()
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._past: deque[tuple[float, int, dict[str, int]]] = deque(maxlen=_WINDOW)

    def note_ready(self, stage: str, detail: dict[str, str]) -> None:
        """A stage is warm; the first time counts for the start-up."""
        self.details[stage] = detail
        self.ready_s.setdefault(stage, round(time.monotonic() - self._birth_s, 2))

    def look(self) -> State:
        """Bring the state up to date: rates over the last second, loads, queues."""
        now, state, board, journal = time.monotonic(), self.state, self._board, self._journal
        capture, spot, motion = board.row("capture"), board.row("spot"), board.row("motion")
        state.captured, state.analysed = capture.get("frames"), spot.get("frames")
        state.dropped = dict(journal.dropped)
        state.alive = {stage: process.phase for stage, process in self._stages.items()}
        busy = {stage: board.row(stage).get("busy_ns") for stage in self._stages}
        self._past.append((now, state.captured, busy))
        then, captured, busy_then = self._past[0]
        if now > then:
            state.fps = round((state.captured - captured) / (now - then), 1)
            state.load = {s: (ns - busy_then.get(s, ns)) / 1e9 / (now - then) for s, ns in busy.items()}
        state.queue = {
            "spot": max(0, state.captured - spot.get("next_index")),
            "motion": max(0, spot.get("next_id") - motion.get("frames")),
            "classify": max(0, motion.get("frames") - len(journal.settled)),
        }
        if capture.get("first_ns"):
            state.seconds = now - capture.get("first_ns") / 1e9
        return state

    def begin(self) -> None:
        """Write the first line, and say if the source is slower than asked."""
        start_up = dict(self.ready_s)
        first_ns = self._board.row("spot").get("first_ns")
        if first_ns:
            start_up["first_frame"] = round(first_ns / 1e9 - self._birth_s, 2)
        line = session_line(self._settings, self._started_at, self.info, self._board, self.details, start_up)
        self.state.session = line
        self._journal.begin(line)
        asked = line.fps_requested
        if line.live and asked and 0 < line.fps_measured < _HELD * asked:
            detail = f"asked {asked:g}, measured {line.fps_measured:g} fps"
            self._journal.notice("rate below asked", detail)

    def finish(
        self, figures: Mapping[str, dict[str, float]], *, ended: str, error: str, ticks_lost: int, refused: int = 0
    ) -> None:
        """Write the last line. Frames that nobody accounted for are a gap of their own, never silence."""
        journal, board = self._journal, self._board
        if not journal.begun:
            self.begin()
        spot, captured = board.row("spot"), board.row("capture").get("last_number") + 1
        rest = captured - spot.get("frames") - sum(journal.dropped.values())
        if rest > 0:
            first = min(max(0, spot.get("last_number") + 1), captured - 1)
            journal.gap(messages.Gap(first=first, last=captured - 1, count=rest, cause="spotter"))
        lost = [number for number in range(spot.get("next_id")) if number not in journal.settled]
        if lost:
            journal.notice("events lost", f"spotted but not named: {', '.join(map(str, lost))}")
        if error:
            journal.notice("failed", error)
        self.state.phase = "ended"
        journal.show(self.look())
        restarts = sum(process.restarts for process in self._stages.values())
        line = summary_line(
            board,
            journal,
            figures,
            ended=ended,
            restarts=restarts,
            ticks_lost=ticks_lost,
            refused=refused,
            recording=self._recording(),
        )
        journal.finish(line)

    def _recording(self) -> dict[str, int | str] | None:
        if "record" not in self._stages:
            return None
        row, folder = self._board.row("record"), self.details.get("record", {}).get("recording", "")
        found = {"frames": row.get("frames"), "dropped": row.get("dropped"), "readable": self._readable()}
        return {**found, "folder": folder}

    def _readable(self) -> int:
        """Frames of the recording that are on disk: what the recorder counted at its end, or we where it had none."""
        if "record" in self.ended:
            return int(self.ended["record"].get("readable", 0))
        from realtime.session.read import readable  # NumPy, which the supervisor has no other use for

        folder = self.details.get("record", {}).get("recording")
        return readable(folder) if folder else 0

    def recording_trouble(self) -> str:
        """One line where the recording is not whole because the disk or the recorder failed; empty where it is."""
        if "record" not in self._stages or not self._board.row("capture").get("frames"):
            return ""
        ended, frames, there = self.ended.get("record"), self._board.row("record").get("frames"), self._readable()
        if ended is not None and not ended.get("unwritten") and not ended.get("broken") and there >= frames:
            return ""
        of = self._board.row("capture").get("frames")
        folder = self.details.get("record", {}).get("recording", "")
        return f"{folder}: the recording has {there} of {of} frames; the event log's notices say why"

    def stage_figures(self) -> dict[str, dict[str, float]]:
        """Per stage: CPU seconds, memory, seconds at work, and what it said at its end. Ask while they live."""
        figures = {"supervisor": usage(os.getpid())}
        for stage, process in self._stages.items():
            own = usage(process.pid) if process.poll() is None else {}
            if process.stalled:
                own["stalls"] = float(process.stalled)
            own["busy_s"] = round(self._board.row(stage).get("busy_ns") / 1e9, 3)
            figures[stage] = {**own, **self.ended.get(stage, {})}
        return figures
