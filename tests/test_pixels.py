"""Pixel formats of machine-vision cameras, held against a slow reading of the bits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from realtime.sources.pixels import choose_format, decode, frame_bytes, readable

HEIGHT, WIDTH = 6, 8
_WORDS = np.random.default_rng(5).integers(0, 1 << 16, HEIGHT * WIDTH)


def lsb_first(values: list[int], bits: int) -> bytes:
    """Values one after the other, lowest bit first, as the PFNC's ``p`` formats have them."""
    stream = 0
    for index, value in enumerate(values):
        stream |= value << (index * bits)
    return stream.to_bytes(len(values) * bits // 8, "little")


def gige_packed(values: list[int], bits: int) -> bytes:
    """GigE Vision 1: pairs of pixels; high 8 bits, low bits of both, high 8 bits."""
    low = bits - 8
    mask = (1 << low) - 1
    packed = bytearray()
    for first, second in zip(values[::2], values[1::2], strict=True):
        packed += bytes([first >> low, (first & mask) | (second & mask) << 4, second >> low])
    return bytes(packed)


def words(values: list[int], bits: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


@pytest.mark.parametrize(
    ("name", "bits", "pack"),
    [
        ("Mono10", 10, words),
        ("Mono12", 12, words),
        ("Mono14", 14, words),
        ("Mono16", 16, words),
        ("Mono10p", 10, lsb_first),
        ("Mono12p", 12, lsb_first),
        ("Mono10Packed", 10, gige_packed),
        ("Mono12Packed", 12, gige_packed),
    ],
)
def test_the_high_bits_come_through(name: str, bits: int, pack) -> None:
    values = [int(word) >> (16 - bits) for word in _WORDS]
    data = np.frombuffer(pack(values, bits), np.uint8)
    assert len(data) == frame_bytes(name, WIDTH, HEIGHT)
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert decode(name, np.concatenate([data, np.zeros(12, np.uint8)]), out), "chunk data may follow the picture"
    assert out.reshape(-1).tolist() == [value >> (bits - 8) for value in values]
    assert not decode(name, data[:-1], out)


def test_mono8_is_copied() -> None:
    data = np.arange(HEIGHT * WIDTH, dtype=np.uint8)
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert decode("Mono8", data, out)
    assert np.array_equal(out, data.reshape(HEIGHT, WIDTH))


@pytest.mark.parametrize(("name", "red_at"), [("BayerRG8", (0, 0)), ("BayerGR8", (0, 1)), ("BayerGB8", (1, 0))])
def test_bayer_patterns_are_not_mixed_up(name: str, red_at: tuple[int, int]) -> None:
    """A red scene is dark where green and blue are, and as bright as red is in luma."""
    mosaic = np.zeros((32, 32), np.uint8)
    mosaic[red_at[0] :: 2, red_at[1] :: 2] = 200
    out = np.zeros((32, 32), np.uint8)
    assert decode(name, mosaic.reshape(-1), out)
    red = cv2.cvtColor(np.full((1, 1, 3), (200, 0, 0), np.uint8), cv2.COLOR_RGB2GRAY)[0, 0]
    assert np.abs(out[4:-4, 4:-4].astype(int) - int(red)).max() <= 2


@pytest.mark.parametrize(
    ("asked", "offered", "chosen"),
    [
        ("auto", ["Mono12", "Mono8", "RGB8"], "Mono8"),
        ("auto", ["RGB8", "BayerRG8"], "BayerRG8"),
        ("auto", ["YUV422_8"], None),
        ("GREY", ["Mono8", "Mono12"], "Mono8"),
        ("Mono12", ["Mono8", "Mono12Packed", "Mono12p"], "Mono12p"),
        ("Mono12", ["Mono8"], None),
        ("YUYV", ["Mono8"], None),
    ],
)
def test_choice(asked: str, offered: list[str], chosen: str | None) -> None:
    assert choose_format(offered, asked) == chosen


def test_what_can_be_read_is_told_best_first() -> None:
    assert readable(["BayerBG8", "Mono16", "YUV422_8", "Mono8"]) == ["Mono8", "Mono16", "BayerBG8"]
