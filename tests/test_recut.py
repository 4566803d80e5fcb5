"""Published maps of another frame, cut as the camera's are."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from offline.commands import train
from offline.datasets.flowmaps import MapSet
from offline.datasets.frames import COMMON, FRAMES, recut
from offline.evaluation.results import read_results
from realtime.errors import ConfigError, UserError

EYES = (-0.5, 0.5)
"""Where the eyes' centres are, in distances of the eyes from their midpoint."""


def face(frame: tuple[float, float, float], side: int = 28) -> np.ndarray:
    """A map with a spot on each eye and one on the mouth, as this frame shows them."""
    width, height, down = frame
    x = (np.arange(side) + 0.5) / side * width - width / 2
    y = (np.arange(side) + 0.5) / side * height - down
    spots = [(eye, 0.0) for eye in EYES] + [(0.0, 1.1)]
    one = sum(np.exp(-((x[None] - at) ** 2 + (y[:, None] - low) ** 2) / 0.03) for at, low in spots)
    return np.stack([255.0 * one / one.max()] * 3, -1).astype(np.float32)


def maps(*sets: str, shown: str = "flow-map", digest: str = "") -> MapSet:
    cells = np.stack([face(FRAMES[name]) for name in sets])
    return MapSet(
        maps=cells,
        label=np.arange(len(sets)) % 3,
        subject=tuple(str(k) for k in range(len(sets))),
        dataset=sets,
        clip=tuple(f"c{k}" for k in range(len(sets))),
        shown=shown,
        feature_digest=digest,
    )


def test_a_face_of_either_frame_is_the_same_afterwards() -> None:
    data = maps("casme2", "samm", "smic")
    assert np.abs(data.maps[1] - data.maps[0]).max() > 100, "the frames differ"
    cut = recut(data)
    assert np.abs(cut.maps[1] - face(COMMON)).max() < 6
    assert np.array_equal(cut.maps[[0, 2]], data.maps[[0, 2]])
    assert (cut.maps[1].min(), cut.maps[1].max()) == (0.0, 255.0)
    assert cut.recut == ("samm",)
    assert data.recut == ()


@pytest.mark.parametrize(
    "data",
    [maps("casme2", "smic"), maps("samm", digest="made here"), maps("samm", shown="flow-field")],
    ids=["no SAMM", "made here", "another input"],
)
def test_nothing_to_cut_is_said(data: MapSet) -> None:
    with pytest.raises(ConfigError, match="--recut: there are no published maps of SAMM"):
        recut(data)


@pytest.fixture
def composite(tmp_path: Path) -> Path:
    """An .npz of few maps of three sets, which differ by class."""
    rng = np.random.default_rng(0)
    sets = np.repeat(["casme2", "samm", "smic"], 12)
    label = np.tile([0, 1, 2], 12)
    cells = rng.uniform(0, 40, (36, 28, 28, 3)).astype(np.float32)
    for k, one in enumerate(label):
        cells[k, 8 * one : 8 * one + 8, 8:20] += 200.0
    subject = np.array([f"{name}{k % 4}" for k, name in enumerate(sets)])
    file = tmp_path / "composite.npz"
    np.savez(file, maps=cells, label=label, subject=subject, dataset=sets, clip=np.arange(36).astype(str))
    return file


def test_a_run_on_cut_maps_says_so_everywhere(composite: Path, tmp_path: Path) -> None:
    usual = ["--dataset", "flowmaps", "--data", str(composite), "--epochs", "1"]
    for name, more in (("plain", []), ("cut", ["--recut"])):
        train.main([*usual, *more, "--out", str(tmp_path / name)])
    plain, cut = (read_results(tmp_path / name) for name in ("plain", "cut"))
    assert "recut" not in plain.config
    assert cut.config["recut"] == ["samm"]
    assert (plain.title, cut.title) == ("laenet", "laenet, re-cut")
    assert plain.config["data_digest"] != cut.config["data_digest"]
    notes = [
        msgspec.json.decode((tmp_path / name / "bundle" / "bundle.json").read_bytes())["notes"]
        for name in ("plain", "cut")
    ]
    assert ["have been cut anew" in " ".join(one) for one in notes] == [False, True]


def test_maps_that_have_no_samm_are_refused_in_one_line(composite: Path, tmp_path: Path) -> None:
    with np.load(composite) as saved:
        arrays = dict(saved)
    own = arrays["dataset"] != "samm"
    np.savez(tmp_path / "two.npz", **{name: value[own] for name, value in arrays.items()})
    with pytest.raises(UserError, match="--recut"):
        train.main(
            ["--dataset", "flowmaps", "--data", str(tmp_path / "two.npz"), "--recut", "--out", str(tmp_path / "x")]
        )


def test_a_dry_run_says_what_would_be_cut(composite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(
        ["--dataset", "flowmaps", "--data", str(composite), "--recut", "--dry-run", "--out", str(tmp_path / "x")]
    )
    assert "of them cut anew: samm" in capsys.readouterr().out


def test_what_is_made_from_recordings_is_cut_right_already(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--recut is for published maps"):
        train.main(["--dataset", "smic", "--data", str(tmp_path), "--recut"])
