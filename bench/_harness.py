"""What every bench script shares: the machine's stamp, JSON output, interleaved medians."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "numpy",
    "numba",
    "opencv-contrib-python",
    "mediapipe",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "pyzmq",
    "msgspec",
    "pycuda",
)


def machine() -> dict[str, Any]:
    """Stamp of this run: commit, CPU, cores, memory, load, Python and package versions, time (UTC)."""
    return {
        "commit": _commit(),
        "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": versions(),
    }


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_json(path: str | Path, value: object) -> Path:
    """Write ``value`` as indented JSON (NumPy scalars allowed), making the folder; returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=False, default=lambda item: item.item())
    target.write_text(text + "\n", encoding="utf-8")
    return target


def interleaved_ms(
    cases: Mapping[str, Callable[[], object]], rounds: int = 15, warm_ups: int = 2
) -> dict[str, dict[str, float]]:
    """Time each case once a round, in turn, so that a loaded machine hurts all alike.

    Returns {case: {"median", "min", "p90"}} in ms.
    """
    for run in cases.values():
        for _ in range(warm_ups):
            run()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            start = time.perf_counter_ns()
            run()
            times[name].append((time.perf_counter_ns() - start) / 1e6)
    return {name: summary_ms(values) for name, values in times.items()}


def summary_ms(values: list[float]) -> dict[str, float]:
    """Median, minimum and 90th percentile of times in ms."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 4),
        "min": round(ordered[0], 4),
        "p90": round(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], 4),
    }


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
