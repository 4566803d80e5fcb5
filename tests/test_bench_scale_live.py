"""The bench of sizes and faces: its rows add up, and the emulated camera's own cost is in none of them."""

from __future__ import annotations

import shutil

import pytest

from bench import _scale_live as scale
from bench.faces import pictures


def costs(capture_s: float, camera_s: float, own_mb: float) -> dict[str, tuple[float, float, float]]:
    return {"capture": (capture_s, 400.0 + own_mb, own_mb), "spot": (1.0, 600.0, 300.0), "camera": (camera_s, 0.0, 0.0)}


def test_shares_are_per_second_and_memory_is_the_most() -> None:
    samples = [(10.0, costs(1.0, 0.5, 20.0)), (11.0, costs(1.2, 0.6, 35.0)), (12.0, costs(1.5, 0.7, 5.0))]
    found = scale.shares(samples, 100.0)
    assert found["cores"] == {"capture": 0.25, "spot": 0.0, "camera": 0.1}
    assert found["own_mb"] == {"capture": 35.0, "spot": 300.0}
    assert found["rss_mb"] == {"capture": 335.0, "spot": 500.0}


def test_the_ring_is_bounded() -> None:
    assert scale.ring_mb((640, 480), 200.0) == pytest.approx(500 * 640 * 480 / 1e6, rel=0.01)
    assert all(scale.ring_mb(size, 200.0) <= 512 * 2**20 / 1e6 + 0.1 for size in scale.SIZES)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cc") is None, reason="needs a C compiler")
def test_a_row_of_two_faces_live() -> None:
    row = scale.live(iter(pictures(2, 640)), (640, 480), 3.0, faces=2)
    assert row["captured"] == row["analysed"] + row["dropped"]
    assert (row["faces"], row["size"], row["pixel_format"]) == (2, "640x480", "GREY")
    assert row["analysed"] > 0
    assert row["held"] == (row["dropped"] == 0 and row["fps"] >= 198)
    assert all(share >= 0 for share in row["cores"].values())
    if row["cores"]:  # a busy machine may leave no two samples
        assert 0 < row["own_mb"]["spot"] < row["rss_mb"]["spot"] + 1
