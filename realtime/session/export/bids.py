"""BIDS 1.11: a behavioural recording, ``sub-…/ses-…/beh/…_events.tsv`` and ``…_physio.tsv.gz`` with their ``.json``.

``physio`` has a row each period of the camera: of a frame that is missing, or without a face, ``n/a``. Several sessions
may go into one folder, which is then one data set; its description is written once and then left alone.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from realtime import __version__
from realtime.errors import UserError
from realtime.session.curves import COLUMNS, Rows
from realtime.session.export import Place
from realtime.session.export.tables import event_rows
from realtime.session.load import Session, label_of
from realtime.types import LABELS
from realtime.vision.face.regions import ROI_NAMES

_TASK = "recording"
_KEPT = COLUMNS[3:]  # found, regions, pose …
_UNITS = {"yaw": "deg", "pitch": "deg", "roll": "deg", "centre_x": "px", "centre_y": "px"}
_SAYS = {
    "found": "1 where there is a face",
    "scale": "Pixels of the frame per pixel of a face that is 152 px wide",
    "centre_x": "Middle of the face in the frame",
    "centre_y": "Middle of the face in the frame",
    "eyes_open": "0 while the eyes are not as they are at rest: a blink",
    "speech": "1 while speech or chewing goes on",
}
_EVENT_COLUMNS: dict[str, dict[str, Any]] = {
    "onset": {"Description": "Begin of the movement, or time of the marker", "Units": "s"},
    "duration": {"Description": "From onset to offset; 0 for a marker", "Units": "s"},
    "trial_type": {
        "Description": "What the row is",
        "Levels": {
            "micro": "A movement of up to half a second",
            "macro": "A longer movement",
            "marker": "Somebody marked this moment",
            "verdict": "A reviewer's verdict on an event, or one that the machine missed",
        },
    },
    "label": {"Description": "Class of the movement, by the model or by the reviewer"},
    "apex": {"Description": "Time of full amplitude", "Units": "s"},
    "event_id": {"Description": "Number of the event in the session's log"},
    "face": {"Description": "Which of several faces"},
    "spot_score": {"Description": "Peak over noise of the strongest region"},
    "magnitude_px": {"Description": "Largest displacement of a region on a face 152 px wide", "Units": "px"},
    **{f"score_{name}": {"Description": f"Score of {name}; the three add up to 1"} for name in LABELS},
    "verdict": {"Description": "true, false or unsure, by the reviewer"},
    "text": {"Description": "Text of the marker, or the reviewer's note"},
    "origin": {"Description": "Where a marker came from, or who reviewed"},
}


def write_bids(session: Session, place: Place) -> list[Path]:
    """UserError where the session has no rate and so no time axis."""
    if session.fps <= 0:
        raise UserError(f"{session.path}: says no frame rate, and bids needs one")
    subject, name = label_of(session.subject, "unknown"), label_of(session.name, "1")
    folder = place.folder / f"sub-{subject}" / f"ses-{name}" / "beh"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{subject}_ses-{name}_task-{_TASK}"
    made = _describe(place.folder, session, subject)
    made += _write_events(session, folder / f"{stem}_events")
    faces = np.unique(session.curves["face"]).tolist()
    for face in faces:
        which = f"_recording-face{face}" if len(faces) > 1 else ""
        made += _write_physio(session, session.curves[session.curves["face"] == face], folder / f"{stem}{which}_physio")
    return made


def _describe(root: Path, session: Session, subject: str) -> list[Path]:
    """The data set's own files, where they are not there yet."""
    made = []
    description = {
        "Name": "Facial micro-expressions, merealtime",
        "BIDSVersion": "1.11.0",
        "DatasetType": "raw",
        "License": "n/a",
        "Authors": ["n/a"],
        "GeneratedBy": [{"Name": "merealtime", "Version": __version__}],
    }
    readme = (
        "Facial movements, spotted and classified live by merealtime.\n\n"
        "Curves are displacements of regions of the face in px, the head's motion removed; a label is a guess about a "
        "movement, not about a mind.\n"
    )
    for name, text in (("dataset_description.json", _json(description)), ("README", readme)):
        if not (root / name).exists():
            (root / name).write_text(text, encoding="utf-8")
            made.append(root / name)
    people = root / "participants.tsv"
    known = people.read_text(encoding="utf-8").splitlines() if people.exists() else ["participant_id"]
    if f"sub-{subject}" not in {line.split("\t")[0] for line in known[1:]}:
        row = [f"sub-{subject}", *["n/a"] * known[0].count("\t")]
        people.write_text("\n".join([*known, "\t".join(row)]) + "\n", encoding="utf-8")
        made.append(people)
    return made


def _write_events(session: Session, stem: Path) -> list[Path]:
    lines = ["\t".join(_EVENT_COLUMNS)]
    for row in event_rows(session):
        values = {
            **row,
            "onset": round(row["onset_s"], 6),
            "duration": round(row["offset_s"] - row["onset_s"], 6),
            "trial_type": row["type"],
            "apex": None if row.get("apex_s") is None else round(row["apex_s"], 6),
            "event_id": row.get("id"),
        }
        lines.append("\t".join(_cell(values.get(name)) for name in _EVENT_COLUMNS))
    table, sidecar = stem.with_suffix(".tsv"), stem.with_suffix(".json")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sidecar.write_text(_json(_EVENT_COLUMNS), encoding="utf-8")
    return [table, sidecar]


def _write_physio(session: Session, rows: Rows, stem: Path) -> list[Path]:
    first = int(rows["frame"][0])
    count = int(rows["frame"][-1]) - first + 1
    cells = np.full((count, len(_KEPT)), "n/a", dtype="U12")
    at = (rows["frame"] - first).astype(np.int64)
    for column, name in enumerate(_KEPT):
        values = rows[name]
        texts = np.char.mod("%.5g", values) if values.dtype.kind == "f" else values.astype(np.int64).astype("U12")
        cells[at, column] = np.where(np.isnan(values), "n/a", texts) if values.dtype.kind == "f" else texts
    table, sidecar = stem.with_suffix(".tsv.gz"), stem.with_suffix(".json")
    fd = os.open(table, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for begin in range(0, count, 4096):
            file.write(("\n".join(map("\t".join, cells[begin : begin + 4096].tolist())) + "\n").encode())
    begins = session.seconds(int(rows["t_ns"][0]))
    camera = session.facts.get("camera", {})
    facts: dict[str, Any] = {
        "SamplingFrequency": round(session.fps, 6),
        "StartTime": round(begins, 9),
        "Columns": list(_KEPT),
        "PhysioType": "generic",
        "Manufacturer": "n/a",
        "DeviceDescription": str(camera.get("detail", "")) or "n/a",
        "SoftwareVersions": f"merealtime {__version__}",
        "TaskName": _TASK,
    }
    facts |= {name: _describe_column(name) for name in _KEPT}
    sidecar.write_text(_json(facts), encoding="utf-8")
    return [table, sidecar]


def _describe_column(name: str) -> dict[str, str]:
    if name in ROI_NAMES:
        what = name.replace("_", " ")
        return {"Description": f"Displacement of the {what} from rest, face 152 px wide", "Units": "px"}
    told = {"Description": _SAYS.get(name, f"{name} of the head against the frame in which the face was found")}
    return told | ({"Units": _UNITS[name]} if name in _UNITS else {})


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "n/a"
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


def _json(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"
