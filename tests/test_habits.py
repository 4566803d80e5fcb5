"""Real-time habits of a process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zmq

from realtime.config import RuntimeSettings, load
from realtime.stages import habits, procfs


def test_refused_habits_are_told_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(habits.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(habits.os, "sched_setaffinity", refuse)
    runtime = load(overrides={"runtime.fifo_priority": 50, "runtime.cpus": {"spot": [0]}}).runtime
    assert "SCHED_FIFO refused" in habits.settle("spot", runtime)[0]
    assert "refused" in habits.pin("spot", runtime)[0]
    assert habits.settle("classify", runtime) == []
    assert habits.pin("motion", runtime) == []


def _policies() -> dict[int, int]:
    found = {}
    for tid in map(int, os.listdir("/proc/self/task")):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            found[tid] = os.sched_getscheduler(tid)
    return found


def _messengers_threads(runtime: RuntimeSettings, folder: Path) -> list[int]:
    """Scheduling of the threads that a stage's ZeroMQ context starts, when they have carried a message."""
    before = _policies()
    context = habits.messenger(runtime)
    try:
        with context.socket(zmq.PULL) as inbox, context.socket(zmq.PUSH) as outbox:
            inbox.bind(f"ipc://{folder}/inbox")
            outbox.connect(f"ipc://{folder}/inbox")
            outbox.send(b"")
            assert inbox.recv() == b""
        return [policy for tid, policy in _policies().items() if tid not in before]
    finally:
        context.destroy()


def test_messages_are_carried_first_where_the_system_allows_it(tmp_path: Path) -> None:
    if not habits.may_be_first(1):
        pytest.skip("SCHED_FIFO is not allowed here (ulimit -r)")
    ordinary = load(overrides={"runtime.event_priority": 0}).runtime
    assert os.SCHED_FIFO in _messengers_threads(load().runtime, tmp_path)
    assert os.SCHED_FIFO not in _messengers_threads(ordinary, tmp_path)


def test_messages_are_carried_where_the_system_allows_no_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(habits.os, "sched_setscheduler", refuse)
    threads = _messengers_threads(load().runtime, tmp_path)
    assert threads
    assert os.SCHED_FIFO not in threads


def test_the_classifier_goes_first_and_what_it_starts_does_not() -> None:
    if not habits.may_be_first(1):
        pytest.skip("SCHED_FIFO is not allowed here (ulimit -r)")
    told: list[int] = []

    def look() -> None:
        habits.settle("motion", runtime)
        told.append(os.sched_getscheduler(0))
        habits.settle("classify", runtime)
        told.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        inner = threading.Thread(target=lambda: told.append(os.sched_getscheduler(0)))
        inner.start()
        inner.join()

    runtime = load(overrides={"runtime.freeze_gc": False}).runtime
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert told == [os.SCHED_OTHER, os.SCHED_FIFO, os.SCHED_OTHER]


def test_thread_environment_limits_each_library() -> None:
    environment = habits.thread_environment(1)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "TF_NUM_INTRAOP_THREADS"):
        assert environment[name] == "1"


_ODD_NAME = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"a) S 1 (b", 0, 0, 0)
print("named", flush=True)
sys.stdin.read()
"""


def test_a_process_is_told_by_its_start_whatever_its_name() -> None:
    plain = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]
    odd = [sys.executable, "-c", _ODD_NAME]
    starts = []
    for command in (plain, odd):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            starts.append(procfs.start_ticks(child.pid))
            assert procfs.peak_rss_mb(child.pid) > 1
            assert child.stdin is not None
            child.stdin.close()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert procfs.start_ticks(child.pid) is None  # a zombie holds nothing any more
            assert procfs.peak_rss_mb(child.pid) == 0.0
    own = procfs.start_ticks("self")
    assert None not in (own, *starts)
    assert own < starts[0] <= starts[1]  # type: ignore[operator]
    assert procfs.start_ticks(2**22 + 1) is None


def test_the_place_of_our_own_arguments() -> None:
    first, end = procfs.own_arguments()
    with open("/proc/self/cmdline", "rb") as file:
        assert ctypes.string_at(first, end - first) == file.read()


def _turns_us() -> int:
    """What the kernel says of this thread (sched_getattr); 0 where turns are the system's."""
    attr = habits._SchedAttr()
    number = habits._SCHED_SETATTR[os.uname().machine] + 1
    assert ctypes.CDLL(None, use_errno=True).syscall(number, 0, ctypes.byref(attr), ctypes.sizeof(attr), 0) == 0
    return int(attr.runtime) // 1000


def test_turns_are_what_was_asked_and_threads_have_them_too() -> None:
    told: list[int] = []

    def look() -> None:  # in a thread: this one stays as it is
        assert habits.ask_for_turns(0)  # another test's session may have asked for this process
        before = _turns_us()
        assert habits.ask_for_turns(700)
        told.extend((before, _turns_us()))
        inner = threading.Thread(target=lambda: told.append(_turns_us()))
        inner.start()
        inner.join()
        assert habits.ask_for_turns(0)
        told.append(_turns_us())

    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (6, 12) or os.uname().machine not in habits._SCHED_SETATTR:
        pytest.skip(f"turns can't be asked for on {os.uname().release} {os.uname().machine}")
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    before, asked, inherited, given_back = told
    assert (asked, inherited) == (700, 700)
    assert given_back == before


def test_a_kernel_that_knows_no_turns_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "_SCHED_SETATTR", {})
    assert not habits.ask_for_turns(500)
