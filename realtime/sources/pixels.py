"""Pixel formats of machine-vision cameras (names of the PFNC) → 8-bit gray.

Of more than 8 bits the 8 high ones are kept: what a dim picture loses by that is better mended by light, exposure or
gain. Layouts: PFNC 2.4; ``…Packed`` are those of GigE Vision 1.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from realtime.types import SourceRequest

Gray = npt.NDArray[np.uint8]
_Decode = Callable[[Gray, Gray], None]


def _mono8(data: Gray, out: Gray) -> None:
    np.copyto(out.reshape(-1), data)


def _high_bits(bits: int) -> _Decode:
    """16-bit words, little-endian, of which ``bits`` are used."""

    def decode(data: Gray, out: Gray) -> None:
        if bits == 16:
            cv2.extractChannel(data.reshape(*out.shape, 2), 1, dst=out)
        else:
            np.right_shift(data.view("<u2").reshape(out.shape), bits - 8, out=out, casting="unsafe")

    return decode


def _pairs_packed(data: Gray, out: Gray) -> None:
    """Three bytes a pair of pixels, the high 8 bits of each in a byte of its own (Mono10Packed, Mono12Packed)."""
    three, two = data.reshape(-1, 3), out.reshape(-1, 2)
    two[:, 0], two[:, 1] = three[:, 0], three[:, 2]


def _mono12p(data: Gray, out: Gray) -> None:
    """Three bytes a pair of pixels, bits in order from the lowest."""
    three, two = data.reshape(-1, 3), out.reshape(-1, 2)
    two[:, 0] = three[:, 0] >> 4 | three[:, 1] << 4
    two[:, 1] = three[:, 2]


def _mono10p(data: Gray, out: Gray) -> None:
    """Five bytes for four pixels, bits in order from the lowest."""
    five, four = data.reshape(-1, 5), out.reshape(-1, 4)
    four[:, 0] = five[:, 0] >> 2 | five[:, 1] << 6
    four[:, 1] = five[:, 1] >> 4 | five[:, 2] << 4
    four[:, 2] = five[:, 2] >> 6 | five[:, 3] << 2
    four[:, 3] = five[:, 4]


def _coloured(code: int, channels: int = 1) -> _Decode:
    def decode(data: Gray, out: Gray) -> None:
        shape = out.shape if channels == 1 else (*out.shape, channels)
        cv2.cvtColor(data.reshape(shape), code, dst=out)

    return decode


_FORMATS: dict[str, tuple[int, _Decode]] = {
    "Mono8": (8, _mono8),
    "Mono10p": (10, _mono10p),
    "Mono10Packed": (12, _pairs_packed),
    "Mono10": (16, _high_bits(10)),
    "Mono12p": (12, _mono12p),
    "Mono12Packed": (12, _pairs_packed),
    "Mono12": (16, _high_bits(12)),
    "Mono14": (16, _high_bits(14)),
    "Mono16": (16, _high_bits(16)),
    "BayerRG8": (8, _coloured(cv2.COLOR_BayerRGGB2GRAY)),
    "BayerGR8": (8, _coloured(cv2.COLOR_BayerGRBG2GRAY)),
    "BayerGB8": (8, _coloured(cv2.COLOR_BayerGBRG2GRAY)),
    "BayerBG8": (8, _coloured(cv2.COLOR_BayerBGGR2GRAY)),
    "RGB8": (24, _coloured(cv2.COLOR_RGB2GRAY, 3)),
    "BGR8": (24, _coloured(cv2.COLOR_BGR2GRAY, 3)),
    "RGBa8": (32, _coloured(cv2.COLOR_RGBA2GRAY, 4)),
}
"""Bits a pixel takes, and how to decode; the one preferred first."""


def choose_format(offered: list[str], asked: str) -> str | None:
    """Of the formats that a camera offers the one to read: the one asked for, packed or not; ``auto``: as 8 bits as
    can be, gray before colour. None where there is none.
    """
    if asked == "auto":
        wanted = list(_FORMATS)
    else:
        name = "Mono8" if asked == "GREY" else asked
        wanted = [name, f"{name}p", f"{name}Packed"]
    return next((name for name in wanted if name in offered and name in _FORMATS), None)


def readable(offered: list[str]) -> list[str]:
    """Those of the offered formats that can be read, the one preferred first."""
    return [name for name in _FORMATS if name in offered]


def frame_bytes(name: str, width: int, height: int) -> int:
    """Size of a frame in that format, rows without padding."""
    return width * height * _FORMATS[name][0] // 8


def describe_format(name: str) -> str:
    """For people: ``Mono12 (its 8 high bits)``."""
    if name == "Mono8":
        return name
    return f"{name} (its 8 high bits)" if name.startswith("Mono") else f"{name} (its luma)"


def decode(name: str, data: Gray, out: Gray) -> bool:
    """One frame into ``out`` (height, width) uint8, C-contiguous; False if ``data`` (bytes) is short."""
    needed = frame_bytes(name, out.shape[1], out.shape[0])
    if len(data) < needed:
        return False
    _FORMATS[name][1](data[:needed], out)
    return True


def refusal(spec: str, request: SourceRequest, offered: list[str]) -> str:
    """The words for a camera that has not the format asked for."""
    can = ", ".join(readable(offered)) or "none that can be read"
    asked = "gray" if request.pixel_format == "auto" else request.pixel_format
    return f"{spec} has no pixel format {asked}; of those that it has ({', '.join(offered)}) these can be read: {can}"
