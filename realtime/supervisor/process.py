"""A stage seen from the supervisor: how it is started, how it died, how often it may be started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from realtime.config import RuntimeSettings
from realtime.stages import habits, procfs
from realtime.stages.runner import StageSpec
from realtime.supervisor import signals
from realtime.supervisor.logs import LogThread

Phase = Literal["starting", "ready", "ended", "gone"]
_KILL_S = 2.0
_ROOT = Path(__file__).resolve().parents[2]


class StageProcess:
    """One child process and its restart budget. ``start`` is the factory: each call makes a new process."""

    def __init__(self, spec: StageSpec, runtime: RuntimeSettings, logs: LogThread) -> None:
        self.stage = spec.stage
        self.phase: Phase = "starting"
        self.up = False
        """Whether its control answers."""
        self.stalls = False
        """Whether it is known to be silent for longer than it should."""
        self.restarts = 0
        self.started = 0.0
        self._spec = spec
        self._runtime = runtime
        self._logs = logs
        self._recent: deque[float] = deque()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Spawn. From the main thread: the kernel ties the child's life to the thread that made it."""
        environment = {**os.environ, **habits.thread_environment(self._runtime.threads)}
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))  # also from a checkout
        )
        self.phase, self.up, self.started = "starting", False, time.monotonic()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "realtime.stages.runner", self.stage],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=() if self._spec.listening < 0 else (self._spec.listening,),
            process_group=0,  # Ctrl-C in the terminal is for the supervisor
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(msgspec.msgpack.encode(self._spec))
        self._child.stdin.close()
        self._logs.follow(self.stage, self._child.stdout)

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._child.poll() if self._child is not None else None

    def describe_exit(self) -> str:
        """``was killed by SIGKILL``, ``left with exit code 3``."""
        code = self.poll()
        if code is not None and code < 0:
            return f"was killed by {signals.name_of(-code)}"
        return f"left with exit code {code}"

    def may_restart(self) -> bool:
        """Whether the budget allows one more start; if so it is used up."""
        now = time.monotonic()
        while self._recent and now - self._recent[0] > self._runtime.restart_window_s:
            self._recent.popleft()
        if len(self._recent) >= self._runtime.restarts:
            return False
        self._recent.append(now)
        self.restarts += 1
        return True

    def kill(self) -> None:
        """End it now and wait for it, but not for one that a hung disk holds in the kernel."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self.wait(_KILL_S)

    def wait(self, timeout_s: float) -> bool:
        """Wait for it to leave by itself."""
        if self._child is None:
            return True
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def usage(pid: int) -> dict[str, float]:
    """CPU seconds, resident and peak memory (MB) of a process; empty if it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu, rss_bytes = process.cpu_times(), process.memory_info().rss
    except psutil.Error:
        return {}
    return {
        "cpu_s": round(cpu.user + cpu.system, 2),
        "rss_mb": round(rss_bytes / 2**20, 1),
        "rss_peak_mb": procfs.peak_rss_mb(pid),
    }


def process_age_s() -> float:
    """Seconds since this process was started (resolution: a clock tick, 10 ms)."""
    ticks = procfs.start_ticks("self") or 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
