"""All rows of a sweep in one table, and the page of `offline.evaluate` over its runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from offline.commands import evaluate
from offline.evaluation.metrics import NAMES
from offline.files import write_bytes
from offline.sweeps import work
from offline.sweeps.plan import Sweep, code_digest

COLUMNS = pa.schema(
    [
        ("run", pa.string()), ("data", pa.string()), ("model", pa.string()), ("protocol", pa.string()),
        ("seed", pa.int64()), ("part", pa.string()), *((name, pa.float64()) for name in NAMES),
        ("clips", pa.int64()), ("subjects", pa.int64()), ("parameters", pa.int64()), ("seconds", pa.float64()),
        ("where", pa.string()), ("threads", pa.int64()), ("finished_at", pa.string()), ("key", pa.string()),
        ("code", pa.string()), ("command", pa.string()),
    ]
)  # fmt: skip
"""A row a run, seed and part: "full", or one of the data sets within it."""


def read_row(out: Path, key: str) -> dict[str, Any] | None:
    """What a job left; None where it is to be done: not there, or not whole."""
    try:
        row: dict[str, Any] = msgspec.json.decode(work.row_file(out, key).read_bytes(), type=dict)
        return row if row.get("key") == key else None
    except (OSError, msgspec.MsgspecError):
        return None


def is_joined(out: Path, name: str, key: str) -> bool:
    """Does the run's folder hold these very jobs?"""
    try:
        return work.mark_file(out, name).read_text() == key and (out / "runs" / name / "results.json").exists()
    except OSError:
        return False


def rows(sweep: Sweep, out: Path) -> list[dict[str, Any]]:
    """Of all seeds that are done, in the order of SWEEP.toml."""
    found = []
    for run in sweep.runs:
        for seed, key in zip(run.seeds, run.units[run.protocol], strict=True):
            row = read_row(out, key)
            if row is None:
                continue
            shared = {name: row[name] for name in row.keys() & set(COLUMNS.names)} | {
                "run": run.name, "data": run.data, "model": run.model, "protocol": run.protocol, "seed": seed,
                "code": code_digest()[:16], "command": " ".join(["offline.train", *run.argv]),
            }  # fmt: skip
            found += [shared | {"part": part} | figures for part, figures in row["metrics"].items()]
    return found


def write(sweep: Sweep, out: Path) -> tuple[int, int]:
    """``results.parquet`` and, where a run is whole, ``results.html``; rows and whole runs."""
    found = rows(sweep, out)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(found, COLUMNS), stream)
    write_bytes(out / "results.parquet", stream.getvalue())
    whole = [out / "runs" / run.name for run in sweep.runs if is_joined(out, run.name, run.join)]
    if whole:
        evaluate.main([*map(str, whole), "--html", str(out / "results.html")])
    return len(found), len(whole)
