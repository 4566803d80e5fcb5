"""Settings: one frozen struct a concern, read from TOML, overridden by the command line.

``configs/default.toml`` documents every key once; a test holds it against these structs. Imports nothing
heavy, and of ours only errors, plain types and the names of the stages, so that ``merealtime --help`` stays quick.
Durations in seconds, never in frames.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from realtime import pipeline
from realtime.errors import ConfigError
from realtime.files import read_at_most
from realtime.types import Rate, SourceRequest

T = TypeVar("T")

_MOST_BYTES = 1 << 20
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
_LEAST_RING_S = 1.0


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: frozen, unknown keys refused."""


class SourceSettings(_Settings, SourceRequest, frozen=True, kw_only=True):
    """Where frames come from, what is asked of the source (``SourceRequest``), and when to stop."""

    camera: str = "demo"
    duration_s: Seconds | None = None
    frames: Positive | None = None
    reconnect_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0


class RingSettings(_Settings, frozen=True, kw_only=True):
    """Shared memory between capture and its readers."""

    seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 2.5
    min_slots: Annotated[int, msgspec.Meta(ge=8, le=100_000)] = 64
    max_mib: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 512

    def slots(self, fps: float, height: int, width: int) -> int:
        """Frames that the ring holds: ``seconds`` of video, within ``min_slots`` and ``max_mib``."""
        return self._within(self.seconds, fps, height, width)

    def least_slots(self, fps: float, height: int, width: int) -> int:
        """Frames that it must hold, though a killed spotter may then lose the event that was under way."""
        return self._within(min(self.seconds, _LEAST_RING_S), fps, height, width)

    def _within(self, seconds: float, fps: float, height: int, width: int) -> int:
        wanted = max(self.min_slots, round(seconds * fps))
        return max(8, min(wanted, self.max_mib * 2**20 // (height * width)))


LONGEST_WAIT_S = 2.0
"""No movement waits longer for what follows, from when it was found."""
_PLACED_S = 0.5


class SpotSettings(_Settings, frozen=True, kw_only=True):
    """Detector of movements (see realtime/vision/spotting/spotter.py)."""

    faces: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    detector: Literal["motion", "lbp"] = "motion"
    threshold_sigmas: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 6.0
    floor_px: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.16
    floor_lbp: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.008
    noise_window_s: Seconds = 2.0
    min_duration_s: Seconds = 0.04
    micro_max_s: Seconds = 0.5
    micro_rule: Literal["total", "casme"] = "total"
    max_duration_s: Seconds = 4.0
    reference_window_s: Seconds = 0.5
    landmark_rate_hz: Rate = 10.0
    max_lag_s: Seconds = 0.5

    def floor(self) -> float:
        """Least rise that opens an event, in the unit of the detector."""
        return self.floor_lbp if self.detector == "lbp" else self.floor_px

    def known_s(self) -> float:
        """So long after its onset a movement is told at the latest: it lasts, waits for what follows, is placed."""
        return self.max_duration_s + LONGEST_WAIT_S + _PLACED_S


class FlowSettings(_Settings, frozen=True, kw_only=True):
    """Optical flow between onset and apex; in dense mode also of every frame against the face at rest."""

    backend: Literal["auto", "cpu", "cuda"] = "auto"
    dense: bool = False


class RecognitionSettings(_Settings, frozen=True, kw_only=True):
    """The model that names a movement."""

    bundle: str = "laenet-composite"
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    least_spot_score: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 5.5


class OutputSettings(_Settings, frozen=True, kw_only=True):
    """Where results go."""

    events: str | None = None
    record: str | None = None
    record_format: Literal["raw", "ffv1"] = "raw"
    record_frames: Literal["all", "events", "none"] = "all"
    record_before_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.5
    record_after_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.5
    clip_mib: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 1024
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=60)] | None = None
    control: str | None = None
    publish: str | None = None
    curve_dir: str | None = None
    lsl: bool = False
    lsl_markers: list[str] = []
    web: str | None = None
    web_token_file: str | None = None
    view: Literal["auto", "live", "plain", "none"] = "auto"
    tick_hz: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 20.0

    @property
    def records_frames(self) -> bool:
        """Whether frames are to be kept: all, or those of events."""
        return self.record is not None and self.record_frames != "none"

    @property
    def held_back_by(self) -> tuple[str, ...]:
        """The stages for which a recording that is played again waits: each frame is analysed, and kept if asked."""
        there = {"record": self.records_frames}
        return tuple(stage for stage in pipeline.CURSORS if there.get(stage, True))


class RuntimeSettings(_Settings, frozen=True, kw_only=True):
    """Processes: real-time habits, limits, patience.

    ``cpus``, ``fifo_priority`` and ``lock_memory`` are for machines that need them: no gain was measured here.
    """

    cpus: dict[str, list[Annotated[int, msgspec.Meta(ge=0)]]] = {}
    fifo_priority: Annotated[int, msgspec.Meta(ge=0, le=98)] = 0
    event_priority: Annotated[int, msgspec.Meta(ge=0, le=98)] = 1
    lock_memory: bool = False
    slice_us: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 500
    freeze_gc: bool = True
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    spare: bool = True
    start_timeout_s: Seconds = 180.0
    heartbeat_timeout_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 10.0
    drain_timeout_s: Seconds = 15.0
    restarts: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 3
    restart_window_s: Seconds = 60.0


class Settings(_Settings, frozen=True, kw_only=True):
    """Everything that one session needs to know."""

    source: SourceSettings = SourceSettings()
    ring: RingSettings = RingSettings()
    spot: SpotSettings = SpotSettings()
    flow: FlowSettings = FlowSettings()
    recognition: RecognitionSettings = RecognitionSettings()
    output: OutputSettings = OutputSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) of what can change a result; not of paths, views or priorities."""
        flow = {"backend": self.flow.backend}  # dense mode changes no event
        part = {"spot": self.spot, "flow": flow, "recognition": self.recognition}
        return hashlib.sha256(msgspec.json.encode(part, order="deterministic")).hexdigest()[:16]


def load(path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a TOML file (or the defaults), with dotted ``overrides`` such as ``{"source.fps": 200.0}``.

    Raises ConfigError naming the file, the key and what is allowed.
    """
    table: dict[str, Any] = {}
    where = "options"  # the command line, for messages
    if path is not None:
        where = str(path)
        table = _read_toml(Path(path))
        _convert(table, where)  # so that a bad file is not blamed on an option
        where = f"{where} with options" if overrides else where
    for key, value in (overrides or {}).items():
        _put(table, key, value)
    settings = _convert(table, where)
    _check(settings, where)
    return settings


def parse_assignment(text: str) -> tuple[str, Any]:
    """``"spot.threshold_sigmas=5"`` → ``("spot.threshold_sigmas", 5)``; the value is TOML, or else text."""
    key, sign, raw = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {text}: write SECTION.KEY=VALUE")
    try:
        value: Any = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):  # no TOML, or a number or a nesting that Python refuses
        value = raw
    return key.strip(), value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        data = read_at_most(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: can't read this settings file ({why})") from error
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _put(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``table[a][b] = value`` for the key ``a.b``."""
    *sections, last = dotted.split(".")
    for name in sections:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{dotted}: {name} is a value, not a section")
        table = inner
    table[last] = value


def _convert(table: Mapping[str, Any], where: str) -> Settings:
    _refuse_unknown(table, Settings, "", where)
    table = _with_size(table, where)
    try:
        settings = msgspec.convert(table, Settings)
        msgspec.msgpack.encode(settings)  # as the stages get them
        return settings
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        raise ConfigError(f"{where}: {key}: {message[:1].lower()}{message[1:]}") from error
    except UnicodeEncodeError as error:  # a file's name may be any bytes; the log and the stages speak UTF-8
        raise ConfigError(f"{where}: {error.object!a} is no UTF-8; give the file or folder another name") from error


def _with_size(table: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The table with ``source.size`` as a pair of numbers: users write ``"640x480"``."""
    source = table.get("source")
    text = source.get("size") if isinstance(source, Mapping) else None
    if not isinstance(source, Mapping) or not isinstance(text, str):
        return table
    sides = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text, re.ASCII)
    if sides is None:
        raise ConfigError(f"{where}: source.size: {text!r} is no size; write WIDTHxHEIGHT in pixels, as in 640x480")
    return {**table, "source": {**source, "size": [int(side) for side in sides.groups()]}}


def _refuse_unknown(table: Mapping[str, Any], struct: type, path: str, where: str) -> None:
    """Raise for the first unknown key, with its full path (msgspec names only the last part)."""
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        if key not in known:
            section = f"section [{path[:-1]}]" if path else "file"
            raise ConfigError(f"{where}: unknown key {path}{key}; the {section} knows {', '.join(sorted(known))}")
        inner = known[key]
        if isinstance(inner, type) and issubclass(inner, _Settings) and isinstance(value, Mapping):
            _refuse_unknown(value, inner, f"{path}{key}.", where)


def _check(settings: Settings, where: str) -> None:
    """Rules that span keys."""
    unknown = sorted(set(settings.runtime.cpus) - set(pipeline.NAMES))
    if unknown:
        raise ConfigError(f"{where}: runtime.cpus.{unknown[0]}: no such stage; known are {', '.join(pipeline.NAMES)}")
    spot = settings.spot
    if not spot.min_duration_s < spot.micro_max_s <= spot.max_duration_s:
        raise ConfigError(f"{where}: spot: min_duration_s < micro_max_s <= max_duration_s must hold")
    events, camera = settings.output.events, settings.source.camera
    with contextlib.suppress(OSError, ValueError):  # one of them is no file
        if events is not None and os.path.samefile(events, camera):
            raise ConfigError(f"--events {events}: that is the source itself; write the log to another file")
