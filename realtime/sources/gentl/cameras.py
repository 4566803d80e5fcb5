"""Which cameras the registered GenTL producers see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realtime.errors import SourceError
from realtime.sources.gentl.nodes import line_of
from realtime.sources.gentl.producers import PREFIX, load, names_of, registered_producers
from realtime.sources.v4l2.modes import Camera


def list_cameras() -> list[Camera]:
    """Every camera of the producers in GENICAM_GENTL64_PATH, without its modes: those are told when it is opened.

    A producer that cannot be loaded is listed with the reason; none where no producer is registered.
    """
    return [camera for producer in registered_producers() for camera in _of(producer)]


def _of(producer: Path) -> list[Camera]:
    path = f"{PREFIX}{producer}"
    try:
        harvester, failures = load()
    except SourceError as error:
        return [Camera(path, "", "", problem=str(error))]
    broken: tuple[type[Exception], ...] = (*failures, OSError, ValueError)
    try:
        harvester.add_file(str(producer), check_existence=True, check_validity=True)
        harvester.update()
        return [_described(path, device, failures) for device in harvester.device_info_list]
    except broken as error:
        return [Camera(path, "", "", problem=f"cannot be loaded as a GenTL producer: {line_of(error)}")]
    finally:
        harvester.reset()


def _described(path: str, device: Any, failures: tuple[type[Exception], ...]) -> Camera:
    missing: tuple[type[Exception], ...] = (*failures, AttributeError)

    def said(key: str) -> str:
        try:
            return str(getattr(device, key) or "")
        except missing:
            return ""

    serial = names_of(device, failures)[0]
    card = " ".join(filter(None, (said("vendor"), said("model"), said("serial_number"))))
    return Camera(f"{path}#{serial}", card or serial, f"GenTL {said('tl_type')}".strip())
