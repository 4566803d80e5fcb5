"""Which GenICam cameras there are, and how one is found by its id, serial number, MAC or IP address."""

from __future__ import annotations

import ctypes
import re
import time
from typing import Any

import msgspec

from realtime.errors import SourceError
from realtime.sources.genicam.abi import ACCESS_DENIED, NOT_CONTROLLER, Aravis, AravisError, aravis
from realtime.sources.pixels import readable
from realtime.sources.v4l2.modes import Camera, Mode

PREFIX = "genicam:"
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_SIMULATED = "Fake_"
_BUSY_S = 5.0
"""How long a camera may stay taken: a program that was killed holds a GigE camera until its heartbeats are missed."""
_RETRY_S = 0.5


class Found(msgspec.Struct, frozen=True):
    """A camera as its discovery told."""

    id: str
    vendor: str
    model: str
    serial: str
    protocol: str
    address: str
    """IP address or USB port; empty where there is none."""
    physical_id: str
    """MAC address, or GUID."""

    def is_called(self, name: str) -> bool:
        return name in (self.id, self.serial, self.address, self.physical_id)


def discover() -> list[Found]:
    """Ask the network and the USB bus, for about a second. Raises SourceError where Aravis is missing."""
    lib = aravis().lib
    lib.arv_update_device_list()

    def text(name: str, index: int) -> str:
        return (getattr(lib, f"arv_get_device_{name}")(index) or b"").decode(errors="replace")

    names = ("id", "vendor", "model", "serial_nbr", "protocol", "address", "physical_id")
    found = [Found(*(text(name, index) for name in names)) for index in range(lib.arv_get_n_devices())]
    return [camera for camera in found if camera.protocol != "V4L2"]  # those are read by sources/v4l2


def open_device(name: str) -> tuple[Any, str]:
    """The ArvCamera called ``name`` (empty: the first), and what it is called in full.

    Raises SourceError: not there (with those that are), or taken by another program.
    """
    api = aravis()
    if simulated := name.startswith(_SIMULATED):
        api.lib.arv_enable_interface(b"Fake")
    there = [] if simulated else discover()
    chosen = next((camera for camera in there if not name or camera.is_called(name)), None)
    if chosen is None and not simulated and not _ADDRESS.fullmatch(name):
        raise SourceError(_not_there(name, there))
    key = chosen.id if chosen else name  # an address may answer though it did not hear the broadcast
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            camera = api.ask("arv_camera_new", key.encode())
        except AravisError as error:
            camera, why = None, str(error)
            if not chosen:
                raise SourceError(_not_there(name, there)) from None
        else:
            why = "in use by another program"
            if camera and _is_ours(api, camera):
                return camera, key
            api.unref(camera)
        if time.monotonic() > deadline:
            raise SourceError(f"{PREFIX}{key}: cannot be opened: {why}")
        time.sleep(_RETRY_S)


def _is_ours(api: Aravis, camera: Any) -> bool:
    """Whether we control the camera: a GigE camera that another program has can only be read."""
    if not api.lib.arv_camera_is_gv_device(camera):
        return True
    return bool(api.lib.arv_gv_device_is_controller(api.lib.arv_camera_get_device(camera)))


def is_refusal(error: AravisError) -> bool:
    """Whether another program has the camera."""
    return error.code in (NOT_CONTROLLER, ACCESS_DENIED)


def _not_there(name: str, there: list[Found]) -> str:
    others = ", ".join(f"{PREFIX}{camera.id}" for camera in there)
    wanted = f"no camera {PREFIX}{name}" if name else "no GenICam camera found"
    if others:
        return f"{wanted}; cameras here: {others}"
    return f"{wanted}; GigE: same subnet, UDP port 3956 open? USB3: plugged in, udev rule there?"


def list_cameras() -> list[Camera]:
    """Every GenICam camera with its pixel formats, largest size and highest rate; none where Aravis is missing."""
    try:
        api, found = aravis(), discover()
    except SourceError:
        return []
    return [_describe(api, camera) for camera in found]


def _describe(api: Aravis, found: Found) -> Camera:
    card, driver = f"{found.vendor} {found.model} {found.serial}", f"{found.protocol} {found.address}".strip()
    path = f"{PREFIX}{found.id}"
    try:
        camera = api.ask("arv_camera_new", found.id.encode())
    except AravisError as error:
        return Camera(path, card, driver, problem=str(error))
    try:
        formats = readable(api.texts("arv_camera_dup_available_pixel_formats_as_strings", camera))
        sides = [api.bounds(f"arv_camera_get_{side}_bounds", camera, ctypes.c_int) for side in ("width", "height")]
        width, height = (limits[1] if limits else 0 for limits in sides)
        rates = api.bounds("arv_camera_get_frame_rate_bounds", camera)
        rate = (round(rates[1], 3),) if rates else ()
        return Camera(path, card, driver, tuple(Mode(name, width, height, rate) for name in formats))
    finally:
        api.unref(camera)
