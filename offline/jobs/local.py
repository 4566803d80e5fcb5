"""Jobs in child processes of this machine. A child that dies costs its job and no other."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

import psutil

from offline.jobs import remote
from offline.jobs.job import Job, Outcome

_PATIENCE_S = 0.5


def workers_for(jobs: Sequence[Job], asked: int | None) -> int:
    """Children: as asked, or as cores and memory allow; never more than jobs."""
    if asked is None:
        cores = len(os.sched_getaffinity(0)) // max(1, *(job.cores for job in jobs))
        need = max(job.memory_mb for job in jobs) << 20
        fit = psutil.virtual_memory().total // need if need else cores
        asked = max(1, min(cores, fit))
    return min(asked, len(jobs))


def run(waiting: deque[Job], children: int) -> Generator[Outcome | None]:
    """Outcomes as they come; None every half second between. Closing it ends the children at once.

    waiting: jobs that may begin; the caller adds to it whenever it has been given something.
    """
    pool = [_Child() for _ in range(children)]
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for child in pool:
            stack.callback(child.end)
        while True:
            for child in pool:
                if child.job is None and waiting:
                    child.give(waiting.popleft())
                    selector.register(child.receipts, selectors.EVENT_READ, child)
            if not selector.get_map():
                return
            ready = selector.select(_PATIENCE_S)
            if not ready:
                yield None
            for key, _ in ready:
                selector.unregister(key.fileobj)
                yield key.data.take()


class _Child:
    """One process, started when it gets a job, and again after it died."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._cores = 0

    def give(self, job: Job) -> None:
        if self._process is not None and (self._cores != job.cores or self._process.poll() is not None):
            self.end()
        if self._process is None:
            self._start(job.cores)
        assert self._process is not None and self._process.stdin is not None
        self.job = job
        line = json.dumps({"run": job.run, "arguments": job.arguments}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # it died: its receipt never comes
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def take(self) -> Outcome:
        """The job's outcome, of a child that has something to say or is dead."""
        job, self.job = self.job, None
        assert job is not None
        line = self.receipts.readline()
        if not line.endswith(b"\n"):
            return Outcome(job=job, error=self._obituary(), where=os.uname().nodename)
        receipt: dict[str, Any] = json.loads(line)
        return Outcome(job=job, **receipt)

    def _start(self, cores: int) -> None:
        self._cores = cores
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        own, theirs = os.pipe()
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "offline.jobs.child", str(theirs)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said, pass_fds=(theirs,),
            start_new_session=True, env={**os.environ, "PYTHONPATH": paths, **remote.limit_threads(cores)},
        )  # fmt: skip
        os.close(theirs)
        self.receipts = os.fdopen(own, "rb")

    def _obituary(self) -> str:
        """Why it died, with its last words."""
        assert self._process is not None
        code = self._process.wait()
        self._said.seek(0)
        words = self._said.read()[-2000:].decode(errors="replace").strip().splitlines()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        self.end()
        return f"its process died, {how}{hint}" + (f": {words[-1][:300]}" if words else "")

    def end(self) -> None:
        """At once, with all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self.receipts.close()
        self._said.close()
        self._process = None
