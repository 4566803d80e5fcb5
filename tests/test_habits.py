"""Real-time habits of a process."""

from __future__ import annotations

import pytest

from realtime.config import load
from realtime.stages import habits


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


def test_thread_environment_limits_each_library() -> None:
    environment = habits.thread_environment(1)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "TF_NUM_INTRAOP_THREADS"):
        assert environment[name] == "1"
