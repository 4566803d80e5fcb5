"""``--lsl``: events and curves as streams of the Lab Streaming Layer, for LabRecorder and whatever else listens.

* ``merealtime events`` (Markers, text, irregular): one JSON object an event, the line of the event log with
  ``onset_lsl``, ``apex_lsl``, ``offset_lsl``, ``sent_lsl`` (s); the sample's stamp is the onset, which is in the past.
* ``merealtime regions``, for further faces ``merealtime regions 1`` …: a sample each analysed frame: the difference of
  each region, whether there is a face (without one the regions are NaN), the frame's number; stamped by its exposure.

Meta data follow XDF's conventions (``channels``, ``acquisition``, ``synchronization``). Stamps are exposure times on
LSL's clock, which is held against the monotonic clock at the start and every ten seconds.
"""

from __future__ import annotations

import math
import socket
import time
from types import ModuleType
from typing import Any

import msgspec

from realtime import __version__
from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc import lsl
from realtime.ipc.messages import Curves
from realtime.sinks.lines import AnyLine, EventLine, SessionLine, State

EVENTS, REGIONS = "merealtime events", "merealtime regions"
_CHECK_S = 10.0
_FAREWELL_S = 0.5
_KEEP_S = 360
_UNITS = {"motion": "px", "lbp": "1 - correlation"}


def open_sink(settings: OutputSettings) -> LslOutlets | None:
    return LslOutlets(lsl.load("--lsl")) if settings.lsl else None


class LslOutlets:
    """The outlets; they open with the session's first line, which says what they carry."""

    never_waits = True  # liblsl's own threads send

    def __init__(self, pylsl: ModuleType) -> None:
        self._pylsl = pylsl
        self._offset = lsl.clock_offset(pylsl)
        self._offsets = [self._offset.seconds]
        self._next_check_s = time.monotonic() + _CHECK_S
        self._events: Any = None
        self._regions: dict[int, Any] = {}
        self._width = 0

    def line(self, line: AnyLine) -> None:
        if isinstance(line, SessionLine):
            self._open(line)
        elif isinstance(line, EventLine) and self._events is not None:
            self._push_event(line)

    def curves(self, curves: Curves) -> None:
        """Every frame's curves, some frames at a time."""
        if self._events is None:
            return
        import numpy as np

        values = np.frombuffer(curves.values, np.float32).reshape(len(curves.frames), -1)
        rows = np.column_stack([values, curves.found, curves.frames]).astype(np.float32)
        stamps, faces = np.array([self._stamp(t_ns) for t_ns in curves.t_ns]), np.array(curves.faces)
        for face, outlet in self._regions.items():
            mine = faces == face
            if mine.any():
                outlet.push_chunk(np.ascontiguousarray(rows[mine]), stamps[mine].tolist())

    def show(self, state: State) -> None:
        """Draws nothing; looks after the clock."""
        now_s = time.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_S
            self._offset = lsl.clock_offset(self._pylsl)
            self._offsets.append(self._offset.seconds)

    def close(self) -> None:
        """Let listeners take what is on its way, then leave."""
        outlets = [*self._regions.values(), *filter(None, [self._events])]
        if any(outlet.have_consumers() for outlet in outlets):
            time.sleep(_FAREWELL_S)
        self._regions.clear()
        self._events = None

    def _stamp(self, t_ns: int) -> float:
        return t_ns / 1e9 + self._offset.seconds

    def _push_event(self, line: EventLine) -> None:
        content = msgspec.to_builtins(line)
        for part in ("onset", "apex", "offset"):
            content[f"{part}_lsl"] = self._stamp(content[f"{part}_t_ns"])
        content["sent_lsl"] = self._pylsl.local_clock()
        self._events.push_sample([msgspec.json.encode(content).decode()], content["onset_lsl"])

    def _open(self, session: SessionLine) -> None:
        if not session.live:
            raise UserError("--lsl: a recording's times are not those of this machine's clock; add --live")
        from realtime.vision.face.regions import ROI_NAMES

        pylsl = self._pylsl
        source = f"merealtime:{socket.gethostname()}:{session.source}"
        events = pylsl.StreamInfo(EVENTS, "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"{source}:events")
        self._describe(events, session)
        _add_channels(events.desc(), [("event", "Marker", "JSON")])
        self._events = pylsl.StreamOutlet(events, max_buffered=_KEEP_S)
        unit = _UNITS[session.detector]
        channels = [(name, "Displacement", unit) for name in ROI_NAMES]
        channels += [("found", "Flag", "0 or 1"), ("frame", "FrameNumber", "count")]
        for face in range(session.faces):
            name = REGIONS if face == 0 else f"{REGIONS} {face}"
            info = pylsl.StreamInfo(
                name, "Face", len(channels), pylsl.IRREGULAR_RATE, "float32", f"{source}:regions:{face}"
            )
            self._describe(info, session)
            _add_channels(info.desc(), channels)
            self._regions[face] = pylsl.StreamOutlet(info, max_buffered=_KEEP_S)

    def _describe(self, info: Any, session: SessionLine) -> None:
        offset_s, error_s = self._offset.seconds, self._offset.error_s
        _add(info.desc(), "acquisition", {
            "manufacturer": "merealtime",
            "model": session.source_detail or session.source,
            "software": f"merealtime {__version__}",
            "source": session.source,
            "frame_rate": f"{session.fps_granted:g}",
            "frame_width": str(session.width),
            "frame_height": str(session.height),
            "detector": session.detector,
            "classifier": session.model,
        })  # fmt: skip
        _add(info.desc(), "synchronization", {
            "time_source": "camera exposure on the monotonic clock",
            "offset_mean": f"{math.fsum(self._offsets) / len(self._offsets):.9f}",
            "offset_rms": f"{max(error_s, abs(offset_s - self._offsets[0])):.9f}",
            "can_drop_samples": "true",
        })  # fmt: skip


def _add(parent: Any, name: str, values: dict[str, str]) -> None:
    child = parent.append_child(name)
    for key, text in values.items():
        child.append_child_value(key, text)


def _add_channels(desc: Any, channels: list[tuple[str, str, str]]) -> None:
    parent = desc.append_child("channels")
    for label, kind, unit in channels:
        channel = parent.append_child("channel")
        for key, text in (("label", label), ("type", kind), ("unit", unit)):
            channel.append_child_value(key, text)
