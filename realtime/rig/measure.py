"""A rig measured by a session as it would run, for some seconds: what it loses is what a session would lose.

The session keeps its curves in a folder of its own, which goes again; a thread takes every frame's time and brightness
out of the ring, and now and then a picture. No frame reaches the disk.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.config import Settings
from realtime.errors import MerealtimeError, RingError, SourceError, UserError
from realtime.ipc.ring import RingReader
from realtime.rig import pictures
from realtime.rig.figures import Figures, judge
from realtime.session.curves import Rows, read_curves
from realtime.sinks.lines import AnyLine, SessionLine, State, SummaryLine
from realtime.sources.v4l2.exposure import Exposure
from realtime.sources.v4l2.exposure import read as read_exposure
from realtime.supervisor import Supervisor
from realtime.vision.face.regions import FACE_WIDTH_PX

Gray = npt.NDArray[np.uint8]
_WAIT_S = 0.2
_THIN = 4
_MOST_PICTURES = 60
_SHARE = 0.3
"""Half of the face image that is looked at, about its middle, as a share of the face's width."""


class _Log:
    """A sink that keeps what is said, and tells how far it is."""

    def __init__(self, seconds: float, show: Callable[[float], None]) -> None:
        self.first: SessionLine | None = None
        self.last: SummaryLine | None = None
        self._seconds, self._show = seconds, show

    def line(self, line: AnyLine) -> None:
        if isinstance(line, SessionLine):
            self.first = line
        elif isinstance(line, SummaryLine):
            self.last = line

    def show(self, state: State) -> None:
        self._show(min(1.0, state.seconds / self._seconds))

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class _Seen:
    """What the thread took out of the ring."""

    numbers: list[int] = field(default_factory=list)
    t_ns: list[int] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    pictures: list[tuple[int, Gray]] = field(default_factory=list)
    """(frame number, (H, W) uint8)"""
    exposure: Exposure | None = None
    """The last that the camera told."""


def measure(settings: Settings, seconds: float, show: Callable[[float], None] = lambda _: None) -> Figures:
    """Run a session for so many seconds (of a recording: its own) and say what it showed. show: told the share done.

    The session's errors, and SourceError where fewer than two frames come.
    """
    log, seen, stopping = _Log(seconds, show), _Seen(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="merealtime-check-") as folder:
        replace = msgspec.structs.replace
        output = replace(type(settings.output)(), view="none", record=folder, record_frames="none")
        source = replace(settings.source, duration_s=seconds, truth=None)
        supervisor = Supervisor(replace(settings, output=output, source=source), sinks=[log])
        thread = threading.Thread(
            target=_watch, args=(settings.source.camera, supervisor.ring_name, seen, stopping), name="rig", daemon=True
        )
        thread.start()
        try:
            code = supervisor.run()
        finally:
            stopping.set()
            thread.join()
        if code:
            raise (UserError if code == UserError.exit_code else MerealtimeError)(supervisor.error)
        folders = list(Path(folder).iterdir())
        rows = read_curves(folders[0]) if folders else read_curves(folder)
    if log.first is None or log.last is None or len(seen.numbers) < 2:
        raise SourceError(f"{settings.source.camera}: gave {len(seen.numbers)} frames: nothing to measure")
    figures = _figures(log.first, log.last, seen, rows)
    judge(figures)
    return figures


def _watch(camera: str, ring: str, seen: _Seen, stopping: threading.Event) -> None:
    """The thread: every frame that it can get hold of."""
    reader = None
    while reader is None:
        if stopping.wait(0.02):
            return
        with contextlib.suppress(RingError):
            reader = RingReader.attach(ring)
    with reader:
        index, before, next_pair_s = reader.start, np.empty((0, 0), np.uint8), 0.0
        while not stopping.is_set():
            count = reader.wait(index, _WAIT_S)
            if count <= index:
                if reader.ended:
                    return
                continue
            index = reader.catch_up(index)
            found = reader.view(index)
            if found is None:
                continue
            gray, header = found
            level = float(gray[::_THIN, ::_THIN].mean())
            pair = time.monotonic() >= next_pair_s
            picture = gray.copy() if pair or before.size else None
            if not reader.still_valid(index):
                before = np.empty((0, 0), np.uint8)
                continue
            index += 1
            _note(seen, header.number, header.t_ns, level)
            if picture is not None and before.size:
                _pair(seen, before, picture)
                before = np.empty((0, 0), np.uint8)
            elif picture is not None:
                before, next_pair_s = picture, time.monotonic() + 0.25
                seen.exposure = read_exposure(camera) or seen.exposure
                if len(seen.pictures) < _MOST_PICTURES:
                    seen.pictures.append((header.number, picture))


def _note(seen: _Seen, number: int, t_ns: int, level: float) -> None:
    seen.numbers.append(number)
    seen.t_ns.append(t_ns)
    seen.brightness.append(level)


def _pair(seen: _Seen, before: Gray, after: Gray) -> None:
    """The noise of two frames one after the other; where frames were lost between them nothing is learnt."""
    if seen.numbers[-1] - seen.numbers[-2] == 1:
        noise = pictures.noise_grey(before, after)
        if noise is not None:
            seen.noise.append(noise)


def _figures(first: SessionLine, last: SummaryLine, seen: _Seen, rows: Rows) -> Figures:
    numbers, times = np.array(seen.numbers, np.int64), np.array(seen.t_ns, np.int64)
    fps = last.fps_measured or first.fps_measured
    off = np.diff(times)[np.diff(numbers) == 1] / 1e6 - (1000.0 / fps if fps else 0.0)
    lost = last.frames_dropped.get("camera", 0) + last.frames_dropped.get("reconnect", 0)
    left_out = sum(last.frames_dropped.values()) - lost
    hertz, percent = pictures.flicker(_without_holes(seen.brightness, numbers), fps)
    faces = [face for number, picture in seen.pictures if (face := _face_in(picture, number, rows)) is not None]
    looked = faces or [picture for _, picture in seen.pictures]
    clipped = [pictures.clipped_percent(face) for face in looked] or [(0.0, 0.0)]
    found = rows[rows["found"]]
    return Figures(
        source=first.source,
        detail=first.source_detail,
        width=first.width,
        height=first.height,
        seconds=last.seconds,
        frames=last.frames_captured,
        fps_requested=first.fps_requested,
        fps_granted=first.fps_granted,
        fps_measured=fps,
        jitter_ms=round(float(off.std()), 4) if len(off) else 0.0,
        jitter_p99_ms=round(float(np.percentile(np.abs(off), 99)), 4) if len(off) else 0.0,
        lost=lost,
        lost_percent=round(100.0 * lost / max(1, last.frames_captured), 3),
        left_out=left_out,
        left_out_percent=round(100.0 * left_out / max(1, last.frames_captured), 3),
        exposure_ms=seen.exposure.ms if seen.exposure else None,
        exposure_auto=seen.exposure.auto if seen.exposure else None,
        brightness=round(float(np.mean([face.mean() for face in looked])), 1) if looked else 0.0,
        dark_percent=round(float(np.mean([dark for dark, _ in clipped])), 2),
        bright_percent=round(float(np.mean([bright for _, bright in clipped])), 2),
        noise_grey=round(float(np.median(seen.noise)), 3) if seen.noise else None,
        flicker_hz=hertz,
        flicker_percent=percent,
        blur=round(float(np.median([pictures.blur(face) for face in faces])), 3) if faces else None,
        face_width_px=round(float(np.median(found["scale"])) * FACE_WIDTH_PX, 1) if len(found) else None,
        face_percent=round(100.0 * len(found) / max(1, len(rows)), 1),
        sensitivity_px=dict(last.sensitivity_px),
    )


def _face_in(picture: Gray, number: int, rows: Rows) -> Gray | None:
    """The middle of the face in that frame; None without one."""
    at = int(np.searchsorted(rows["frame"], number))
    if at >= len(rows) or rows["frame"][at] != number or not rows["found"][at]:
        return None
    row = rows[at]
    half = max(8, round(_SHARE * FACE_WIDTH_PX * float(row["scale"])))
    x, y = round(float(row["centre_x"])), round(float(row["centre_y"]))
    face = picture[max(0, y - half) : y + half, max(0, x - half) : x + half]
    return face if min(face.shape) >= 16 else None


def _without_holes(brightness: list[float], numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n,) one value a frame number, lost ones between their neighbours."""
    every = np.arange(numbers[0], numbers[-1] + 1)
    return np.interp(every, numbers, brightness)
