"""What stages are tested with: a source that follows a script, and the context of a runner."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from realtime.config import Settings
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.types import SourceInfo, Stamp

H, W = 48, 64
LIVE = SourceInfo(source="0", kind="camera", width=W, height=H, fps=100.0, live=True)
CLIP = SourceInfo(source="clip", kind="recording", width=W, height=H, fps=100.0, live=False)


class Script:
    """A source that follows a script: numbers to deliver, or errors to raise."""

    def __init__(self, steps: list, info: SourceInfo = LIVE, start_ns: int = 0) -> None:
        self.info, self.closed, self.notices = info, False, []
        self._steps, self._start_ns = deque(steps), start_ns

    def read(self, out: np.ndarray) -> Stamp | None:
        if not self._steps:
            return None
        step = self._steps.popleft()
        if isinstance(step, Exception):
            raise step
        out[:] = step % 256
        return Stamp(step, self._start_ns + step * 10_000_000)

    def close(self) -> None:
        self.closed = True


class FakeContext:
    """What a stage gets from the runner, without sockets."""

    def __init__(self, board: Board, stage: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.row = board.row(stage)
        self.reports: list[messages.Message] = []
        self.notices: list[tuple[str, str]] = []
        self.started, self.stopping = threading.Event(), threading.Event()
        self.resend: deque[list[int]] = deque()
        self.rest, self.recording = threading.Event(), threading.Event()
        self.recording.set()
        self.ended: list[str] = []
        self.zmq = None

    def endpoint(self, name: str) -> str:
        return name

    def report(self, message: messages.Message) -> None:
        self.reports.append(message)

    def notice(
        self, what: str, detail: str, t_ns: int | None = None, sensitivity_px: dict[str, float] | None = None
    ) -> None:
        self.notices.append((what, detail))

    def beat(self) -> None:
        self.row.put("heartbeat_ns", time.monotonic_ns())

    def drained(self, detail: dict[str, float] | None = None, reason: str = "") -> None:
        self.ended.append(reason)

    def gaps(self) -> list[tuple[int, int, int, str]]:
        return [(g.first, g.last, g.count, g.cause) for g in self.reports if isinstance(g, messages.Gap)]
