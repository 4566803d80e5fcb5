"""A table as OpenFace 2 (Baltrušaitis et al. 2018) writes it, for scripts that read those: its names for what we know.

``pose_Rx``, ``pose_Ry``, ``pose_Rz`` are pitch, yaw and roll, rad, against the frame in which the face was found;
``confidence`` is 1 with a face and 0 without. What we do not measure (gaze, landmarks, action units) is not there. The
regions' curves follow under our own names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from realtime.errors import UserError
from realtime.session.export import Place
from realtime.session.export.tables import curve_table
from realtime.session.load import Session
from realtime.vision.face.regions import ROI_NAMES

_POSE = {"pose_Rx": "pitch", "pose_Ry": "yaw", "pose_Rz": "roll"}


def write_openface(session: Session, place: Place) -> list[Path]:
    """UserError without curves: OpenFace's table has a row a frame."""
    rows = session.curves
    if not len(rows):
        raise UserError(f"{session.path}: has no curves, and openface is a row a frame; record with --record DIR")
    ours = curve_table(session, ("face", "found", *ROI_NAMES, "eyes_open", "speech"))
    found = rows["found"]
    columns = {
        "frame": ours["frame"],
        "face_id": ours["face"],
        "timestamp": ours["timestamp"],
        "confidence": pa.array(found.astype(np.float64)),
        "success": ours["found"],
    }
    for theirs, name in _POSE.items():
        radians = np.round(np.radians(np.where(found, rows[name], 0.0)), 6)  # as OpenFace: zeros where there is no face
        columns[theirs] = pa.array(radians)
    columns |= {name: ours[name] for name in (*ROI_NAMES, "eyes_open", "speech")}
    path = place.file("" if place.named else "openface")
    csv.write_csv(pa.table(columns), path, csv.WriteOptions(quoting_style="none"))
    return [path]
