"""Runs ``merealtime`` in a process of its own, as a user would, and looks at what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from realtime import pipeline

ROOT = Path(__file__).resolve().parents[1]
STAGES = tuple(stage.name for stage in pipeline.stages_of(record=False))


class Run:
    """One command under way. ``events`` is its event log."""

    def __init__(self, folder: Path, *options: str, name: str = "events", **environment: str) -> None:
        self.events = folder / f"{name}.jsonl"
        command = [sys.executable, "-m", "realtime", "--view", "none", "--events", str(self.events), *options]
        self.child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> list[dict[str, Any]]:
        if not self.events.exists():
            return []
        return [json.loads(text) for text in self.events.read_text().splitlines()]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["type"] == kind]

    def wait_for(self, what: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what(self.lines()):
            if self.child.poll() is not None:
                raise AssertionError(f"it left with {self.child.returncode}: {self.child.communicate()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain; so far: {self.lines()[-3:]}")
            time.sleep(0.05)

    def stage(self, name: str) -> psutil.Process:
        """The running process of a stage."""
        for child in psutil.Process(self.child.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # one that has just died, and is a zombie
                if child.cmdline()[:1] == [f"merealtime-{name}"]:
                    return child
        raise AssertionError(f"no stage {name}: {psutil.Process(self.child.pid).children()}")

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def end(self, timeout_s: float = 90.0) -> tuple[int, str]:
        """Wait for its end: exit code and standard error."""
        try:
            _, errors = self.child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise AssertionError(f"it did not end; so far: {self.lines()[-3:]}") from None
        return self.child.returncode, errors


def left_behind(pid: int) -> list[str]:
    """What a session of that supervisor left: shared memory, socket directories, processes."""
    found = []
    for base in (
        "/dev/shm",
        "/tmp",
        os.environ.get("XDG_RUNTIME_DIR", "/tmp"),
        os.environ.get("TMPDIR", "/tmp"),
    ):
        found += [str(path) for path in Path(base).glob(f"merealtime-*-{pid}-*")]
    for process in psutil.process_iter(["cmdline", "pid"]):
        line = process.info["cmdline"] or [""]
        if line[0].startswith("merealtime-") and process.ppid() in (1, pid):
            found.append(f"process {process.info['pid']} {line[0]}")
    return found


def assert_balanced(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """First line session, last line summary, and captured = analysed + Σ dropped = what the gaps say."""
    assert lines[0]["type"] == "session"
    summary = lines[-1]
    assert summary["type"] == "summary"
    dropped = summary["frames_dropped"]
    assert summary["frames_captured"] == summary["frames_analysed"] + sum(dropped.values())
    gaps = [line for line in lines if line["type"] == "gap"]
    assert sum(gap["count"] for gap in gaps) == sum(dropped.values())
    assert [line["id"] for line in lines if line["type"] == "event"] == list(range(summary["events"]))
    return summary
