"""CSV and Parquet: the curves with a time in seconds, and beside them a table of events, markers and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from realtime.session.curves import COLUMNS
from realtime.session.export import Place
from realtime.session.load import Session
from realtime.session.review import Verdict
from realtime.sinks.lines import EventLine, MarkerLine
from realtime.types import LABELS

_DECIMALS = 6


def curve_table(session: Session, columns: tuple[str, ...] = COLUMNS) -> pa.Table:
    """``frame``, ``timestamp`` (s from the session's start), then the columns of ``curves.parquet``; without a face
    empty.
    """
    rows = session.curves
    seconds = np.round((rows["t_ns"] - session.zero_ns) / 1e9, 9)
    arrays = {"frame": pa.array(rows["frame"]), "timestamp": pa.array(seconds)}
    for name in columns:
        values = np.ascontiguousarray(rows[name])
        if values.dtype.kind == "f":
            values = np.round(values.astype(np.float64), _DECIMALS)
            arrays[name] = pa.array(values, mask=np.isnan(values))
        else:
            arrays[name] = pa.array(values.astype(np.uint8) if values.dtype.kind == "b" else values)
    return pa.table(arrays)


def event_rows(session: Session) -> list[dict[str, Any]]:
    """One row an event, marker or verdict, in the order of their times."""
    rows = [_of_event(session, event) for event in session.events]
    rows += [_of_marker(session, marker) for marker in session.markers]
    rows += [_of_verdict(session, verdict) for verdict in session.verdicts]
    return sorted(rows, key=lambda row: (row["onset_s"], row["type"]))


def _of_event(session: Session, event: EventLine) -> dict[str, Any]:
    return {
        "type": event.kind,
        "id": event.id,
        "face": event.face,
        "onset_frame": event.onset,
        "apex_frame": event.apex,
        "offset_frame": event.offset,
        "onset_s": session.seconds(event.onset_t_ns),
        "apex_s": session.seconds(event.apex_t_ns),
        "offset_s": session.seconds(event.offset_t_ns),
        "label": event.label,
        **{f"score_{name}": event.scores.get(name) for name in LABELS},
        "spot_score": event.spot_score,
        "magnitude_px": event.magnitude_px,
        "residual": event.residual,
        "during": " ".join(event.during),
        **event.head,
    }


def _of_marker(session: Session, marker: MarkerLine) -> dict[str, Any]:
    at = session.seconds(marker.t_ns)
    found = {"type": "marker", "onset_frame": marker.frame, "onset_s": at, "offset_s": at}
    return {**found, "text": marker.text, "origin": marker.origin}


def _of_verdict(session: Session, verdict: Verdict) -> dict[str, Any]:
    return {
        "type": "verdict",
        "id": verdict.event,
        "onset_frame": verdict.onset,
        "apex_frame": verdict.apex,
        "offset_frame": verdict.offset,
        "onset_s": session.frame_seconds(verdict.onset),
        "apex_s": session.frame_seconds(verdict.apex),
        "offset_s": session.frame_seconds(verdict.offset),
        "label": verdict.label,
        "verdict": verdict.verdict,
        "text": verdict.note,
        "origin": verdict.reviewer,
    }


_SCHEMA = pa.schema(
    [
        ("type", pa.string()),
        ("id", pa.int64()),
        ("face", pa.int64()),
        *((f"{moment}_frame", pa.int64()) for moment in ("onset", "apex", "offset")),
        *((f"{moment}_s", pa.float64()) for moment in ("onset", "apex", "offset")),
        ("label", pa.string()),
        *((f"score_{name}", pa.float64()) for name in LABELS),
        *((name, pa.float64()) for name in ("spot_score", "magnitude_px", "residual", "yaw", "pitch", "roll")),
        *((name, pa.string()) for name in ("during", "verdict", "text", "origin")),
    ]
)


def event_table(session: Session) -> pa.Table:
    """As ``event_rows``, every column in every row."""
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in _SCHEMA.names} for row in event_rows(session)], schema=_SCHEMA
    )


def write_csv(session: Session, place: Place) -> list[Path]:
    return _write(session, place, lambda table, path: csv.write_csv(table, path))


def write_parquet(session: Session, place: Place) -> list[Path]:
    return _write(session, place, lambda table, path: parquet.write_table(table, path, compression="zstd"))


def _write(session: Session, place: Place, write: Any) -> list[Path]:
    """The curves under the main name where there are any, the events beside them or in their place."""
    made = []
    if len(session.curves):
        made.append(place.file("" if place.named else "curves"))
        write(curve_table(session), made[-1])
    made.append(place.file("events" if made or not place.named else ""))
    write(event_table(session), made[-1])
    return made
