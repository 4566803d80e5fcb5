"""``curves.parquet`` for the page: the regions' curves, reduced to as many points as there is room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from realtime.vision.face.regions import ROI_NAMES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
MOST_BINS = 4000


@dataclass(frozen=True, slots=True)
class Curves:
    """Columns, in the order of time."""

    frames: Ints
    t_ns: Ints
    face: Ints
    found: npt.NDArray[np.bool_]
    regions: dict[str, Floats]
    centres: Floats | None
    """(n, 2) px, where they were written."""

    def reduced(
        self, begin_ns: int, end_ns: int, bins: int, face: int
    ) -> tuple[list[int], dict[str, list[float | None]]]:
        """Times, ns, and per region the largest value of each bin: a short movement never falls between two points.
        None where there was no face.
        """
        first, last = np.searchsorted(self.t_ns, [begin_ns, end_ns])
        own = np.flatnonzero(self.face[first:last] == face) + first
        if not len(own):
            return [], {name: [] for name in self.regions}
        bins = max(1, min(bins, MOST_BINS, len(own)))
        starts = np.unique(np.linspace(0, len(own), bins, endpoint=False).astype(np.int64))
        times = self.t_ns[own[starts]].tolist()
        found = np.logical_or.reduceat(self.found[own], starts)
        reduced: dict[str, list[float | None]] = {}
        for name, values in self.regions.items():
            peaks = np.fmax.reduceat(np.where(self.found[own], values[own], np.nan), starts)
            kept = found & np.isfinite(peaks)
            reduced[name] = [round(float(v), 4) if ok else None for v, ok in zip(peaks, kept, strict=True)]
        return times, reduced

    def faces(self) -> list[int]:
        """Which there are."""
        return [int(face) for face in np.unique(self.face)]

    def centre(self, frame: int, face: int) -> tuple[float, float] | None:
        """Where a face was in a frame, px."""
        at = int(np.searchsorted(self.frames, frame))
        for row in range(at, min(at + 16, len(self.frames))):
            if self.centres is not None and self.face[row] == face and self.found[row]:
                return float(self.centres[row, 0]), float(self.centres[row, 1])
        return None


def read_curves(path: Path) -> tuple[str, Curves | None]:
    """The curves, or why there are none."""
    if not path.exists():
        return "not recorded", None
    try:
        from pyarrow import parquet
    except ImportError:
        return "pyarrow is missing: pip install 'merealtime[web]'", None
    try:
        table = parquet.read_table(path, memory_map=True)
        column = {name: table.column(name).to_numpy() for name in table.column_names}
        order = np.argsort(column["t_ns"], kind="stable")
        count = len(order)
        centres = (
            np.column_stack([column["centre_x"][order], column["centre_y"][order]]).astype(np.float32)
            if {"centre_x", "centre_y"} <= column.keys()
            else None
        )
        return "", Curves(
            frames=column["frame"][order].astype(np.int64),
            t_ns=column["t_ns"][order].astype(np.int64),
            face=column.get("face", np.zeros(count, np.int64))[order].astype(np.int64),
            found=column.get("found", np.ones(count, bool))[order].astype(bool),
            regions={name: column[name][order].astype(np.float32) for name in ROI_NAMES if name in column},
            centres=centres,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's own errors are ValueErrors
        return f"{path.name} can't be read ({str(error).splitlines()[0]})", None
