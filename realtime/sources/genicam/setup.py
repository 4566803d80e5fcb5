"""What is asked of a GenICam camera before it streams, and what it grants: everything is read back.

Order: the user's own features, pixel format, size, exposure, gain, then trigger or rate, then chunks.
"""

from __future__ import annotations

import ctypes
import math
import time
from typing import Any

import msgspec

from realtime.errors import SourceError
from realtime.sources.device_clock import Latch
from realtime.sources.genicam.abi import CONTINUOUS, Aravis, AravisError
from realtime.sources.genicam.cameras import is_refusal
from realtime.sources.pixels import choose_format, describe_format, refusal
from realtime.types import SourceRequest

_RESULTING = ("ResultingFrameRate", "AcquisitionResultingFrameRate", "ResultingFrameRateAbs")
_CHUNKS = {"Timestamp": "time", "FrameID": "number", "FrameId": "number", "Framecounter": "number"}
_LATCHES = (
    ("TimestampLatch", "TimestampLatchValue"),
    ("GevTimestampControlLatch", "GevTimestampValue"),
    ("TimestampLatch", "GevTimestampValue"),
)


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What the camera granted."""

    pixel_format: str
    width: int
    height: int
    fps: float | None
    """None: by a trigger, or the camera does not tell."""
    payload: int
    """Bytes."""
    detail: str
    chunk_time: str = ""
    """Feature that holds the time of a frame; empty: none."""
    chunk_number: str = ""


class Setup:
    """One camera's settings; ``spec`` is what the user calls it."""

    def __init__(self, api: Aravis, camera: Any, spec: str, request: SourceRequest) -> None:
        self._api, self._camera, self._spec, self._request = api, camera, spec, request

    def apply(self) -> Granted:
        """Raises SourceError (one line, with what there is instead) for what the camera has not."""
        try:
            return self._apply()
        except AravisError as error:
            why = "in use by another program" if is_refusal(error) else str(error)
            raise SourceError(f"{self._spec}: {why}") from None

    def _apply(self) -> Granted:
        api, camera, request = self._api, self._camera, self._request
        api.try_ask("arv_camera_stop_acquisition", camera)  # one that was killed may have left it streaming
        for name, value in request.features.items():
            self._set_feature(name, value)
        offered = api.texts("arv_camera_dup_available_pixel_formats_as_strings", camera)
        pixel_format = choose_format(offered, request.pixel_format)
        if pixel_format is None:
            raise SourceError(refusal(self._spec, request, offered))
        api.ask("arv_camera_set_pixel_format_from_string", camera, pixel_format.encode())
        width, height = self._set_size()
        said = [describe_format(pixel_format), f"{width}x{height}"]
        exposure_us = self._set_level("exposure_time", "exposure_us", request.exposure_us)
        gain = self._set_level("gain", "gain", request.gain)
        fps, words = self._set_rate()
        said.append(words)
        if exposure_us is not None:
            longer = ", longer than a frame" if fps and exposure_us > 1e6 / fps else ""
            said.append(f"exposure {exposure_us:g} µs{longer}")
        if gain is not None:
            said.append(f"gain {gain:g}")
        chunks = self._set_chunks()
        api.try_ask("arv_camera_set_acquisition_mode", camera, CONTINUOUS)
        return Granted(
            pixel_format=pixel_format,
            width=width,
            height=height,
            fps=fps,
            payload=api.ask("arv_camera_get_payload", camera),
            detail=f"{self._name()}: {' '.join(said[:2])} {', '.join(said[2:])}",
            chunk_time=chunks.get("time", ""),
            chunk_number=chunks.get("number", ""),
        )

    def _name(self) -> str:
        parts = ("vendor_name", "model_name", "device_serial_number")
        found = (self._api.try_ask(f"arv_camera_get_{part}", self._camera) or b"" for part in parts)
        return " ".join(filter(None, (text.decode(errors="replace") for text in found)))

    def _set_feature(self, name: str, value: bool | int | float | str) -> None:
        """One of ``source.features``. ``true`` also executes a command; a whole number may be meant as a float."""
        api, camera, key = self._api, self._camera, name.encode()
        if not api.try_ask("arv_camera_is_feature_available", camera, key):
            raise SourceError(f"{self._spec}: source.features.{name}: the camera has no such feature")
        failed: AravisError | None = None
        for setter, arguments in _setters(value):
            try:
                api.ask(setter, camera, key, *arguments)
                return
            except AravisError as error:
                failed = failed or error
        known = ", ".join(api.texts("arv_camera_dup_available_enumerations_as_strings", camera, key))
        known = f"; it takes {known}" if known else ""
        raise SourceError(f"{self._spec}: source.features.{name} = {value}: {failed}{known}") from None

    def _set_size(self) -> tuple[int, int]:
        """Ask for a size in the middle of the sensor; without one the camera's own region stays. What is granted."""
        api, camera, size = self._api, self._camera, self._request.size
        if size is not None:
            limits = [api.bounds(f"arv_camera_get_{side}_bounds", camera, ctypes.c_int) for side in ("width", "height")]
            inside = all(low <= side <= high for side, (low, high) in zip(size, filter(None, limits), strict=False))
            if inside:
                api.try_ask("arv_camera_set_region", camera, 0, 0, *size)
                x, y = self._middle("x"), self._middle("y")
                api.try_ask("arv_camera_set_region", camera, x, y, *size)
            granted = self._region()
            if not inside or granted != size:
                ranges = " x ".join(f"{low}…{high}" for low, high in filter(None, limits))
                near = "" if not inside else f", the nearest to it is {granted[0]}x{granted[1]}"
                raise SourceError(f"{self._spec} has no size {size[0]}x{size[1]}; it has {ranges}{near}")
        return self._region()

    def _region(self) -> tuple[int, int]:
        region = [ctypes.c_int() for _ in range(4)]
        self._api.ask("arv_camera_get_region", self._camera, *map(ctypes.byref, region))
        return region[2].value, region[3].value

    def _middle(self, axis: str) -> int:
        """The offset that puts the region into the middle of the sensor."""
        api, camera = self._api, self._camera
        limits = api.bounds(f"arv_camera_get_{axis}_offset_bounds", camera, ctypes.c_int)
        step = api.try_ask(f"arv_camera_get_{axis}_offset_increment", camera, otherwise=1) or 1
        return int(limits[1] // 2 // step * step) if limits and limits[1] > 0 else 0

    def _set_level(self, feature: str, key: str, asked: float | None) -> float | None:
        """Exposure or gain: ask for it, with its automatic off, and read it back; None where the camera has none."""
        api, camera = self._api, self._camera
        there = api.try_ask(f"arv_camera_is_{feature}_available", camera)
        if not there:
            if asked is not None:
                raise SourceError(f"{self._spec}: source.{key}: the camera has no such setting")
            return None
        if asked is not None:
            limits = api.bounds(f"arv_camera_get_{feature}_bounds", camera)
            if limits and not limits[0] <= asked <= limits[1]:
                raise SourceError(f"{self._spec}: source.{key} = {asked:g}: it takes {limits[0]:g} to {limits[1]:g}")
            automatic = feature.removesuffix("_time")
            if api.try_ask(f"arv_camera_is_{automatic}_auto_available", camera):
                api.ask(f"arv_camera_set_{feature}_auto", camera, 0)
            api.ask(f"arv_camera_set_{feature}", camera, asked)
        value = api.try_ask(f"arv_camera_get_{feature}", camera)
        return None if value is None else float(value)

    def _set_rate(self) -> tuple[float | None, str]:
        """The rate granted, and the words for it."""
        api, camera, request = self._api, self._camera, self._request
        if request.trigger is not None:
            return self._set_trigger(request.trigger)
        if not api.try_ask("arv_camera_is_frame_rate_available", camera):
            return None, "the camera does not tell its rate"
        if request.fps is not None:
            api.try_ask("arv_camera_clear_triggers", camera)
            api.ask("arv_camera_set_frame_rate", camera, request.fps)
        fps = float(api.ask("arv_camera_get_frame_rate", camera))
        for name in _RESULTING:  # what exposure, size and bandwidth leave of it
            if api.try_ask("arv_camera_is_feature_available", camera, name.encode()):
                fps = min(fps, float(api.try_ask("arv_camera_get_float", camera, name.encode(), otherwise=fps)))
                break
        words = f"at {fps:g} fps"
        if request.fps and not math.isclose(fps, request.fps, rel_tol=0.01):
            words += f", asked for {request.fps:g}"
        return fps, words

    def _set_trigger(self, source: str) -> tuple[None, str]:
        api, camera = self._api, self._camera
        sources = api.texts("arv_camera_dup_available_enumerations_as_strings", camera, b"TriggerSource")
        if source not in sources:
            known = f"; it has {', '.join(sources)}" if sources else ""
            raise SourceError(f"{self._spec}: source.trigger = {source}: the camera has no such trigger source{known}")
        api.ask("arv_camera_set_trigger", camera, source.encode())
        return None, f"triggered by {source}"

    def _set_chunks(self) -> dict[str, str]:
        """Ask for the time and the number of each frame as chunk data; the features that hold them."""
        api, camera = self._api, self._camera
        if not api.try_ask("arv_camera_are_chunks_available", camera):
            return {}
        there = api.texts("arv_camera_dup_available_enumerations_as_strings", camera, b"ChunkSelector")
        found: dict[str, str] = {}
        try:
            api.ask("arv_camera_set_boolean", camera, b"ChunkModeActive", 1)
            for name, what in _CHUNKS.items():
                if name in there and what not in found:
                    api.ask("arv_camera_set_string", camera, b"ChunkSelector", name.encode())
                    api.ask("arv_camera_set_boolean", camera, b"ChunkEnable", 1)
                    found[what] = f"Chunk{name}"
        except AravisError:
            found.clear()
        if not found:
            api.try_ask("arv_camera_set_boolean", camera, b"ChunkModeActive", 0)
        return found


def _setters(value: bool | int | float | str) -> list[tuple[str, tuple[Any, ...]]]:
    """Ways to set a feature to that value, to be tried in turn."""
    if isinstance(value, bool):
        execute: list[tuple[str, tuple[Any, ...]]] = [("arv_camera_execute_command", ())] if value else []
        return [("arv_camera_set_boolean", (int(value),)), *execute]
    if isinstance(value, str):
        return [("arv_camera_set_string", (value.encode(),))]
    whole = [("arv_camera_set_integer", (int(value),))] if float(value).is_integer() else []
    return [*whole, ("arv_camera_set_float", (float(value),))]


def read_clock(api: Aravis, camera: Any, tries: int = 7) -> Latch | None:
    """The camera's clock, by the quickest of some questions; None where it can't be read."""
    for command, value in _LATCHES:
        if not all(api.try_ask("arv_camera_is_feature_available", camera, name.encode()) for name in (command, value)):
            continue
        ticks = 1_000_000_000
        if value.startswith("Gev"):
            ticks = int(api.try_ask("arv_camera_get_integer", camera, b"GevTimestampTickFrequency", otherwise=0))
        best: Latch | None = None
        for _ in range(tries if ticks > 0 else 0):
            try:
                before = time.monotonic_ns()
                api.ask("arv_camera_execute_command", camera, command.encode())
                after = time.monotonic_ns()
                stamp = int(api.ask("arv_camera_get_integer", camera, value.encode()))
            except AravisError:
                return None
            found = Latch(stamp * 1_000_000_000 // ticks, (before + after) // 2, (after - before) // 2)
            if stamp > 0 and (best is None or found.error_ns < best.error_ns):
                best = found
        if best is not None:
            return best
    return None
