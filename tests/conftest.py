"""Order of the tests: quick ones first, so that a mistake shows at once. What several files start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime.ipc.board import Board
from realtime.ipc.ring import RingWriter
from realtime.supervisor import cleanup

if TYPE_CHECKING:
    from _spot_stage import Sent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests last; otherwise as they stand."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="module", autouse=True)
def _own_environment() -> Iterator[None]:
    """What a file's tests set in the environment (`serial.prepare_process`: one thread) is not there for the next."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


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


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short lossless recording of the demo: 3 s, 200 fps."""
    import cv2
    import numpy as np

    from realtime.sources import open_source
    from realtime.types import SourceRequest

    path = str(tmp_path_factory.mktemp("clip") / "clip.mkv")
    source = open_source("demo:5", SourceRequest(fps=200.0, size=(480, 360)))
    frame = np.empty((360, 480), np.uint8)
    fourcc = cv2.VideoWriter.fourcc(*"Y800")
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, 200.0, (480, 360), False)
    for _ in range(600):
        source.read(frame)
        writer.write(frame)
    writer.release()
    source.close()
    return path


@pytest.fixture(scope="session")
def recorded_session(clip: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recorded session, to be read only."""
    from _session_folder import record_session

    return record_session(tmp_path_factory.mktemp("sessions"), clip)


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


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sent]:
    """The spotting stage's sending ends, by endpoint."""
    from _spot_stage import Sent

    from realtime.stages import spot as spot_stage

    made: dict[str, Sent] = {}

    def sender(_: object, endpoint: str) -> Sent:
        return made.setdefault(endpoint, Sent())

    monkeypatch.setattr(spot_stage.bus, "Sender", sender)
    monkeypatch.setattr(spot_stage.bus, "Broadcaster", sender)
    return made
