"""A child process that runs one job after the other: ``python -m offline.jobs.child FD``.

Jobs come as lines of JSON on standard input, receipts go to descriptor FD; what else is printed goes to standard
error, which the parent keeps for a child that dies. When the parent is gone, so is the child, and what it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading

from offline.jobs import remote


def main(descriptor: int) -> None:
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    with os.fdopen(descriptor, "w", buffering=1) as receipts:
        while True:
            job = json.loads(jobs.get())
            with contextlib.suppress(OSError):
                os.ftruncate(2, 0)  # the last job's words
            receipts.write(json.dumps(remote.call(job["run"], job["arguments"])) + "\n")


def _listen(jobs: queue.SimpleQueue[str]) -> None:
    """At the end of the input end everything, whatever runs."""
    for line in sys.stdin:
        jobs.put(line)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
