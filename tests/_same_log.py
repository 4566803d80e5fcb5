"""Two event logs of the same recording: what must be equal in them, line for line, whoever wrote them and when."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

WALL = {
    "session": ("started_at", "start_up_s"),
    "event": ("latency_ms",),
    "summary": ("seconds", "latency_ms", "stages"),
}
"""Fields that tell when and how fast the analysis ran, by type of line."""
OF_CAPTURE = ("recording truncated", "image unreadable", "frame table", "failed")
"""Notices that bear the time of their writing."""


def told(log: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines by type, in their order, without wall times. A session in several processes may tell of a notice and
    of an event in either order.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for text in log.read_text().splitlines():
        line = json.loads(text)
        for field in WALL.get(line["type"], ()):
            del line[field]
        if line["type"] == "notice" and line["what"] in OF_CAPTURE:
            del line["t_ns"]
        found[line["type"]].append(line)
    found["notice"].sort(key=lambda line: (line["what"] in OF_CAPTURE, line.get("t_ns", 0)))
    return dict(found)
