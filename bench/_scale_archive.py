"""An archive measured: hours of footage an hour by workers, where the time goes, two Ray nodes of which one is killed.

``run()`` makes an archive of generated faces (one recording under many names) and runs ``offline.spot --dataset
folder`` on it as a user would; ``model`` reckons from what it measured what an archive of any size takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench._pipeline import ROOT, demo_frames
from realtime.sources import open_source
from realtime.types import SourceRequest

FPS, SIZE, SEED = 200.0, (640, 480), 11
CODECS = {"raw": "Y800", "Motion JPEG": "MJPG", "MPEG-4": "mp4v", "FFV1": "FFV1"}
MAIN = "Motion JPEG"
"""As many high-speed cameras write."""
STEPS = ("start", "decode", "landmarks", "track", "spot", "flow", "classify")
WORKERS = (1, 2)
HOURS = (100, 1000, 10_000)
CORES = (2, 16, 64, 256, 1024)
NETWORK_MB_S = 1250.0
"""10 gigabit a second, between the storage and all nodes together."""
_HOUR_S = 3600.0


def run(frames: int, recordings: int, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything: ``codecs``, ``workers``, ``bottleneck``, ``ray`` (or why not) and ``model``."""
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as name:
        folder = Path(name)
        tell(f"drawing {frames} frames")
        clips = write_clips(folder, frames)
        tell("decoding alone")
        codecs = {codec: decoding(clip, frames) for codec, clip in clips.items()}
        data = archive(folder / "data", clips[MAIN], recordings)
        workers = []
        for count in WORKERS:
            tell(f"{recordings} recordings, {count} at a time")
            workers.append(by_workers(data, folder / f"out-{count}", count))
        found: dict[str, Any] = {
            "recording": {"size": "x".join(map(str, SIZE)), "fps": FPS, "frames": frames, "codec": MAIN},
            "codecs": codecs,
            "workers": workers,
            "bottleneck": max(STEPS[1:], key=lambda step: workers[0]["share"][step]),
            "ray": on_ray(folder, clips[MAIN], tell),
        }
    return {**found, "model": model(found)}


def write_clips(folder: Path, frames: int) -> dict[str, Path]:
    """The same frames by each codec, and as a folder of JPEG images."""
    clips = {codec: folder / f"{codec.replace(' ', '-')}.{'mp4' if codec == 'MPEG-4' else 'mkv'}" for codec in CODECS}
    writers = [
        cv2.VideoWriter(str(clips[codec]), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*four), FPS, SIZE, False)
        for codec, four in CODECS.items()
    ]
    images = folder / "images"
    images.mkdir()
    for number, frame in enumerate(demo_frames(FPS, SIZE, SEED, frames)):
        for writer in writers:
            writer.write(frame)
        cv2.imwrite(str(images / f"{number:06d}.jpg"), frame)
    for writer in writers:
        writer.release()
    return {**clips, "JPEG images": images}


def decoding(clip: Path, frames: int) -> dict[str, float]:
    """Decoding alone, one core: frames a second, and GB that an hour of footage takes."""
    size = clip.stat().st_size if clip.is_file() else sum(file.stat().st_size for file in clip.iterdir())
    source = open_source(str(clip), SourceRequest(fps=FPS))
    gray = np.empty((source.info.height, source.info.width), np.uint8)
    begun, cpu = time.perf_counter(), time.process_time()
    count = 0
    while source.read(gray) is not None:
        count += 1
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    source.close()
    return {
        "fps": round(count / seconds, 1),
        "cpu_us_a_frame": round(cpu_s / count * 1e6, 1),
        "gb_an_hour": round(size / frames * FPS * _HOUR_S / 1e9, 2),
    }


def archive(folder: Path, clip: Path, recordings: int) -> Path:
    """A tree in which the clip stands under many names."""
    for number in range(recordings):
        place = folder / f"s{number % 3:02d}" / f"take {number}{clip.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(clip, place)
    return folder


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Of its index."""
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(out / "index.parquet").to_pylist()
    return rows


def by_workers(data: Path, out: Path, workers: int) -> dict[str, Any]:
    """One run of the command, start-up of its processes and index with it."""
    options = ["--dataset", "folder", "--data", str(data), "--out", str(out), "--workers", str(workers)]
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "offline.spot", *options], cwd=ROOT, check=True, capture_output=True, timeout=600
    )
    seconds = time.perf_counter() - begun
    rows = rows_of(out)
    total = {step: sum(row[f"{step}_s"] for row in rows) for step in STEPS}
    work, footage_h = sum(row["wall_s"] for row in rows), sum(row["seconds"] for row in rows) / _HOUR_S
    total["rest"] = work - sum(total.values())
    frames = sum(row["frames"] for row in rows)
    steady = work - total["start"]
    return {
        "workers": workers,
        "recordings": len(rows),
        "done": sum(row["state"] == "done" for row in rows),
        "seconds": round(seconds, 2),
        "hours_an_hour": round(footage_h * _HOUR_S / seconds, 2),
        "hours_an_hour_long": round(workers * footage_h * _HOUR_S / steady, 2),
        "share": {step: round(value / work, 4) for step, value in total.items()},
        "us_a_frame": {step: round(value / frames * 1e6, 1) for step, value in total.items() if step != "start"},
        "start_s_a_recording": round(total["start"] / len(rows), 2),
        "cpu_s_a_footage_hour": round(sum(row["cpu_s"] for row in rows) / footage_h, 1),
        "events": sum(row["events"] for row in rows),
        "log_mb_a_footage_hour": round(sum((out / row["log"]).stat().st_size for row in rows) / footage_h / 1e6, 3),
        "rss_peak_mb": max(row["rss_peak_mb"] for row in rows),
    }


def on_ray(folder: Path, clip: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Weak scaling over one and two nodes of a core each, and two nodes of which one is killed in the middle."""
    try:
        import ray  # noqa: F401
    except ImportError:
        return {"skipped": "Ray is not installed (the extra merealtime[cluster])"}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    a_node = 3
    found: dict[str, Any] = {"recordings_a_node": a_node}
    for nodes in (1, 2):
        tell(f"Ray, nodes of one core: {nodes}")
        data = archive(folder / f"ray-{nodes}", clip, a_node * nodes)
        with cluster(nodes) as made:
            del made
            found[f"nodes_{nodes}_s"] = _spot(data, folder / f"ray-out-{nodes}")
    found["weak_efficiency"] = round(found["nodes_1_s"] / found["nodes_2_s"], 3)
    tell("Ray, two nodes, one killed in the middle")
    data, out = archive(folder / "ray-killed", clip, 2 * a_node), folder / "ray-out-killed"
    with cluster(2) as made:
        killer = _Killer(made, out)
        found["killed_s"] = _spot(data, out)
        killer.join()
    return {**found, "killed": killer.killed, **account(data, out)}


def _spot(data: Path, out: Path) -> float:
    """Seconds of the command in this process, which is connected to a cluster."""
    from offline.commands import cli, spot

    begun = time.perf_counter()
    with contextlib.redirect_stdout(None):
        code = cli.run(spot.main, ["--dataset", "folder", "--data", str(data), "--out", str(out), "--ray"])
    if code:
        raise RuntimeError(f"offline.spot on Ray left with {code}")
    return round(time.perf_counter() - begun, 2)


@contextlib.contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A Ray cluster on this machine: nodes of one core each, which are processes here."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


class _Killer(threading.Thread):
    """Kills the second node while both write and something is done."""

    def __init__(self, made: Any, out: Path) -> None:
        super().__init__(daemon=True)
        self.killed = False
        self._made, self._out = made, out
        self._node = next(iter(made.worker_nodes))
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            parts = list(self._out.rglob("events.jsonl.*.part")) if self._out.exists() else []
            if len(parts) >= 2 and any(self._out.rglob("record.json")):
                self._made.remove_node(self._node, allow_graceful=False)
                self.killed = True
                return
            time.sleep(0.02)


def account(data: Path, out: Path) -> dict[str, int]:
    """Recordings lost (no whole log of their own), and doubled (two rows, or a log told twice)."""
    paths = {str(file.relative_to(data)) for file in data.rglob("*") if file.is_file()}
    rows = Counter(row["path"] for row in rows_of(out) if row["state"] == "done")
    doubled = sum(count - 1 for count in rows.values())
    for path in rows:
        log = (out / "videos" / path / "events.jsonl").read_text(encoding="utf-8")
        types = Counter(json.loads(line)["type"] for line in log.splitlines())
        doubled += (types["session"], types["summary"]) != (1, 1)
    return {"recordings": len(paths), "lost": len(paths - rows.keys()), "doubled": doubled}


def model(found: dict[str, Any]) -> dict[str, Any]:
    """What an archive takes, reckoned from what was measured: time, core-hours, storage, network, by codec.

    Assumes recordings of an hour (opening them is nothing, and no more cores are of use than hours), a core each, cores
    as fast as these when all are busy (``crowding``: what a core loses when the other works too), and storage that
    keeps up.
    """
    one, *_, last = found["workers"]
    crowding = _steady_us(last) / _steady_us(one)
    analysis_us = (_steady_us(one) - one["us_a_frame"]["decode"]) * crowding
    rows = []
    for codec, decode in found["codecs"].items():
        core_s = (analysis_us + decode["cpu_us_a_frame"] * crowding) * FPS * _HOUR_S / 1e6
        rows.append(reckon(codec, core_s, decode["gb_an_hour"], last["log_mb_a_footage_hour"]))
    return {"crowding": round(crowding, 3), "network_mb_s": NETWORK_MB_S, "rows": rows}


def _steady_us(row: dict[str, Any]) -> float:
    return float(sum(row["us_a_frame"].values()))


def reckon(codec: str, core_s: float, gb_an_hour: float, log_mb: float) -> dict[str, Any]:
    """One codec's row. core_s: of one core, for an hour of footage; gb_an_hour, log_mb: of footage and of its log."""
    a_core_mb_s = gb_an_hour * 1e3 / core_s
    most = NETWORK_MB_S / a_core_mb_s
    return {
        "codec": codec,
        "core_hours_an_hour": round(core_s / _HOUR_S, 4),
        "hours_an_hour_a_core": round(_HOUR_S / core_s, 2),
        "read_mb_s_a_core": round(a_core_mb_s, 2),
        "cores_at_network_limit": round(most),
        "archives": [
            {
                "hours": hours,
                "core_hours": round(hours * core_s / _HOUR_S, 1),
                "storage_tb": round(hours * gb_an_hour / 1e3, 2),
                "results_gb": round(hours * log_mb / 1e3, 3),
                "wall_h": {str(cores): round(hours * core_s / _HOUR_S / min(cores, most, hours), 2) for cores in CORES},
            }
            for hours in HOURS
        ],
    }
