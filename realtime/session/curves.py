"""``curves.parquet``: one row an analysed frame and face.

While the session runs the rows go to ``curves.rows``, each batch written at once: a line that describes the columns
(JSON), then rows of fixed size, so that a file that ends anywhere is readable up to its last whole row. At the end it
becomes ``curves.parquet``; ``read_curves`` reads either.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import UserError
from realtime.vision.face.regions import ROI_NAMES

if TYPE_CHECKING:
    import pyarrow

FILE, ROWS_FILE = "curves.parquet", "curves.rows"
ROW = np.dtype(
    [
        ("frame", "<i8"),
        ("t_ns", "<i8"),
        ("face", "<i2"),
        ("found", "?"),
        *((name, "<f4") for name in ROI_NAMES),
        *((name, "<f4") for name in ("yaw", "pitch", "roll", "scale", "centre_x", "centre_y")),
        ("eyes_open", "u1"),
        ("speech", "u1"),
    ]
)
"""Regions: px from rest on a face 152 px wide; yaw, pitch, roll: degrees against the frame in which the face was found;
scale: px of the frame a px of that face; centre: px of the frame. Without a face the numbers are not a number."""
COLUMNS = ROW.names or ()
Rows = npt.NDArray[np.void]
"""(n,) ROW"""
_CHUNK = 1 << 16


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    """First line of ``curves.rows``."""

    columns: list[tuple[str, str]]


_HEAD = msgspec.json.encode(_Head([(name, ROW[name].str) for name in COLUMNS])) + b"\n"


class CurveLog:
    """``curves.rows`` of a running session, in its folder; one that is there already is gone on with."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._folder = folder
        self._fd = os.open(folder / ROWS_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        whole = _whole_bytes(self._fd)
        os.ftruncate(self._fd, whole)
        self._end = whole
        self._pending = b"" if whole else _HEAD

    @property
    def count(self) -> int:
        """Rows that are in the file."""
        return max(0, self._end - len(_HEAD)) // ROW.itemsize

    def add(self, rows: bytes) -> None:
        """Append whole rows. OSError where the disk does not take them: they are tried again with the next ones."""
        self._pending += rows
        while self._pending:
            written = os.pwrite(self._fd, self._pending, self._end)
            self._end += written
            self._pending = self._pending[written:]

    def close(self) -> None:
        """Onto the disk, and ``curves.parquet`` of it. OSError where that fails: the rows are kept then."""
        try:
            self.add(b"")
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
        finish(self._folder)


def _whole_bytes(fd: int) -> int:
    """Length up to the last whole row; 0 where there is no whole head of ours."""
    size = os.fstat(fd).st_size
    if os.pread(fd, len(_HEAD), 0) != _HEAD:
        return 0
    return len(_HEAD) + (size - len(_HEAD)) // ROW.itemsize * ROW.itemsize


def finish(folder: Path) -> None:
    """Make ``curves.parquet`` of the rows that are there, a chunk at a time, and remove them. Raises OSError; nothing
    is lost then. Only where no session writes there any more.
    """
    source, target = folder / ROWS_FILE, folder / FILE
    if not source.exists():
        return
    import pyarrow
    from pyarrow import parquet

    rows = _read_rows(source)
    unfinished = folder / f"{FILE}.part"
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with parquet.ParquetWriter(file, to_table(rows[:0]).schema, compression="zstd") as writer:
                for begin in range(0, len(rows), _CHUNK):
                    writer.write_table(to_table(rows[begin : begin + _CHUNK]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
        source.unlink()
    except (OSError, pyarrow.ArrowException) as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise error if isinstance(error, OSError) else OSError(0, str(error).splitlines()[0]) from error


def to_table(rows: Rows) -> pyarrow.Table:
    """Rows as an Arrow table: the columns of ``curves.parquet``."""
    import pyarrow

    return pyarrow.table({name: np.ascontiguousarray(rows[name]) for name in COLUMNS})


def _read_rows(path: Path) -> Rows:
    """The whole rows of ``curves.rows``; of one frame and face that was analysed again, the first."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        whole = _whole_bytes(fd)
    finally:
        os.close(fd)
    if whole <= len(_HEAD):
        return np.empty(0, ROW)
    return _once(np.fromfile(path, ROW, (whole - len(_HEAD)) // ROW.itemsize, offset=len(_HEAD)))


def _once(rows: Rows) -> Rows:
    """In the order of frames and faces, each once."""
    keys = rows["frame"].astype(np.int64) * 64 + rows["face"]
    if (np.diff(keys) > 0).all():
        return rows
    _, first = np.unique(keys, return_index=True)
    return rows[first]


def read_curves(folder: Path | str) -> Rows:
    """(n,) ROW: the curves of a session folder, finished, running or killed; empty where it has none.

    UserError where they can't be read.
    """
    folder = Path(folder)
    for _ in range(2):  # a session that ends meanwhile puts one file in the place of the other
        with contextlib.suppress(FileNotFoundError):
            return _read_parquet(folder / FILE) if (folder / FILE).exists() else _read_unfinished(folder / ROWS_FILE)
    return np.empty(0, ROW)


def _read_unfinished(path: Path) -> Rows:
    try:
        return _read_rows(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


def _read_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        rows = np.zeros(table.num_rows, ROW)
        for name in COLUMNS:
            rows[name] = _column(table, name)
    except (KeyError, ValueError, TypeError, pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: can't be read ({str(error).splitlines()[0]})") from error
    return rows


def _column(table: pyarrow.Table, name: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = table.column(name).to_numpy()
    return values
