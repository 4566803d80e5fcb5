"""What capturing needs of ``linux/videodev2.h``: structures, constants, ioctl numbers (64-bit kernels).

Layouts are the kernel's own and do not change. ``call`` is the only place that talks to the kernel.
"""

from __future__ import annotations

import ctypes
import fcntl
from ctypes import c_char, c_int32, c_int64, c_uint8, c_uint32

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
MEMORY_MMAP = 1
FIELD_ANY = 0

CAP_VIDEO_CAPTURE = 0x0000_0001
CAP_STREAMING = 0x0400_0000
CAP_DEVICE_CAPS = 0x8000_0000
CAP_TIMEPERFRAME = 0x1000

FLAG_ERROR = 0x0040
FLAG_TIMESTAMP_MASK = 0xE000
FLAG_TIMESTAMP_MONOTONIC = 0x2000

DISCRETE = 1  # of frame sizes and intervals; 2 continuous, 3 stepwise

CID_EXPOSURE_AUTO = 0x009A_0901
CID_EXPOSURE_ABSOLUTE = 0x009A_0902
CID_EXPOSURE_AUTO_PRIORITY = 0x009A_0903
"""1 lets a UVC camera lengthen the exposure in dim light, and so halve its rate."""


class Capability(ctypes.Structure):
    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FrameSize(ctypes.Structure):
    """``values``: width, height if discrete; else min, max, step of the width, then of the height."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )


class FrameInterval(ctypes.Structure):
    """``values``: numerator, denominator (seconds); a range has min, max, step."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )


class PixFormat(ctypes.Structure):
    _fields_ = tuple(
        (name, c_uint32)
        for name in (
            "width",
            "height",
            "pixelformat",
            "field",
            "bytesperline",
            "sizeimage",
            "colorspace",
            "priv",
            "flags",
            "encoding",
            "quantization",
            "xfer_func",
        )
    )


class _FormatUnion(ctypes.Union):
    _fields_ = (("pix", PixFormat), ("raw", c_uint8 * 200), ("align", c_int64))


class Format(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class CaptureParm(ctypes.Structure):
    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("numerator", c_uint32),
        ("denominator", c_uint32),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _ParmUnion(ctypes.Union):
    _fields_ = (("capture", CaptureParm), ("raw", c_uint8 * 200))


class StreamParm(ctypes.Structure):
    _fields_ = (("type", c_uint32), ("parm", _ParmUnion))


class RequestBuffers(ctypes.Structure):
    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint32),
    )


class Buffer(ctypes.Structure):
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("seconds", c_int64),
        ("microseconds", c_int64),
        ("timecode", c_uint32 * 4),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("offset", c_int64),
        ("length", c_uint32),
        ("reserved", c_uint32),
        ("request_fd", c_uint32),
    )


class Control(ctypes.Structure):
    _fields_ = (("id", c_uint32), ("value", c_int32))


def _number(direction: int, number: int, struct: type[ctypes._SimpleCData[int]] | type[ctypes.Structure]) -> int:
    """``_IOC(direction, 'V', number, sizeof)``; direction 1 write, 2 read, 3 both."""
    return direction << 30 | ctypes.sizeof(struct) << 16 | ord("V") << 8 | number


QUERYCAP = _number(2, 0, Capability)
ENUM_FMT = _number(3, 2, FormatDescription)
S_FMT = _number(3, 5, Format)
G_FMT = _number(3, 4, Format)
REQBUFS = _number(3, 8, RequestBuffers)
QUERYBUF = _number(3, 9, Buffer)
QBUF = _number(3, 15, Buffer)
DQBUF = _number(3, 17, Buffer)
STREAMON = _number(1, 18, c_int32)
STREAMOFF = _number(1, 19, c_int32)
G_PARM = _number(3, 21, StreamParm)
S_PARM = _number(3, 22, StreamParm)
G_CTRL = _number(3, 27, Control)
S_CTRL = _number(3, 28, Control)
ENUM_FRAMESIZES = _number(3, 74, FrameSize)
ENUM_FRAMEINTERVALS = _number(3, 75, FrameInterval)


def call(fd: int, number: int, argument: ctypes.Structure | ctypes._SimpleCData[int]) -> None:
    """One ioctl; the kernel's answer lands in ``argument``. Raises OSError."""
    fcntl.ioctl(fd, number, argument)


def fourcc(name: str) -> int:
    """``"GREY"`` → its number."""
    return int.from_bytes(name.encode("ascii").ljust(4), "little")


def fourcc_name(number: int) -> str:
    """A pixel format's number → ``"GREY"``; unprintable bytes as ``?``."""
    raw = (number & 0x7FFF_FFFF).to_bytes(4, "little")
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw).rstrip()
