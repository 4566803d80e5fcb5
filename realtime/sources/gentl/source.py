"""``gentl:PRODUCER.cti[#SERIAL]``: a camera by its vendor's GenTL producer (harvesters, genicam).

For cameras that Aravis does not reach: CoaXPress, Camera Link HS, frame grabbers, a vendor's own USB protocol. The
producer's buffers are decoded into the ring's slot; its frame ids make exact gaps. Where it gives no times, those of
arrival are used; where it gives no ids, lost frames may go unnoticed. Either is told.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError, SourceLostError
from realtime.sources.device_clock import DeviceClock, FrameCounter
from realtime.sources.gentl.nodes import Nodes, line_of
from realtime.sources.gentl.producers import PREFIX, find_producer, load, names_of
from realtime.sources.pixels import choose_format, decode, describe_format, refusal
from realtime.sources.v4l2.clock import CameraClock
from realtime.types import SourceInfo, SourceRequest, Stamp

Gray = npt.NDArray[np.uint8]

_BUFFERS = 32
_SILENCE_S, _SILENCE_PERIODS, _TRIGGER_SILENCE_S = 2.0, 20, 8.0
_OPENING_S = 8.0
_FETCH_S, _EVENT_MS = 0.1, 50
_MEASURE_FRAMES = 12
_ACCESSIBLE = (0, 1)  # DEVICE_ACCESS_STATUS_UNKNOWN, …_READWRITE
_RATES = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")
_EXPOSURES, _GAINS = ("ExposureTime", "ExposureTimeAbs"), ("Gain", "GainRaw")


class GentlSource:
    """One streaming camera. ``notices`` holds (what, detail) pairs; the reader takes them out."""

    def __init__(self, spec: str, request: SourceRequest) -> None:
        self.notices: list[tuple[str, str]] = []
        self._spec = spec
        self._acquirer: Any = None
        self._fps: float | None = None
        self._harvester, self._failures = load()
        self._broken: tuple[type[Exception], ...] = (*self._failures, OSError, ValueError)
        try:
            path, serial = find_producer(spec)
            self._acquirer = self._open(path, serial)
            self._nodes = Nodes(self._acquirer.remote_device.node_map, spec, self._failures)
            self.info = self._set_up(request)
            self._start()
            if not self._fps:
                self._fps = request.fps or self._measure_rate()
                told = "as given" if request.fps else "measured"
                self.info = self._info(request, f"{self.info.detail}, {self._fps:.4g} fps {told}")
            self._stamps = CameraClock(round(1e9 / self._fps), self.notices)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, serial: str) -> Any:
        try:
            self._harvester.add_file(str(path), check_existence=True, check_validity=True)
            self._harvester.update()
        except self._broken as error:
            raise SourceError(f"{self._spec}: {path} can't be loaded as a GenTL producer: {line_of(error)}") from None
        there = self._harvester.device_info_list
        called = [names_of(device, self._failures) for device in there]
        chosen = next((at for at, names in enumerate(called) if not serial or serial in names), None)
        if chosen is None:
            others = ", ".join(f"{PREFIX}{path.name}#{names[0]}" for names in called) or "none"
            raise SourceError(f"no camera {self._spec}; cameras of this producer: {others}")
        if getattr(there[chosen], "access_status", 0) not in _ACCESSIBLE:
            raise SourceError(f"{self._spec}: in use by another program")
        try:
            return self._harvester.create(chosen)
        except self._failures as error:
            raise SourceError(f"{self._spec}: cannot be opened: {line_of(error)}; in use by another program?") from None

    def _set_up(self, request: SourceRequest) -> SourceInfo:
        """User's features, pixel format, size, exposure, gain, then trigger or rate: read back, all of it."""
        nodes = self._nodes
        for name, value in request.features.items():
            nodes.require(name, value, f"source.features.{name}")
        offered = list(nodes.get("PixelFormat", "symbolics") or ())
        chosen = choose_format(offered, request.pixel_format)
        if chosen is None:
            raise SourceError(refusal(self._spec, request, offered))
        nodes.require("PixelFormat", chosen, "source.pixel_format")
        self._format = chosen
        self._size = self._set_size(request)
        said = [f"{self._name()}: {describe_format(chosen)} {self._size[0]}x{self._size[1]}"]
        for names, automatic, key, asked in (
            (_EXPOSURES, "ExposureAuto", "exposure_us", request.exposure_us),
            (_GAINS, "GainAuto", "gain", request.gain),
        ):
            named = nodes.first(names)
            if asked is not None:
                nodes.set(automatic, "Off")
                nodes.require(named or names[0], asked, f"source.{key}")
            if named is not None:
                unit = "exposure {:g} µs" if key == "exposure_us" else "gain {:g}"
                said.append(unit.format(nodes.get(named)))
        self._fps, words = self._set_rate(request)
        said[0] += f" {words}"
        self._silence_s = max(_SILENCE_S, _SILENCE_PERIODS / (self._fps or request.fps or 30))
        if request.trigger is not None:
            self._silence_s = max(_TRIGGER_SILENCE_S, self._silence_s)
        return self._info(request, ", ".join(said))

    def _info(self, request: SourceRequest, detail: str) -> SourceInfo:
        return SourceInfo(
            source=self._spec,
            kind="camera",
            width=self._size[0],
            height=self._size[1],
            fps=self._fps or request.fps or 30.0,
            fps_requested=request.fps,
            pixel_format=self._format,
            live=True,
            silence_s=self._silence_s + _OPENING_S,
            detail=detail,
        )

    def _name(self) -> str:
        device = self._acquirer.remote_device
        found = []
        with contextlib.suppress(*self._failures, AttributeError):
            found = [self._nodes.get(name) for name in ("DeviceVendorName", "DeviceModelName", "DeviceSerialNumber")]
        return " ".join(filter(None, found)) or str(getattr(device, "model", "") or self._spec)

    def _set_size(self, request: SourceRequest) -> tuple[int, int]:
        nodes = self._nodes
        if request.size is not None:
            for side, offset, value in zip(("Width", "Height"), ("OffsetX", "OffsetY"), request.size, strict=True):
                nodes.set(offset, 0)
                nodes.require(side, value, f"--size {request.size[0]}x{request.size[1]}: {side}")
                most, step = nodes.get(offset, "max"), nodes.get(offset, "inc") or 1
                if most:
                    nodes.set(offset, int(most // 2 // step * step))
        size = nodes.get("Width"), nodes.get("Height")
        if request.size is not None and size != request.size:
            asked = f"{request.size[0]}x{request.size[1]}"
            raise SourceError(f"{self._spec} has no size {asked}; it gave {size[0]}x{size[1]}")
        return int(size[0]), int(size[1])

    def _set_rate(self, request: SourceRequest) -> tuple[float | None, str]:
        nodes = self._nodes
        if request.trigger is not None:
            nodes.set("TriggerSelector", "FrameStart")
            nodes.require("TriggerSource", request.trigger, "source.trigger")
            nodes.require("TriggerMode", "On", "source.trigger")
            return None, f"triggered by {request.trigger}"
        name = nodes.first(_RATES)
        if name is None:
            return None, "the camera does not tell its rate"
        if request.fps is not None:
            nodes.set("TriggerMode", "Off")
            nodes.set("AcquisitionFrameRateEnable", True)
            low, high = nodes.get(name, "min") or 0.0, nodes.get(name, "max") or math.inf
            nodes.require(name, float(min(max(request.fps, low), high)), "--fps")
        fps = float(nodes.get(name))
        resulting = nodes.get("ResultingFrameRate") or nodes.get("AcquisitionResultingFrameRate")
        fps = min(fps, float(resulting)) if resulting else fps
        less = request.fps and not math.isclose(fps, request.fps, rel_tol=0.01)
        return fps, f"at {fps:g} fps" + (f", asked for {request.fps:g}" if less else "")

    def _start(self) -> None:
        acquirer = self._acquirer
        try:
            acquirer.timeout_period_on_update_event_data_call = _EVENT_MS
            acquirer.num_buffers = max(_BUFFERS, acquirer.min_num_buffers)
            acquirer.start()
        except self._broken as error:
            raise SourceError(f"{self._spec}: cannot start streaming: {line_of(error)}") from None
        self._clock = DeviceClock(self.notices)
        self._counter = FrameCounter()
        self._arrivals = 0
        self._told_ids = False

    def _measure_rate(self) -> float:
        """Of a triggered camera, or one that does not tell."""
        begun_s, count = 0.0, 0
        end_s = time.monotonic() + _TRIGGER_SILENCE_S
        while count < _MEASURE_FRAMES and time.monotonic() < end_s:
            buffer = self._acquirer.try_fetch(timeout=_FETCH_S, is_raw=True)
            if buffer is not None:
                buffer.parent.queue_buffer(buffer)
                begun_s = begun_s or time.monotonic()
                count += 1
        if count < _MEASURE_FRAMES:
            raise SourceError(f"{self._spec}: too few frames to know the rate: does the trigger run? Or give --fps")
        return (count - 1) / (time.monotonic() - begun_s)

    def read(self, out: Gray) -> Stamp:
        """Wait for the next whole frame and put it into ``out`` (height, width) uint8, C-contiguous.

        Raises SourceLostError if the camera is gone or silent.
        """
        deadline_s = time.monotonic() + self._silence_s
        while True:
            try:
                buffer = self._acquirer.try_fetch(timeout=_FETCH_S, is_raw=True)
                arrival_ns = time.monotonic_ns()
                if buffer is not None:
                    try:
                        data = np.frombuffer(buffer.raw_buffer, np.uint8)[self._offset(buffer) :]
                        if decode(self._format, data, out):
                            return self._stamp(buffer, arrival_ns)
                    finally:
                        buffer.parent.queue_buffer(buffer)
            except self._failures as error:
                raise SourceLostError(f"{self._spec}: camera gone ({line_of(error)})") from None
            if arrival_ns > deadline_s * 1e9:
                raise SourceLostError(f"{self._spec}: no whole frame for {self._silence_s:.1f} s")

    def _offset(self, buffer: Any) -> int:
        """Where the picture begins."""
        with contextlib.suppress(*self._failures):
            return int(buffer.image_offset)
        return 0

    def _stamp(self, buffer: Any, arrival_ns: int) -> Stamp:
        device_ns, self._arrivals = 0, self._arrivals + 1
        with contextlib.suppress(*self._failures):
            device_ns = int(buffer.timestamp_ns)
        t_ns = min(self._clock.host_ns(device_ns, arrival_ns), arrival_ns)
        try:
            number = int(buffer.frame_id)
        except self._failures:
            number = self._arrivals
            if not self._told_ids:
                self._told_ids = True
                self.notices.append(("camera sequence", "the producer numbers no frames: lost ones may go unnoticed"))
        return self._stamps.stamp(self._counter.count(number), t_ns, arrival_ns)

    def close(self) -> None:
        """Stop and let go, whatever state the camera is in."""
        acquirer, self._acquirer = self._acquirer, None
        with contextlib.suppress(*self._failures, AttributeError):
            if acquirer is not None:
                acquirer.stop()
                acquirer.destroy()
        with contextlib.suppress(*self._failures, AttributeError):
            self._harvester.reset()
