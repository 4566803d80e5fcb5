"""The supervisor: owns ring, counters and sockets; starts the stages, watches them, ends the session cleanly.

Start: all stages load in parallel; the first frame is taken when every one of them is warm. Run: what dies or
hangs is started again within a budget, and events under way are sent again. End: capture stops, and the rest
follows the data (last frame, last event, last line), so that no captured frame goes unaccounted:
captured = analysed + Σ dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from realtime import pipeline
from realtime.config import Settings
from realtime.errors import MerealtimeError, UserError
from realtime.ipc import messages
from realtime.session.folder import SessionFolder
from realtime.sinks import Sink, open_sinks
from realtime.supervisor import needs, signals
from realtime.supervisor.account import Account, is_measured
from realtime.supervisor.children import Children, Trouble, tell_silence
from realtime.supervisor.commands import frame_at
from realtime.supervisor.control import open_control
from realtime.supervisor.journal import Journal
from realtime.supervisor.logs import LogThread, telling
from realtime.supervisor.lsl_markers import MarkerInlets
from realtime.supervisor.outlets import apart
from realtime.supervisor.page import Page
from realtime.supervisor.process import StageProcess
from realtime.supervisor.resources import Resources
from realtime.types import SourceInfo

_POLL_S = 0.05
_SHOW_S = 0.1
_BROKEN_PATIENCE_S = 2.0
_NAMED = {"record": ("recording", "the recorder"), "web": ("page", "the page's server")}
"""What a notice calls an optional stage."""


def _silent(_: str) -> None:
    """Shows nothing."""


class Supervisor:
    """One session, from ``run()`` to its exit code."""

    def __init__(
        self,
        settings: Settings,
        *,
        debug: bool = False,
        show_log: Callable[[str], None] | None = None,
        show_progress: Callable[[str], None] = _silent,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """Claims the names in the system and opens the outputs; UserError where an output can't be opened.

        ``sinks`` are further outputs, beside those of the settings.
        """
        self.settings = settings
        self.exit_code = 0
        self.error = ""
        """The one line for the user where the exit code is not 0."""
        self.traceback = ""
        self._show_progress = show_progress
        self._running = False
        self._paused = False
        """No frame is recorded for now."""
        self._stop_reason = ""
        self._hurry = False
        self._expected_events: int | None = None
        self._end_reason = ""
        self._busy: dict[str, str] = {}
        self._next_show = 0.0
        self._refused = self._strangers = False
        self._degraded = ""
        """Why the analysis is over while the recording goes on."""
        needs.met(settings)
        if settings.output.record is not None:
            _check_folder(settings.output.record)
        # outputs last: what fails before them leaves no empty log; nor does a signal, which waits for ``run``
        with signals.handled(self._on_signal), contextlib.ExitStack() as undo:
            self._logs = LogThread(show_log)
            undo.callback(self._logs.close)
            self._resources = Resources()
            undo.callback(self._resources.close)
            self._inlets = MarkerInlets(settings.output.lsl_markers)
            undo.callback(self._inlets.close)
            self._page = Page.open(settings.output, self._resources)
            undo.callback(self._page.close)
            self._folder = _open_folder(settings)
            folder = [] if self._folder is None else [self._folder]
            control = open_control(settings.output, self._resources)
            outputs = [*folder, *open_sinks(settings.output), *sinks, *self._page.sinks, *control]
            self._journal = Journal(apart(outputs), lambda: self._hurry)
            undo.callback(self._journal.close)
            self._children = Children(
                settings,
                self._resources,
                self._logs,
                debug=debug,
                listening=self._page.listening,
                recording=self._folder.path.name if self._folder else "",
            )
            undo.callback(self._children.kill)
            self._stages = self._children.processes
            self._account = Account(settings, self._resources.board, self._stages, self._journal)
            self._account.state.recording = True if settings.output.records_frames else None
            if self._folder is not None:
                self._folder.granted = lambda: (self._account.info, self._account.details)
            self._closing = undo.pop_all()

    @property
    def ring_name(self) -> str:
        """Of the shared memory in which the frames are, once the source is open."""
        return self._resources.ring_name

    @property
    def page_url(self) -> str:
        """Where the page is; empty without ``--web``."""
        return self._page.url

    def run(self) -> int:
        """Run to the end; the exit code."""
        with signals.handled(self._on_signal):
            try:
                self._start()
                drained = False
                while not drained:
                    self._run()
                    drained = self._drain()
            except MerealtimeError as error:
                self._fail(str(error), error.exit_code)
            except Exception as error:
                self._fail(f"{type(error).__name__}: {error}", 1)  # the log must not say that the source has ended
                raise
            finally:
                self._close()
        return self.exit_code

    @property
    def stuck(self) -> bool:
        """Whether, after the end, a thread still waits for an output that nobody reads."""
        return self._journal.stuck

    def _on_signal(self, name: str) -> None:
        """The first ends the session; one that follows it, or a failure, cuts the draining short."""
        self._hurry = bool(self._stop_reason)
        self._stop_reason = self._stop_reason or name

    def _fail(self, text: str, code: int) -> None:
        if not self.exit_code:
            self.exit_code, self.error = code, text
            self._stop_reason = self._stop_reason or "failure"

    # ---------------------------------------------------------------- start, run, drain

    def _start(self) -> None:
        """Spawn everything, wait until every stage is warm, take the first frame."""
        if self._stop_reason:
            return
        self._children.start()
        self._resources.shake_hands()
        if self._resources.swept:
            self._journal.notice("swept", f"left by a killed session: {', '.join(self._resources.swept)}")
        while not self._stop_reason:
            self._turn()
            self._show_progress(", ".join(f"{stage}: {text}" for stage, text in self._busy.items()))
            if self._children.all_ready():
                self._running = True
                self._children.order("capture", messages.Control(order="start"))
                break
        self._show_progress("")

    def _run(self) -> None:
        """Until the source has ended or somebody says stop."""
        self._account.state.phase = "running"
        while self._running and not self._stop_reason and "capture" not in self._account.ended:
            self._turn()
            if not self._journal.begun and is_measured(self._resources.board):
                self._account.begin()

    def _drain(self) -> bool:
        """Stop capture; the rest follows the data. Patience lasts as long as something moves. False: all begins again,
        as the spotter died over the end of a recording.
        """
        if not self._running:
            return True
        self._account.state.phase = "draining"
        stop = messages.Control(order="stop")
        if "capture" not in self._account.ended and not self._children.order("capture", stop):
            self._end_ring()
        if not self._journal.begun:
            self._account.begin()
        seen, deadline = -1, 0.0
        while not self._is_drained():
            self._turn()
            if not self._stop_reason and "capture" not in self._account.ended:
                return False
            if self._stages[pipeline.SPOTTER].phase == "gone" and "capture" in self._account.ended:
                self._end_recorder()
            moved = self._moved()
            if moved != seen or self._children.is_starting():
                seen, deadline = moved, time.monotonic() + self._drain_patience_s()
            if self._hurry or time.monotonic() > deadline:
                waiting = ", ".join(self._children.waiting())
                self._journal.notice("drain cut short", f"not waited for: {waiting}")
                return True
        return True

    def _end_recorder(self) -> None:
        """It waits for the end mark of a spotter that is no more."""
        if not self._children.is_over("record"):
            self._children.order("record", messages.Control(order="stop"))

    def _is_drained(self) -> bool:
        """Whether every frame is recorded, and every event written behind the end mark."""
        recorded = all(self._children.is_over(stage.name) for stage in pipeline.STAGES if stage.keeps)
        written = self._expected_events is not None and len(self._journal.settled) >= self._expected_events
        passed = all(stage in self._account.ended for stage in pipeline.EVENT_PATH)
        return recorded and passed and written

    def _moved(self) -> int:
        """A number that changes as long as draining gets on."""
        board = self._resources.board
        done = sum(board.row(stage).get("next_index") for stage in (pipeline.SPOTTER, "record"))
        return done + len(self._journal.settled) + len(self._account.ended)

    def _drain_patience_s(self) -> float:
        path = (pipeline.SPOTTER, *pipeline.EVENT_PATH)
        broken = any(self._stages[stage].phase == "gone" for stage in path)
        return _BROKEN_PATIENCE_S if broken else self.settings.runtime.drain_timeout_s

    def _turn(self) -> None:
        """Messages, processes, view: once round."""
        self._take_messages(_POLL_S)
        self._take_markers()
        for trouble in self._children.troubles(self._account.info):
            self._on_trouble(trouble)
        if self._account.state.phase == "running" and self._journal.begun and self._account.info is not None:
            self._children.keep_spare(self._account.info)
        now = time.monotonic()
        if now >= self._next_show:
            self._next_show = now + _SHOW_S
            self._journal.show(self._account.look())
            if not self._strangers and self._journal.connections().get("refused"):
                self._strangers = True
                detail = "no ZeroMQ, no known key, or more than a subscriber sends; all are counted in the summary"
                self._journal.notice("connection refused", detail)
            self._journal.look_after()

    # ---------------------------------------------------------------- messages

    def _take_messages(self, timeout_s: float) -> None:
        if not self._resources.wait(timeout_s):
            return
        while (report := self._resources.reports.take(messages.decode_report)) is not None:
            self._take(report)
        while (tick := self._resources.ticks.receive()) is not None:
            if isinstance(tick, messages.Curves):
                self._journal.curves(tick)
                continue
            if isinstance(tick, messages.Dense):
                self._journal.dense(tick)
                continue
            self._account.state.face = tick.found
            self._journal.tick(tick, self._account.state.fps)
        if not self._refused and self._resources.refused:
            self._refused = True
            self._journal.notice("message refused", "something that is no stage of this session writes to its sockets")

    def _take(self, message: messages.Report) -> None:
        match message:
            case messages.Classified():
                self._journal.event(message)
            case messages.Unclassified():
                self._journal.unclassifiable(message)
            case messages.Gap():
                self._journal.gap(message)
            case messages.Notice():
                self._journal.notice(message.what, message.detail, message.t_ns, message.sensitivity_px)
            case messages.Command():
                self.carry_out(message)
            case messages.Progress():
                self._on_progress(message)
            case messages.Opened():
                self._on_opened(message.info)
            case messages.Ready():
                self._on_ready(message)
            case messages.Ended():
                self._on_ended(message)
            case messages.Failed():
                self._on_failed(message)

    def _take_markers(self) -> None:
        """Of other programs, by LSL."""
        for taken in self._inlets.take():
            if taken.what:
                self._journal.notice(taken.what, taken.text, taken.t_ns)
                continue
            frame = frame_at(taken.t_ns, self._resources.board, self._account.info)
            self._journal.marker(taken.text, taken.t_ns, frame, f"lsl:{taken.name}")

    def carry_out(self, command: messages.Command) -> None:
        """Do what the page or ``--control`` asks."""
        if command.do == "mark":
            frame = command.frame
            if frame is None:
                frame = frame_at(command.t_ns, self._resources.board, self._account.info)
            self._journal.marker(command.text, command.t_ns, frame, command.origin)
        elif command.do == "rest":
            self._children.order(pipeline.SPOTTER, messages.Control(order="rest"))
        elif command.do == "record":
            self._record(on=command.on)
        elif command.do == "stop":
            self._stop_reason = self._stop_reason or f"stopped by {command.origin}"

    def _record(self, *, on: bool) -> None:
        """Frames are kept from here on, or no longer; log and curves go on."""
        if self._folder is None or on is not self._paused:
            return
        self._paused = not on
        if self._account.state.recording is not None:
            self._account.state.recording = on
        self._children.order("record", messages.Control(order="record", on=on))
        self._journal.notice("recording goes on" if on else "recording paused", "by order")

    def _on_progress(self, message: messages.Progress) -> None:
        self._stages[message.stage].up = True
        self._busy[message.stage] = message.text
        if self._account.info is not None:
            self._children.tell_ring(message.stage, self._account.info)

    def _on_opened(self, info: SourceInfo) -> None:
        """The source's size and rate are known (a restarted capture finds the ring there)."""
        if not self._resources.has_ring:
            self._account.info = info
            size = (info.fps, info.height, info.width)
            wanted = self.settings.ring.slots(*size)
            least, cursors = self.settings.ring.least_slots(*size), len(self.settings.output.held_back_by)
            slots = self._resources.make_ring(info, wanted, least, cursors)
            if slots < wanted:
                detail = f"{slots} frames instead of {wanted}: no more room in shared memory (docker: --shm-size)"
                self._journal.notice("ring shortened", detail)
        for stage in self._stages:
            self._children.tell_ring(stage, self._account.info or info)

    def _on_ready(self, message: messages.Ready) -> None:
        self._stages[message.stage].phase = "ready"
        self._account.note_ready(message.stage, message.detail)
        self._busy.pop(message.stage, None)
        if message.stage == "web":
            self._page.tell_again()
        if message.stage == "record" and self._paused:
            self._children.order("record", messages.Control(order="record", on=False))
        for text in message.refused:
            self._journal.notice("refused", text)
        if self._running:
            self._journal.notice("stage back", f"{message.stage}: ready after {message.seconds:.1f} s")
            self._after_restart(message.stage)

    def _after_restart(self, stage: str) -> None:
        """A stage is back: start it, or have what it may have lost sent again, events and end mark."""
        if stage == "capture":
            self._children.order("capture", messages.Control(order="start"))
        if stage in (pipeline.SPOTTER, *pipeline.EVENT_PATH):
            sent = self._resources.board.row(pipeline.SPOTTER).get("next_id")
            missing = [number for number in range(sent) if number not in self._journal.settled]
            self._children.order(pipeline.SPOTTER, messages.Control(order="resend", ids=missing))

    def _on_ended(self, message: messages.Ended) -> None:
        self._account.ended[message.stage] = message.detail
        self._stages[message.stage].phase = "ended"
        if message.stage == "capture":
            self._end_reason = message.reason
        if message.stage == pipeline.SPOTTER:
            self._expected_events = int(message.detail.get("events", 0))

    def _on_failed(self, message: messages.Failed) -> None:
        """What the user can mend, and a lost source, is final; the rest is met again as a process that died. An
        optional stage that fails ends what it is for, not the session.
        """
        self.traceback = message.traceback
        mendable = message.exit_code == UserError.exit_code and not pipeline.BY_NAME[message.stage].optional
        if not self._running or mendable or message.stage == "capture":
            self._stages[message.stage].phase = "gone"
            self._fail(message.text, message.exit_code)
        else:
            self._journal.notice("stage failed", f"{message.stage}: {message.text}")

    # ---------------------------------------------------------------- processes

    def _on_trouble(self, trouble: Trouble) -> None:
        process = trouble.process
        if trouble.kind == "died":
            self._take_messages(0.0)  # its last words may explain it
            if not self._children.is_over(process.stage):
                self._on_death(process)
        elif trouble.kind == "late":
            process.kill()
            self._fail(f"{process.stage}: not ready after {self.settings.runtime.start_timeout_s:g} s", 1)
        elif trouble.kind in ("stalls", "goes on"):
            if self._running:
                self._journal.notice(*tell_silence(trouble))
        else:
            why = "stopped" if trouble.stopped else "no sign of life"
            self._journal.notice("stage hangs", f"{process.stage}: {why} for {trouble.seconds:.1f} s; it is replaced")
            process.kill()

    def _on_death(self, process: StageProcess) -> None:
        stage, how = process.stage, process.describe_exit()
        if not self._running:
            process.phase = "gone"
            why = telling(self._logs.tail(stage))
            self._fail(f"{stage} {how} while starting{': ' + why if why else ''}", 1)
        elif stage == "capture" and self._account.state.phase == "draining":
            self._end_ring()
        elif process.may_restart():
            self._journal.notice("stage restarted", f"{stage} {how}; restart {process.restarts}")
            process.start()
            if stage == pipeline.SPOTTER:
                self._begin_again()
        elif pipeline.BY_NAME[stage].optional:
            process.phase = "gone"
            if pipeline.BY_NAME[stage].holds_back:
                self._resources.free_cursor(stage)
            what, who = _NAMED[stage]
            self._journal.notice(f"{what} ended", f"{who} {how}; its restarts are used up; the session goes on")
        else:
            process.phase = "gone"
            self._on_lost(stage, how)

    def _begin_again(self) -> None:
        """A spotter of a recording has died: its events are those of each run only if all is seen from the start."""
        info = self._account.info
        if info is None or info.live or self._stop_reason or not self._resources.has_ring:
            return
        self._children.begin_again()
        self._account.ended.pop("capture", None)
        self._account.state.phase = "running"
        self._journal.notice("analysis begins again", "at the first frame; what was told is not told twice")

    def _on_lost(self, stage: str, how: str) -> None:
        """A stage is out of restarts. What is recorded can't be recorded again: that goes on without the analysis."""
        error = f"{stage} {how} more often than runtime.restarts allows; see --debug"
        info, recorder = self._account.info, not self._children.is_over("record")
        if stage != "capture" and recorder and info is not None and info.live:
            self._degraded = self._degraded or error
            detail = f"{stage} {how}; its restarts are used up: NO ANALYSIS from here on, capture and recording go on"
            self._journal.notice("analysis lost", detail)
        else:
            self._journal.notice("stage lost", f"{stage} {how}; its restarts are used up")
            self._fail(error, 1)

    def _end_ring(self) -> None:
        """Capture can't end the stream itself: do it in its place, and count the frame that it died over."""
        self._stages["capture"].kill()
        self._stages["capture"].phase = "gone"
        number = self._resources.end_ring()
        row = self._resources.board.row("capture")
        row.put("last_number", max(number, row.get("last_number")))

    # ---------------------------------------------------------------- the end

    def _close(self) -> None:
        """Processes, last line, outputs, shared memory, sockets: each, whatever happened to the others."""
        with self._closing:
            figures = self._account.stage_figures()
            self._children.end(in_time=self._running and not self._hurry, but=("web",))
            self._take_messages(0.0)
            if self._running or not self.exit_code:
                ended = self._stop_reason or self._end_reason or "end of source"
                lost = self._resources.ticks.lost
                recording = self._account.recording_trouble()
                for trouble in filter(None, (self._degraded, recording)):
                    self._fail(trouble, 1)
                refused = self._resources.refused
                self._account.finish(figures, ended=ended, error=self.error, ticks_lost=lost, refused=refused)
            self._children.end(in_time=True)  # the page has seen the last line
        if self._journal.failed_sinks:
            self._fail("; ".join(self._journal.failed_sinks.values()), 1)


def _open_folder(settings: Settings) -> SessionFolder | None:
    """The session's folder below ``--record``, where it was asked for."""
    if settings.output.record is None:
        return None
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    return SessionFolder(Path(settings.output.record) / name, settings)


def _check_folder(folder: str) -> None:
    """The recorder is a process of its own and starts late: find out now whether it can write."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"--record {folder}: can't write there ({error.strerror})") from error
