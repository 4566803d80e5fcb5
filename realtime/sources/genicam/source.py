"""A GenICam camera (GigE Vision, USB3 Vision) by Aravis: frame ids make exact gaps, device time becomes ours.

Aravis assembles each frame from its packets, asks again for those that were lost, and hands over the whole buffer;
it is decoded into the ring's slot. A buffer that stays incomplete is skipped, so that the frame numbers show a hole.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import statistics
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.errors import SourceError, SourceLostError
from realtime.sources.device_clock import DeviceClock, FrameCounter
from realtime.sources.genicam import cameras
from realtime.sources.genicam.abi import LOST, SOCKET_BUFFER_FIXED, SUCCESS, AravisError, aravis
from realtime.sources.genicam.setup import Granted, Setup, read_clock
from realtime.sources.pixels import decode
from realtime.sources.v4l2.clock import CameraClock
from realtime.types import SourceInfo, SourceRequest, Stamp

Gray = npt.NDArray[np.uint8]

_BUFFERS, _BUFFERS_S, _BUFFERS_MAX_BYTES = 32, 0.5, 256 * 2**20
_SOCKET_BYTES = 16 * 2**20
_RETENTION_US, _PACKET_TIMEOUT_US = 25_000, 5_000
"""How long an incomplete frame is waited for, while those behind it wait too; when a packet is asked for again."""
_SILENCE_S, _SILENCE_PERIODS, _TRIGGER_SILENCE_S = 2.0, 20, 8.0
_OPENING_S = 8.0
_POP_US = 100_000
_REPORT_S, _FIRST_REPORT_S = 600.0, 12.0
_LOSSES_S = 10.0


class GenicamSource:
    """One streaming camera. ``notices`` holds (what, detail) pairs; the reader takes them out."""

    def __init__(self, spec: str, request: SourceRequest) -> None:
        self.notices: list[tuple[str, str]] = []
        self._api = aravis()
        self._stream: Any = None
        self._parser: Any = None
        self._views: dict[int, Gray] = {}
        self._gone = False  # as Aravis tells
        self._lost = False  # as read() has found
        self._handler = 0
        self._camera, key = cameras.open_device(spec.removeprefix(cameras.PREFIX))
        self._called = f"{cameras.PREFIX}{key}"
        try:
            self._granted = Setup(self._api, self._camera, self._called, request).apply()
            self._start()
            fps = self._granted.fps or request.fps or self._measure_rate()
            self._silence_s = max(_SILENCE_S, _SILENCE_PERIODS / fps)
            if request.trigger is not None:
                self._silence_s = max(_TRIGGER_SILENCE_S, self._silence_s)
            self.info = self._describe(spec, request, fps)
            self._stamps = CameraClock(round(1e9 / fps), self.notices)
        except BaseException:
            self.close()
            raise

    def _describe(self, spec: str, request: SourceRequest, fps: float) -> SourceInfo:
        granted, told = self._granted, "" if self._granted.fps else f", {fps:.4g} fps"
        if not granted.fps:
            told += " as given" if request.fps else " measured"
        times = "the camera's clock" if self._device_clock.latch else "the camera's clock, set by arrivals"
        chunks = " and chunk data" if self._parser else ""
        return SourceInfo(
            source=spec,
            kind="camera",
            width=granted.width,
            height=granted.height,
            fps=fps,
            fps_requested=request.fps,
            pixel_format=granted.pixel_format,
            live=True,
            silence_s=self._silence_s + _OPENING_S,
            detail=f"{granted.detail}{told}; times by {times}{chunks}",
        )

    def _start(self) -> None:
        api, granted = self._api, self._granted
        try:
            self._stream = api.ask("arv_camera_create_stream", self._camera, None, None)
            if not self._stream:
                raise SourceError(f"{self._called}: no stream could be made; is it in use by another program?")
            self._tune_network()
            self._watch()
            self._add_buffers(granted)
            if granted.chunk_time or granted.chunk_number:
                self._parser = api.lib.arv_camera_create_chunk_parser(self._camera)
            api.ask("arv_camera_start_acquisition", self._camera)
            latch = read_clock(api, self._camera)  # now: some cameras begin theirs anew with the stream
        except AravisError as error:
            why = "in use by another program" if cameras.is_refusal(error) else str(error)
            raise SourceError(f"{self._called}: cannot start streaming: {why}") from None
        self._device_clock = DeviceClock(self.notices, latch)
        self._counter = FrameCounter()
        self._next_report_s = time.monotonic() + _FIRST_REPORT_S
        self._next_losses_s = time.monotonic() + _LOSSES_S
        self._losses = (0, 0, 0)

    def _tune_network(self) -> None:
        """GigE: room in the socket for a burst of frames, and less patience with an incomplete frame than Aravis has:
        those behind it wait, and this is live.
        """
        if not self._api.lib.arv_camera_is_gv_device(self._camera):
            return
        settings = {
            "socket-buffer": SOCKET_BUFFER_FIXED,
            "socket-buffer-size": _SOCKET_BYTES,
            "packet-timeout": _PACKET_TIMEOUT_US,
            "frame-retention": _RETENTION_US,
        }
        for name, value in settings.items():
            self._api.set_property(self._stream, name, value)
        most = _socket_limit()
        if most is not None and most < 2 * self._granted.payload:
            detail = (
                f"the system lets a socket hold {most / 1e6:.1f} MB, less than two frames: packets may be lost; "
                f"sudo sysctl net.core.rmem_max={_SOCKET_BYTES}"
            )
            self.notices.append(("camera network", detail))

    def _watch(self) -> None:
        """Aravis tells when the camera is unplugged or another program has taken it."""

        def lost(_device: int, _data: int) -> None:
            self._gone = True

        device = self._api.lib.arv_camera_get_device(self._camera)
        self._on_lost = LOST(lost)  # kept: Aravis holds only its address
        self._handler = self._api.connect(device, "control-lost", self._on_lost)

    def _add_buffers(self, granted: Granted) -> None:
        """Made once and handed back and forth; a view of each is kept by its address."""
        lib = self._api.lib
        wanted = max(_BUFFERS, round(_BUFFERS_S * (granted.fps or 0)))
        for _ in range(max(8, min(wanted, _BUFFERS_MAX_BYTES // max(1, granted.payload)))):
            buffer = lib.arv_buffer_new(granted.payload, None)
            data = lib.arv_buffer_get_data(buffer, None)
            self._views[buffer] = np.ctypeslib.as_array((ctypes.c_uint8 * granted.payload).from_address(data))
            lib.arv_stream_push_buffer(self._stream, buffer)

    def _measure_rate(self) -> float:
        """Of a triggered camera, or one that does not tell: the median step over the first second."""
        times: list[int] = []
        end = time.monotonic() + _TRIGGER_SILENCE_S
        while time.monotonic() < end and len(times) < 200:
            buffer = self._api.lib.arv_stream_timeout_pop_buffer(self._stream, _POP_US)
            if buffer:
                times.append(self._times(buffer, time.monotonic_ns())[1])
                self._api.lib.arv_stream_push_buffer(self._stream, buffer)
                if len(times) == 1:
                    end = time.monotonic() + 1.5
        steps = [after - before for before, after in itertools.pairwise(times) if after > before]
        if len(steps) < 3:
            raise SourceError(
                f"{self._called}: too few frames came to know the rate; does the trigger run? Or give --fps"
            )
        return 1e9 / statistics.median(steps)

    def read(self, out: Gray) -> Stamp:
        """Wait for the next whole frame and put it into ``out`` (height, width) uint8, C-contiguous.

        Raises SourceLostError if the camera is unplugged, taken away, or silent.
        """
        lib, stream = self._api.lib, self._stream
        deadline = time.monotonic() + self._silence_s
        while True:
            buffer = lib.arv_stream_timeout_pop_buffer(stream, _POP_US)
            now_ns = time.monotonic_ns()
            if buffer:
                try:
                    whole = lib.arv_buffer_get_status(buffer) == SUCCESS
                    if whole and decode(self._granted.pixel_format, self._views[buffer], out):
                        return self._stamp(buffer, now_ns)
                finally:
                    lib.arv_stream_push_buffer(stream, buffer)
            if self._gone:
                self._lost = True
                raise SourceLostError(f"{self._called}: camera gone (control lost)")
            if now_ns > deadline * 1e9:
                self._lost = True
                raise SourceLostError(f"{self._called}: no whole frame for {self._silence_s:.1f} s")

    def _stamp(self, buffer: Any, now_ns: int) -> Stamp:
        number, device_ns, arrival_ns = self._number(buffer), *self._times(buffer, now_ns)
        t_ns = self._device_clock.host_ns(device_ns, arrival_ns)
        if now_ns > self._next_report_s * 1e9:
            self._report_clock(now_ns)
        if now_ns > self._next_losses_s * 1e9:
            self._report_losses(now_ns)
        return self._stamps.stamp(self._counter.count(number), min(t_ns, now_ns), now_ns)

    def _times(self, buffer: Any, now_ns: int) -> tuple[int, int]:
        """The camera's time of a frame, and when its first packet came, by our clock."""
        lib = self._api.lib
        device_ns = int(lib.arv_buffer_get_timestamp(buffer))
        if self._granted.chunk_time and self._parser:
            device_ns = self._chunk(buffer, self._granted.chunk_time, device_ns)
        arrival_ns = int(lib.arv_buffer_get_system_timestamp(buffer)) - _clock_step_ns()
        return device_ns, arrival_ns if 0 <= now_ns - arrival_ns < 2_000_000_000 else now_ns

    def _number(self, buffer: Any) -> int:
        number = int(self._api.lib.arv_buffer_get_frame_id(buffer))
        return self._chunk(buffer, self._granted.chunk_number, number) if self._granted.chunk_number else number

    def _chunk(self, buffer: Any, name: str, otherwise: int) -> int:
        if not self._parser or not self._api.lib.arv_buffer_has_chunks(buffer):
            return otherwise
        value = self._api.try_ask("arv_chunk_parser_get_integer_value", self._parser, buffer, name.encode())
        return otherwise if value is None else int(value)

    def _report_clock(self, now_ns: int) -> None:
        self._next_report_s = now_ns / 1e9 + _REPORT_S
        if self._device_clock.bins:
            self.notices.append(("camera clock", self._device_clock.describe()))

    def _report_losses(self, now_ns: int) -> None:
        """Frames that stayed incomplete and packets that came at the second asking, since the last time."""
        self._next_losses_s = now_ns / 1e9 + _LOSSES_S
        found = self.losses()
        incomplete, underruns, resent = (now - before for now, before in zip(found, self._losses, strict=True))
        self._losses = found
        if incomplete or underruns:
            detail = f"{incomplete} frames incomplete, {underruns} packets had no buffer, {resent} packets sent again"
            self.notices.append(("camera network", detail))

    def losses(self) -> tuple[int, int, int]:
        """Frames incomplete, packets (USB: frames) that found no buffer free, packets that were sent again."""
        lib = self._api.lib
        whole, failed, underruns = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        lib.arv_stream_get_statistics(self._stream, *map(ctypes.byref, (whole, failed, underruns)))
        resent = 0
        if lib.arv_camera_is_gv_device(self._camera):
            resent = int(lib.arv_stream_get_info_uint64_by_name(self._stream, b"n_resent_packets"))
        return failed.value, underruns.value, resent

    def close(self) -> None:
        """Stop and let go, whatever state the camera is in. One that is gone is let go behind our back: Aravis asks it
        many times to release us.
        """
        camera, things = self._camera, (self._parser, self._stream, self._camera)
        self._camera = self._stream = self._parser = None
        self._views = {}
        if not camera:
            return
        if self._handler:
            self._api.disconnect(self._api.lib.arv_camera_get_device(camera), self._handler)
        if self._lost:
            threading.Thread(target=self._release, args=(things,), daemon=True).start()
            return
        with contextlib.suppress(AravisError):
            self._api.ask("arv_camera_stop_acquisition", camera)
        self._release(things)

    def _release(self, things: tuple[Any, ...]) -> None:
        for thing in things:
            self._api.unref(thing)


def _clock_step_ns() -> int:
    """The wall clock less the monotonic clock, as they are now; read again where we were interrupted between them."""
    for _ in range(4):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after_ns - before_ns < 100_000:
            break
    return wall_ns - (before_ns + after_ns) // 2


def _socket_limit() -> int | None:
    """The most that a socket may hold, bytes; None: not known, or no matter (root reads packets without a socket)."""
    if os.geteuid() == 0:
        return None
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/net/core/rmem_max") as file:
        return int(file.read())
    return None
