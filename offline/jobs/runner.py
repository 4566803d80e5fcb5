"""Run what is not done, here or on Ray, and stop in order."""

from __future__ import annotations

import signal
import threading
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

    Ctrl-C and SIGTERM end the jobs that run, then raise KeyboardInterrupt: what has finished stays. Raises UserError
    where the cluster is not there, or a node lacks code or data.
    """
    keys = {job.key: job for job in jobs}
    missing = [job for job in keys.values() if not done(job)]
    estimate, failed = Estimate(missing, len(keys)), []
    progress(estimate.standing())
    if missing:
        with _stoppable(), closing(_outcomes(missing, ray, workers, needs, out)) as outcomes:
            for outcome in outcomes:
                if outcome is not None:
                    estimate.take(outcome)
                    if outcome.error:
                        failed.append(outcome)
                    on_result(outcome)
                progress(estimate.standing(outcome))
    return Summary(
        before=len(keys) - len(missing), finished=len(missing) - len(failed), failed=tuple(failed)
    )  # fmt: skip


def _outcomes(
    jobs: Sequence[Job], ray: str | None, workers: int | None, needs: Sequence[Path], out: Path | None
) -> Generator[Outcome | None]:
    if ray is None:
        return local.run(jobs, workers)
    from offline.jobs import cluster

    return cluster.run(jobs, ray, workers, needs, out)


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
