"""A stage seen from the supervisor: how it is started, how it died, how often it may be started again."""

from __future__ import annotations

import contextlib
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
from realtime.errors import MerealtimeError
from realtime.ipc import messages
from realtime.stages import habits, procfs
from realtime.stages.runner import CALL, LENGTH, StageSpec
from realtime.supervisor import signals
from realtime.supervisor.logs import LogThread

Phase = Literal["starting", "ready", "ended", "gone"]
_KILL_S = 2.0
_SPARE_EVERY_S = 10.0
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
        self.stopped = False
        """Whether that was because it had been stopped."""
        self.stalled = 0
        """How often."""
        self.silence_s = 0.0
        """How long, the last time."""
        self.restarts = 0
        self.started = 0.0
        self._spec = spec
        self._runtime = runtime
        self._logs = logs
        self._recent: deque[float] = deque()
        self._child: subprocess.Popen[bytes] | None = None
        self._spare: subprocess.Popen[bytes] | None = None
        self._spare_at = 0.0

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Call the spare, or spawn. From the main thread: the kernel ties a child's life to the thread that made it."""
        self.phase, self.up, self.stalls, self.started = "starting", False, False, time.monotonic()
        self._child = self._take_spare() or self._spawn(self._spec)

    def keep_spare(self, order: messages.Control) -> None:
        """Have a second process that has loaded everything for this order ``ring``, and waits to be called."""
        now = time.monotonic()
        if now < self._spare_at or (self._spare is not None and self._spare.poll() is None):
            return
        self._spare_at = now + _SPARE_EVERY_S
        with contextlib.suppress(MerealtimeError):  # no process to be had now: the session goes on without
            self._spare = self._spawn(msgspec.structs.replace(self._spec, spare=order))

    def drop_spare(self) -> None:
        """It is needed no more."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.kill()
            spare.wait()

    def _take_spare(self) -> subprocess.Popen[bytes] | None:
        spare = self._spare
        if spare is None or spare.poll() is not None or procfs.is_stopped(spare.pid):
            self.drop_spare()
            return None
        assert spare.stdin is not None
        self._spare = None
        self._spare_at = time.monotonic() + 1.0  # the next one loads when this one has caught up
        try:
            spare.stdin.write(CALL)
            spare.stdin.close()
        except OSError:  # it has just died
            spare.kill()
            return None
        return spare

    def _spawn(self, spec: StageSpec) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **habits.thread_environment(self._runtime.threads)}
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))  # also from a checkout
        )
        environment |= _matplotlib_folder(spec.directory)
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "realtime.stages.runner", self.stage],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=() if spec.listening < 0 else (spec.listening,),
                process_group=0,  # Ctrl-C in the terminal is for the supervisor
            )
        except OSError as error:  # no descriptor, no process, no memory left
            raise MerealtimeError(f"{self.stage}: can't be started ({error.strerror})") from error
        assert child.stdin is not None
        assert child.stdout is not None
        data = msgspec.msgpack.encode(spec)
        child.stdin.write(LENGTH.pack(len(data)) + data)
        if spec.spare is None:
            child.stdin.close()
        else:
            child.stdin.flush()
        self._logs.follow(self.stage, child.stdout)
        return child

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


def _matplotlib_folder(directory: str) -> dict[str, str]:
    """MediaPipe loads matplotlib, which leaves a temporary folder each time where it has no home: ours instead."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    kept = next((folder for folder in (home / "matplotlib", home, home.parent) if folder.exists()), None)
    return {} if "MPLCONFIGDIR" in os.environ or (kept and os.access(kept, os.W_OK)) else {"MPLCONFIGDIR": directory}


def usage(pid: int) -> dict[str, float]:
    """CPU seconds, resident and peak memory (MB) of a process; empty if it is gone, or can't be asked."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu, rss_bytes = process.cpu_times(), process.memory_info().rss
    except (psutil.Error, OSError):  # OSError: no descriptor left to ask with, no reason to end
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
