"""The supervisor's parts: restart budget, accounts, what a session looks like from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import msgspec
import pytest
from _lines import Keep
from _session import assert_balanced

from realtime.config import OutputSettings, Settings, load
from realtime.errors import RingError, UserError
from realtime.ipc import bus, messages
from realtime.ipc.board import Board
from realtime.ipc.ring import ring_bytes
from realtime.sinks import Sink, lines, open_sinks
from realtime.stages import runner
from realtime.stages.runner import StageSpec
from realtime.supervisor import Supervisor, signals
from realtime.supervisor import process as processes
from realtime.supervisor.account import Account, is_measured, measured_fps
from realtime.supervisor.journal import Journal
from realtime.supervisor.logs import telling
from realtime.supervisor.resources import Resources
from realtime.types import SourceInfo

INFO = SourceInfo(source="0", kind="camera", width=64, height=48, fps=200.0, fps_requested=200.0)


def make_account(board: Board, settings: Settings | None = None) -> tuple[Account, Keep, Journal]:
    keep = Keep()
    journal = Journal([keep])
    made = Account(settings or Settings(), board, {}, journal)
    made.info = INFO
    return made, keep, journal


def captured(board: Board, frames: int, last: int, span_s: float) -> None:
    row = board.row("capture")
    row.put("frames", frames)
    row.put("first_number", 0)
    row.put("last_number", last)
    row.put("first_t_ns", 10**9)
    row.put("last_t_ns", 10**9 + round(span_s * 1e9))
    row.put("first_ns", 10**9)
    row.put("last_ns", 10**9 + round(span_s * 1e9))


def test_the_rate_is_measured_by_the_frames_own_times(board: Board) -> None:
    assert (measured_fps(board), is_measured(board)) == (0.0, False)
    captured(board, 41, 40, 0.2)
    assert measured_fps(board) == 200.0
    captured(board, 101, 100, 0.5)
    assert is_measured(board)


def test_a_slower_camera_is_told(board: Board) -> None:
    account, keep, _ = make_account(board, load(overrides={"source.fps": 200.0}))
    captured(board, 61, 60, 0.5)
    account.begin()
    assert isinstance(keep.lines[0], lines.SessionLine)
    notice = keep.lines[1]
    assert isinstance(notice, lines.NoticeLine)
    assert (notice.what, notice.detail) == ("rate below asked", "asked 200, measured 120 fps")


def test_frames_that_nobody_accounted_for_become_a_gap(board: Board) -> None:
    account, keep, journal = make_account(board)
    captured(board, 90, 99, 0.5)  # ten were lost in the camera
    journal.gap(messages.Gap(first=20, last=29, count=10, cause="camera"))
    board.row("spot").put("frames", 70)
    board.row("spot").put("last_number", 79)
    board.row("spot").put("next_id", 2)
    account.finish({}, ended="SIGINT", error="it broke", ticks_lost=3)
    gap = keep.lines[2]
    assert isinstance(gap, lines.GapLine)
    assert (gap.first, gap.last, gap.count, gap.cause) == (80, 99, 20, "spotter")
    notices = [line.what for line in keep.lines if isinstance(line, lines.NoticeLine)]
    assert notices == ["events lost", "failed"]
    summary = keep.lines[-1]
    assert isinstance(summary, lines.SummaryLine)
    assert summary.frames_captured == 100 == summary.frames_analysed + sum(summary.frames_dropped.values())
    assert (summary.ended, summary.ticks_lost) == ("SIGINT", 3)


def test_a_session_without_a_frame_adds_up_too(board: Board) -> None:
    account, keep, _ = make_account(board)
    account.info = None
    account.finish({}, ended="SIGTERM", error="", ticks_lost=0)
    first, summary = keep.lines
    assert isinstance(first, lines.SessionLine)
    assert isinstance(summary, lines.SummaryLine)
    assert (summary.frames_captured, summary.frames_analysed, summary.fps_measured) == (0, 0, 0.0)


def make_process(monkeypatch: pytest.MonkeyPatch, **runtime: float) -> processes.StageProcess:
    settings = load(overrides={f"runtime.{key}": value for key, value in runtime.items()})
    spec = StageSpec(stage="spot", directory="", board="", parent=os.getpid(), settings=settings)
    return processes.StageProcess(spec, settings.runtime, None)  # type: ignore[arg-type]


def test_restarts_have_a_budget_that_renews_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock[0])
    process = make_process(monkeypatch, restarts=2, restart_window_s=10.0)
    assert [process.may_restart() for _ in range(3)] == [True, True, False]
    clock[0] = 10.5
    assert process.may_restart()
    assert process.restarts == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(3)", "left with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 3)", "was killed by SIGRTMIN+3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN)", "was killed by SIGRTMIN"),
    ],
)
def test_an_exit_is_described(code: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = make_process(monkeypatch)
    process._child = subprocess.Popen([sys.executable, "-c", code])
    assert process.wait(10)
    assert process.describe_exit() == words


def test_usage_of_processes() -> None:
    own = processes.usage(os.getpid())
    assert own["rss_mb"] > 5
    assert own["rss_peak_mb"] >= own["rss_mb"]
    assert processes.usage(2**22 + 1) == {}
    assert processes.process_age_s() > 0


def test_resources_leave_nothing() -> None:
    resources = Resources()
    assert resources.make_ring(INFO, 8, 8) == 8
    resources.shake_hands()
    names = (resources.board.name, resources.sent.name, resources.ring_name)
    made = [resources.directory, *(Path("/dev/shm") / name for name in names)]
    assert all(path.exists() for path in made)
    assert not resources.ask("spot", messages.Control(order="start"), 0.05)
    resources.end_ring()
    resources.close()
    assert not any(path.exists() for path in made)


def test_a_failed_stage_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever sockets it has open, and though nobody takes what it sent; its last words arrive."""
    resources = Resources()
    spec = StageSpec(
        stage="spot",
        directory=str(resources.directory),
        board=resources.board.name,
        parent=os.getpid(),
        settings=Settings(),
    )

    def run(context: runner.StageContext) -> None:
        bus.Sender(context.zmq, context.endpoint("motion"))
        raise ZeroDivisionError("a bug\nof two lines")

    monkeypatch.setattr(runner, "_set_up", lambda _: [])
    monkeypatch.setattr(runner.importlib, "import_module", lambda _: types.SimpleNamespace(run=run))
    begun = time.monotonic()
    assert runner.run_stage(spec) == 1
    assert time.monotonic() - begun < 30
    progress, failed = (messages.decode_report(resources.reports.receive(5.0) or b"") for _ in range(2))
    assert isinstance(progress, messages.Progress)
    assert isinstance(failed, messages.Failed)
    assert (failed.text, failed.exit_code) == ("ZeroDivisionError: a bug of two lines", 1)
    assert "in run" in failed.traceback
    resources.close()


def test_an_output_that_fails_leaves_nothing(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").iterdir())
    with pytest.raises(UserError):
        Supervisor(load(overrides={"output.events": f"{tmp_path}/not/e.jsonl", "output.view": "none"}))
    left = {path for path in Path("/dev/shm").iterdir() if f"-{os.getpid()}-" in path.name}
    assert not left - before


def in_shared_memory() -> set[str]:
    """What this process has in shared memory."""
    return {path.name for path in Path("/dev/shm").iterdir() if f"-{os.getpid()}-" in path.name}


def test_full_shared_memory_leaves_no_empty_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = in_shared_memory()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RingError, match="No space left on device"):
        Supervisor(load(overrides={"output.events": str(tmp_path / "e.jsonl"), "output.view": "none"}))
    assert list(tmp_path.iterdir()) == []
    assert in_shared_memory() == before


def test_no_place_for_sockets_leaves_no_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    before = in_shared_memory()
    monkeypatch.setattr(bus.tempfile, "mkdtemp", refused)
    with pytest.raises(bus.BusError, match=r"can't make a directory for sockets there \(Permission denied\)"):
        Resources()
    assert in_shared_memory() == before


def test_an_output_that_breaks_while_closing_leaves_nothing_else() -> None:
    class Bad(Keep):
        def close(self) -> None:
            raise ZeroDivisionError("a bug in a sink")

    before = in_shared_memory()
    supervisor = Supervisor(load(overrides={"output.view": "none"}), sinks=[Bad()])
    supervisor._resources.make_ring(INFO, 8, 8)
    directory = supervisor._resources.directory
    assert len(in_shared_memory() - before) == 3
    with pytest.raises(ZeroDivisionError):
        supervisor._close()
    assert in_shared_memory() == before
    assert not directory.exists()


@pytest.mark.parametrize(("reason", "hurried"), [("", [False, True]), ("failure", [True, True])])
def test_a_signal_while_the_session_ends_hurries_it(reason: str, hurried: list[bool]) -> None:
    """Ctrl-C twice, or once where a failure has begun the end."""
    supervisor = Supervisor(load(overrides={"output.view": "none"}))
    try:
        if reason:
            supervisor._fail("spot was killed by SIGKILL", 1)
        with signals.handled(supervisor._on_signal):
            for expected in hurried:
                os.kill(os.getpid(), signal.SIGINT)
                assert supervisor._hurry is expected
        assert supervisor._stop_reason == (reason or "SIGINT")
    finally:
        supervisor._close()


def test_a_signal_while_the_outputs_are_opened_ends_the_session_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime.supervisor import supervisor as module

    def interrupted(settings: OutputSettings) -> list[Sink]:
        opened = open_sinks(settings)
        os.kill(os.getpid(), signal.SIGINT)
        return opened

    monkeypatch.setattr(module, "open_sinks", interrupted)
    log = tmp_path / "e.jsonl"
    supervisor = Supervisor(load(overrides={"output.view": "none", "output.events": str(log)}))
    assert supervisor.run() == 0
    summary = assert_balanced([json.loads(line) for line in log.read_text().splitlines()])
    assert (summary["ended"], summary["frames_captured"]) == ("SIGINT", 0)


def test_a_stage_that_is_back_has_its_events_and_the_end_mark_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor(load(overrides={"output.view": "none"}))
    orders: list[tuple[str, messages.Control]] = []
    try:
        monkeypatch.setattr(supervisor._children, "order", lambda stage, order: not orders.append((stage, order)))
        supervisor._running = True
        for sent in (0, 3):  # without an event too: the end mark may be lost
            supervisor._resources.board.row("spot").put("next_id", sent)
            supervisor._journal.unclassifiable(messages.Unclassified(id=1, stage="motion", reason="its own test"))
            supervisor._on_ready(messages.Ready(stage="motion", pid=1, seconds=0.1))
        supervisor._on_ready(messages.Ready(stage="capture", pid=1, seconds=0.1))
        assert [(stage, order.order, order.ids) for stage, order in orders] == [
            ("spot", "resend", []), ("spot", "resend", [0, 2]), ("capture", "start", []),
        ]  # fmt: skip
    finally:
        supervisor._close()


def test_a_mistake_of_ours_is_no_end_of_the_source(tmp_path: Path) -> None:
    """An exception that nobody foresaw, in the middle of a session: the log says so, and adds up."""

    class Broken:
        raised = False

        def line(self, line: lines.AnyLine) -> None:
            """Takes all."""

        def show(self, state: lines.State) -> None:
            if state.captured > 20 and not self.raised:
                self.raised = True
                raise ZeroDivisionError("of its own")

        def close(self) -> None:
            """Holds nothing."""

    log = tmp_path / "e.jsonl"
    settings = load(overrides={"output.view": "none", "output.events": str(log), "source.fps": 100.0})
    with pytest.raises(ZeroDivisionError):
        Supervisor(settings, sinks=[Broken()]).run()
    written = [json.loads(text) for text in log.read_text().splitlines()]
    assert written[-1]["ended"] == "failure"
    assert written[-2]["detail"] == "ZeroDivisionError: of its own"
    assert_balanced(written)


def test_what_the_user_can_mend_is_not_tried_again(tmp_path: Path) -> None:
    supervisor = Supervisor(load(overrides={"output.view": "none", "output.record": str(tmp_path)}))
    try:
        supervisor._running = True
        supervisor._on_failed(messages.Failed(stage="record", text="no codec", exit_code=2))
        supervisor._on_failed(messages.Failed(stage="motion", text="a bug", exit_code=1))
        assert supervisor.exit_code == 0
        supervisor._on_failed(messages.Failed(stage="spot", text="too small", exit_code=2))
        assert (supervisor.exit_code, supervisor.error) == (2, "too small")
        assert supervisor._stages["spot"].phase == "gone"
    finally:
        supervisor._close()


def test_a_slow_source_is_no_hanging_capture() -> None:
    supervisor = Supervisor(load(overrides={"output.view": "none", "runtime.heartbeat_timeout_s": 4.0}))
    try:
        assert supervisor._children.patience_s("capture", supervisor._account.info) == 4.0
        supervisor._account.info = msgspec.structs.replace(INFO, fps=0.05, silence_s=11.0)
        assert supervisor._children.patience_s("capture", supervisor._account.info) == 4.0 + 11.0 + 40.0
        assert supervisor._children.patience_s("spot", supervisor._account.info) == 4.0
    finally:
        supervisor._close()


def test_a_session_under_nohup_outlives_its_terminal() -> None:
    supervisor = Supervisor(load(overrides={"output.view": "none"}))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled(supervisor._on_signal):
            os.kill(os.getpid(), signal.SIGHUP)
            assert supervisor._stop_reason == ""
            os.kill(os.getpid(), signal.SIGTERM)
            assert supervisor._stop_reason == "SIGTERM"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        supervisor._close()


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ([], ""),
        (["I0000 00:00:17 gl_context.cc:357] GL"], "I0000 00:00:17 gl_context.cc:357] GL"),
        (["cannot load libGL", "W0000 00:00:17 inference.cc:1] feedback"], "cannot load libGL"),
        (["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'x'", "INFO: Created delegate"],
         "ModuleNotFoundError: No module named 'x'"),
        (["Fatal Python error: Segmentation fault", "", "Thread 0x1:", '  File "a.py", line 3 in f'],
         "Fatal Python error: Segmentation fault"),
    ],
)  # fmt: skip
def test_the_telling_line(tail: list[str], line: str) -> None:
    assert telling(tail) == line


def test_a_small_shared_memory_makes_the_ring_shorter_but_not_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    size = ring_bytes(1, INFO.height, INFO.width)
    real = os.statvfs("/dev/shm")

    def there(frames: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(f_bavail=frames * size, f_frsize=1, f_blocks=real.f_blocks)

    for fits, wanted, least, made in ((100, 50, 20, 50), (30, 50, 20, 30), (5, 50, 20, 20)):
        resources = Resources()
        monkeypatch.setattr(os, "statvfs", lambda _, frames=fits: there(frames))
        assert resources.make_ring(INFO, wanted, least) == made
        resources.close()
    settings = load(overrides={"output.view": "none", "ring.seconds": 5.0})
    assert settings.ring.slots(200.0, 48, 64) == 1000
    assert settings.ring.least_slots(200.0, 48, 64) == 200
