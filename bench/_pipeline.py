"""What the benches of the whole pipeline share: an emulated camera, clips, a session under observation."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import psutil

from realtime.sinks.lines import percentiles

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
EMULATOR = ROOT / "tests" / "fakev4l2" / "fakev4l2.c"
RESULTS = ROOT / "bench" / "results"
_SAMPLE_S = 1.0
_CLIP_FRAMES = 2400  # of the emulated camera: played forwards, then backwards, so that it has no jump


@contextlib.contextmanager
def camera(spec: str | None, fps: float, size: tuple[int, int], seed: int = 11) -> Iterator[tuple[str, dict[str, str]]]:
    """(``--camera``, environment): the source named, or an emulated V4L2 camera that plays demo frames.

    Without a C compiler the demo itself is the source; its cost then counts as capture's.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if spec is not None or compiler is None:
        yield spec or f"demo:{seed}", {}
        return
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as name:
        folder = Path(name)
        library, clip = folder / "libfakev4l2.so", folder / "clip.gray"
        flags = ["-O2", "-fPIC", "-shared", "-pthread", "-o", str(library), str(EMULATOR), "-ldl"]
        subprocess.run([compiler, *flags], check=True, capture_output=True)
        write_swinging_clip(clip, fps, size, seed)
        yield (
            "0",
            {
                "LD_PRELOAD": str(library),
                "FAKECAM_FILE": str(clip),
                "FAKECAM_W": str(size[0]),
                "FAKECAM_H": str(size[1]),
                "FAKECAM_FPS": f"{fps:g}",
            },
        )


def demo_frames(fps: float, size: tuple[int, int], seed: int, count: int) -> Iterator[np.ndarray]:
    """``count`` frames (height, width) uint8 of the demo, as fast as they can be drawn."""
    from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

    renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(), seed, size, fps)
    renderer.prepare()
    out = np.empty((size[1], size[0]), np.uint8)
    for number in range(count):
        renderer.render(number, out)
        yield out


def write_swinging_clip(path: Path, fps: float, size: tuple[int, int], seed: int) -> None:
    """Raw frames, forwards and then backwards: a loop without a jump, movements and all."""
    frames = np.stack([frame.copy() for frame in demo_frames(fps, size, seed, _CLIP_FRAMES)])
    with path.open("wb") as file:
        frames.tofile(file)
        frames[-2:0:-1].tofile(file)


Looks = tuple[float, dict[str, tuple[float, float]]]
"""When, and by process CPU seconds and MB."""


class Sampler(Generic[T]):
    """Calls ``look`` once a second, in a thread, until ``stop``."""

    def __init__(self, look: Callable[[], T]) -> None:
        self.samples: list[T] = []
        self._look = look
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            with contextlib.suppress(psutil.Error, OSError):
                self.samples.append(self._look())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def look_at(pid: int, ballast_mb: float) -> Looks:
    """Now, and CPU seconds and memory (MB) of every process of a session by name.

    ballast_mb: what the emulated camera maps into every process, to be left out.
    """
    found: dict[str, tuple[float, float]] = {}
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children()):
            title = (process.cmdline() or [""])[0]
            name = title.removeprefix("merealtime-") if process.pid != pid else "supervisor"
            times = process.cpu_times()
            found[name] = (times.user + times.system, process.memory_info().rss / 1e6 - ballast_mb)
    return time.monotonic(), found


class Outcome:
    """What a session wrote, and what was observed."""

    def __init__(self, lines: list[dict[str, Any]], watch: Sampler[Looks]) -> None:
        self.session, self.summary = lines[0], lines[-1]
        self.events = [line for line in lines if line["type"] == "event"]
        self.notices = [line for line in lines if line["type"] == "notice"]
        self.watch = watch

    def running(self) -> list[tuple[float, dict[str, tuple[float, float]]]]:
        """Samples of the time when frames came: up to the last sample that holds every stage."""
        whole = [(t, found) for t, found in self.watch.samples if len(found) >= 5]
        end = whole[-1][0] if whole else 0.0
        return [(t, found) for t, found in whole if t >= end - self.summary["seconds"] + _SAMPLE_S]

    def cpu(self) -> tuple[dict[str, float], float]:
        """CPU seconds by process while frames came, and how many seconds that was."""
        samples = self.running()
        if len(samples) < 2:
            return {}, 0.0
        (begin, first), (end, last) = samples[0], samples[-1]
        return {name: round(last[name][0] - first[name][0], 2) for name in last if name in first}, end - begin

    def memory(self) -> dict[str, float]:
        """Resident MB by process at the end."""
        samples = self.running()
        return {name: round(rss, 1) for name, (_, rss) in samples[-1][1].items()} if samples else {}


def run_session(options: Sequence[str], environment: dict[str, str] | None = None) -> Outcome:
    """Run ``merealtime`` with an event log and watch it; RuntimeError with its own words if it fails."""
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as name:
        log = Path(name) / "events.jsonl"
        command = [sys.executable, "-m", "realtime", "--view", "none", "--events", str(log), *options]
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        clip = (environment or {}).get("FAKECAM_FILE")
        watch = Sampler(functools.partial(look_at, child.pid, os.path.getsize(clip) / 1e6 if clip else 0.0))
        try:
            _, errors = child.communicate()
        except KeyboardInterrupt:
            _, errors = child.communicate()
        watch.stop()
        if child.returncode or not log.exists():
            raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}: {errors.strip()}")
        return Outcome([json.loads(line) for line in log.read_text().splitlines()], watch)


def event_percentiles(events: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    """Percentiles of one latency of all events, ms."""
    return percentiles([event["latency_ms"][key] for event in events])


def waiting_ms(events: Sequence[dict[str, Any]], fps: float) -> dict[str, float]:
    """Apex → frame that completed the event: what the algorithm waits for, not computing, ms."""
    return percentiles([round((event["decided"] - event["apex"]) * 1e3 / fps, 1) for event in events])
