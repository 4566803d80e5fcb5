"""The session folder as the supervisor keeps it: ``session.json`` and ``events.jsonl``. A sink.

``session.json`` says what a reader needs to understand the rest: settings, camera and what it granted, model, versions,
how the monotonic clock lies to UTC. It is written with the first line of the log, again when the sensitivity has
changed, and at the end; each time as a whole, so that it is never cut.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from realtime import __version__
from realtime.config import Settings
from realtime.errors import UserError, without_passwords
from realtime.sinks.events import EventLog
from realtime.sinks.lines import AnyLine, NoticeLine, SessionLine, State, SummaryLine
from realtime.types import SourceInfo

FILE, LOG = "session.json", "events.jsonl"
_PACKAGES = ("numpy", "opencv-contrib-python", "numba", "mediapipe", "ai-edge-litert", "pyzmq", "msgspec")


class SessionFolder:
    """One session's folder below ``output.record``."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """UserError where it can't be made."""
        self.path = path
        self._settings = settings
        self.granted: Callable[[], tuple[SourceInfo | None, Mapping[str, Mapping[str, str]]]] = lambda: (None, {})
        """What the source granted, and what each stage said when it was ready; asked with the first line."""
        self._facts: dict[str, Any] = {}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--record {path.parent}: can't write there ({error.strerror})") from error
        self._log = EventLog(str(path / LOG))

    def line(self, line: AnyLine) -> None:
        self._log.line(line)
        match line:
            case SessionLine():
                self._facts = self._first(line)
            case NoticeLine() if line.sensitivity_px:
                self._facts["sensitivity_px"] = line.sensitivity_px
            case SummaryLine():
                self._facts |= {"ended": line.ended, "seconds": line.seconds, "clock_end": clock()}
            case _:
                return
        self._write()

    def _first(self, line: SessionLine) -> dict[str, Any]:
        """Everything that is known with the first line."""
        info, details = self.granted()
        model = details.get("classify", {})
        camera = {} if info is None else msgspec.to_builtins(info) | {"fps_measured": line.fps_measured}
        return {
            "name": self.path.name,
            "subject": self._settings.output.subject,
            "started_at": line.started_at,
            "first_frame": first_frame(line),
            "camera": {
                key: without_passwords(value) if isinstance(value, str) else value for key, value in camera.items()
            },
            "model": {
                "name": line.model,
                "digest": model.get("digest", ""),
                "feature_digest": model.get("feature_digest", ""),
                "labels": model.get("labels", "").split(", "),
            },
            "flow_backend": line.flow_backend,
            "record_frames": self._settings.output.record_frames,
            "config_digest": line.config_digest,
            "settings": plain_settings(self._settings),
            "versions": versions(),
            "t_ns": "monotonic clock" if line.live else "time of the recording",
            "clock": clock(),
            "sensitivity_px": {},
        }

    def _write(self) -> None:
        """Raises OSError; what was there stays."""
        part = self.path / f"{FILE}.part"
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self._facts)) + b"\n")
            os.replace(part, self.path / FILE)
        except OSError as error:
            raise OSError(error.errno, f"{self.path / FILE}: {error.strerror}") from error

    def show(self, state: State) -> None:
        """A folder shows nothing."""

    def close(self) -> None:
        """The log is closed; a folder in which nothing was written goes again."""
        try:
            self._log.close()
        finally:
            with contextlib.suppress(OSError):
                self.path.rmdir()


def first_frame(line: SessionLine) -> dict[str, int | str]:
    """Where the session's time begins: number, exposure, of a live source in UTC too; empty without a frame."""
    if line.first_frame is None or line.first_t_ns is None:
        return {}
    found: dict[str, int | str] = {"number": line.first_frame, "t_ns": line.first_t_ns}
    if line.live:
        utc_ns = line.first_t_ns + int(clock()["utc_minus_monotonic_ns"])
        found["utc"] = datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="microseconds")
    return found


def clock() -> dict[str, int | str]:
    """Both clocks at one moment: the closest of a few readings of UTC between two of the monotonic clock, ns."""
    readings = []
    for _ in range(5):
        before, utc, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, before + (after - before) // 2, utc))
    width, monotonic, utc = min(readings)
    stamp = datetime.fromtimestamp(utc / 1e9, UTC).isoformat(timespec="microseconds")
    return {
        "utc": stamp,
        "monotonic_ns": monotonic,
        "utc_ns": utc,
        "utc_minus_monotonic_ns": utc - monotonic,
        "uncertainty_ns": width,
    }


def versions() -> dict[str, str]:
    """Of what can change a result."""
    found = {"merealtime": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def plain_settings(settings: Settings) -> dict[str, Any]:
    """As they are in a settings file, without passwords."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return without_passwords(value) if isinstance(value, str) else value

    found: dict[str, Any] = plain(msgspec.to_builtins(settings))
    return found
