"""What capturing needs of Aravis (LGPL, ``libaravis-0.8``), by ctypes: no PyGObject.

Calls give the interpreter's lock away while they wait. ``Aravis.ask`` is for functions that may fail: their GError
becomes an AravisError with the library's own words.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_ulong, c_void_p
from typing import Any

from realtime.errors import SourceError

_LIBRARY = "libaravis-0.8.so.0"
_INSTALL = "install it: apt install libaravis-0.8-0 (Debian, Ubuntu), dnf install aravis (Fedora)"

SUCCESS = 0  # ARV_BUFFER_STATUS_SUCCESS
CONTINUOUS = 0  # ARV_ACQUISITION_MODE_CONTINUOUS
SOCKET_BUFFER_FIXED = 0
NOT_CONTROLLER, ACCESS_DENIED = 11, 16  # ARV_DEVICE_ERROR_…

_P, _S = c_void_p, c_char_p
_PLAIN: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (_S, (c_uint,)),
    "arv_get_device_physical_id": (_S, (c_uint,)),
    "arv_get_device_address": (_S, (c_uint,)),
    "arv_get_device_vendor": (_S, (c_uint,)),
    "arv_get_device_model": (_S, (c_uint,)),
    "arv_get_device_serial_nbr": (_S, (c_uint,)),
    "arv_get_device_protocol": (_S, (c_uint,)),
    "arv_enable_interface": (None, (_S,)),
    "arv_camera_is_gv_device": (c_int, (_P,)),
    "arv_camera_get_device": (_P, (_P,)),
    "arv_camera_create_chunk_parser": (_P, (_P,)),
    "arv_gv_device_is_controller": (c_int, (_P,)),
    "arv_buffer_new": (_P, (c_size_t, _P)),
    "arv_buffer_get_data": (_P, (_P, POINTER(c_size_t))),
    "arv_buffer_get_status": (c_int, (_P,)),
    "arv_buffer_get_frame_id": (c_uint64, (_P,)),
    "arv_buffer_get_timestamp": (c_uint64, (_P,)),
    "arv_buffer_get_system_timestamp": (c_uint64, (_P,)),
    "arv_buffer_has_chunks": (c_int, (_P,)),
    "arv_stream_push_buffer": (None, (_P, _P)),
    "arv_stream_timeout_pop_buffer": (_P, (_P, c_uint64)),
    "arv_stream_get_info_uint64_by_name": (c_uint64, (_P, _S)),
    "arv_stream_get_statistics": (None, (_P, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_uint64))),
}
_FAILING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_new": (_P, (_S,)),
    "arv_camera_get_vendor_name": (_S, (_P,)),
    "arv_camera_get_model_name": (_S, (_P,)),
    "arv_camera_get_device_serial_number": (_S, (_P,)),
    "arv_camera_dup_available_pixel_formats_as_strings": (_P, (_P, POINTER(c_uint))),
    "arv_camera_dup_available_enumerations_as_strings": (_P, (_P, _S, POINTER(c_uint))),
    "arv_camera_set_pixel_format_from_string": (None, (_P, _S)),
    "arv_camera_get_pixel_format_as_string": (_S, (_P,)),
    "arv_camera_get_region": (None, (_P, *[POINTER(c_int)] * 4)),
    "arv_camera_set_region": (None, (_P, c_int, c_int, c_int, c_int)),
    "arv_camera_get_width_bounds": (None, (_P, POINTER(c_int), POINTER(c_int))),
    "arv_camera_get_height_bounds": (None, (_P, POINTER(c_int), POINTER(c_int))),
    "arv_camera_get_x_offset_bounds": (None, (_P, POINTER(c_int), POINTER(c_int))),
    "arv_camera_get_y_offset_bounds": (None, (_P, POINTER(c_int), POINTER(c_int))),
    "arv_camera_get_x_offset_increment": (c_int, (_P,)),
    "arv_camera_get_y_offset_increment": (c_int, (_P,)),
    "arv_camera_is_frame_rate_available": (c_int, (_P,)),
    "arv_camera_set_frame_rate": (None, (_P, c_double)),
    "arv_camera_get_frame_rate": (c_double, (_P,)),
    "arv_camera_get_frame_rate_bounds": (None, (_P, POINTER(c_double), POINTER(c_double))),
    "arv_camera_is_exposure_time_available": (c_int, (_P,)),
    "arv_camera_is_exposure_auto_available": (c_int, (_P,)),
    "arv_camera_set_exposure_time_auto": (None, (_P, c_int)),
    "arv_camera_set_exposure_time": (None, (_P, c_double)),
    "arv_camera_get_exposure_time": (c_double, (_P,)),
    "arv_camera_get_exposure_time_bounds": (None, (_P, POINTER(c_double), POINTER(c_double))),
    "arv_camera_is_gain_available": (c_int, (_P,)),
    "arv_camera_is_gain_auto_available": (c_int, (_P,)),
    "arv_camera_set_gain_auto": (None, (_P, c_int)),
    "arv_camera_set_gain": (None, (_P, c_double)),
    "arv_camera_get_gain": (c_double, (_P,)),
    "arv_camera_get_gain_bounds": (None, (_P, POINTER(c_double), POINTER(c_double))),
    "arv_camera_set_trigger": (None, (_P, _S)),
    "arv_camera_clear_triggers": (None, (_P,)),
    "arv_camera_set_acquisition_mode": (None, (_P, c_int)),
    "arv_camera_start_acquisition": (None, (_P,)),
    "arv_camera_stop_acquisition": (None, (_P,)),
    "arv_camera_get_payload": (c_uint, (_P,)),
    "arv_camera_create_stream": (_P, (_P, _P, _P)),
    "arv_camera_is_feature_available": (c_int, (_P, _S)),
    "arv_camera_are_chunks_available": (c_int, (_P,)),
    "arv_camera_set_boolean": (None, (_P, _S, c_int)),
    "arv_camera_set_string": (None, (_P, _S, _S)),
    "arv_camera_set_integer": (None, (_P, _S, c_int64)),
    "arv_camera_set_float": (None, (_P, _S, c_double)),
    "arv_camera_get_integer": (c_int64, (_P, _S)),
    "arv_camera_get_float": (c_double, (_P, _S)),
    "arv_camera_execute_command": (None, (_P, _S)),
    "arv_chunk_parser_get_integer_value": (c_int64, (_P, _P, _S)),
}


LOST = ctypes.CFUNCTYPE(None, _P, _P)
"""Handler of the signal ``control-lost``: device, data."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


class AravisError(Exception):
    """A call that failed: ``code`` of ArvDeviceError (of whatever domain), the library's words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Aravis:
    """The library. ``lib.NAME(…)`` calls what can't fail, ``ask("NAME", …)`` what can."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.lib = lib
        self.gobject = ctypes.CDLL("libgobject-2.0.so.0")
        self._glib = ctypes.CDLL("libglib-2.0.so.0")
        for name, (result, arguments) in _PLAIN.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        for name, (result, arguments) in _FAILING.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, (*arguments, POINTER(POINTER(_GError)))
        self.gobject.g_object_unref.argtypes = (_P,)
        self.gobject.g_object_unref.restype = None
        connect, disconnect = self.gobject.g_signal_connect_data, self.gobject.g_signal_handler_disconnect
        connect.restype, connect.argtypes = c_ulong, (_P, _S, LOST, _P, _P, c_int)
        disconnect.restype, disconnect.argtypes = None, (_P, c_ulong)
        self._glib.g_free.argtypes = (_P,)
        self._glib.g_free.restype = None
        self._glib.g_error_free.argtypes = (POINTER(_GError),)
        self._glib.g_error_free.restype = None

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call a function that may fail. Raises AravisError."""
        error = POINTER(_GError)()
        answer = getattr(self.lib, name)(*arguments, byref(error))
        if error:
            code, words = error.contents.code, (error.contents.message or b"").decode(errors="replace")
            self._glib.g_error_free(error)
            raise AravisError(code, " ".join(words.split()))
        return answer

    def try_ask(self, name: str, *arguments: Any, otherwise: Any = None) -> Any:
        """The answer, or ``otherwise`` where the camera has none."""
        try:
            return self.ask(name, *arguments)
        except AravisError:
            return otherwise

    def texts(self, name: str, *arguments: Any) -> list[str]:
        """The strings that a ``dup_available_…`` function gives; none where it fails."""
        count = c_uint()
        array = self.try_ask(name, *arguments, byref(count))
        if not array:
            return []
        pointers = ctypes.cast(array, POINTER(c_char_p))
        found = [(pointers[index] or b"").decode(errors="replace") for index in range(count.value)]
        self._glib.g_free(array)
        return found

    def bounds(self, name: str, camera: Any, kind: type[ctypes._SimpleCData[Any]] = c_double) -> tuple[Any, Any] | None:
        """(least, most) of a setting, or None."""
        low, high = kind(), kind()
        try:
            self.ask(name, camera, byref(low), byref(high))
        except AravisError:
            return None
        return low.value, high.value

    def set_property(self, thing: Any, name: str, value: int) -> None:
        """An integer or enumeration property of a GObject."""
        setter = self.gobject.g_object_set
        setter.restype, setter.argtypes = None, (_P, _S)
        setter(thing, name.encode(), c_int(value), c_void_p())

    def connect(self, thing: Any, signal: str, handler: Any) -> int:
        """Have ``handler`` (a LOST, kept by the caller) called at a signal of a GObject; its number."""
        return int(self.gobject.g_signal_connect_data(thing, signal.encode(), handler, None, None, 0))

    def disconnect(self, thing: Any, number: int) -> None:
        self.gobject.g_signal_handler_disconnect(thing, number)

    def unref(self, thing: Any) -> None:
        if thing:
            self.gobject.g_object_unref(thing)


@functools.cache
def aravis() -> Aravis:
    """The library, loaded once. Raises SourceError that says what to install."""
    try:
        return Aravis(ctypes.CDLL(_LIBRARY))
    except OSError:
        raise SourceError(f"genicam: cameras need Aravis ({_LIBRARY}), which is not here; {_INSTALL}") from None
    except AttributeError as error:
        raise SourceError(f"genicam: this Aravis is too old ({error}); version 0.8.10 or newer is needed") from None
