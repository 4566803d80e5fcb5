"""A GigE Vision camera on loopback that shows given pictures: Aravis's own simulator, with a pattern of ours.

One argument, a JSON object: ``frames`` (a raw gray file), ``width``, ``height``, ``serial``, ``control`` (a page shared
with the test). Frame k of the camera shows picture k modulo their number. Whole frames (``lose_n``) or some of a
frame's packets (``tear_n``) are kept back at the test's word: the camera sends nothing twice, so each is a lost frame.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from ctypes import POINTER, c_char_p, c_double, c_size_t, c_uint32, c_void_p
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from fakegenicam import Control

_FILL = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32)


def main() -> None:
    options = json.loads(sys.argv[1])
    shape = (-1, options["height"], options["width"])
    pictures = np.memmap(options["frames"], np.uint8, "r").reshape(shape)
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
            picture = pictures[number % len(pictures)]
            ctypes.memmove(lib.arv_buffer_get_data(buffer, None), picture.ctypes.data, picture.nbytes)
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
    while True:
        time.sleep(1)


main()
