"""``bench/scale.py``: what its account would notice, and the arithmetic of the cost model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from bench import _scale_archive


def outcome(folder: Path, logs: dict[str, str], rows: list[str]) -> dict[str, int]:
    data, out = folder / "data", folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    data.mkdir(exist_ok=True)
    for path in ("a.mkv", "b.mkv"):
        (data / path).touch()
    for path, text in logs.items():
        (out / "videos" / path).mkdir(parents=True)
        (out / "videos" / path / "events.jsonl").write_text(text)
    table = pyarrow.Table.from_pylist([{"path": path, "state": "done"} for path in rows])
    pyarrow.parquet.write_table(table, out / "index.parquet")
    return _scale_archive.account(data, out)


def test_what_is_lost_or_doubled_is_counted(tmp_path: Path) -> None:
    log = '{"type":"session"}\n{"type":"summary"}\n'
    both = {"a.mkv": log, "b.mkv": log}
    assert outcome(tmp_path, both, ["a.mkv", "b.mkv"]) == {"recordings": 2, "lost": 0, "doubled": 0}
    assert outcome(tmp_path, both, ["a.mkv"])["lost"] == 1
    assert outcome(tmp_path, both, ["a.mkv", "b.mkv", "b.mkv"])["doubled"] == 1
    assert outcome(tmp_path, {**both, "b.mkv": log + log}, ["a.mkv", "b.mkv"])["doubled"] == 1
    assert outcome(tmp_path, {**both, "b.mkv": '{"type":"session"}\n'}, ["a.mkv", "b.mkv"])["doubled"] == 1


def test_the_cost_model_is_its_formula() -> None:
    """Half an hour of a core for an hour of footage of 45 GB: 25 MB/s a core, so 10 Gbit/s feed 50 cores."""
    row = _scale_archive.reckon("made", 1800.0, 45.0, 2.0)
    assert row["core_hours_an_hour"] == 0.5
    assert row["hours_an_hour_a_core"] == 2.0
    assert row["read_mb_s_a_core"] == 25.0
    assert row["cores_at_network_limit"] == 50
    slow = _scale_archive.reckon("made", 36_000.0, 45.0, 2.0)["archives"][0]
    assert (slow["hours"], slow["wall_h"]["1024"]) == (100, 10.0)  # no recording is on two cores
    largest = row["archives"][-1]
    assert (largest["hours"], largest["core_hours"], largest["storage_tb"]) == (10_000, 5000.0, 450.0)
    assert largest["results_gb"] == 20.0
    assert largest["wall_h"] == {"2": 2500.0, "16": 312.5, "64": 100.0, "256": 100.0, "1024": 100.0}


def test_the_model_takes_what_was_measured() -> None:
    def workers(count: int, decode: float, track: float) -> dict[str, object]:
        return {"workers": count, "us_a_frame": {"decode": decode, "track": track}, "log_mb_a_footage_hour": 1.0}

    found = {
        "workers": [workers(1, 500.0, 500.0), workers(2, 600.0, 600.0)],
        "codecs": {"quick": {"cpu_us_a_frame": 100.0, "gb_an_hour": 1.0}},
    }
    made = _scale_archive.model(found)
    assert made["crowding"] == pytest.approx(1.2)
    # 720 000 frames of (500 + 100) · 1.2 µs
    assert made["rows"][0]["core_hours_an_hour"] == pytest.approx(720e-6 * 720_000 / 3600, abs=1e-4)
