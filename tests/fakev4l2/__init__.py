"""The test's side of the emulated camera: build it, run a program under it, faults in, exact counters out."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

_FIELDS = {
    "unplugged": (8, "I"),
    "stall_ms": (12, "I"),
    "corrupt_n": (16, "I"),
    "short_n": (20, "I"),
    "skip_n": (24, "I"),
    "ts_jump_ms": (28, "i"),
    "produced": (32, "Q"),
    "delivered": (40, "Q"),
    "overrun": (48, "Q"),
    "skipped": (56, "Q"),
    "late_max_us": (64, "Q"),
    "last_ts_us": (72, "Q"),
    "fps_milli": (80, "I"),
    "opens": (84, "I"),
    "seq_wild": (88, "I"),
}


class Control:
    """The page shared with an emulated camera: its fields by name, (offset, kind) each."""

    def __init__(self, path: Path, fields: Mapping[str, tuple[int, str]] = _FIELDS) -> None:
        self._fields = fields
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, 4096)
        self._page = mmap.mmap(fd, 4096)
        os.close(fd)

    def get(self, field: str) -> int:
        offset, kind = self._fields[field]
        return int(struct.unpack_from("<" + kind, self._page, offset)[0])

    def put(self, field: str, value: int) -> None:
        offset, kind = self._fields[field]
        struct.pack_into("<" + kind, self._page, offset, value)

    def wait(self, field: str, at_least: int, timeout_s: float = 60) -> None:
        """Until a counter has come so far."""
        deadline = time.monotonic() + timeout_s
        while self.get(field) < at_least:
            assert time.monotonic() < deadline, f"{field} stays at {self.get(field)}"
            time.sleep(0.002)


class FakeCamera:
    """``/dev/video0`` for the programs that it starts."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.control = Control(folder / "control.bin")
        self.environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAKECAM_CTL": str(folder / "control.bin"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE.parent)]),
        }

    def serve(self, frames: Any, **settings: object) -> None:
        """``frames``: (n, height, width) uint8 served raw, or bytes of concatenated JPEGs (give W and H)."""
        if isinstance(frames, bytes):
            path = self.folder / "frames.mjpg"
            path.write_bytes(frames)
            self.environment["FAKECAM_MJPG"] = str(path)
        else:
            path = self.folder / "frames.gray"
            frames.tofile(path)
            self.environment["FAKECAM_FILE"] = str(path)
            settings = {"W": frames.shape[2], "H": frames.shape[1], **settings}
        self.environment.update({f"FAKECAM_{name}": str(value) for name, value in settings.items()})

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Run a program under the emulator."""
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.environment)

    def play(self, **options: object) -> subprocess.Popen[str]:
        """Run ``play.py`` with these options (see there)."""
        return self.start(sys.executable, str(HERE / "play.py"), json.dumps(options))


def outcome(process: subprocess.Popen[str], timeout_s: float = 120) -> dict[str, Any]:
    """What ``play.py`` printed."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def build(folder: Path) -> Path:
    """Compile the emulator; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("the emulated camera needs gcc (or cc) and Linux")
    library = folder / "libfakev4l2.so"
    flags = ["-O2", "-fPIC", "-shared", "-pthread", "-o", str(library), str(HERE / "fakev4l2.c"), "-ldl"]
    built = subprocess.run([compiler, *flags], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return library
