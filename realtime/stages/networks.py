"""What the spotter loads before it needs a socket: networks and kernels. A spare has done so when it is called."""

from __future__ import annotations

import importlib
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from realtime.config import Settings
from realtime.errors import SourceError
from realtime.ipc import messages
from realtime.types import SourceInfo

if TYPE_CHECKING:
    from realtime.vision.face.landmarks import FaceMesh
    from realtime.vision.spotting.crowd import Meter


class Loaded(NamedTuple):
    """What takes time."""

    mesh: FaceMesh
    meter: Meter | None


def load(settings: Settings, order: messages.Control | None) -> Loaded:
    """The networks; with ``order`` everything that is to be had once the source is known, warm."""
    from realtime.vision.face.crowd_finder import make_mesh
    from realtime.vision.jit import leave_blas_out
    from realtime.vision.spotting.crowd import make_meter

    leave_blas_out()
    mesh = make_mesh(settings.spot.faces)
    if order is None or order.info is None:
        return Loaded(mesh, None)
    check_size(order.info)
    meter = make_meter(settings.spot, order.fps, mesh)
    meter.warm_up(order.info.height, order.info.width)
    return Loaded(mesh, meter)


def check_size(info: SourceInfo | None) -> None:
    """Raise SourceError for pictures in which no face can be found."""
    from realtime.vision.spotting.face_meter import MIN_SIDE_PX

    if info is not None and min(info.width, info.height) < MIN_SIDE_PX:
        raise SourceError(
            f"{info.source}: pictures of {info.width}x{info.height} px are too small for a face; "
            f"give {MIN_SIDE_PX}x{MIN_SIDE_PX} at least, better 640x480"
        )


def import_gently() -> None:
    """Import the libraries, which is most of the work, in a thread that takes no time from the running session."""

    def gently() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # of this thread alone
        importlib.import_module("realtime.vision.jit").leave_blas_out()
        importlib.import_module("realtime.vision.spotting.crowd")
        importlib.import_module("realtime.vision.face.landmarks").keep_tensorflow_out()

    thread = threading.Thread(target=gently)
    thread.start()
    thread.join()
