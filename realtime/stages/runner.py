"""What every stage does alike: set-up before anything else, control, heartbeat, and an ``except`` for everything.

``python -m realtime.stages.runner`` reads a ``StageSpec`` from standard input, becomes that stage and calls
``run(context)`` of ``realtime.stages.STAGE``. A spare first loads what takes long, and waits until it is called. Exit
codes: 0 done, 1 failed, 2 the user can mend it.
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import signal
import struct
import sys
import threading
import time
import traceback
from collections import deque
from typing import Any

import msgspec

from realtime import pipeline
from realtime.config import Settings
from realtime.errors import MerealtimeError
from realtime.ipc import bus, messages
from realtime.ipc.board import Board
from realtime.stages import habits, logs

log = logging.getLogger(__name__)

_LINGER_MS = 2000
CALL = b"!"
"""Comes on standard input behind the spec, framed by its length: begin."""
LENGTH = struct.Struct("<I")


class StageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage is told before it starts."""

    stage: str
    directory: str
    """Directory of the sockets."""
    board: str
    """Name of the shared counters."""
    parent: int
    settings: Settings
    recording: str = ""
    """Name of the session's folder below ``--record``: the same for a recorder that is started again."""
    sent: str = ""
    """Name of the shared memory in which events outlive the spotter."""
    listening: int = -1
    """web: descriptor of the socket on which the page is served; it outlives the process."""
    debug: bool = False
    spare: messages.Control | None = None
    """Load for this order ``ring`` and wait for the call; None: there is nothing to wait for."""


class StageContext:
    """What a stage has: settings, its counters, its way to the supervisor, and the orders that came."""

    def __init__(self, spec: StageSpec, loaded: Any = None) -> None:
        """loaded: by a spare, what ``realtime.stages.networks.load`` gives."""
        self.spec = spec
        self.loaded = loaded
        self.stage = spec.stage
        self.settings = spec.settings
        self.zmq = habits.messenger(spec.settings.runtime)
        self.board = Board.attach(spec.board)
        self.row = self.board.row(spec.stage)
        self.row.put("heartbeat_ns", time.monotonic_ns())
        self._reports = bus.Sender(self.zmq, self.endpoint("reports"))
        self._begun = time.monotonic()
        self._ring: messages.Control | None = None
        self._ring_known = threading.Event()
        self.started = threading.Event()
        self.stopping = threading.Event()
        self.resend: deque[list[int]] = deque()
        """Ids of events that the supervisor misses, one list an order."""
        self.rest = threading.Event()
        """Spotter: somebody says that the face is at rest now."""
        self.recording = threading.Event()
        """Recorder: frames are kept."""
        self.recording.set()
        self._answerer = bus.Answerer(self.zmq, self.endpoint(pipeline.control_of(spec.stage)), self._obey)
        self.refused: list[str] = []

    def endpoint(self, name: str) -> str:
        """Address of a channel; BusError unless ``realtime/pipeline.py`` declares it for this stage."""
        if not pipeline.BY_NAME[self.stage].may_use(name):
            raise bus.BusError(f"{self.stage}: channel {name!r} is not declared for it in realtime/pipeline.py")
        return bus.address(self.spec.directory, name)

    def _obey(self, order: messages.Control) -> messages.Reply:
        """Runs in the control thread: sets flags, no more."""
        if order.order == "ring":
            self._ring = order
            self._ring_known.set()
        elif order.order == "start":
            self.started.set()
        elif order.order == "stop":
            self.stopping.set()
        elif order.order == "resend":
            self.resend.append(order.ids)
        elif order.order == "rest":
            self.rest.set()
        elif order.order == "record":
            (self.recording.set if order.on else self.recording.clear)()
        return messages.Reply(ok=True, detail=self.stage)

    def report(self, message: messages.Message) -> None:
        """Tell the supervisor, reliably. From the stage's main thread only."""
        self._reports.send(message)

    def progress(self, text: str) -> None:
        """Say what start-up is busy with."""
        self.report(messages.Progress(stage=self.stage, text=text))

    def notice(
        self, what: str, detail: str, t_ns: int | None = None, sensitivity_px: dict[str, float] | None = None
    ) -> None:
        stamp = time.monotonic_ns() if t_ns is None else t_ns
        self.report(messages.Notice(what=what, detail=detail, t_ns=stamp, sensitivity_px=sensitivity_px or {}))

    def beat(self) -> None:
        """Sign of life."""
        self.row.put("heartbeat_ns", time.monotonic_ns())

    def wait_ring(self) -> messages.Control | None:
        """Wait for the ring's name and the source's facts; None if we are to stop before."""
        while not self._ring_known.wait(0.1):
            self.beat()
            if self.stopping.is_set():
                return None
        return self._ring

    def ready(self, detail: dict[str, str] | None = None) -> None:
        """Warm: settle into real-time habits and say so."""
        self.refused += habits.settle(self.stage, self.settings.runtime)
        self.beat()
        self.report(
            messages.Ready(
                stage=self.stage,
                pid=os.getpid(),
                seconds=time.monotonic() - self._begun,
                detail=detail or {},
                refused=self.refused,
            )
        )

    def drained(self, detail: dict[str, float] | None = None, reason: str = "") -> None:
        """Nothing is left to do: say so, and stay until told to leave (others may still be restarted)."""
        self.report(messages.Ended(stage=self.stage, detail=detail or {}, reason=reason))

    def close(self) -> None:
        self._reports.close()
        self._answerer.close()
        self.zmq.destroy(linger=_LINGER_MS)  # also what a failed stage left open: else it would hang here


def _set_up(spec: StageSpec) -> list[str]:
    """Before anything heavy is imported. Returns what the system refused."""
    habits.die_with_parent(spec.parent)
    habits.set_title(f"merealtime-{'spare' if spec.spare else spec.stage}")
    for number in (signal.SIGINT, signal.SIGTERM):  # the supervisor alone decides when we leave
        signal.signal(number, signal.SIG_IGN)
    habits.ask_for_turns(spec.settings.runtime.slice_us if spec.stage in pipeline.PROMPT else 0)
    faulthandler.enable()
    logs.set_up_child(spec.debug)
    return habits.pin(spec.stage, spec.settings.runtime)


def run_stage(spec: StageSpec) -> int:
    """Set up, run, report; the exit code."""
    refused = _set_up(spec)
    loaded = _wait_for_call(spec) if spec.spare else None
    context = StageContext(spec, loaded)
    context.refused += refused
    try:
        context.progress("loading")
        importlib.import_module(f"realtime.stages.{spec.stage}").run(context)
        return 0
    except MerealtimeError as error:
        return _fail(context, str(error), error.exit_code)
    except Exception as error:
        return _fail(context, f"{type(error).__name__}: {error}", 1)
    finally:
        context.close()


def _wait_for_call(spec: StageSpec) -> Any:
    """Load, wait; what was loaded. Leaves where no call comes."""
    from realtime.stages import networks

    networks.import_gently()
    loaded = networks.load(spec.settings, spec.spare)
    if sys.stdin.buffer.read(len(CALL)) != CALL:
        os._exit(0)
    habits.set_title(f"merealtime-{spec.stage}")
    return loaded


def _fail(context: StageContext, text: str, code: int) -> int:
    log.debug("%s failed", context.stage, exc_info=True)
    line = " ".join(text.split()) or "failed"
    context.report(messages.Failed(stage=context.stage, text=line, exit_code=code, traceback=traceback.format_exc()))
    return code


def main() -> int:
    (length,) = LENGTH.unpack(sys.stdin.buffer.read(LENGTH.size))
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(length), type=StageSpec)
    return run_stage(spec)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what matters is closed; TensorFlow's and MediaPipe's own threads can hang a normal exit
