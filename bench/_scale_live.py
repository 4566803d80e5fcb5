"""Larger pictures and more faces, live: what a picture's size and each further face cost on this machine.

``run(seconds)`` plays generated faces through whole sessions (an emulated V4L2 camera, ``tests/fakev4l2``; needs a C
compiler): gray pictures of four sizes at 200 fps, MJPG, one to three faces, two faces at 1000 fps, and each size as a
lossless recording; and what decoding a JPEG costs. ``python bench/_scale_live.py`` prints the tables, and
``bench/scale.py`` writes them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from bench._jpeg_costs import decoding, encoded
from bench._pipeline import EMULATOR, Outcome, Sampler, demo_frames, run_session
from bench.faces import WIDTH as FACE_PX
from bench.faces import pictures
from realtime.ipc.ring import ring_bytes

SIZES = ((640, 480), (1280, 720), (1920, 1080), (2040, 1088))
FPS, MOONSHOT_FPS = 200.0, 1000.0
JPEG_SIZES = ((1280, 720), (1920, 1080))
_FRAMES = 120
"""Of a clip, played forwards and backwards: 0.5 GB at the largest size, which the emulator maps into each process."""
_LOSSLESS_FRAMES = 1200
_SEED = 11
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CAMERA = "fakecam"
"""Name of the emulator's thread: what it takes is no cost of ours."""

Frames = Iterator[np.ndarray]


def memory() -> str | None:
    """Where clips go: in memory where there is room, so that no disk is measured."""
    roomy = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 4e9
    return "/dev/shm" if roomy else None


def faces_of_size(size: tuple[int, int]) -> Frames:
    return demo_frames(FPS, size, _SEED, _FRAMES)


@contextlib.contextmanager
def rig(frames: Frames, size: tuple[int, int], fps: float, *, jpeg: bool = False) -> Iterator[dict[str, str]]:
    """Environment of an emulated camera that plays these frames to and fro."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("the emulated camera needs a C compiler: install gcc")
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-", dir=memory()) as name:
        folder = Path(name)
        library, clip = folder / "libfakev4l2.so", folder / "clip"
        flags = ["-O2", "-fPIC", "-shared", "-pthread", "-o", str(library), str(EMULATOR), "-ldl"]
        subprocess.run([compiler, *flags], check=True, capture_output=True)
        pieces = [encoded(frame) if jpeg else frame.tobytes() for frame in frames]
        with clip.open("wb") as file:
            file.writelines(pieces)
            file.writelines(pieces[-2:0:-1])
        yield {
            "LD_PRELOAD": str(library),
            "FAKECAM_MJPG" if jpeg else "FAKECAM_FILE": str(clip),
            "FAKECAM_W": str(size[0]),
            "FAKECAM_H": str(size[1]),
            "FAKECAM_FPS": f"{fps:g}",
        }


Costs = tuple[float, dict[str, tuple[float, float, float]]]
"""When, and by process CPU seconds, resident MB, and of it MB of its own (neither a file nor shared)."""


def costs_of(pid: int, cameras: dict[int, float]) -> Costs:
    """Of a session's processes by name; the emulated camera apart, as ``camera``.

    cameras: CPU seconds of its threads so far, by process; the last word stands when they have ended.
    """
    found: dict[str, tuple[float, float, float]] = {}
    root = psutil.Process(pid)
    for process in (root, *root.children()):
        with contextlib.suppress(psutil.Error, OSError):
            title = (process.cmdline() or [""])[0]
            name = title.removeprefix("merealtime-") if process.pid != pid else "supervisor"
            for thread in process.threads():
                if Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip() == _CAMERA:
                    cameras[process.pid] = thread.user_time + thread.system_time
            times, camera = process.cpu_times(), cameras.get(process.pid, 0.0)
            _, resident, shared, *_ = map(int, Path(f"/proc/{process.pid}/statm").read_text().split())
            own = (resident - shared) * _PAGE / 1e6
            found[name] = (times.user + times.system - camera, resident * _PAGE / 1e6, own)
            if camera:
                found["camera"] = (camera, 0.0, 0.0)
    return time.monotonic(), found


def watched(options: Sequence[str], environment: dict[str, str]) -> tuple[Outcome, list[Costs]]:
    """A session, and its processes' costs once a second while frames came."""
    me, cameras = psutil.Process(), dict[int, float]()

    def look() -> Costs | None:
        sessions = [child for child in me.children() if "realtime" in child.cmdline()]
        return costs_of(sessions[0].pid, cameras) if sessions else None

    sampler: Sampler[Costs | None] = Sampler(look)
    try:
        outcome = run_session(options, environment)
    finally:
        sampler.stop()
    samples = [sample for sample in sampler.samples if sample is not None]
    whole = [sample for sample in samples if {"capture", "spot", "classify"} <= sample[1].keys()]
    end = whole[-1][0] if whole else 0.0
    return outcome, [sample for sample in whole if sample[0] >= end - outcome.summary["seconds"] + 1.0]


def live(
    frames: Frames, size: tuple[int, int], seconds: float, *, fps: float = FPS, faces: int = 1, jpeg: bool = False
) -> dict[str, Any]:
    """One live session; the row of its figures."""
    options = ["--camera", "0", "--fps", f"{fps:g}", "--duration", f"{seconds:g}", "--faces", str(faces)]
    with rig(frames, size, fps, jpeg=jpeg) as environment:
        clip = environment.get("FAKECAM_FILE") or environment["FAKECAM_MJPG"]
        ballast_mb = os.path.getsize(clip) / 1e6
        outcome, samples = watched(options, environment)
    summary, spot = outcome.summary, outcome.summary["stages"]["spot"]
    dropped = sum(summary["frames_dropped"].values())
    analysed = summary["frames_analysed"]
    return {
        "size": f"{size[0]}x{size[1]}",
        "pixel_format": outcome.session["pixel_format"],
        "faces": faces,
        "fps_asked": fps,
        "fps_granted": outcome.session["fps_measured"],
        "fps": summary["fps_measured"],
        "captured": summary["frames_captured"],
        "analysed": analysed,
        "dropped": dropped,
        "dropped_by": summary["frames_dropped"],
        "held": dropped == 0 and summary["fps_measured"] >= 0.99 * fps,
        "frame_ms": {name: spot.get(f"frame_{name}_ms") for name in ("p50", "p99", "max")},
        "spot_ms_a_frame": round(spot["busy_s"] / max(analysed, 1) * 1e3, 3),
        "spot_steps_ms": {
            step: round(spot[f"{step}_s"] / max(analysed, 1) * 1e3, 4)
            for step in ("landmarks", "network", "track", "decide", "keep")
        },
        **shares(samples, ballast_mb),
        "ring_mb": round(ring_mb(size, fps), 1),
        "events": summary["events"],
    }


def shares(samples: list[Costs], ballast_mb: float) -> dict[str, Any]:
    """CPU (cores) and most memory (MB) by process, from a session's samples."""
    if len(samples) < 2:
        return {"cores": {}, "rss_mb": {}, "own_mb": {}}
    (begin, first), (end, last) = samples[0], samples[-1]
    names = [name for name in last if name in first]
    stages = [name for name in names if name != "camera"]
    seen = {name: [sample for _, sample in samples if name in sample] for name in stages}
    return {
        "cores": {name: round((last[name][0] - first[name][0]) / (end - begin), 3) for name in names},
        "rss_mb": {name: round(max(sample[name][1] for sample in seen[name]) - ballast_mb, 1) for name in stages},
        "own_mb": {name: round(max(sample[name][2] for sample in seen[name]), 1) for name in stages},
    }


def ring_mb(size: tuple[int, int], fps: float) -> float:
    """Of the shared memory that a session with default settings makes, which each process of it maps."""
    from realtime.config import RingSettings

    width, height = size
    return ring_bytes(RingSettings().slots(fps, height, width), height, width) / 1e6


def lossless(size: tuple[int, int]) -> dict[str, Any]:
    """Frames a second of a recording without compression, each of them analysed."""
    from bench.throughput import measure, write_clip

    frames = min(_LOSSLESS_FRAMES, round(1.2e9 / (size[0] * size[1])))
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-", dir=memory()) as name:
        clip = Path(name) / "clip.mkv"
        write_clip(clip, FPS, size, frames, _SEED)
        row = measure(clip)
    kept = ("frames", "dropped", "fps", "stage_fps", "spot_us_a_frame")
    return {"size": f"{size[0]}x{size[1]}", **{key: row[key] for key in kept}}


def run(seconds: float, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Every row: ``sizes``, ``mjpg``, ``faces``, ``moonshot`` (live, so many seconds each) and ``lossless``.

    tell: is told what comes next.
    """
    found: dict[str, Any] = {"seconds": seconds, "sizes": [], "mjpg": [], "faces": [], "lossless": []}
    for size in SIZES:
        tell(f"{size[0]}x{size[1]} at {FPS:g} fps")
        found["sizes"].append(live(faces_of_size(size), size, seconds))
    for size in JPEG_SIZES:
        tell(f"MJPG {size[0]}x{size[1]} at {FPS:g} fps")
        found["mjpg"].append(live(faces_of_size(size), size, seconds, jpeg=True))
    found["decoding"] = [decoding(list(faces_of_size(size))) for size in JPEG_SIZES]
    for faces in (1, 2, 3):
        tell(f"{faces} of up to three faces")
        size = (3 * FACE_PX, 480)
        found["faces"].append(live(iter(pictures(faces, size[0])), size, seconds, faces=faces))
    tell(f"two faces at {MOONSHOT_FPS:g} fps")
    size = (2 * FACE_PX + 40, 480)
    found["moonshot"] = live(iter(pictures(2, size[0])), size, seconds, fps=MOONSHOT_FPS, faces=2)
    for size in SIZES:
        tell(f"{size[0]}x{size[1]} lossless")
        found["lossless"].append(lossless(size))
    return found


def tables(found: dict[str, Any]) -> list[Table]:
    """For people."""
    columns = (
        "", "fps asked", "fps", "captured", "dropped", "spot ms", "p50", "p99", "cores", "capture", "spot", "own MB",
        "ring MB",
    )  # fmt: skip
    table = Table(*columns, box=None, title="live; p50, p99: exposure to analysed, ms")
    named = [(f"{row['size']} {row['pixel_format']}", row) for row in (*found["sizes"], *found["mjpg"])]
    named += [(f"faces {row['faces']}", row) for row in found["faces"]]
    named.append((f"faces {found['moonshot']['faces']}, {found['moonshot']['size']}", found["moonshot"]))
    for name, row in named:
        cores = row["cores"]
        ours = sum(value for process, value in cores.items() if process != "camera")
        cells = [f"{row['fps_asked']:g}", f"{row['fps']:.1f}", str(row["captured"]), str(row["dropped"])]
        cells += [f"{row['spot_ms_a_frame']:.2f}", *(f"{row['frame_ms'][key] or 0:.2f}" for key in ("p50", "p99"))]
        cells += [f"{ours:.2f}", *(f"{cores.get(stage, 0):.2f}" for stage in ("capture", "spot"))]
        table.add_row(name, *cells, f"{sum(row['own_mb'].values()):.0f}", f"{row['ring_mb']:.0f}")
    recorded = Table("recording", "frames a second", "capture alone", "spotter alone", box=None, title="lossless")
    for row in found["lossless"]:
        alone = (f"{row['stage_fps'][stage] or 0:.0f}" for stage in ("capture", "spot"))
        recorded.add_row(row["size"], f"{row['fps']:.0f}", *alone)
    jpegs = Table("JPEG, luma", "kB", "whole", "half size", "face's part", "one thread", "helpers", box=None)
    jpegs.title = "decoding; CPU ms a picture, pictures a second"
    for row in found["decoding"]:
        rates, part = row["pictures_a_second"], row["cropped"]
        cells = (row["whole_ms"], row["half_size_ms"], part["part_ms"] if part else "–")
        jpegs.add_row(row["size"], *map(str, (row["kb"], *cells, rates["one_thread"], rates.get("helpers", "–"))))
    return [table, recorded, jpegs]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each live session")
    console = Console(width=150)
    for table in tables(run(parser.parse_args(argv).seconds, console.print)):
        console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
