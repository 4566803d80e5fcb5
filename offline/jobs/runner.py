"""Run what is not done, here or on Ray, and stop in order."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from offline.jobs import local
from offline.jobs.job import Job, Outcome, Summary
from offline.jobs.progress import Estimate, Standing


def run_jobs(
    jobs: Sequence[Job],
    *,
    done: Callable[[Job], bool],
    on_result: Callable[[Outcome], None] = lambda outcome: None,
    ray: str | None = None,
    workers: int | None = None,
    progress: Callable[[Standing], None] = lambda standing: None,
    needs: Sequence[Path] = (),
    out: Path | None = None,
) -> Summary:
    """Run the jobs that are not done; a failure of one is reported, and the others go on.

    ray: None, here; "", on a Ray cluster of this machine alone; an address ("auto", HOST:PORT), there. workers: child
    processes, or cores of a local Ray; None: as cores and memory allow. needs: paths that the jobs read, out: folder
    that they write; both are looked for on each node of a cluster before anything runs.

    A job that comes after others (`Job.after`) is run when they are done, and left waiting where one failed. Those that
    are not among `jobs` the caller has seen to.

    Ctrl-C and SIGTERM end the jobs that run, then raise KeyboardInterrupt: what has finished stays. Raises UserError
    where the cluster is not there, or a node lacks code or data.
    """
    unique = {job.key: job for job in jobs}
    queue = _Queue([job for job in unique.values() if not done(job)])
    estimate, failed = Estimate(queue.jobs, len(unique)), []
    progress(estimate.standing())
    if queue.ready:
        with _stoppable(), closing(_outcomes(queue, ray, workers, needs, out)) as outcomes:
            for outcome in outcomes:
                if outcome is not None:
                    queue.take(outcome)
                    estimate.take(outcome)
                    if outcome.error:
                        failed.append(outcome)
                    on_result(outcome)
                progress(estimate.standing(outcome))
    waiting = tuple(queue.blocked.values())
    return Summary(
        before=len(unique) - len(queue.jobs),
        finished=len(queue.jobs) - len(failed) - len(waiting),
        failed=tuple(failed),
        waiting=waiting,
    )


class _Queue:
    """Jobs that may begin, and those that come after others."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        own = {job.key for job in jobs}
        self._open = {job.key: {key for key in job.after if key in own} for job in jobs}
        self.ready = deque(job for job in jobs if not self._open[job.key])
        self.blocked = {job.key: job for job in jobs if self._open[job.key]}

    def take(self, outcome: Outcome) -> None:
        """Release what came after it, where it went well."""
        if outcome.error:
            return
        for job in list(self.blocked.values()):
            self._open[job.key].discard(outcome.job.key)
            if not self._open[job.key]:
                self.ready.append(self.blocked.pop(job.key))


def _outcomes(
    queue: _Queue, ray: str | None, workers: int | None, needs: Sequence[Path], out: Path | None
) -> Generator[Outcome | None]:
    if ray is None:
        return local.run(queue.ready, local.workers_for(queue.jobs, workers))
    from offline.jobs import cluster

    return cluster.run(queue.ready, queue.jobs, ray, workers, needs, out)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Meanwhile SIGTERM is what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
