"""The stages of one session as processes: started, given orders, watched, ended."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

from realtime import pipeline
from realtime.config import Settings
from realtime.ipc import messages
from realtime.stages import procfs
from realtime.stages.runner import StageSpec
from realtime.supervisor.logs import LogThread
from realtime.supervisor.process import StageProcess
from realtime.supervisor.resources import Resources
from realtime.types import SourceInfo

_ASK_S = 2.0
_LEAVE_S = 3.0
_SPARE_AFTER_S = 1.0
_STOPPED_S = 0.3
"""A stage that the kernel says is stopped: told after so long a silence, where the stage itself waits for 0.25 s."""
_REPLACE_S = 0.6
"""A stopped stage on the way of live frames is replaced then: the ring holds more than that."""
_STALL_S = 0.6
"""A stage that is not stopped may be at work; a frame takes no tenth of that."""
_DISK_S = 1.0
_STREAM_S = 2.0
"""A network stream comes in bursts."""
_AWAY_S, _AWAKE_S = 2.5, 2.0
"""Who has not looked for so long was stopped itself, and the others with it most likely (a machine that was suspended,
a paused virtual one): they have so long to show that they live. No order is waited for that long."""


class Trouble(NamedTuple):
    """What is wrong with a process."""

    process: StageProcess
    kind: Literal["died", "late", "hangs", "stalls", "goes on"]
    """hangs: to be replaced; stalls: told and waited for."""
    seconds: float = 0.0
    """late: since its start; else: without a sign of life."""
    stopped: bool = False
    """Not slow: the kernel says so."""


class Children:
    """``processes`` by stage, in the order of the data."""

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        logs: LogThread,
        *,
        debug: bool,
        listening: int = -1,
        recording: str = "",
    ) -> None:
        """``listening``: descriptor of the page's socket; ``recording``: name of the session's folder."""
        self._settings = settings
        self._resources = resources
        self.processes: dict[str, StageProcess] = {}
        output = settings.output
        for stage in pipeline.stages_of(record=output.record is not None, web=output.web is not None):
            spec = StageSpec(
                stage=stage.name,
                directory=str(resources.directory),
                board=resources.board.name,
                sent=resources.sent.name,
                parent=os.getpid(),
                settings=settings,
                recording=recording,
                listening=listening if stage.name == "web" else -1,
                debug=debug,
            )
            self.processes[stage.name] = StageProcess(spec, settings.runtime, logs)
        self._looked = time.monotonic()
        self._excused_until = 0.0

    def start(self) -> None:
        """Spawn everything, what loads longest first."""
        for stage in pipeline.start_order(tuple(self.processes)):
            self.processes[stage].start()

    def all_ready(self) -> bool:
        return all(process.phase == "ready" for process in self.processes.values())

    def is_starting(self) -> bool:
        """Whether one is under way to be ready."""
        return any(process.phase == "starting" for process in self.processes.values())

    def is_over(self, stage: str) -> bool:
        """Whether nothing more is to be expected of a stage; also of one that this session does not have."""
        return stage not in self.processes or self.processes[stage].phase in ("ended", "gone")

    def waiting(self) -> list[str]:
        """Stages that are not over."""
        return [stage for stage in self.processes if not self.is_over(stage)]

    def order(self, stage: str, order: messages.Control) -> bool:
        """Give an order; False if the stage can't take it."""
        process = self.processes[stage]
        return process.up and process.poll() is None and self._resources.ask(stage, order, _ASK_S)

    def tell_ring(self, stage: str, info: SourceInfo) -> None:
        """Name the ring to a stage that waits for it."""
        process = self.processes[stage]
        needed = pipeline.BY_NAME[stage].needs_ring(dense=self._settings.flow.dense)
        if needed and process.up and process.phase == "starting":
            self.order(stage, self._ring_order(info))

    def _ring_order(self, info: SourceInfo) -> messages.Control:
        resources = self._resources
        return messages.Control(
            order="ring", ring=resources.ring_name, info=info, fps=info.fps, first=resources.first_index
        )

    def keep_spare(self, info: SourceInfo) -> None:
        """A second spotter stands by, loaded, for a live session: what it misses can't be had again."""
        process = self.processes[pipeline.SPOTTER]
        age_s = time.monotonic() - process.started
        if self._settings.runtime.spare and info.live and process.phase == "ready" and age_s > _SPARE_AFTER_S:
            process.keep_spare(self._ring_order(info))

    def begin_again(self) -> None:
        """Have capture read a recording from its first frame once more."""
        capture = self.processes["capture"]
        capture.kill()
        self._resources.reopen_ring()
        capture.start()

    def troubles(self, info: SourceInfo | None) -> Iterator[Trouble]:
        """Who died, who takes too long to start, who hangs."""
        now = time.monotonic()
        if now - self._looked > _AWAY_S:
            self._excused_until = now + _AWAKE_S
        self._looked = now
        for stage, process in self.processes.items():
            if self.is_over(stage):
                continue
            age_s = now - process.started
            silence_s = now - self._resources.board.row(stage).get("heartbeat_ns") / 1e9
            if process.poll() is not None:
                yield Trouble(process, "died")
            elif process.phase == "starting" and age_s > self._start_timeout_s(stage):
                yield Trouble(process, "late", age_s)
            elif process.phase == "ready" and now >= self._excused_until:
                yield from self._silence(process, silence_s, info)

    def _start_timeout_s(self, stage: str) -> float:
        looking = stage == "capture" and self._resources.board.row(stage).get("looking")
        return math.inf if looking else self._settings.runtime.start_timeout_s

    def _silence(self, process: StageProcess, silence_s: float, info: SourceInfo | None) -> Iterator[Trouble]:
        """What a stage's silence means. The rule: it is told at once where the kernel says that the stage is stopped,
        else once it is longer than any work takes. Replaced is who holds up live frames while stopped for
        ``_REPLACE_S``, and whoever is silent for the patience of the settings; the others are waited for.
        """
        stage, live = process.stage, info is not None and info.live
        stopped = silence_s > _STOPPED_S and procfs.is_stopped(process.pid)
        in_way = stopped and live and pipeline.BY_NAME[stage].real_time and silence_s > _REPLACE_S
        if in_way or silence_s > self.patience_s(stage, info):
            yield Trouble(process, "hangs", silence_s, stopped)
        elif stopped or silence_s > self._stall_s(stage, info):
            process.silence_s, process.stopped = silence_s, stopped or (process.stalls and process.stopped)
            if not process.stalls:
                process.stalls, process.stalled = True, process.stalled + 1
                yield Trouble(process, "stalls", silence_s, stopped)
        elif process.stalls:
            process.stalls = False
            yield Trouble(process, "goes on", process.silence_s, process.stopped)

    def _stall_s(self, stage: str, info: SourceInfo | None) -> float:
        """How long a stage that is not stopped may be silent before that is told."""
        if pipeline.BY_NAME[stage].optional:
            return _DISK_S
        if info is None or not info.live:
            return math.inf  # nothing is lost
        if stage == "capture":
            looking = self._resources.board.row(stage).get("looking")
            least_s = _STREAM_S if info.kind == "stream" else _STALL_S
            return math.inf if looking else max(least_s, 5 / info.fps)
        return _STALL_S

    def patience_s(self, stage: str, info: SourceInfo | None) -> float:
        """How long a stage may be silent. Capture waits for its source, however slow that is."""
        patience_s = self._settings.runtime.heartbeat_timeout_s
        if stage == "capture" and info is not None and info.live:
            patience_s += info.silence_s + 2 / info.fps
        return patience_s

    def end(self, *, in_time: bool, but: tuple[str, ...] = ()) -> None:
        """Have every process leave: ``in_time`` lets each finish what it holds, else they are killed."""
        self.processes[pipeline.SPOTTER].drop_spare()
        leaving = {stage: process for stage, process in self.processes.items() if stage not in but}
        if in_time:
            for stage in leaving:
                self.order(stage, messages.Control(order="stop"))
        deadline = time.monotonic() + (_LEAVE_S if in_time else 0.0)
        for process in leaving.values():
            process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()

    def kill(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.drop_spare()
            process.kill()


def tell_silence(trouble: Trouble) -> tuple[str, str]:
    """What to tell of a stage that stalls or goes on: (what, detail)."""
    stage, seconds = trouble.process.stage, trouble.seconds
    is_source = stage == "capture" and not trouble.stopped
    whose = {"record": "recording", "web": "page"}.get(stage, "camera" if is_source else "stage")
    if trouble.kind == "goes on":
        return f"{whose} goes on", f"{stage}: was silent for {seconds:.1f} s"
    if trouble.stopped:
        return f"{whose} stalls", f"{stage}: stopped for {seconds:.1f} s (SIGSTOP, or a debugger)"
    what = "no frame" if is_source else "no sign of life"
    return f"{whose} stalls", f"{stage}: {what} for {seconds:.1f} s; waited for"
