"""``index.parquet``: one row a recording of the tree, joined from the records that are there, whoever wrote them."""

from __future__ import annotations

import contextlib
import fcntl
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from offline.archive import records
from offline.archive.records import Digests, Row
from offline.archive.tree import Tree
from offline.files import write_bytes

FILE = "index.parquet"
_ARROW = {"str": "string", "int": "int64", "float": "float64"}


def join(out: Path, tree: Tree, settings: str) -> list[Row]:
    """All recordings of the tree, by path, as their records stand now; settings: their digest."""
    rows = [Row(path=one.path, state="failed", error=one.why) for one in tree.unusable]
    for recording in tree.recordings:
        now = Digests(file=recording.digest, settings=settings, code=records.code_digest())
        state, record, _ = records.standing(out, recording.path, now)
        if record is None:
            record = records.Record(
                digests=now, log_bytes=None, row=Row(path=recording.path, state=state, kind=recording.kind)
            )
            record.row.bytes = recording.bytes
        record.row.state = state
        rows.append(record.row)
    return sorted(rows, key=lambda row: row.path)


def write(out: Path, tree: Tree, settings: str) -> list[Row]:
    """Join and write; the last of several shards to come sees the results of all. Returns the rows."""
    import pyarrow
    from pyarrow import parquet

    with _alone(out):
        rows = join(out, tree, settings)
        table = pyarrow.Table.from_pylist([msgspec.to_builtins(row) for row in rows], schema=_schema(pyarrow))
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, compression="zstd")
        write_bytes(out / FILE, buffer.getvalue())
    return rows


def _schema(pyarrow: Any) -> Any:
    """Columns as `Row` has them."""
    fields = []
    for field in msgspec.structs.fields(Row):
        kind = next((arrow for name, arrow in _ARROW.items() if name in str(field.type)), "string")
        fields.append(pyarrow.field(field.name, getattr(pyarrow, kind)()))
    return pyarrow.schema(fields)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Where the folder's disk knows locks, only one shard joins at a time: else an older join could come last."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / f".{FILE}.lock").open("a") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
