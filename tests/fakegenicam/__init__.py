"""The test's side of a GenICam camera that is not there: given pictures on loopback, faults in, counters out."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fakev4l2
import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE.parent)])}
_NAMES = ("ready", "produced", "lose_n", "tear_n", "kept_back", "exposure_us")
_FIELDS = {name: (8 * at, "Q") for at, name in enumerate(_NAMES)}


def aravis_is_here() -> bool:
    try:
        ctypes.CDLL("libaravis-0.8.so.0")
    except OSError:
        return False
    return True


def wait_for_port(patience_s: float = 120.0) -> None:
    """Until no other GigE camera answers on loopback (UDP 3956 can't be shared): another run of these tests, say."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 3956))
            return
        time.sleep(0.2)
    raise AssertionError("another program answers on 127.0.0.1:3956 as a GigE camera")


class Control(fakev4l2.Control):
    """The page shared with the camera."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FIELDS)

    def wait(self, field: str, at_least: int, timeout_s: float = 60) -> None:
        """Until a counter has come so far."""
        deadline = time.monotonic() + timeout_s
        while self.get(field) < at_least:
            assert time.monotonic() < deadline, f"{field} stays at {self.get(field)}"
            time.sleep(0.002)


class LoopbackCamera:
    """``serve.py`` as a process: a GigE camera with serial number ``serial``."""

    def __init__(self, folder: Path, serial: str, size: tuple[int, int], **shows: Any) -> None:
        """shows: ``frames`` (n, H, W) uint8, or ``demo`` = (seed, fps) of the demo's face."""
        if "frames" in shows:
            path = folder / f"{serial}.gray"
            shows["frames"].tofile(path)
            shows["frames"] = str(path)
        self.serial = serial
        self.control = Control(folder / f"{serial}.bin")
        self._times = folder / f"{serial}.times"
        np.zeros(100_000, np.int64).tofile(self._times)
        paths = {"control": str(folder / f"{serial}.bin"), "times": str(self._times)}
        self._options = {"width": size[0], "height": size[1], "serial": serial, **paths, **shows}
        self.start()

    def times(self) -> np.ndarray:
        """(n,) monotonic ns at which each frame was made."""
        return np.fromfile(self._times, np.int64)[: self.control.get("produced")]

    def start(self) -> None:
        wait_for_port()
        self.control.put("ready", 0)
        command = [sys.executable, str(HERE / "serve.py"), json.dumps(self._options)]
        self._process = subprocess.Popen(command, env=ENVIRONMENT)
        self.control.wait("ready", 1)

    def freeze(self, frozen: bool) -> None:
        """It goes silent, and answers nothing, as if the cable were pulled."""
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def unplug(self) -> None:
        self._process.kill()
        self._process.wait()


def play(**options: object) -> subprocess.Popen[str]:
    """Read a camera through ``realtime.sources`` in a process of its own: see ``fakev4l2/play.py``."""
    command = [sys.executable, str(HERE.parent / "fakev4l2" / "play.py"), json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
