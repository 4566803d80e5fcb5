"""The supervisor: owns ring, counters and sockets; starts the stages, watches them, ends the session cleanly.

Start: all stages load in parallel; the first frame is taken when every one of them is warm. Run: what dies or
hangs is started again within a budget, and events under way are sent again. End: capture stops, and the rest
follows the data (last frame, last event, last line), so that no captured frame goes unaccounted:
captured = analysed + Σ dropped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from realtime.config import STAGES, Settings
from realtime.errors import MerealtimeError, UserError
from realtime.ipc import messages
from realtime.sinks import Sink, open_sinks
from realtime.stages.runner import StageSpec
from realtime.supervisor.account import Account, is_measured
from realtime.supervisor.event_log import Session
from realtime.supervisor.logs import LogThread, telling
from realtime.supervisor.process import StageProcess
from realtime.supervisor.resources import Site
from realtime.types import SourceInfo

_POLL_S = 0.05
_SHOW_S = 0.1
_ASK_S = 2.0
_LEAVE_S = 3.0
_NEEDS_RING = ("capture", "spot", "record")
_SLOWEST_FIRST = ("classify", "spot", "motion", "capture", "record")


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
        """Opens the outputs and claims the names in the system; UserError where an output can't be opened.

        ``sinks`` are further outputs, beside those of the settings.
        """
        self.settings = settings
        self.exit_code = 0
        self.error = ""
        """The one line for the user where the exit code is not 0."""
        self.traceback = ""
        self._show_progress = show_progress
        self._session = Session([*open_sinks(settings.output), *sinks])
        self._site = Site()
        self._logs = LogThread(show_log)
        self._stages = {stage: self._make_stage(stage, debug) for stage in self._stage_names()}
        self._account = Account(settings, self._site.board, self._stages, self._session)
        self._running = False
        self._stop_reason = ""
        self._hurry = False
        self._expected_events: int | None = None
        self._end_reason = ""
        self._busy: dict[str, str] = {}
        self._next_show = 0.0

    def _stage_names(self) -> tuple[str, ...]:
        return (*STAGES, "record") if self.settings.output.record else STAGES

    def _make_stage(self, stage: str, debug: bool) -> StageProcess:
        spec = StageSpec(
            stage=stage,
            directory=str(self._site.directory),
            board=self._site.board.name,
            parent=os.getpid(),
            settings=self.settings,
            debug=debug,
        )
        return StageProcess(spec, self.settings.runtime, self._logs)

    def run(self) -> int:
        """Run to the end; the exit code."""
        with self._signals():
            try:
                self._start()
                self._run()
                self._drain()
            except MerealtimeError as error:
                self._fail(str(error), error.exit_code)
            finally:
                self._close()
        return self.exit_code

    # ---------------------------------------------------------------- start, run, drain

    def _start(self) -> None:
        """Spawn everything, wait until every stage is warm, take the first frame."""
        for stage in _SLOWEST_FIRST:
            if stage in self._stages:
                self._stages[stage].start()
        self._site.shake_hands()
        if self._site.swept:
            self._session.notice("swept", f"left by a killed session: {', '.join(self._site.swept)}")
        while not self._stop_reason:
            self._turn()
            self._show_progress(", ".join(f"{stage}: {text}" for stage, text in self._busy.items()))
            if all(process.phase == "ready" for process in self._stages.values()):
                self._running = True
                self._order("capture", messages.Control(order="start"))
                break
        self._show_progress("")

    def _run(self) -> None:
        """Until the source has ended or somebody says stop."""
        self._account.state.phase = "running"
        while self._running and not self._stop_reason and "capture" not in self._account.ended:
            self._turn()
            if not self._session.begun and is_measured(self._site.board):
                self._account.begin()

    def _drain(self) -> None:
        """Stop capture; the rest follows the data. Patience lasts as long as something moves."""
        if not self._running:
            return
        self._account.state.phase = "draining"
        if "capture" not in self._account.ended and not self._order("capture", messages.Control(order="stop")):
            self._end_ring()
        if not self._session.begun:
            self._account.begin()
        seen, deadline = -1, 0.0
        while not self._is_drained():
            self._turn()
            moved = self._site.board.row("spot").get("frames") + len(self._session.settled) + len(self._account.ended)
            if moved != seen:
                broken = any(self._stages[stage].phase == "gone" for stage in ("spot", "motion", "classify"))
                patience_s = 2.0 if broken else self.settings.runtime.drain_timeout_s
                seen, deadline = moved, time.monotonic() + patience_s
            if self._hurry or time.monotonic() > deadline:
                waiting = [s for s, p in self._stages.items() if p.phase not in ("ended", "gone")]
                self._session.notice("drain cut short", f"not waited for: {', '.join(waiting)}")
                return

    def _is_drained(self) -> bool:
        recorded = "record" not in self._stages or self._stages["record"].phase in ("ended", "gone")
        written = self._expected_events is not None and len(self._session.settled) >= self._expected_events
        passed = "motion" in self._account.ended and "classify" in self._account.ended
        return recorded and passed and written

    def _turn(self) -> None:
        """Messages, processes, view: once round."""
        self._handle_messages(_POLL_S)
        self._watch()
        now = time.monotonic()
        if now >= self._next_show:
            self._next_show = now + _SHOW_S
            self._session.show(self._account.look())

    # ---------------------------------------------------------------- messages

    def _handle_messages(self, timeout_s: float) -> None:
        if not self._site.wait(timeout_s):
            return
        while (data := self._site.reports.receive()) is not None:
            self._handle(messages.decode_report(data))
        while (tick := self._site.ticks.receive()) is not None:
            if isinstance(tick, messages.Dense):
                self._session.dense(tick)
                continue
            self._account.state.face = tick.face
            self._session.tick(tick, self._account.state.fps)

    def _handle(self, message: messages.Report) -> None:
        match message:
            case messages.Classified():
                self._session.event(message)
            case messages.Unclassified():
                self._session.unclassifiable(message)
            case messages.Gap():
                self._session.gap(message)
            case messages.Notice():
                self._session.notice(message.what, message.detail, message.t_ns)
            case messages.Progress():
                self._stages[message.stage].up = True
                self._busy[message.stage] = message.text
                self._send_ring(message.stage)
            case messages.Opened():
                self._on_opened(message.info)
            case messages.Ready():
                self._on_ready(message)
            case messages.Ended():
                self._on_ended(message)
            case messages.Failed():
                self._on_failed(message)

    def _on_opened(self, info: SourceInfo) -> None:
        """The source's size and rate are known (a restarted capture finds the ring there)."""
        if not self._site.has_ring:
            self._account.info = info
            slots = self.settings.ring.slots(info.fps, info.height, info.width)
            self._site.make_ring(info, slots)
        for stage in self._stages:
            self._send_ring(stage)

    def _send_ring(self, stage: str) -> None:
        process = self._stages[stage]
        info = self._account.info
        needed = stage in _NEEDS_RING or (stage == "motion" and self.settings.flow.dense)
        if info is not None and needed and process.up and process.phase == "starting":
            ring = messages.Control(order="ring", ring=self._site.ring_name, info=info, fps=info.fps)
            self._order(stage, ring)

    def _order(self, stage: str, order: messages.Control) -> bool:
        """Give an order; False if the stage can't take it."""
        process = self._stages[stage]
        return process.up and process.poll() is None and self._site.ask(stage, order, _ASK_S)

    def _on_ready(self, message: messages.Ready) -> None:
        self._stages[message.stage].phase = "ready"
        self._account.note_ready(message.stage, message.detail)
        self._busy.pop(message.stage, None)
        for text in message.refused:
            self._session.notice("refused", text)
        if self._running:
            self._session.notice("stage back", f"{message.stage}: ready after {message.seconds:.1f} s")
            self._after_restart(message.stage)

    def _after_restart(self, stage: str) -> None:
        """A stage is back: start it, and have the events that it may have lost sent again."""
        if stage == "capture":
            self._order("capture", messages.Control(order="start"))
        if stage in ("motion", "classify"):
            sent = self._site.board.row("spot").get("next_id")
            missing = [number for number in range(sent) if number not in self._session.settled]
            if missing or "spot" in self._account.ended:
                self._order("spot", messages.Control(order="resend", ids=missing or [-1]))

    def _on_ended(self, message: messages.Ended) -> None:
        self._account.ended[message.stage] = message.detail
        self._stages[message.stage].phase = "ended"
        if message.stage == "capture":
            self._end_reason = message.reason
        if message.stage == "spot":
            self._expected_events = int(message.detail.get("events", 0))

    def _on_failed(self, message: messages.Failed) -> None:
        """What the user can mend, and a lost source, is final; the rest is met again as a process that
        died. A recorder that fails ends the recording only.
        """
        self.traceback = message.traceback
        mendable = message.exit_code == UserError.exit_code and message.stage != "record"
        if not self._running or mendable or message.stage == "capture":
            self._stages[message.stage].phase = "gone"
            self._fail(message.text, message.exit_code)
        else:
            self._session.notice("stage failed", f"{message.stage}: {message.text}")

    def _fail(self, text: str, code: int) -> None:
        if not self.exit_code:
            self.exit_code, self.error = code, text
            self._stop_reason = self._stop_reason or "failure"

    # ---------------------------------------------------------------- processes

    def _watch(self) -> None:
        """Who died, who hangs, who takes too long to start."""
        now, runtime = time.monotonic(), self.settings.runtime
        for process in self._stages.values():
            if process.phase in ("ended", "gone"):
                continue
            if process.poll() is not None:
                self._handle_messages(0.0)  # its last words may explain it
                self._on_death(process)
            elif process.phase == "starting" and now - process.started > runtime.start_timeout_s:
                process.kill()
                self._fail(f"{process.stage}: not ready after {runtime.start_timeout_s:g} s", 1)
            elif process.phase == "ready":
                age_s = now - self._site.board.row(process.stage).get("heartbeat_ns") / 1e9
                if age_s > self._patience_s(process.stage):
                    self._session.notice("stage hangs", f"{process.stage}: no sign of life for {age_s:.0f} s")
                    process.kill()

    def _patience_s(self, stage: str) -> float:
        """How long a stage may be silent. Capture waits for its source, however slow that is."""
        patience_s, info = self.settings.runtime.heartbeat_timeout_s, self._account.info
        if stage == "capture" and info is not None and info.live:
            patience_s += info.silence_s + 2 / info.fps
        return patience_s

    def _on_death(self, process: StageProcess) -> None:
        stage, how = process.stage, process.describe_exit()
        if process.phase in ("ended", "gone"):
            return
        if not self._running:
            process.phase = "gone"
            why = telling(self._logs.tail(stage))
            self._fail(f"{stage} {how} while starting{': ' + why if why else ''}", 1)
        elif stage == "capture" and self._account.state.phase == "draining":
            self._end_ring()
        elif stage == "record":
            process.phase = "gone"
            self._session.notice("recording ended", f"the recorder {how}; the session goes on")
        elif process.may_restart():
            self._session.notice("stage restarted", f"{stage} {how}; restart {process.restarts}")
            process.start()
        else:
            process.phase = "gone"
            self._session.notice("stage lost", f"{stage} {how}; its restarts are used up")
            self._fail(f"{stage} {how} more often than runtime.restarts allows; see --debug", 1)

    def _end_ring(self) -> None:
        """Capture can't end the stream itself: do it in its place."""
        self._stages["capture"].kill()
        self._stages["capture"].phase = "gone"
        self._site.end_ring()

    # ---------------------------------------------------------------- the end

    def _close(self) -> None:
        """Processes, last line, shared memory, sockets; whatever happened before."""
        try:
            figures = self._account.stage_figures()
            self._end_stages()
            if self._running or not self.exit_code:
                ended = self._stop_reason or self._end_reason or "end of source"
                lost = self._site.ticks.lost
                self._account.finish(figures, ended=ended, error=self.error, ticks_lost=lost)
        finally:
            self._session.close()
            self._site.close()
            self._logs.close()
        if self._session.failed_sinks:
            self._fail("; ".join(self._session.failed_sinks.values()), 1)

    def _end_stages(self) -> None:
        in_time = self._running and not self._hurry
        for stage in self._stages:
            if in_time:
                self._order(stage, messages.Control(order="stop"))
        deadline = time.monotonic() + (_LEAVE_S if in_time else 0.0)
        for process in self._stages.values():
            process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
        self._handle_messages(0.0)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end the session; a second one cuts the draining short."""

        def stop(number: int, _: FrameType | None) -> None:
            self._hurry = self._stop_reason.startswith("SIG")
            self._stop_reason = self._stop_reason or signal.Signals(number).name

        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: the session outlives its terminal
            numbers.remove(signal.SIGHUP)
        before = {n: signal.signal(n, stop) for n in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
