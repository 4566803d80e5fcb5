"""Machine-vision cameras and LSL without hardware: rate, CPU a frame, frames unaccounted for, a marker's latency.

``genicam:``: the simulator of Aravis as a GigE camera on loopback, a process of its own that shows the demo's face
with each frame's own number in its first pixels; every two seconds it keeps back three whole frames and some
packets of two more. A frame whose number here is not the camera's is a wrong number: a loss that was not counted,
or counted twice. ``v4l2``: the emulated camera, same pictures, for its CPU a frame (its process includes the
emulator: the reader's thread is what counts; of a GigE camera Aravis's receiving thread, which puts packets
together, counts too). ``gentl``: the producer in the genicam wheel, which draws in our process. ``lsl``: a session
on the demo, and a process that receives its markers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _harness import machine, write_json
from _pipeline import ROOT, camera, demo_frames
from rich.console import Console
from rich.table import Table

from realtime.errors import SourceLostError
from realtime.sinks.lines import percentiles

sys.path.insert(0, str(ROOT / "tests"))
SIZE, FPS, SEED = (640, 480), 200.0, 11
_EVERY_S = 2.0
_LOSE, _TEAR = 3, 2
_PICTURES = 200


def read(spec: str, seconds: float) -> dict[str, Any]:
    """Read a camera for so long, in this process: rate, holes, CPU."""
    from realtime.sources import open_source, take_notices
    from realtime.sources.genicam.source import GenicamSource
    from realtime.types import SourceRequest

    source = open_source(spec, SourceRequest(fps=FPS, size=SIZE))
    out = np.empty((SIZE[1], SIZE[0]), np.uint8)
    first = last = source.read(out)
    assert first is not None
    begun = time.monotonic(), time.process_time(), time.thread_time()
    frames, lost, waits, wrong = 0, None, [], 0
    shown = int.from_bytes(out[0, :8].tobytes(), "little") - first.number
    try:
        while time.monotonic() - begun[0] < seconds:
            stamp = source.read(out)
            assert stamp is not None
            last, frames = stamp, frames + 1
            wrong += int.from_bytes(out[0, :8].tobytes(), "little") - stamp.number != shown
            waits.append((time.monotonic_ns() - stamp.t_ns) / 1e6)
    except SourceLostError as error:
        lost = str(error)
    spent = time.monotonic() - begun[0], time.process_time() - begun[1], time.thread_time() - begun[2]
    losses = source.losses() if isinstance(source, GenicamSource) else (0, 0, 0)
    source.close()
    return {
        "incomplete": losses[0],
        "packets_without_buffer": losses[1],
        "granted": source.info.detail,
        "seconds": round(spent[0], 2),
        "frames": frames,
        "fps": round(frames / spent[0], 2),
        "wrong_numbers": wrong,
        "holes": last.number - first.number - frames,
        "cpu_us_process": round(spent[1] / frames * 1e6, 1),
        "cpu_us_reader": round(spent[2] / frames * 1e6, 1),
        "exposure_to_slot_ms": percentiles(waits),
        "lost": lost,
        "notices": take_notices(source),
    }


def in_a_process(spec: str, seconds: float, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--read", spec, "--seconds", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a reader failed with {process.returncode}")
    found: dict[str, Any] = json.loads(text)
    return found


def genicam(seconds: float) -> dict[str, Any]:
    """The camera keeps back frames meanwhile; each has to be a hole, and no other frame."""
    from fakegenicam import LoopbackCamera

    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as folder:
        pictures = np.stack(list(demo_frames(FPS, SIZE, SEED, _PICTURES)))
        there = LoopbackCamera(Path(folder), "BENCH", SIZE, frames=pictures, stamp=True)
        try:
            process = in_a_process("genicam:BENCH", seconds, {})
            there.control.wait("produced", 10)
            began = time.monotonic()
            while process.poll() is None and time.monotonic() - began < seconds - 1.5 * _EVERY_S:
                there.control.put("lose_n", _LOSE)
                there.control.put("tear_n", _TEAR)
                time.sleep(_EVERY_S)
            found = answer(process)
            kept_back = there.control.get("kept_back")
        finally:
            there.unplug()
    return {**found, "kept_back": kept_back}


def v4l2(seconds: float) -> dict[str, Any]:
    with camera(None, FPS, SIZE) as (spec, environment):
        return answer(in_a_process(spec, seconds, environment))


def gentl(seconds: float) -> dict[str, Any] | None:
    try:
        import genicam as package
    except ImportError:
        return None
    return answer(in_a_process(f"gentl:{Path(package.__file__).parent / 'viky.cti'}", seconds, {}))


def receive() -> None:
    """Take the markers of a session until it ends; print seconds from a marker's decision to its arrival here."""
    import pylsl

    (stream,) = pylsl.resolve_byprop("name", "merealtime events", timeout=120)
    inlet = pylsl.StreamInlet(stream, recover=False)
    inlet.open_stream(timeout=10)
    took = []
    try:
        while True:
            sample, _ = inlet.pull_sample(timeout=1.0)
            if sample is not None:
                arrived_s, event = pylsl.local_clock(), json.loads(sample[0])
                written_ms = event["latency_ms"]["total"] - event["latency_ms"]["decide"]
                took.append((arrived_s - event["sent_lsl"]) * 1e3 + written_ms)
    except RuntimeError:
        print(json.dumps(took))


def lsl(seconds: float) -> dict[str, Any]:
    """A session on the demo at 200 fps with ``--lsl``, and who receives its markers."""
    with tempfile.TemporaryDirectory(prefix="merealtime-bench-") as name:
        events = Path(name) / "events.jsonl"
        config = Path(name) / "lsl_api.cfg"
        config.write_text("[multicast]\nResolveScope = machine\nListenAddress = 127.0.0.1\n[log]\nlevel = -2\n")
        environment = {**os.environ, "LSLAPICFG": str(config)}
        receiver = subprocess.Popen(
            [sys.executable, __file__, "--receive"], stdout=subprocess.PIPE, text=True, env=environment
        )
        command = [sys.executable, "-m", "realtime", "--camera", f"demo:{SEED}", "--fps", f"{FPS:g}", "--lsl"]
        command += ["--view", "none", "--duration", str(seconds), "--events", str(events)]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
        text, _ = receiver.communicate(timeout=60)
        summary = json.loads(events.read_text().splitlines()[-1])
    took = json.loads(text)
    return {
        "seconds": summary["seconds"],
        "frames": summary["frames_captured"],
        "dropped_by": summary["frames_dropped"],
        "events": summary["events"],
        "received": len(took),
        "decided_to_received_ms": percentiles(took),
        "total_ms": summary["latency_ms"]["total"],
    }


def show(found: dict[str, Any]) -> None:
    table = Table(title=f"cameras that are not there, {SIZE[0]}x{SIZE[1]}, {FPS:g} fps asked")
    columns = (
        "source",
        "fps",
        "frames",
        "holes",
        "kept back",
        "wrong number",
        "CPU µs a frame",
        "of it reader",
        "slot p99",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "source" else "right")
    for name in ("genicam", "v4l2", "gentl"):
        row = found.get(name)
        if row:
            counts = (row["fps"], row["frames"], row["holes"], row.get("kept_back", "-"))
            counts = (*counts, row["wrong_numbers"] if name == "genicam" else "-")
            cpu = (row["cpu_us_process"], row["cpu_us_reader"], f"{row['exposure_to_slot_ms']['p99']:.1f} ms")
            table.add_row(name, *map(str, (*counts, *cpu)))
    Console().print(table)
    if "lsl" in found:
        Console().print("lsl", found["lsl"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each camera")
    parser.add_argument("--lsl-seconds", type=float, default=600.0, help="of the session with --lsl")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "cameras.json")
    parser.add_argument("--read", metavar="SOURCE", help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(arguments.read, arguments.seconds)))
        return
    if arguments.receive:
        receive()
        return
    found: dict[str, Any] = {"machine": machine(), "fps_asked": FPS, "size": SIZE}
    found["genicam"] = genicam(arguments.seconds)
    found["v4l2"] = v4l2(arguments.seconds)
    found["gentl"] = gentl(min(arguments.seconds, 20.0))
    found["lsl"] = lsl(arguments.lsl_seconds)
    show(found)
    write_json(arguments.json, found)


if __name__ == "__main__":
    main()
