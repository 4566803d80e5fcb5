"""``curves.rows`` and ``curves.parquet``: readable wherever the file ends, the same rows in both."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from realtime.errors import UserError
from realtime.session import curves
from realtime.session.curves import FILE, ROW, ROWS_FILE, CurveLog, read_curves


def rows(count: int, first: int = 0, faces: int = 1) -> np.ndarray:
    made = np.zeros(count * faces, ROW)
    made["frame"] = np.repeat(np.arange(first, first + count), faces)
    made["t_ns"] = made["frame"] * 5_000_000 + 7
    made["face"] = np.tile(np.arange(faces), count)
    made["found"] = made["frame"] % 7 != 0
    for k, name in enumerate(curves.COLUMNS[4:-2]):
        made[name] = np.where(made["found"], np.sin(made["frame"] / (k + 2)), np.nan)
    made["eyes_open"] = made["frame"] % 3 > 0
    return made


def write(log: CurveLog, table: np.ndarray, batch: int = 20) -> None:
    for begin in range(0, len(table), batch):
        log.add(table[begin : begin + batch].tobytes())


def test_a_killed_session_is_readable_up_to_the_last_whole_row(tmp_path: Path) -> None:
    whole = rows(50)
    write(CurveLog(tmp_path), whole)
    path = tmp_path / ROWS_FILE
    data = path.read_bytes()
    head = len(data) - whole.nbytes
    for length in range(0, len(data) + 1, 11):
        path.write_bytes(data[:length])
        count = max(0, length - head) // ROW.itemsize
        assert read_curves(tmp_path).tobytes() == whole[:count].tobytes()
    path.write_bytes(data[: head + 10 * ROW.itemsize + 5])
    log = CurveLog(tmp_path)
    assert log.count == 10
    write(log, whole[10:])
    log.close()
    assert read_curves(tmp_path).tobytes() == whole.tobytes()


def test_the_end_is_a_parquet_file_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "_CHUNK", 64)
    whole = rows(300, faces=2)
    log = CurveLog(tmp_path)
    write(log, whole)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert read_curves(tmp_path).tobytes() == whole.tobytes()
    table = pd.read_parquet(tmp_path / FILE)
    assert tuple(table.columns) == curves.COLUMNS
    assert table["found"].dtype == bool
    assert table["left_mouth"].isna().sum() == (~whole["found"]).sum()


def test_frames_that_were_analysed_again_count_once(tmp_path: Path) -> None:
    again = rows(30, first=40)
    again["yaw"] = 99
    write(CurveLog(tmp_path), np.concatenate([rows(60), again]))
    found = read_curves(tmp_path)
    np.testing.assert_array_equal(found["frame"], np.arange(70))
    assert (found["yaw"] == 99).sum() == 10


def test_rows_that_the_disk_refuses_are_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, whole, real = CurveLog(tmp_path), rows(40), os.pwrite

    def short(fd: int, data: bytes, at: int) -> int:
        if at > 1000:
            raise OSError(28, "No space left on device")
        return real(fd, data[:700], at)

    log.add(whole[:5].tobytes())
    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match="No space"):
        write(log, whole[5:30], 25)
    monkeypatch.undo()
    assert 5 <= len(read_curves(tmp_path)) < 30
    write(log, whole[30:])
    assert read_curves(tmp_path).tobytes() == whole.tobytes()


def test_no_curves_and_damaged_ones(tmp_path: Path) -> None:
    assert len(read_curves(tmp_path)) == 0
    (tmp_path / FILE).write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match="can't be read"):
        read_curves(tmp_path)
