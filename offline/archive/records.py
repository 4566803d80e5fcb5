"""What is known of a recording's analysis: its folder below OUT, its record, and whether that still holds.

``OUT/videos/PATH/`` has ``events.jsonl`` and, written last, ``record.json``: one is done only where both are whole and
nothing that decides the events has changed since.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from offline.files import write_bytes
from offline.jobs import content_digest
from realtime.config import Settings

LOG, RECORD = "events.jsonl", "record.json"
_OURS = (LOG, RECORD)
_CODE = (
    "vision", "sources", "recognition", "stages/attempts.py", "stages/classify.py", "stages/motion.py",
    "stages/networks.py", "stages/sensing.py", "serial.py", "session/read.py", "sinks/lines.py",
    "supervisor/account.py", "supervisor/journal.py",
)  # fmt: skip

State = Literal["done", "failed", "outdated", "missing"]


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the events."""

    file: str
    settings: str
    code: str


class Row(msgspec.Struct, kw_only=True):
    """One row of the index. Times in seconds of work, one core."""

    path: str
    """Below the archive's root."""
    state: State
    """``outdated``: done, but for another file, other settings or by other code; ``missing``: nothing is there yet."""
    error: str | None = None
    """Why it failed; one line."""
    notes: str | None = None
    """What the source told: truncated, unreadable images …"""
    kind: str = ""
    """``video``, ``images`` or ``session``."""
    bytes: int = 0
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    fps: float | None = None
    """As the events are timed."""
    frames: int | None = None
    """Analysed."""
    seconds: float | None = None
    """Of footage: frames / fps."""
    face_share: float | None = None
    """Of the analysed frames, those with a face in view."""
    dropped: int | None = None
    """Frames that are missing or could not be decoded."""
    events: int | None = None
    micro: int | None = None
    macro: int | None = None
    negative: int | None = None
    positive: int | None = None
    surprise: int | None = None
    uncertain: int | None = None
    log: str | None = None
    """The events.jsonl, below OUT."""
    digest: str = ""
    """Of file, settings and code together."""
    version: str = ""
    """Of merealtime."""
    flow_backend: str | None = None
    wall_s: float | None = None
    start_s: float | None = None
    decode_s: float | None = None
    landmarks_s: float | None = None
    track_s: float | None = None
    spot_s: float | None = None
    flow_s: float | None = None
    classify_s: float | None = None
    cpu_s: float | None = None
    rss_peak_mb: float | None = None
    host: str | None = None
    finished_at: str | None = None
    """ISO 8601, UTC."""


class Record(msgspec.Struct, kw_only=True):
    """``record.json``."""

    digests: Digests
    log_bytes: int | None
    """Of the events.jsonl that belongs to it; null: there is none."""
    row: Row


def folder_of(out: Path, path: str) -> Path:
    """Where the results of a recording are. Names of ours in PATH get a ``~`` more, so that no two can meet."""
    parts = (f"{part}~" if part.rstrip("~") in _OURS else part for part in path.split("/"))
    return out.joinpath("videos", *parts)


def settings_digest(settings: Settings) -> str:
    """Of all that can change a line: rate and limits, spotter, flow, model by its content. Raises BundleError."""
    from realtime.recognition.bundle import find, read_card

    card = read_card(find(settings.recognition.bundle))
    served = [card.name, card.network.sha256, card.feature_digest, settings.recognition.threshold]
    source = settings.source
    return content_digest(source.fps, source.frames, source.duration_s, settings.spot, settings.flow.backend, served)


@functools.cache
def code_digest() -> str:
    """Of the sources that make the lines: what other code has made is not used again."""
    import realtime

    root, hashed = Path(realtime.__file__).parent, hashlib.sha256(realtime.__version__.encode())
    for name in _CODE:
        place = root / name
        files = [place] if place.suffix else sorted([*place.rglob("*.py"), *place.rglob("*.cu")])
        for file in files:
            hashed.update(f"\0{file.relative_to(root)}\0".encode() + file.read_bytes())
    return hashed.hexdigest()[:32]


def read(out: Path, path: str) -> Record | None:
    """The record, if there is a whole one."""
    try:
        return msgspec.json.decode((folder_of(out, path) / RECORD).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def write(out: Path, record: Record) -> None:
    """Raises OSError."""
    write_bytes(folder_of(out, record.row.path) / RECORD, msgspec.json.encode(record) + b"\n")


def standing(out: Path, path: str, now: Digests) -> tuple[State, Record | None, str]:
    """(state, record, what has changed) of a recording whose digests are now these."""
    record = read(out, path)
    if record is None:
        return "missing", None, ""
    names = {"file": "the recording", "settings": "settings or model", "code": "merealtime"}
    changed = [said for name, said in names.items() if getattr(record.digests, name) != getattr(now, name)]
    if changed:
        return "outdated", record, " and ".join(changed)
    if record.row.state != "done":
        return "failed", record, ""
    try:
        whole = (folder_of(out, path) / LOG).stat().st_size == record.log_bytes
    except OSError:
        whole = False
    return ("done", record, "") if whole else ("missing", None, "")
