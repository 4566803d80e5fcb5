"""A wall clock that is set, a machine that stands still, while a session runs: times stay right, nothing is killed."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from _session import STAGES, Run, assert_balanced, left_behind

HERE = Path(__file__).parent
LIVE = ("--camera", "demo", "--live", "--size", "480x360")
HOUR_S = 3600


class WallClock:
    """The wall clock of the programs that have ``environment``."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        library = folder / "libclockshift.so"
        command = [compiler, "-O2", "-fPIC", "-shared", "-o", str(library), str(HERE / "clockshift.c")]
        subprocess.run(command, check=True)
        self._file = folder / "shift"
        self._file.write_bytes(bytes(8))
        preload = " ".join(filter(None, (os.environ.get("LD_PRELOAD", ""), str(library))))
        self.environment = {"LD_PRELOAD": preload, "CLOCKSHIFT_FILE": str(self._file)}

    def set_by(self, seconds: int) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("<q", seconds))

    def now(self) -> datetime:
        """As a Python program sees it."""
        words = [sys.executable, "-c", "from datetime import UTC, datetime; print(datetime.now(UTC).isoformat())"]
        said = subprocess.run(words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True)
        return datetime.fromisoformat(said.stdout.strip())


@pytest.mark.slow
def test_a_wall_clock_that_is_set_changes_no_interval(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    run = Run(tmp_path, *LIVE, "--frames", "1200", "--record", str(tmp_path), **clock.environment)
    run.wait_for(lambda lines: bool(lines))
    clock.set_by(30 * HOUR_S)
    assert (clock.now() - datetime.now(UTC)).total_seconds() == pytest.approx(30 * HOUR_S, abs=30), "it is not set"
    time.sleep(1.5)
    clock.set_by(-500 * HOUR_S)
    code, errors = run.end()
    assert code == 0, errors

    summary = assert_balanced(run.lines())
    assert summary["restarts"] == 0
    assert 5.5 < summary["seconds"] < 60.0  # a busy machine takes longer, another clock hours
    events = run.of_type("event")
    assert events
    for event in events:
        frames = event["offset"] - event["onset"]
        assert (event["offset_t_ns"] - event["onset_t_ns"]) / 1e9 == pytest.approx(frames / 200, abs=0.05)
        assert 0 <= event["latency_ms"]["total"] < 5000
    (table,) = tmp_path.glob("*/frames.csv")
    with table.open() as file:
        times = np.array([int(row["t_ns"]) for row in csv.DictReader(file)])
    assert (np.diff(times) > 0).all()
    assert np.diff(times).max() < 1e9
    assert left_behind(run.child.pid) == []


@pytest.mark.slow
def test_a_machine_that_stood_still_loses_frames_and_no_process(tmp_path: Path) -> None:
    """All stops for longer than a silent stage is waited for; who wakes first must not take the others for dead."""
    run = Run(tmp_path, *LIVE, "--set", "runtime.heartbeat_timeout_s=1", "--set", "runtime.spare=false")
    run.wait_for(lambda lines: bool(lines))
    everybody = [psutil.Process(run.child.pid), *(run.stage(name) for name in STAGES)]
    for process in everybody:
        process.suspend()
    time.sleep(3.0)
    for process in everybody:  # the supervisor first
        process.resume()
    time.sleep(2.5)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["restarts"] == 0, [line for line in run.lines() if line["type"] == "notice"]
    assert left_behind(run.child.pid) == []
