"""The tables of ``bench/scale.py``, part ``archive``: measured rates, codecs, and what an archive takes on paper."""

from __future__ import annotations

from typing import Any

from bench._scale_archive import CORES, HOURS, STEPS
from bench._table_parts import load, markdown, stamp


def _archive() -> dict[str, Any]:
    found: dict[str, Any] = load("scale")["archive"]
    return found


def scale_archive() -> str:
    """By workers on this machine, and on two Ray nodes."""
    found = _archive()
    workers, ray = found["workers"], found["ray"]
    rows: list[tuple[object, ...]] = [
        ("hours of footage an hour, start-up of all with it", *(f"{row['hours_an_hour']:.1f}" for row in workers)),
        ("the same where recordings are long", *(f"{row['hours_an_hour_long']:.1f}" for row in workers)),
        *(
            (f"{step}, µs a frame", *(f"{row['us_a_frame'][step]:.0f}" for row in workers))
            for step in (*STEPS[1:], "rest")
        ),
        ("opening a recording, s", *(f"{row['start_s_a_recording']:.2f}" for row in workers)),
        ("log, MB an hour of footage", *(f"{row['log_mb_a_footage_hour']:.2f}" for row in workers)),
        ("memory of a worker, peak MB", *(f"{row['rss_peak_mb']:.0f}" for row in workers)),
    ]
    shown = found["recording"]
    head = f"{workers[0]['recordings']} recordings of {shown['frames']} frames, {shown['size']}, {shown['fps']:g} fps, "
    text = f"{head}{shown['codec']}. The largest part of a frame: **{found['bottleneck']}**.\n\n"
    text += markdown(("", *(f"{row['workers']} at a time" for row in workers)), rows) + stamp(found)
    if "skipped" in ray:
        return text + f"\nRay: {ray['skipped']}.\n"
    text += "\nRay, nodes of one core each (processes of this machine), "
    text += f"{ray['recordings_a_node']} such recordings a node: "
    text += f"one node {ray['nodes_1_s']:.0f} s, two {ray['nodes_2_s']:.0f} s, start of their processes with it "
    text += f"(weak scaling {ray['weak_efficiency']:.0%}). "
    text += f"One of two nodes killed in the middle: {ray['killed_s']:.0f} s, "
    return text + f"{ray['lost']} of {ray['recordings']} recordings lost, {ray['doubled']} doubled.\n"


def scale_codecs() -> str:
    """What a core does an hour, by how the footage is kept."""
    found = _archive()
    rows = [
        (
            row["codec"],
            f"{found['codecs'][row['codec']]['cpu_us_a_frame']:.0f}",
            f"{found['codecs'][row['codec']]['gb_an_hour']:.1f}",
            f"{row['hours_an_hour_a_core']:.1f}",
            f"{row['read_mb_s_a_core']:.0f}",
            row["cores_at_network_limit"],
        )
        for row in found["model"]["rows"]
    ]
    header = (
        "footage", "decoding, µs a frame", "GB an hour", "hours of footage an hour, a core", "read, MB/s a core",
        "cores that 10 Gbit/s feed",
    )  # fmt: skip
    return markdown(header, rows) + stamp(found)


def scale_cost() -> str:
    """Hours of work for an archive, by cores."""
    found = _archive()
    rows = []
    for row in found["model"]["rows"]:
        for one in row["archives"]:
            walls = (f"{one['wall_h'][str(cores)]:.1f}" for cores in CORES)
            name = f"{row['codec']}, {one['hours']} h"
            rows.append((name, f"{one['core_hours']:.0f}", f"{one['storage_tb']:.1f}", *walls))
    assert {one["hours"] for row in found["model"]["rows"] for one in row["archives"]} == set(HOURS)
    header = ("archive", "core-hours", "TB", *(f"{cores} cores, h" for cores in CORES))
    return markdown(header, rows) + stamp(found)
