"""Files that are broken or mean harm: one typed line each, and nothing outside their folder is read."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from offline.datasets import flowmaps, spreadsheets, trees
from realtime import config
from realtime.errors import BundleError, ConfigError, DatasetError
from realtime.recognition import bundle
from realtime.sources.images import ImageFolderSource
from realtime.types import SourceRequest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.find("laenet-composite"), tmp_path / "copy"))


@pytest.mark.parametrize("text", [b"a = " + b"[" * 9999, b"a = " + b"1" * 5000, b"a = 2026-02-31", b"\xff\xfe"])
def test_settings_that_are_none(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(text)
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(tmp_path / "s.toml")


@pytest.mark.parametrize("text", ["spot.floor_px=" + "[" * 9999, "spot.floor_px=" + "1" * 5000])
def test_an_assignment_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        config.load(overrides=dict([config.parse_assignment(text)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["a", "a", "a"]},
        {"labels": ["a", "", "b"]},
        {"labels": ["a", "b", "\x1b[2Jc"]},
        {"name": "\x1b]0;mine\x07"},
        {"threshold": {"value": 5.0, "chosen_on": "x"}},
        {"threshold": {"value": -0.1, "chosen_on": "x"}},
        {"network": {"file": "n" * 300, "sha256": "0", "format": "x"}},
        {"network": {"file": "a\0b", "sha256": "0", "format": "x"}},
        {"network": {"file": "", "sha256": "0", "format": "x"}},
    ],
)
def test_a_card_that_lies_is_refused(changes: dict[str, Any], copy: Path) -> None:
    file = copy / bundle.CARD_FILE
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | changes))
    with pytest.raises(BundleError) as caught:
        bundle.load(copy)
    assert "\x1b" not in str(caught.value)


def test_a_card_that_is_no_text_is_refused(copy: Path) -> None:
    file = copy / bundle.CARD_FILE
    file.write_bytes(file.read_bytes().replace(b"laenet", b"lae\xff\xfet", 1))
    with pytest.raises(BundleError, match="export the bundle again"):
        bundle.load(copy)


def test_a_network_is_never_loaded_before_its_checksum_is_known(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged one can take the whole process with it."""
    loaded: list[bytes] = []
    monkeypatch.setattr(bundle, "_interpreter", lambda network, path: loaded.append(network))
    (copy / "network.tflite").write_bytes(b"no network")
    with pytest.raises(BundleError, match="SHA-256"):
        bundle.load(copy)
    assert loaded == []


@pytest.mark.parametrize("scores", [[np.nan, 0.5, 0.5], [0, 0, 0], [-1, 1, 1]])
def test_scores_that_are_no_probabilities_are_refused(scores: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    served = bundle.load("laenet-composite")

    class Network:
        def set_tensor(self, *_: object) -> None: ...

        def invoke(self) -> None: ...

        def get_tensor(self, _: int) -> list[list[float]]:
            return [scores]

    served._network = Network()
    with pytest.raises(BundleError, match="no probabilities"):
        served.predict(np.zeros((1, *bundle.MAP_SHAPE)))


def test_a_picture_of_an_impossible_size_is_a_hole(tmp_path: Path) -> None:
    for number in (0, 2):
        (tmp_path / f"{number}.pgm").write_bytes(b"P5 64 48 255\n" + bytes(64 * 48))
    (tmp_path / "1.pgm").write_bytes(b"P5 2000000 2000000 255\n")
    source = ImageFolderSource(str(tmp_path), SourceRequest(fps=10.0))
    out = np.empty((48, 64), np.uint8)
    stamps = [source.read(out), source.read(out)]
    assert [stamp.number for stamp in stamps if stamp] == [0, 2]
    assert [what for what, _ in source.notices] == ["image unreadable"]
    source.close()


def set_compression(file: Path, method: int) -> None:
    """Say in each of an archive's directory entries that it is compressed by another way."""
    data = bytearray(file.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.find(mark)
        while place >= 0:
            data[place + at : place + at + 2] = method.to_bytes(2, "little")
            place = data.find(mark, place + 4)
    file.write_bytes(data)


def test_an_xlsx_compressed_by_an_unknown_way_is_refused(tmp_path: Path) -> None:
    from openpyxl import Workbook

    file = tmp_path / "sheet.xlsx"
    Workbook().save(file)
    set_compression(file, 97)
    with pytest.raises(DatasetError, match="not a readable"):
        spreadsheets.pages(file)


@pytest.mark.parametrize("header", ["{'descr': (((((", "{'descr': '<f4', 'fortran_order': False, 'shape': ("])
def test_an_npz_whose_head_is_no_head_is_refused(header: str, tmp_path: Path) -> None:
    file = tmp_path / "maps.npz"
    text = header.encode() + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("maps.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(DatasetError, match="npz"):
        flowmaps.load(file)
    set_compression(file, 97)
    with pytest.raises(DatasetError, match="npz"):
        flowmaps.load(file)


@pytest.mark.parametrize("name", ["/etc", "..", "../..", "a/../../b", "a\0b"])
def test_a_sheet_names_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no name of a folder"):
        trees.inside(tmp_path, name)
