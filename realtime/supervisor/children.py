"""The stages of one session as processes: started, given orders, watched, ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from realtime import pipeline
from realtime.config import Settings
from realtime.ipc import messages
from realtime.stages.runner import StageSpec
from realtime.supervisor.logs import LogThread
from realtime.supervisor.process import StageProcess
from realtime.supervisor.resources import Resources
from realtime.types import SourceInfo

_ASK_S = 2.0
_LEAVE_S = 3.0
_STALL_S = 1.0


class Trouble(NamedTuple):
    """What is wrong with a process."""

    process: StageProcess
    kind: Literal["died", "late", "hangs", "stalls"]
    """stalls: told, not ended: a recorder that waits for a disk."""
    seconds: float = 0.0
    """late: since its start; hangs, stalls: without a sign of life."""


class Children:
    """``processes`` by stage, in the order of the data."""

    def __init__(
        self, settings: Settings, resources: Resources, logs: LogThread, *, debug: bool, listening: int = -1
    ) -> None:
        """``listening``: descriptor of the page's socket."""
        self._settings = settings
        self._resources = resources
        self.processes: dict[str, StageProcess] = {}
        recording = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
        output = settings.output
        for stage in pipeline.stages_of(record=output.record is not None, web=output.web is not None):
            spec = StageSpec(
                stage=stage.name,
                directory=str(resources.directory),
                board=resources.board.name,
                parent=os.getpid(),
                settings=settings,
                recording=recording,
                listening=listening if stage.name == "web" else -1,
                debug=debug,
            )
            self.processes[stage.name] = StageProcess(spec, settings.runtime, logs)

    def start(self) -> None:
        """Spawn everything, what loads longest first."""
        for stage in pipeline.start_order(tuple(self.processes)):
            self.processes[stage].start()

    def all_ready(self) -> bool:
        return all(process.phase == "ready" for process in self.processes.values())

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
            self.order(stage, messages.Control(order="ring", ring=self._resources.ring_name, info=info, fps=info.fps))

    def troubles(self, info: SourceInfo | None) -> Iterator[Trouble]:
        """Who died, who takes too long to start, who hangs."""
        now = time.monotonic()
        for stage, process in self.processes.items():
            if self.is_over(stage):
                continue
            age_s = now - process.started
            silence_s = now - self._resources.board.row(stage).get("heartbeat_ns") / 1e9
            if process.poll() is not None:
                yield Trouble(process, "died")
            elif process.phase == "starting" and age_s > self._settings.runtime.start_timeout_s:
                yield Trouble(process, "late", age_s)
            elif process.phase == "ready" and silence_s > self.patience_s(stage, info):
                yield Trouble(process, "hangs", silence_s)
            elif process.phase == "ready" and pipeline.BY_NAME[stage].keeps:
                stalls = silence_s > _STALL_S
                if stalls and not process.stalls:
                    yield Trouble(process, "stalls", silence_s)
                process.stalls = stalls

    def patience_s(self, stage: str, info: SourceInfo | None) -> float:
        """How long a stage may be silent. Capture waits for its source, however slow that is."""
        patience_s = self._settings.runtime.heartbeat_timeout_s
        if stage == "capture" and info is not None and info.live:
            patience_s += info.silence_s + 2 / info.fps
        return patience_s

    def end(self, *, in_time: bool, but: tuple[str, ...] = ()) -> None:
        """Have every process leave: ``in_time`` lets each finish what it holds, else they are killed."""
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
            process.kill()
