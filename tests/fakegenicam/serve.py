"""A GigE Vision camera on loopback that shows given pictures: Aravis's own simulator, with a pattern of ours.

One argument, a JSON object: ``frames`` (a raw gray file; frame k shows picture k modulo their number) or ``demo`` (seed
and rate of the demo's face), ``width``, ``height``, ``serial``, ``control`` (a page shared with the test), ``times`` (a
file that gets each frame's monotonic time, int64). Whole frames (``lose_n``) or some of a
frame's packets (``tear_n``) are kept back at the test's word: the camera sends nothing twice, so each is a lost frame.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_double, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent))
from fakegenicam import Control

_FILL = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32)


def drawing(options: dict[str, Any]) -> Callable[[int, npt.NDArray[np.uint8]], None]:
    """What puts the picture of a frame into an array (height, width)."""
    width, height = options["width"], options["height"]
    if "demo" in options:
        from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

        seed, fps = options["demo"]
        renderer = FaceRenderer(Portrait.packaged(), SynthesisSettings(macro_share=0.15), seed, (width, height), fps)
        renderer.prepare()
        return renderer.render
    pictures = np.memmap(options["frames"], np.uint8, "r").reshape(-1, height, width)

    def show(number: int, out: npt.NDArray[np.uint8]) -> None:
        np.copyto(out, pictures[number % len(pictures)])

    return show


def main() -> None:
    options = json.loads(sys.argv[1])
    draw = drawing(options)
    times = np.memmap(options["times"], np.int64, "r+")
    control = Control(Path(options["control"]))
    lib, gobject = ctypes.CDLL("libaravis-0.8.so.0"), ctypes.CDLL("libgobject-2.0.so.0")
    lib.arv_gv_fake_camera_new.restype = c_void_p
    lib.arv_gv_fake_camera_new.argtypes = (c_char_p, c_char_p)
    lib.arv_gv_fake_camera_get_fake_camera.restype = c_void_p
    lib.arv_gv_fake_camera_get_fake_camera.argtypes = (c_void_p,)
    lib.arv_gv_fake_camera_is_running.argtypes = (c_void_p,)
    lib.arv_fake_camera_set_fill_pattern.argtypes = (c_void_p, _FILL, c_void_p)
    lib.arv_buffer_get_data.restype = c_void_p
    lib.arv_buffer_get_data.argtypes = (c_void_p, POINTER(c_size_t))
    lib.arv_buffer_get_image_width.argtypes = lib.arv_buffer_get_image_height.argtypes = (c_void_p,)
    gobject.g_object_set.argtypes = (c_void_p, c_char_p)
    camera = lib.arv_gv_fake_camera_new(b"127.0.0.1", options["serial"].encode())
    assert lib.arv_gv_fake_camera_is_running(camera), "port 3956 of 127.0.0.1 is taken"

    def keep_back(share: float) -> None:
        gobject.g_object_set(camera, b"gvsp-lost-ratio", c_double(share), c_void_p())

    def fill(buffer: int, _data: int, _exposure: int, _gain: int, _format: int) -> None:
        """Called before each frame is sent."""
        number = control.get("produced")
        size = (lib.arv_buffer_get_image_width(buffer), lib.arv_buffer_get_image_height(buffer))
        if size == (options["width"], options["height"]):
            times[number % len(times)] = time.monotonic_ns()
            data = lib.arv_buffer_get_data(buffer, None)
            view = np.ctypeslib.as_array((ctypes.c_uint8 * (size[0] * size[1])).from_address(data))
            draw(number, view.reshape(size[1], size[0]))
            if options.get("stamp"):  # the frame's number in its first eight pixels
                view[:8] = np.frombuffer(number.to_bytes(8, "little"), np.uint8)
        lose, tear = control.get("lose_n"), control.get("tear_n")
        keep_back(1.0 if lose else 0.3 if tear else 0.0)
        if lose:
            control.put("lose_n", lose - 1)
        elif tear:
            control.put("tear_n", tear - 1)
        control.put("kept_back", control.get("kept_back") + bool(lose or tear))
        control.put("exposure_us", _exposure)
        control.put("produced", number + 1)

    pattern = _FILL(fill)
    lib.arv_fake_camera_set_fill_pattern(lib.arv_gv_fake_camera_get_fake_camera(camera), pattern, None)
    control.put("ready", 1)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)


main()
