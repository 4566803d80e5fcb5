"""How long a V4L2 camera exposes a frame, by the word of its driver. A second descriptor asks: streaming goes on."""

from __future__ import annotations

import contextlib
import os
import re

import msgspec

from realtime.sources.v4l2 import abi

_UNIT_MS = 0.1
"""``V4L2_CID_EXPOSURE_ABSOLUTE`` counts in 100 µs."""
_BY_HAND = (1, 2)
"""``V4L2_CID_EXPOSURE_AUTO``: manual, shutter priority; 0 and 3 (aperture priority) leave the time to the camera."""


class Exposure(msgspec.Struct, frozen=True):
    """As it is now."""

    ms: float
    auto: bool | None
    """The camera chooses it; None: the driver does not say."""


def read(spec: str) -> Exposure | None:
    """Of the camera ``0``, ``1`` … or ``/dev/…``; None where it is no such camera, or its driver does not tell."""
    path = f"/dev/video{int(spec)}" if re.fullmatch(r"\d{1,4}", spec, re.ASCII) else spec
    if not path.startswith("/dev/"):
        return None
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        units, mode = _control(fd, abi.CID_EXPOSURE_ABSOLUTE), _control(fd, abi.CID_EXPOSURE_AUTO)
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)
    if units is None or units <= 0:
        return None
    return Exposure(round(units * _UNIT_MS, 4), None if mode is None else mode not in _BY_HAND)


def _control(fd: int, control: int) -> int | None:
    asked = abi.Control(control, 0)
    try:
        abi.call(fd, abi.G_CTRL, asked)
    except OSError:
        return None
    return int(asked.value)
