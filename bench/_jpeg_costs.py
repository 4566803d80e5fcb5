"""What a picture of a Motion JPEG camera costs to decode: whole, smaller, the face's part of it, in more threads."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from realtime.sources.v4l2.jpeg import Ahead, Helpers, decode_jpeg

QUALITY = 90
_PICTURES = 20


def encoded(frame: np.ndarray) -> bytes:
    """As a UVC camera's MJPG: in colour, chroma halved across."""
    colour = np.repeat(frame[..., None], 3, axis=2)
    made: bytes = simplejpeg.encode_jpeg(colour, quality=QUALITY, colorspace="RGB", colorsubsampling="422")
    return made


def decoding(frames: Sequence[np.ndarray]) -> dict[str, Any]:
    """CPU ms for one JPEG's luma: whole, smaller, the face's part alone; and pictures a second with helpers.

    frames: (H, W) uint8, all of one size.
    """
    jpegs = [np.frombuffer(encoded(frame), np.uint8) for frame in frames[:_PICTURES]]
    out = np.empty_like(frames[0])
    size = out.shape[1], out.shape[0]

    def cpu_ms(decode: Callable[[np.ndarray], object]) -> float:
        begun = time.thread_time()
        for jpeg in jpegs * 3:
            decode(jpeg)
        return round((time.thread_time() - begun) / len(jpegs) / 3 * 1e3, 3)

    rates = {}
    for name, helpers in (("one_thread", None), ("helpers", Helpers(*out.shape))):
        begun, under_way = time.perf_counter(), deque[Ahead]()
        for jpeg in jpegs * 5:
            if helpers is None:
                decode_jpeg(jpeg, out)
                continue
            if not helpers.have_room:
                helpers.finish(under_way.popleft(), out)
            under_way.append(helpers.start(jpeg))
        if helpers is not None:
            for ahead in under_way:
                helpers.finish(ahead, out)
            helpers.close()
        rates[name] = round(5 * len(jpegs) / (time.perf_counter() - begun))
        if len(os.sched_getaffinity(0)) < 2:
            break
    return {
        "size": f"{size[0]}x{size[1]}",
        "kb": round(sum(map(len, jpegs)) / len(jpegs) / 1e3),
        "whole_ms": cpu_ms(lambda jpeg: decode_jpeg(jpeg, out)),
        "half_size_ms": cpu_ms(lambda jpeg: cv2.imdecode(jpeg, cv2.IMREAD_REDUCED_GRAYSCALE_2)),
        "cropped": cropped_ms(jpegs[0], size),
        "pictures_a_second": rates,
    }


def cropped_ms(jpeg: np.ndarray, size: tuple[int, int]) -> dict[str, float] | None:
    """By libjpeg's own cropping, the middle 36 % across and 64 % down: a face in the middle, half a face around it.

    None where libjpeg's headers are missing.
    """
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as name:
        program, picture = Path(name) / "crop", Path(name) / "picture.jpg"
        built = subprocess.run(
            ["gcc", "-O2", "-o", str(program), str(Path(__file__).with_name("_jpeg_crop.c")), "-ljpeg"],
            capture_output=True,
            check=False,
        )
        if built.returncode:
            return None
        picture.write_bytes(jpeg.tobytes())
        width, height = size
        box = (0.32 * width, 0.1 * height, 0.36 * width, 0.64 * height)
        words = [str(program), str(picture), *(str(round(value)) for value in box)]
        whole, part = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return {"whole_ms": float(whole), "part_ms": float(part)}
