"""A live session on an emulated camera that faults are done to: for ``bench/faults.py``."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench._pipeline import ROOT
from realtime.ipc.board import Board
from tests.fakev4l2 import Control

_PATIENCE_S = 30.0


@dataclass
class Trial:
    """One fault, done once."""

    recovered: bool
    seconds: float | None = None
    """From the fault until all went on; None where there is nothing to wait for."""
    noticed_s: float | None = None
    """From the fault until the log told of it."""
    why: str = ""


@dataclass
class Account:
    """What a session's log says."""

    events: list[dict[str, Any]]
    captured: int
    unaccounted: int
    """captured − analysed − Σ dropped, and frames that only the end found missing."""
    dropped: dict[str, int]
    code: int
    errors: str
    left: list[str] = field(default_factory=list)


class Session:
    """``merealtime`` under way. Times are monotonic seconds."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        options: Sequence[str],
        fps: float,
        *,
        log: Path | None = None,
        output: int = subprocess.DEVNULL,
    ) -> None:
        """output: descriptor for standard output and error; without one, errors are kept."""
        self.fps = fps
        self.log = log or folder / f"events-{time.monotonic_ns()}.jsonl"
        control = folder / f"control-{time.monotonic_ns()}.bin"
        self.control = Control(control)
        command = [sys.executable, "-m", "realtime", "--camera", "0", "--view", "none", "--events", str(self.log)]
        self.child = subprocess.Popen(
            [*command, "--fps", f"{fps:g}", "--set", "runtime.restarts=1000", *options],
            cwd=ROOT,
            env={**os.environ, **environment, "FAKECAM_CTL": str(control)},
            stdout=output,
            stderr=subprocess.PIPE if output == subprocess.DEVNULL else output,
            text=True,
        )
        self.wait(lambda: bool(self.lines()), 120)
        (path,) = glob.glob(f"/dev/shm/merealtime-*-{self.child.pid}-*-board")
        self.board = Board.attach(os.path.basename(path))

    def lines(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return [json.loads(text) for text in self.log.read_text().splitlines(keepends=True) if text.endswith("\n")]

    def notices(self, what: str, about: str = "", after: float = 0.0) -> list[float]:
        """When the log told so, since ``after``."""
        found = (line for line in self.lines() if line.get("what") == what and about in line["detail"])
        return [line["t_ns"] / 1e9 for line in found if line["t_ns"] / 1e9 >= after]

    def wait(self, what: Callable[[], Any], patience_s: float = _PATIENCE_S) -> bool:
        """Whether it came true in time; RuntimeError if the session ended meanwhile."""
        deadline = time.monotonic() + patience_s
        while not what():
            if self.child.poll() is not None:
                raise RuntimeError(f"the session left with {self.child.returncode}: {self.child.communicate()[1]}")
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stage(self, name: str) -> psutil.Process:
        found = self.find(name)
        if found is None:
            raise RuntimeError(f"no stage {name}")
        return found

    def find(self, name: str) -> psutil.Process | None:
        for child in psutil.Process(self.child.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[:1] == [f"merealtime-{name}"]:
                    return child
        return None

    def get(self, stage: str, counter: str) -> int:
        return self.board.row(stage).get(counter)

    def open_s(self) -> float:
        """For how long a movement has been under way; 0 at rest."""
        back = self.get("spot", "next_index") - self.get("spot", "needed_index") - 1
        return max(0.0, back / self.fps - 0.5)

    def is_caught_up(self) -> bool:
        return self.get("capture", "frames") - self.get("spot", "next_index") < 0.1 * self.fps

    def has_spare(self) -> bool:
        """A second spotter stands by, loaded: it sleeps, with the threads of its networks."""
        spare = self.find("spare")
        with contextlib.suppress(psutil.Error):
            return spare is not None and spare.num_threads() > 4 and spare.cpu_percent(0.2) < 5
        return False

    def end(self, number: signal.Signals = signal.SIGINT) -> Account:
        """Have it end, and look at what it left."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            _, errors = self.child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            _, errors = self.child.communicate()
            errors = f"{errors or ''} (did not end: killed)"
        left = [path for base in ("/dev/shm", "/tmp") for path in glob.glob(f"{base}/merealtime-*-{self.child.pid}-*")]
        return account(self.lines(), self.child.returncode, errors or "", left)


def account(lines: list[dict[str, Any]], code: int, errors: str, left: list[str]) -> Account:
    events = [line for line in lines if line["type"] == "event"]
    summary = lines[-1] if lines and lines[-1]["type"] == "summary" else None
    if summary is None:
        return Account(events, 0, -1, {}, code, errors, left)
    gaps = [line for line in lines if line["type"] == "gap"]
    captured, told = summary["frames_captured"], sum(gap["count"] for gap in gaps)
    unaccounted = abs(captured - summary["frames_analysed"] - told)
    unaccounted += abs(told - sum(summary["frames_dropped"].values()))
    unaccounted += abs(len(events) - summary["events"])
    if gaps and gaps[-1]["cause"] == "spotter" and gaps[-1]["last"] == captured - 1:
        unaccounted += gaps[-1]["count"]  # what is left over at the end becomes a gap: nobody had counted it
    return Account(events, captured, unaccounted, summary["frames_dropped"], code, errors, left)


def compare(events: list[dict[str, Any]], reference: np.ndarray, period: int, last: int, fps: float) -> dict[str, int]:
    """Events lost, told twice and invented, against an undisturbed session on the same endless clip.

    reference: (n, 3) onset, apex, offset in frames of the clip, which repeats after ``period``. The session sees it
    from somewhere on; where, its own events tell.
    """
    spans = np.array([[e["onset"], e["apex"], e["offset"]] for e in events]).reshape(-1, 3)
    near = 0.08 * fps
    shifts = {int(r - s) % period for r in reference[:, 1] for s in spans[:, 1]}

    def agree(shift: int) -> int:
        away = np.abs((spans[:, 1, None] + shift - reference[None, :, 1] + period / 2) % period - period / 2)
        return int((away.min(1) <= near).sum())

    shift = max(shifts, key=agree, default=0)
    lost = doubled = known = 0
    true = np.zeros(len(spans), bool)
    for _, onset, apex, offset in _occurrences(reference, period, shift, last):
        hits = np.abs(spans[:, 1] - apex) <= near
        hits |= (np.minimum(spans[:, 2], offset) - np.maximum(spans[:, 0], onset)) > 0.5 * (offset - onset)
        true |= hits
        if onset < fps or offset > last - 2 * fps:
            continue  # at the beginning and at the end it may be cut off
        known += 1
        lost += not hits.any()
        doubled += int(hits.sum()) > 1
    return {"expected": known, "lost": lost, "doubled": doubled, "invented": int((~true).sum())}


def _occurrences(reference: np.ndarray, period: int, shift: int, last: int) -> Iterator[tuple[int, int, int, int]]:
    for turn in range(-1, last // period + 2):
        for number, (onset, apex, offset) in enumerate(reference):
            begin = turn * period - shift
            yield number, int(onset + begin), int(apex + begin), int(offset + begin)


def doubled_in(events: list[dict[str, Any]]) -> int:
    """Events that lie within one another."""
    count = 0
    for i, a in enumerate(events):
        for b in events[i + 1 :]:
            shared = min(a["offset"], b["offset"]) - max(a["onset"], b["onset"])
            shorter = min(a["offset"] - a["onset"], b["offset"] - b["onset"])
            count += a["kind"] == b["kind"] and a["face"] == b["face"] and shared > 0.5 * shorter
    return count
