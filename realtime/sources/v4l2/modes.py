"""Which V4L2 cameras there are, what each can do, and which of its modes serves a request best."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import re
from collections.abc import Iterator

import msgspec

from realtime.errors import SourceError
from realtime.sources.v4l2 import abi
from realtime.types import SourceRequest

FORMATS = ("GREY", "YUYV", "MJPG")
"""Pixel formats that can be read, the one preferred first at equal rate."""

_WANTED_FPS = 200.0
_NEAR = 0.01
"""A rate short by this share of the one asked for reaches it: drivers list 29.97 for 30."""
_USUAL_SIZES = ((320, 240), (640, 480), (800, 600), (1280, 720), (1920, 1080))
_MAX_NODES = 64


class Mode(msgspec.Struct, frozen=True):
    """One pixel format and size, with the rates that the driver lists for it."""

    pixel_format: str
    width: int
    height: int
    """0 where the driver lists no sizes."""
    rates: tuple[float, ...] = ()
    """Frames per second, highest first; empty where the driver lists none."""

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}" if self.width else "any size"
        rates = "/".join(f"{rate:g}" for rate in self.rates)
        return f"{self.pixel_format} {size}" + (f"@{rates}" if rates else "")


class Camera(msgspec.Struct, frozen=True):
    """A V4L2 capture device."""

    path: str
    card: str
    driver: str
    modes: tuple[Mode, ...] = ()
    problem: str = ""
    """Why it cannot be opened, else empty."""

    def __str__(self) -> str:
        return f"{self.path} ({self.problem or self.card})"


def list_cameras() -> list[Camera]:
    """Every capture device of this machine by number; those that cannot be opened with the reason."""
    found = []
    for path in _nodes():
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
                found.append(Camera(path, "", "", problem=error.strerror or str(error)))
            continue
        try:
            card, driver = identify(fd)
            found.append(Camera(path, card, driver, tuple(enumerate_modes(fd))))
        except (OSError, SourceError):
            pass  # metadata node, decoder, radio …: no camera
        finally:
            os.close(fd)
    return found


def cameras_here() -> str:
    """For error messages: which cameras there are, in half a line."""
    return "cameras here: " + (", ".join(map(str, list_cameras())) or "none")


def _nodes() -> list[str]:
    paths = set(glob.glob("/dev/video[0-9]*"))
    paths |= {path for path in (f"/dev/video{n}" for n in range(_MAX_NODES)) if os.path.exists(path)}
    return sorted(paths, key=lambda path: int(re.sub(r"\D", "", path)))


def identify(fd: int) -> tuple[str, str]:
    """Card and driver name. SourceError if it cannot stream video, OSError if it is no V4L2 device."""
    capability = abi.Capability()
    abi.call(fd, abi.QUERYCAP, capability)
    flags = capability.capabilities
    if flags & abi.CAP_DEVICE_CAPS:
        flags = capability.device_caps
    card = capability.card.decode(errors="replace")
    if not flags & abi.CAP_VIDEO_CAPTURE or not flags & abi.CAP_STREAMING:
        raise SourceError(f"{card}: cannot stream single-plane video; choose another /dev/video node")
    return card, capability.driver.decode(errors="replace")


def enumerate_modes(fd: int) -> Iterator[Mode]:
    """What the driver lists, in its own order (formats that we cannot read included)."""
    index = 0
    while True:
        description = abi.FormatDescription(index=index, type=abi.CAPTURE)
        if not _listed(fd, abi.ENUM_FMT, description):
            return
        pixel_format = abi.fourcc_name(description.pixelformat)
        sizes = list(_sizes(fd, description.pixelformat)) or [(0, 0)]
        for width, height in sizes:
            rates = sorted(set(_rates(fd, description.pixelformat, width, height)), reverse=True)
            yield Mode(pixel_format, width, height, tuple(rates))
        index += 1


def _listed(fd: int, number: int, entry: ctypes.Structure) -> bool:
    try:
        abi.call(fd, number, entry)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return False
        raise
    return True


def _sizes(fd: int, pixel_format: int) -> Iterator[tuple[int, int]]:
    index = 0
    while True:
        entry = abi.FrameSize(index=index, pixel_format=pixel_format)
        if not _listed(fd, abi.ENUM_FRAMESIZES, entry):
            return
        values = list(entry.values)
        if entry.type != abi.DISCRETE:  # a range: name its usual members and its end
            low_w, high_w, _, low_h, high_h, _ = values
            inside = [(w, h) for w, h in _USUAL_SIZES if low_w <= w <= high_w and low_h <= h <= high_h]
            yield from dict.fromkeys([*inside, (high_w, high_h)])
            return
        yield values[0], values[1]
        index += 1


def _rates(fd: int, pixel_format: int, width: int, height: int) -> Iterator[float]:
    index = 0
    while True:
        entry = abi.FrameInterval(index=index, pixel_format=pixel_format, width=width, height=height)
        if not _listed(fd, abi.ENUM_FRAMEINTERVALS, entry):
            return
        pairs = [(entry.values[0], entry.values[1])]
        if entry.type != abi.DISCRETE:
            pairs.append((entry.values[2], entry.values[3]))
        yield from (round(below / above, 3) for above, below in pairs if above)
        if entry.type != abi.DISCRETE:
            return
        index += 1


def choose(modes: list[Mode], request: SourceRequest, path: str) -> Mode:
    """The mode to ask for: one that reaches the rate, then GREY before YUYV before MJPG, then near 640×480.

    Raises SourceError with the modes there are, if none has the pixel format and size asked for.
    """
    formats = FORMATS if request.pixel_format == "auto" else (request.pixel_format,)
    fitting = [mode for mode in modes if mode.pixel_format in formats and _fits(mode, request.size)]
    if not fitting:
        raise not_granted(path, request, modes)
    target = request.fps or _WANTED_FPS

    def cost(mode: Mode) -> tuple[float, int, float]:
        short = target - mode.rates[0] if mode.rates else 0.0
        far = abs(mode.width * mode.height - 640 * 480) if mode.width else 0
        return max(0.0, short - _NEAR * target), FORMATS.index(mode.pixel_format), far

    return min(fitting, key=cost)


def _fits(mode: Mode, size: tuple[int, int] | None) -> bool:
    return size is None or not mode.width or (mode.width, mode.height) == size


def not_granted(path: str, request: SourceRequest, modes: list[Mode]) -> SourceError:
    """The error of a camera that has not the mode asked for."""
    asked: str = "" if request.pixel_format == "auto" else request.pixel_format
    if request.size:
        asked = f"{asked} {request.size[0]}x{request.size[1]}".strip()
    there = ", ".join(map(str, modes)) or "none listed"
    return SourceError(f"{path} has no mode {asked or '/'.join(FORMATS)}; its modes: {there}")
