"""The supervisor's parts: restart budget, accounts, what a session looks like from outside."""

from __future__ import annotations

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

from realtime.config import Settings, load
from realtime.errors import UserError
from realtime.ipc import bus, messages
from realtime.ipc.board import Board
from realtime.sinks import lines
from realtime.stages import runner
from realtime.stages.runner import StageSpec
from realtime.supervisor import Supervisor
from realtime.supervisor import process as processes
from realtime.supervisor.account import Account, is_measured, measured_fps
from realtime.supervisor.event_log import Session
from realtime.supervisor.logs import telling
from realtime.supervisor.resources import Site
from realtime.types import SourceInfo

INFO = SourceInfo(source="0", kind="camera", width=64, height=48, fps=200.0, fps_requested=200.0)


def make_account(board: Board, settings: Settings | None = None) -> tuple[Account, Keep, Session]:
    keep = Keep()
    session = Session([keep])
    made = Account(settings or Settings(), board, {}, session)
    made.info = INFO
    return made, keep, session


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
    account, keep, session = make_account(board)
    captured(board, 90, 99, 0.5)  # ten were lost in the camera
    session.gap(messages.Gap(first=20, last=29, count=10, cause="camera"))
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
    ("code", "words"), [("raise SystemExit(3)", "exit code 3"), ("import os; os.kill(os.getpid(), 9)", "SIGKILL")]
)
def test_an_exit_is_described(code: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = make_process(monkeypatch)
    process._child = subprocess.Popen([sys.executable, "-c", code])
    assert process.wait(10)
    assert words in process.describe_exit()


def test_usage_of_processes() -> None:
    own = processes.usage("self")
    assert own["rss_mb"] > 5
    assert own["rss_peak_mb"] >= own["rss_mb"]
    assert processes.usage(2**22 + 1) == {}
    assert processes.process_age_s() > 0


def test_a_site_leaves_nothing(tmp_path: Path) -> None:
    site = Site()
    site.make_ring(INFO, 8)
    site.shake_hands()
    made = [site.directory, Path("/dev/shm") / site.board.name, Path("/dev/shm") / site.ring_name]
    assert all(path.exists() for path in made)
    assert not site.ask("spot", messages.Control(order="ping"), 0.05)
    site.end_ring()
    site.close()
    assert not any(path.exists() for path in made)


def test_a_failed_stage_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever sockets it has open, and though nobody takes what it sent; its last words arrive."""
    site = Site()
    spec = StageSpec(
        stage="spot", directory=str(site.directory), board=site.board.name, parent=os.getpid(), settings=Settings()
    )

    def run(context: runner.StageContext) -> None:
        bus.Sender(context.zmq, context.endpoint("motion"))
        raise ZeroDivisionError("a bug\nof two lines")

    monkeypatch.setattr(runner, "_set_up", lambda _: [])
    monkeypatch.setattr(runner.importlib, "import_module", lambda _: types.SimpleNamespace(run=run))
    begun = time.monotonic()
    assert runner.run_stage(spec) == 1
    assert time.monotonic() - begun < 30
    progress, failed = (messages.decode_report(site.reports.receive(5.0) or b"") for _ in range(2))
    assert isinstance(progress, messages.Progress)
    assert isinstance(failed, messages.Failed)
    assert (failed.text, failed.exit_code) == ("ZeroDivisionError: a bug of two lines", 1)
    assert "in run" in failed.traceback
    site.close()


def test_an_output_that_fails_leaves_nothing() -> None:
    before = set(Path("/dev/shm").iterdir())
    with pytest.raises(UserError):
        Supervisor(load(overrides={"output.events": "/nonexistent/e.jsonl", "output.view": "none"}))
    left = {path for path in Path("/dev/shm").iterdir() if f"-{os.getpid()}-" in path.name}
    assert not left - before


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
        assert supervisor._patience_s("capture") == 4.0
        supervisor._account.info = msgspec.structs.replace(INFO, fps=0.05, silence_s=11.0)
        assert supervisor._patience_s("capture") == 4.0 + 11.0 + 40.0
        assert supervisor._patience_s("spot") == 4.0
    finally:
        supervisor._close()


def test_a_session_under_nohup_outlives_its_terminal() -> None:
    supervisor = Supervisor(load(overrides={"output.view": "none"}))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with supervisor._signals():
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
