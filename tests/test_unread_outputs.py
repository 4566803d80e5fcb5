"""Outputs that nobody reads: a full pipe, a paused terminal, a hung disk. The session goes on, and ends when told."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from _lines import SESSION, SUMMARY, Keep, classified
from _session import ROOT, assert_balanced, left_behind

from realtime.sinks import lines
from realtime.supervisor.journal import Journal
from realtime.supervisor.outlets import Outlet, apart

QUICK = ("--camera", "demo:5", "--fps", "60", "--size", "320x240")


def full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more: (who could read, who writes)."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x")
    except BlockingIOError:
        os.set_blocking(write, True)
    return read, write


def full_terminal() -> tuple[int, int]:
    """A terminal whose reader has left it alone until it took nothing more."""
    master, slave = pty.openpty()
    os.set_blocking(slave, False)
    for _ in range(20):  # the line discipline hands on what it holds a moment later
        try:
            while True:
                os.write(slave, b"x" * 512)
        except BlockingIOError:
            time.sleep(0.02)
    os.set_blocking(slave, True)
    return master, slave


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def wait_for(child: subprocess.Popen[bytes], what: Any, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("view", "make", "number", "code"),
    [("plain", full_pipe, signal.SIGTERM, 1), ("live", full_terminal, signal.SIGINT, 0)],
)
def test_a_view_that_nobody_reads_holds_up_nothing(
    view: str, make: Any, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Standard output and standard error both: events go into the log as they come, and a signal ends it. That a
    program did not get its lines is an error, that nobody looked at a terminal is none.
    """
    log = tmp_path / "e.jsonl"
    reader, writer = make()
    child = subprocess.Popen(
        [sys.executable, "-m", "realtime", *QUICK, "--view", view, "--events", str(log), "--debug"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    try:
        wait_for(child, lambda: any(line.get("what") == "output stalls" for line in logged(log)))
        if view == "plain":
            wait_for(child, lambda: any(line["type"] == "event" for line in logged(log)))
        child.send_signal(number)
        assert child.wait(180) == code
    finally:
        child.kill()
        child.wait()
        os.close(reader)
    summary = assert_balanced(logged(log))
    assert summary["ended"] == number.name
    assert left_behind(child.pid) == []


def test_a_log_that_takes_nothing_is_told_at_the_end_and_holds_up_nothing(tmp_path: Path) -> None:
    """A hung disk: here a pipe whose reader has stopped reading."""
    fifo, folder = tmp_path / "log", tmp_path / "kept"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    filler = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(filler, b"x")
    except BlockingIOError:
        pass
    command = [sys.executable, "-m", "realtime", *QUICK, "--view", "plain", "--events", str(fifo), "--duration", "4"]
    done = subprocess.run(
        [*command, "--record", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    os.close(filler)
    os.close(reader)
    assert done.returncode == 1
    assert "output stalls: EventLog" in done.stdout
    assert "done   --duration" in done.stdout
    assert f"{fifo}: takes nothing; the last" in done.stderr.splitlines()[-1]
    (kept,) = folder.iterdir()
    assert (kept / "frames.csv").read_text().count("\n") > 30, "recorded all the while"


class Slow(Keep):
    """Takes a line when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def line(self, line: lines.AnyLine) -> None:
        self.gate.wait()
        super().line(line)


class SlowView(Slow):
    lossy = True


def test_lines_of_a_log_wait_and_those_of_a_view_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.supervisor import outlets

    monkeypatch.setattr(outlets, "_MANY", 3)
    monkeypatch.setattr(outlets, "_STALL_S", 0.05)
    log, view, keep = Slow(), SlowView(), Keep()
    journal = Journal(apart([log, view, keep]))
    journal.begin(SESSION)
    time.sleep(0.1)
    journal.look_after()
    for number in range(20):
        journal.event(classified(number))
    log.gate.set()
    view.gate.set()
    deadline = time.monotonic() + 10
    while len(keep.lines) < 25 and time.monotonic() < deadline:
        time.sleep(0.01)
        journal.look_after()
    journal.finish(SUMMARY)
    journal.close()
    assert (journal.stuck, journal.failed_sinks) == (False, {})
    whats = [line.what for line in keep.lines if isinstance(line, lines.NoticeLine)]
    assert whats == ["output stalls", "output stalls", "output goes on", "output goes on"]
    assert [line.id for line in log.lines if isinstance(line, lines.EventLine)] == list(range(20))
    assert len([line for line in view.lines if isinstance(line, lines.EventLine)]) < 5
    assert log.lines[-1] == view.lines[-1] == SUMMARY


def test_what_an_output_met_with_is_met_in_the_supervisor() -> None:
    class Full(Keep):
        space = False

        def line(self, line: lines.AnyLine) -> None:
            if not self.space:
                raise OSError(28, "No space left on device")
            super().line(line)

    class Bad(Keep):
        def show(self, state: lines.State) -> None:
            raise ZeroDivisionError("of its own")

    full, keep = Full(), Keep()
    journal = Journal(apart([full, keep]))
    journal.begin(SESSION)
    deadline = time.monotonic() + 10
    while not journal.failed_sinks and time.monotonic() < deadline:
        time.sleep(0.01)
        journal.notice("a line")
    assert journal.failed_sinks == {"Full": "No space left on device"}
    full.space = True
    journal.notice("the last")
    journal.close()
    assert journal.failed_sinks == {}
    whats = [line.what for line in keep.lines if isinstance(line, lines.NoticeLine)]
    assert whats.count("output failed") == 1
    bad = Outlet(Bad())
    bad.show(lines.State())
    with pytest.raises(ZeroDivisionError):
        bad.close()
