"""The tables of ``bench/scale.py``, part ``live``: picture sizes, faces, recordings without loss, decoding."""

from __future__ import annotations

from typing import Any

from bench._table_parts import load, markdown, number, stamp


def _live() -> dict[str, Any]:
    found: dict[str, Any] = load("scale")["live"]
    return found


def scale_live() -> str:
    """A row a session: what it kept, how long a frame took, what it cost."""
    found = _live()
    named = [(f"{row['size']}, {row['pixel_format']}", row) for row in (*found["sizes"], *found["mjpg"])]
    named += [(f"`--faces {row['faces']}`, {row['size']}, {row['pixel_format']}", row) for row in found["faces"]]
    most = found["moonshot"]
    named.append((f"`--faces {most['faces']}`, {most['size']}, {most['pixel_format']}", most))
    rows = []
    for name, row in named:
        cores = row["cores"]
        ours = sum(value for process, value in cores.items() if process != "camera")
        cells = (f"{row['fps_asked']:.0f}", f"{row['dropped']} of {row['captured']}", f"{row['spot_ms_a_frame']:.2f}")
        times = (number(row["frame_ms"][key]) for key in ("p50", "p99"))
        parts = (f"{cores.get(stage, 0.0):.2f}" for stage in ("capture", "spot"))
        memory = (f"{sum(row['own_mb'].values()):.0f}", f"{row['ring_mb']:.0f}")
        rows.append((name, *cells, *times, f"{ours:.2f}", *parts, *memory))
    header = (
        "camera", "fps", "frames dropped", "spotter, ms a frame", "exposure to analysed p50, ms", "p99", "cores",
        "of it capture", "spotter", "memory of its own, MB", "ring, MB",
    )  # fmt: skip
    text = f"Sessions of {found['seconds']:g} s each.\n\n"
    return text + markdown(header, rows) + stamp(found)


def scale_lossless() -> str:
    """Frames a second of recordings without compression, by size."""
    rows = [
        (row["size"], f"{row['fps']:.0f}", *(f"{row['stage_fps'][stage] or 0:.0f}" for stage in ("capture", "spot")))
        for row in _live()["lossless"]
    ]
    return markdown(("recording", "frames a second", "reader alone", "spotter alone"), rows) + stamp(_live())


def scale_decoding() -> str:
    """What Motion JPEG costs: whole, scaled, the face's part."""
    rows = []
    for row in _live()["decoding"]:
        part, rates = row["cropped"], row["pictures_a_second"]
        costs = (row["whole_ms"], row["half_size_ms"], part["part_ms"] if part else None)
        speeds = (number(rates.get(name), 0) for name in ("one_thread", "helpers"))
        rows.append((row["size"], row["kb"], *(number(one, 2) for one in costs), *speeds))
    header = (
        "picture, luma only", "kB", "whole, ms", "at half its size", "the face's part, libjpeg's own cropping",
        "pictures a second, one thread", "with helpers",
    )  # fmt: skip
    return markdown(header, rows) + stamp(_live())
