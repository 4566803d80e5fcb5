"""``merealtime --record DIR --dry-run``: what the disk would have to take, and how long there is room for it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.config import Settings
from realtime.errors import SourceLostError, UserError, without_passwords
from realtime.session.curves import ROW
from realtime.session.encode import open_encoder
from realtime.sources import open_source
from realtime.types import SourceInfo

_PICTURES = 40
_EVENT_S = 0.3
"""A micro-expression, for the size of a clip."""


def tell(settings: Settings) -> list[str]:
    """Lines for the user. Reads a few pictures of the source; makes no folder. UserError without ``output.record``."""
    output = settings.output
    if output.record is None:
        raise UserError("--dry-run: says what a recording would take of the disk; add --record DIR")
    info, frames = _first_frames(settings)
    free = _free_bytes(Path(output.record))
    frame = frame_bytes(frames, info, output.record_format)
    curves = ROW.itemsize * info.fps * settings.spot.faces
    second = curves + (frame * info.fps if output.record_frames == "all" else 0.0)
    lines = [
        f"source   {without_passwords(info.detail or info.source)}",
        f"frames   {_of_frames(settings, info, frame)}",
        f"curves   at most {_size(curves * 3600)} an hour",
        f"in all   {_size(second)} a second, {_size(second * 3600)} an hour",
        f"room     {_size(free)} free in {output.record}: {_long(free / second)}",
    ]
    seconds = _asked_s(settings, info)
    if seconds is not None:
        takes = second * seconds
        lines.append(
            f"asked    {_long(seconds)}: {_size(takes)}" + ("" if takes < free else ": MORE THAN THERE IS ROOM FOR")
        )
    return lines


def frame_bytes(frames: list[npt.NDArray[np.uint8]], info: SourceInfo, form: str) -> float:
    """What one of these (H, W) uint8 frames takes as ``output.record_format``, on average."""
    encoder = open_encoder(form, info.width, info.height, info.fps)
    encoded = [data for gray in frames for data, _ in encoder.encode(gray)]
    encoded += [data for data, _ in encoder.flush()]
    return sum(memoryview(data).nbytes for data in encoded) / len(encoded)


def _first_frames(settings: Settings) -> tuple[SourceInfo, list[npt.NDArray[np.uint8]]]:
    source = open_source(settings.source.camera, msgspec.structs.replace(settings.source, truth=None))
    frames = []
    try:
        for _ in range(_PICTURES):
            frame = np.empty((source.info.height, source.info.width), np.uint8)
            if source.read(frame) is None:
                break
            frames.append(frame)
    except SourceLostError as error:
        raise UserError(f"{without_passwords(settings.source.camera)}: lost while it was looked at: {error}") from error
    finally:
        source.close()
    if not frames:
        raise UserError(f"{without_passwords(settings.source.camera)}: not one picture came")
    return source.info, frames


def _of_frames(settings: Settings, info: SourceInfo, frame: float) -> str:
    output = settings.output
    each = f"{output.record_format}, {_size(frame)} each"
    if output.record_frames == "all":
        return f"all, {each}"
    if output.record_frames == "none":
        return "none"
    seconds = output.record_before_s + _EVENT_S + output.record_after_s
    return (
        f"of events alone, {each}: {_size(frame * info.fps * seconds)} for an event of {_EVENT_S:g} s; not in the sums"
    )


def _asked_s(settings: Settings, info: SourceInfo) -> float | None:
    """How long the session is to last, where that is known."""
    counts = [count for count in (settings.source.frames, info.frame_count) if count]
    lengths = [count / info.fps for count in counts]
    lengths += [settings.source.duration_s] if settings.source.duration_s else []
    return min(lengths, default=None)


def _free_bytes(folder: Path) -> int:
    """Where the folder is, or will be."""
    there = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), Path("/"))
    try:
        stat = os.statvfs(there)
    except OSError as error:
        raise UserError(f"--record {folder}: {error.strerror}") from error
    return stat.f_bavail * stat.f_frsize


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000.0
    return f"{count:.3g} GB" if count < 999.5 else f"{count / 1000.0:.3g} TB"


def _long(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
