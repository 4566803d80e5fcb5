"""A long session with a random fault every ten seconds: what it recovers from, and what it holds afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench._fault_kinds import RANDOM
from bench._fault_session import Trial, doubled_in
from bench._fault_starts import Place
from realtime.sinks.lines import percentiles

_EVERY_S = 10.0
_SAMPLE_S = 1.0
HELD = ("supervisor_mb", "all_mb", "supervisor_descriptors", "descriptors", "shared_memory_mb", "shared_files",
        "semaphores", "processes", "supervisor_threads")  # fmt: skip


class Holdings:
    """What a session holds, once a second."""

    def __init__(self, pid: int) -> None:
        self.samples: list[dict[str, float]] = []
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            with contextlib.suppress(psutil.Error, OSError):
                self.samples.append(self._sample())

    def _sample(self) -> dict[str, float]:
        root = psutil.Process(self._pid)
        rss_mb = descriptors = 0.0
        children = root.children(recursive=True)
        for process in (root, *children):
            with contextlib.suppress(psutil.Error):
                rss_mb += _own_mb(process.pid)
                descriptors += process.num_fds()
        shared = [entry for entry in os.scandir("/dev/shm") if f"-{self._pid}-" in entry.name]
        return {
            "supervisor_mb": round(_own_mb(self._pid), 2),
            "all_mb": round(rss_mb, 1),
            "supervisor_descriptors": float(root.num_fds()),
            "descriptors": descriptors,
            "shared_memory_mb": round(sum(entry.stat().st_blocks * 512 for entry in shared) / 1e6, 2),
            "shared_files": float(len(shared)),
            "semaphores": float(sum(entry.name.startswith("sem.") for entry in os.scandir("/dev/shm"))),
            "processes": float(len(children)),
            "supervisor_threads": float(root.num_threads()),
        }

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def _own_mb(pid: int) -> float:
    """Memory of its own, MB: not the ring, nor the emulated camera's clip, which all have mapped."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def compare_halves(samples: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median of the quarter behind the first against that of the last: each fault's restart is in both."""
    quarter = max(1, len(samples) // 4)
    found = {}
    for name in HELD:
        early = sorted(sample[name] for sample in samples[quarter : 2 * quarter] or samples)
        late = sorted(sample[name] for sample in samples[-quarter:])
        first, last = early[len(early) // 2], late[len(late) // 2]
        found[name] = {"second_quarter": first, "last_quarter": last, "most": max(s[name] for s in samples)}
    return found


def soak(where: Place, seconds: float, rng: random.Random, console: Console) -> dict[str, Any]:
    """One session; a fault every ten seconds. Rows by fault, the account, and what it held."""
    session = where.session()
    holdings = Holdings(session.child.pid)
    trials: dict[str, list[Trial]] = {fault.name: [] for fault in RANDOM}
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        next_at = time.monotonic() + _EVERY_S
        fault = rng.choice(RANDOM)
        trials[fault.name].append(fault.do(session, rng))
        time.sleep(max(0.0, next_at - time.monotonic()))
    holdings.stop()
    told = session.end()
    rows = [
        {
            "fault": name,
            "times": len(done),
            "recovered": sum(trial.recovered for trial in done),
            "recover_s": percentiles([round(t.seconds, 3) for t in done if t.seconds is not None]),
            "noticed_s": percentiles([round(t.noticed_s, 3) for t in done if t.noticed_s is not None]),
            "why": sorted({trial.why for trial in done if not trial.recovered}),
        }
        for name, done in trials.items()
    ]
    held = compare_halves(holdings.samples)
    table = Table("fault", "times", "recovered", "back p50 / max", box=None)
    for row in rows:
        back = row["recover_s"]
        span = f"{back['p50']:.2f} / {back['max']:.2f} s" if back else "–"
        table.add_row(row["fault"], str(row["times"]), str(row["recovered"]), span)
    console.print(table)
    held_table = Table("held", "second quarter", "last quarter", "most", box=None)
    for name, values in held.items():
        held_table.add_row(name, *(f"{value:g}" for value in values.values()))
    console.print(held_table)
    doubled = doubled_in(told.events)
    console.print(
        f"exit code {told.code}; {told.captured} frames, dropped {told.dropped}, unaccounted {told.unaccounted}; "
        f"{len(told.events)} events, {doubled} doubled; left behind: {told.left or 'nothing'}"
    )
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "soak": rows,
        "held": held,
        "exit_code": told.code,
        "frames": told.captured,
        "dropped": told.dropped,
        "unaccounted": told.unaccounted,
        "events": len(told.events),
        "doubled": doubled,
        "left": told.left,
        "errors": told.errors,
    }
