"""``--check`` and ``--list-cameras``: what this machine can do, before anything is at stake."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable

import msgspec

from realtime.config import Settings
from realtime.errors import MerealtimeError, SourceLostError, without_passwords
from realtime.quiet import native_log_dropped
from realtime.supervisor import needs

_MEASURE_S = 2.0
_WARM_UP_FRAMES = 20


def print_cameras() -> int:
    """Every V4L2, GenICam and GenTL camera with its modes; exit code 0 also without one."""
    from realtime.sources import list_cameras

    cameras = list_cameras()
    if not cameras:
        print("no camera here (looked for /dev/video* and, with Aravis, on network and USB); try --camera demo")
    for camera in cameras:
        about = camera.problem or f"{camera.card} ({camera.driver})"
        print(f"{camera.path}  {about}")
        for mode in camera.modes:
            print(f"    {mode}")
    return 0


def check(settings: Settings) -> int:
    """Print one line a subject; exit code 0 if a session can run, else that of the first thing in its way."""
    code = 0
    subjects: list[tuple[str, Callable[[Settings], str]]] = [
        ("processors", _processors),
        ("memory", needs.memory),
        ("open files", needs.files),
        ("shared memory", _shared_memory),
        ("real time", _real_time),
        ("flow", _flow),
        ("model", _model),
        ("source", _source),
    ]
    for name, look in subjects:
        try:
            print(f"{name:<14} {look(settings)}", flush=True)
        except MerealtimeError as error:
            print(f"{name:<14} FAILS: {without_passwords(str(error))}", flush=True)
            code = code or error.exit_code
    if code:
        sys.stderr.write("merealtime: a session with these settings would fail (see above)\n")
    return code


def _processors(_: Settings) -> str:
    usable = len(os.sched_getaffinity(0))
    return f"{usable} of {os.cpu_count()} usable" + ("" if usable > 1 else "; 200 fps needs two")


def _shared_memory(settings: Settings) -> str:
    stat = os.statvfs("/dev/shm")
    free = stat.f_bavail * stat.f_frsize
    width, height = settings.source.size or (640, 480)
    picture = (settings.source.fps or 200.0, height, width)
    slots, least = settings.ring.slots(*picture), settings.ring.least_slots(*picture)
    needed_mb, least_mb = (count * height * width / 1e6 for count in (slots, least))
    text = f"{free / 1e6:.0f} MB free, a ring of {slots} frames {width}x{height} takes {needed_mb:.0f} MB"
    if least_mb * 1e6 > free:
        raise MerealtimeError(f"{text}: enlarge /dev/shm (docker: --shm-size) or lower ring.max_mib")
    if needed_mb * 1e6 > free:
        text += f": it is made shorter, down to {least_mb:.0f} MB (docker: --shm-size)"
    return text


def _real_time(_: Settings) -> str:
    fifo = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    allowed = "SCHED_FIFO allowed" if fifo or os.geteuid() == 0 else "no SCHED_FIFO (ulimit -r is 0)"
    limit = "unlimited" if locked == resource.RLIM_INFINITY else f"{locked / 2**20:.0f} MiB"
    return f"{allowed}; memory that may be locked: {limit}"


def _flow(settings: Settings) -> str:
    from realtime.vision.flow import resolve_backend

    backend, reason = resolve_backend(settings.flow.backend)
    return f"{backend} ({reason})" if reason else backend


def _model(settings: Settings) -> str:
    from realtime.recognition import bundle

    with native_log_dropped():
        loaded = bundle.load(settings.recognition.bundle)
    card = loaded.card
    return f"{card.name}: {card.parameters} parameters, labels {', '.join(card.labels)}; {card.protocol}"


def _source(settings: Settings) -> str:
    """Open the source and measure its rate: what was granted is not always what comes."""
    import numpy as np

    from realtime.sources import open_source

    source = open_source(settings.source.camera, msgspec.structs.replace(settings.source, truth=None))
    try:
        frame = np.empty((source.info.height, source.info.width), np.uint8)
        for _ in range(_WARM_UP_FRAMES):  # exposure settles, buffers empty
            source.read(frame)
        begun = time.monotonic()
        first = last = source.read(frame)
        read = 0
        while last is not None and time.monotonic() - begun < _MEASURE_S:
            stamp = source.read(frame)
            if stamp is None:
                break
            last, read = stamp, read + 1
        seconds = time.monotonic() - begun
        missing = last.number - first.number - read if last and first else 0
    except SourceLostError as error:
        return f"{source.info.detail}; lost while it was measured: {error}"
    finally:
        source.close()
    verb = "delivers" if source.info.live else "decodes at"
    return f"{source.info.detail}; {verb} {read / seconds:.1f} fps, {missing} frames missing"
