"""A recording analysed in one process: what the stages do, one after the other, without ring and sockets.

``merealtime --camera FILE`` spreads a recording over processes, which is quickest for one file. An archive keeps every
core busy with a file of its own, and this is what runs there: the same functions in the same order, the same lines
(``tests/test_serial.py`` holds them against each other), one core and one process's memory a file.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from realtime import pipeline
from realtime.config import Settings
from realtime.errors import MerealtimeError, SourceError, UserError
from realtime.ipc import messages
from realtime.ipc.board import Board, Row
from realtime.recognition import bundle as bundles
from realtime.sinks import Sink
from realtime.sources import Source, open_source, take_notices
from realtime.stages import classify, habits, motion, networks
from realtime.stages.attempts import Attempts
from realtime.stages.sensing import Sensing
from realtime.supervisor.account import Account, is_measured
from realtime.supervisor.journal import Journal
from realtime.supervisor.process import usage
from realtime.types import SourceInfo, SpotEvent, Stamp
from realtime.vision import flow
from realtime.vision.face.landmarks import keep_tensorflow_out
from realtime.vision.features import FeatureSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from realtime.vision.spotting.crowd import Meter

T = TypeVar("T")
_ROOT = Path(__file__).resolve().parents[1]


class Done(msgspec.Struct, kw_only=True):
    """What one recording came to, beside its lines; as far as it got where it failed."""

    info: SourceInfo | None = None
    """None: it could not be opened."""
    flow_backend: str = ""
    frames: int = 0
    """Analysed."""
    with_face: int = 0
    """Of these, frames with a face in view."""
    dropped: int = 0
    seconds: dict[str, float] = {}
    """Time at work: ``start`` (open, load, warm up), ``decode``, ``landmarks``, ``track``, ``decide``, ``keep``,
    ``motion``, ``classify``."""


@functools.cache
def prepare_process() -> None:
    """Once in a process, before a library is loaded: one thread, and kernels out of the cache like everybody's.

    A process that has compiled a kernel itself may differ from those that found it in the cache in a score's seventh
    digit: so another one compiles what is not there.
    """
    os.environ |= habits.thread_environment(1)
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))  # also from a checkout
    subprocess.run(
        [sys.executable, "-m", "realtime.serial"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,  # what is wrong shows where it is used
    )
    keep_tensorflow_out()  # here: what imports MediaPipe first is held by it, with all that it holds


def compile_kernels() -> None:
    """Compile (or load) what turns an event into a map, with crops as they come from a spotter."""
    rng = np.random.default_rng(0)
    spec = FeatureSpec()
    first = rng.integers(0, 256, (spec.crop_height, spec.crop_width), np.uint8)
    landmarks = np.full((68, 2), 40, np.float32) + rng.uniform(0, 20, (68, 2)).astype(np.float32)
    event = SpotEvent(
        kind="micro", onset=0, apex=1, offset=2, onset_t_ns=0, apex_t_ns=1, offset_t_ns=2, score=1.0, rois={}, decided=3
    )
    message = messages.spotted(0, event, (first, np.roll(first, 1, axis=0), landmarks), 0, 0, 0)
    motion.warm_up(spec, "cpu")
    motion.map_event(message, spec, "cpu")


def analyse(settings: Settings, sinks: Sequence[Sink], done: Done) -> None:
    """Analyse the recording ``settings.source.camera``; lines go to the sinks, which are closed, the account to `done`.

    Raises SourceError where it is none or can't be opened, MerealtimeError where it breaks off or a sink fails: the
    lines so far, a notice that says why and the summary are then written all the same.
    """
    begun = time.perf_counter_ns()
    board, journal = Board.private(), Journal(sinks)
    try:
        with contextlib.closing(journal), contextlib.ExitStack() as stack:
            source = open_source(settings.source.camera, settings.source)
            stack.callback(source.close)
            if source.info.live:
                raise SourceError(f"{settings.source.camera}: only a recording can be analysed so; it is live")
            done.info = source.info
            loaded = networks.load(settings, messages.Control(order="ring", info=source.info, fps=source.info.fps))
            assert loaded.meter is not None  # the source is known
            stack.callback(loaded.meter.close)
            session = _Session(settings, board, journal, source, loaded.meter, done)
            done.seconds["start"] = round((time.perf_counter_ns() - begun) / 1e9, 3)
            session.run()
        if journal.failed_sinks:
            raise MerealtimeError("; ".join(journal.failed_sinks.values()))
    finally:
        board.close()


class _Session:
    """State of a recording under way."""

    stage = ""
    """That an event is in now."""

    def __init__(
        self, settings: Settings, board: Board, journal: Journal, source: Source, meter: Meter, done: Done
    ) -> None:
        self._settings, self._journal, self._source, self._meter, self._done = settings, journal, source, meter, done
        self._board, self._capture, self._spot = board, board.row("capture"), board.row("spot")
        self._account = Account(settings, board, {}, journal)
        self._account.info = source.info
        self._spec = FeatureSpec()
        self._backend, _ = flow.resolve_backend(settings.flow.backend)
        motion.warm_up(self._spec, self._backend)
        self._bundle = bundles.load(settings.recognition.bundle)
        bundles.check_spec(self._bundle, self._spec)
        done.flow_backend = self._backend
        self._account.details = {
            "motion": {"flow_backend": self._backend},
            "classify": {"model": self._bundle.card.name},
        }
        self._account.note_ready("spot", {})
        self._attempts = {stage: Attempts(self) for stage in pipeline.EVENT_PATH}
        self._sensing = Sensing()
        self._next_id = 0
        self._last = Stamp(-1, 0)
        self._spent = dict.fromkeys(("decode", "spot", "motion", "classify"), 0)

    def report(self, message: messages.Unclassified) -> None:
        """An event that failed on its way."""
        self._journal.unclassifiable(message)

    def run(self) -> None:
        """Every frame, the movement under way at the end, first and last line."""
        failure: MerealtimeError | None = None
        ended = "failure"
        try:
            ended = self._frames()
        except MerealtimeError as error:
            failure = error
        now = time.monotonic_ns()
        for event in self._meter.flush():
            self._tell(event, now, now)
        self._note_seconds()
        self._done.dropped = sum(self._journal.dropped.values())
        why = "" if failure is None else str(failure)
        self._account.finish(self._figures(), ended=ended, error=why, ticks_lost=0)
        if failure is not None:
            raise failure

    def _frames(self) -> str:
        """Frame after frame; why it ended."""
        limits, spent = self._settings.source, self._spent
        duration_ns = 2**62 if limits.duration_s is None else int(limits.duration_s * 1e9)
        gray = np.empty((self._source.info.height, self._source.info.width), np.uint8)
        done, first_ns = self._done, 0
        while limits.frames is None or done.frames < limits.frames:
            begun = time.monotonic_ns()
            stamp = self._source.read(gray)
            decoded = time.monotonic_ns()
            spent["decode"] += decoded - begun
            for what, detail in take_notices(self._source):
                self._journal.notice(what, detail)
            if stamp is None:
                return "end of source"
            if done.frames == 0:
                first_ns = stamp.t_ns
            elif stamp.t_ns - first_ns >= duration_ns:
                return "--duration"
            self._take(gray, stamp, decoded)
        return "--frames"

    def _take(self, gray: NDArray[np.uint8], stamp: Stamp, decoded: int) -> None:
        """One frame, decoded at that monotonic time, ns."""
        if stamp.number != self._last.number + 1:
            first, last = self._last.number + 1, stamp.number - 1
            self._journal.gap(messages.Gap(first=first, last=last, count=last - first + 1, cause="camera"))
        _note(self._capture, stamp, decoded)
        self._last = stamp
        measurement, events = self._meter.process(gray, stamp.number, stamp.t_ns)
        assert measurement is not None  # nobody overwrites this frame
        spotted = time.monotonic_ns()
        self._spent["spot"] += spotted - decoded
        for event in events:
            self._tell(event, decoded, decoded)
        for what, detail in measurement.notices:
            self._journal.notice(what, detail, stamp.t_ns)
        for detail, sensed in self._sensing.look(self._meter, stamp.t_ns):
            self._journal.notice("sensitivity", detail, stamp.t_ns, sensed)
        self._done.frames += 1
        self._done.with_face += measurement.face
        _note(self._spot, stamp, spotted)
        if not self._journal.begun and is_measured(self._board):
            self._account.begin()

    def _tell(self, event: SpotEvent, captured_ns: int, taken_ns: int) -> None:
        """Flow, label and line of an event that is complete."""
        try:
            crops = self._meter.crops(event)
        except UserError:
            raise
        except MerealtimeError as error:  # its onset is older than what the meter keeps
            self._journal.notice("event without crops", str(error), self._last.t_ns)
            return
        message = messages.spotted(self._next_id, event, crops, captured_ns, captured_ns, taken_ns)
        self._next_id += 1
        mapped = self._try(
            "motion", message.id, functools.partial(motion.map_event, message, self._spec, self._backend)
        )
        if mapped is None:
            return
        name = functools.partial(classify.classify, mapped, self._bundle, self._settings.recognition)
        named = self._try("classify", message.id, name)
        if named is not None:
            self._journal.event(named)

    def _try(self, stage: str, event: int, work: Callable[[], T]) -> T | None:
        """What ``work()`` gives; None where the event can't be handled, which is told."""
        self.stage = stage
        begun = time.monotonic_ns()
        made = self._attempts[stage].make(event, work)
        self._spent[stage] += time.monotonic_ns() - begun
        return made

    def _note_seconds(self) -> None:
        """Where the time went."""
        steps = {name: ns for name, ns in self._meter.timings().items() if name != "frames"}
        for name, ns in {**self._spent, **steps}.items():
            self._done.seconds[name] = round(ns / 1e9, 3)

    def _figures(self) -> dict[str, dict[str, float]]:
        """The summary's ``stages``: those of a session, though all of them are this process."""
        done, spot = self._done.seconds, self._spot
        steps = {f"{name}_s": done[name] for name in self._meter.timings() if name != "frames"}
        span_s = (spot.get("last_ns") - spot.get("first_ns")) / 1e9
        return {
            "serial": usage(os.getpid()),
            "capture": {"busy_s": done["decode"], "frames": float(self._capture.get("frames"))},
            "spot": {"busy_s": done["spot"], "events": float(self._next_id), "span_s": span_s, **steps},
            "motion": {"busy_s": done["motion"], "events": float(self._next_id)},
            "classify": {"busy_s": done["classify"]},
        }


def _note(row: Row, stamp: Stamp, now: int) -> None:
    """Count a frame."""
    row.put("frames", row.get("frames") + 1)
    if row.get("frames") == 1:
        row.put("first_number", stamp.number)
        row.put("first_t_ns", stamp.t_ns)
        row.put("first_ns", now)
    row.put("last_number", stamp.number)
    row.put("last_t_ns", stamp.t_ns)
    row.put("last_ns", now)


if __name__ == "__main__":
    compile_kernels()
