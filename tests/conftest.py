"""Order of the tests: quick ones first, so that a mistake shows at once. What several files start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.ipc.board import Board
from realtime.ipc.ring import RingWriter
from realtime.supervisor import cleanup


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests last; otherwise as they stand."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made feature maps, 54 of 6 subjects, as an .npz."""
    from _offline_data import made_maps
    from _offline_runs import save

    return save(made_maps(6, 9), tmp_path_factory.mktemp("maps") / "maps.npz")


@pytest.fixture(scope="session")
def laenet_run(maps: Path) -> Path:
    """The folder of a short run of LAENet on them, two seeds."""
    from _offline_runs import run

    out = maps.parent / "laenet"
    code = run("--dataset", "flowmaps", "--data", maps, "--seeds", 2, "--epochs", 12, "--set", "batch=16", "--out", out)
    assert code == 0
    return out


@pytest.fixture
def board() -> Iterator[Board]:
    """The shared page of counters of a session that is not there."""
    made = Board.create(f"{cleanup.session_prefix()}tests-board")
    yield made
    made.close()
    made.unlink()


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    """Its ring, 32 frames of 64×48."""
    with RingWriter.create(f"{cleanup.session_prefix()}tests-ring", 32, 48, 64) as made:
        yield made
