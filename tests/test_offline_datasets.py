"""Loaders on small folders of each layout: what is found, what is skipped and why, what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from _offline_data import (
    CASME2_HEADER,
    COMPOSITE,
    casme2_folder,
    ckplus_folder,
    composite_folder,
    images,
    made_maps,
    samm_folder,
    sheet,
    smic_folder,
)

from offline.datasets import Clip, flowmaps, load_clips
from offline.datasets.common import Loaded
from offline.files import write_npz
from realtime.errors import DatasetError


def by_name(loaded: Loaded) -> dict[str, Clip]:
    return {clip.name: clip for clip in loaded.clips}


def reasons(loaded: Loaded) -> dict[str, str]:
    return {one.clip: one.why for one in loaded.skipped}


def test_casme2(tmp_path: Path) -> None:
    loaded = load_clips("casme2", casme2_folder(tmp_path))
    clips = by_name(loaded)
    assert set(clips) == {"EP02_01f", "EP03_02", "EP12_03f"}
    first = clips["EP02_01f"]
    assert (first.subject, first.label, first.onset, first.apex, first.offset) == ("sub01", 0, 46, 59, 86)
    assert first.numbers == tuple(range(46, 87))
    assert first.files[first.numbers.index(59)].endswith("reg_img59.jpg")
    assert first.margin_numbers == (*range(40, 46), 87, 88, 89)
    assert first.fps == 200
    assert clips["EP03_02"].apex is None
    assert clips["EP03_02"].label == 1
    assert clips["EP12_03f"].label == 2
    why = reasons(loaded)
    assert "others" in why["sub05/EP13_01"]
    assert "no folder" in why["sub26/EP01_01"]
    assert "onset 1 is not in" in why["sub26/EP01_02"]


def test_casme2_columns_may_stand_elsewhere(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    order = [8, 0, 3, 1, 5, 4]
    row = [1, "EP02_01f", None, 46, 59, 86, None, "4", "disgust"]
    sheet(tmp_path / "CASME2-coding-20140508.xlsx", [[CASME2_HEADER[i] for i in order], [row[i] for i in order]])
    (clip,) = load_clips("casme2", tmp_path).clips
    assert (clip.onset, clip.apex, clip.offset) == (46, 59, 86)


def test_samm(tmp_path: Path) -> None:
    loaded = load_clips("samm", samm_folder(tmp_path))
    clips = by_name(loaded)
    assert set(clips) == {"006_1_2", "007_3_1"}
    assert (clips["006_1_2"].subject, clips["006_1_2"].apex, clips["006_1_2"].label) == ("006", 5567, 0)
    assert clips["007_3_1"].apex is None
    assert "Other" in reasons(loaded)["007/007_3_2"]


def test_smic_short_version(tmp_path: Path) -> None:
    clips = by_name(load_clips("smic", smic_folder(tmp_path)))
    assert {name: clip.label for name, clip in clips.items()} == {"s1_ne_01": 0, "s1_sur_01": 2, "s2_po_01": 1}
    one = clips["s1_ne_01"]
    assert (one.subject, one.onset, one.apex, one.offset, one.fps) == ("s1", 30, None, 41, 100)


def test_smic_long_version_counts_from_the_first_frame(tmp_path: Path) -> None:
    images(tmp_path / "s03" / "s3_po_05", [f"image{n}.jpg" for n in range(60)])
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
    sheet(tmp_path / "SMIC-HS-E_annotation.xlsx", [header, [3, "s3_po_05", 1020, 1050, "positive", 1000]])
    (clip,) = load_clips("smic", tmp_path).clips
    assert (clip.onset, clip.offset, clip.label, len(clip.files)) == (20, 50, 1, 31)


def test_ckplus(tmp_path: Path) -> None:
    loaded = load_clips("ckplus", ckplus_folder(tmp_path))
    clips = by_name(loaded)
    assert {name: (c.label, c.emotion) for name, c in clips.items()} == {
        "S005_001": (0, "disgust"),
        "S010_002": (2, "surprise"),
    }
    assert (clips["S005_001"].onset, clips["S005_001"].apex, clips["S005_001"].offset) == (1, 7, 7)
    assert "empty" in reasons(loaded)["S010/004"]


def test_composite_follows_the_key_not_the_words(tmp_path: Path) -> None:
    loaded = load_clips("composite", composite_folder(tmp_path))
    found = {(c.dataset, c.name): c.label for c in loaded.clips}
    assert found == {
        ("casme2", "EP02_01f"): 0,
        ("casme2", "EP03_02"): 1,
        ("casme2", "EP13_01"): 2,  # "others" by its word
        ("smic", "s1_ne_01"): 0,
        ("smic", "s2_po_01"): 1,
        ("samm", "006_1_2"): 0,
    }
    assert reasons(loaded) == {"samm/030/030_1_1": "in the key, not in the data"}


def test_composite_refuses_a_broken_key(tmp_path: Path) -> None:
    composite_folder(tmp_path)
    (tmp_path / "megc2019_key.csv").write_text("casme2,sub01,EP02_01f,7\n")
    with pytest.raises(DatasetError, match=r"key\.csv:1"):
        load_clips("composite", tmp_path)


@pytest.mark.parametrize("name", ["casme2", "samm", "smic", "ckplus", "composite"])
def test_a_folder_that_is_something_else_is_refused_with_the_layout(name: str, tmp_path: Path) -> None:
    images(tmp_path / "holiday", ["beach1.jpg"])
    with pytest.raises(DatasetError) as caught:
        load_clips(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "expected" in str(caught.value)
    with pytest.raises(DatasetError, match="no such folder"):
        load_clips(name, tmp_path / "nowhere")


def test_a_sheet_without_the_columns_is_refused(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    sheet(tmp_path / "CASME2-coding-20140508.xlsx", [["a", "b"], [1, 2]])
    with pytest.raises(DatasetError, match="no row with the columns"):
        load_clips("casme2", tmp_path)


def write_maps(file: Path, **changes: object) -> Path:
    data = made_maps(3, 3)
    arrays: dict[str, object] = {
        "maps": data.maps.astype(np.uint8),
        "label": data.label,
        "subject": np.array(data.subject),
        "dataset": np.array(data.dataset),
        "clip": np.array(data.clip),
    }
    write_npz(file, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return file


def test_flowmaps_npz(tmp_path: Path) -> None:
    data = flowmaps.load(write_maps(tmp_path / "maps.npz"))
    assert data.maps.shape == (9, 28, 28, 3)
    assert data.maps.dtype == np.float32
    assert list(np.unique(data.person)) == ["made/s00", "made/s01", "made/s02"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "lacks label"),
        ({"label": np.full(9, 3)}, "expected 0, 1 and 2"),
        ({"maps": np.zeros((9, 32, 32, 3))}, "shape"),
        ({"maps": np.full((9, 28, 28, 3), np.nan)}, "0..255"),
        ({"maps": np.full((9, 28, 28, 3), 300.0)}, "0..255"),
        ({"clip": np.array(["a"])}, "length"),
        ({"maps": np.float32(3)}, "shape"),
        ({"maps": np.full((9, 28, 28, 3), "x")}, "shape"),
        ({"maps": np.full((9, 28, 28, 3), 0.5)}, "expected 0..255"),
        ({"maps": np.array([None, 1], dtype=object)}, "not a readable"),
        ({"label": np.zeros((9, 1), int)}, r"label has shape \(9, 1\); expected one for each map"),
        ({"label": np.full(9, 0.5)}, "expected 0, 1 and 2"),
        ({"label": np.full(9, "negative")}, "expected 0, 1 and 2"),
        ({"subject": np.array("s1")}, "subject has shape"),
    ],
)
def test_broken_npz_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        flowmaps.load(write_maps(tmp_path / "maps.npz", **changes))


def test_an_npz_that_is_damaged_or_holds_no_arrays_is_refused(tmp_path: Path) -> None:
    whole = bytearray(write_maps(tmp_path / "maps.npz").read_bytes())
    whole[5000] ^= 0xFF
    for content in (bytes(whole), bytes(whole[:9000]), b""):
        (tmp_path / "maps.npz").write_bytes(content)
        with pytest.raises(DatasetError, match="npz"):
            flowmaps.load(tmp_path / "maps.npz")
    with zipfile.ZipFile(tmp_path / "maps.npz", "w") as archive:
        for name in flowmaps.FIELDS:
            archive.writestr(f"{name}.npy", b"garbage")
    with pytest.raises(DatasetError, match="can't be read as an array"):
        flowmaps.load(tmp_path / "maps.npz")


def test_a_folder_of_several_npz_is_refused(tmp_path: Path) -> None:
    write_maps(tmp_path / "first.npz")
    assert len(flowmaps.load(tmp_path)) == 9
    write_maps(tmp_path / "second.npz")
    with pytest.raises(DatasetError, match=r"first\.npz, second\.npz"):
        flowmaps.load(tmp_path)


def test_flowmaps_tree(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = {}
    for subject, label in (("sub05", 2), ("s3", 1), ("006", 0)):
        name = f"{subject}_clip"
        pictures[name] = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        images(tmp_path / subject / "u_test" / str(label), [f"{name}.png"], [pictures[name][..., ::-1]])
    (tmp_path / "s3" / "u_test" / "0").mkdir()
    images(tmp_path / "s3" / "u_test" / "0", ["small.png"])
    images(tmp_path / "006" / "u_test" / "12", ["other.png"], [pictures["006_clip"]])
    (tmp_path / "006" / "u_test" / "0" / "._006_clip.png").write_bytes(b"not a picture")
    data = flowmaps.load(tmp_path)
    found = dict(zip(data.clip, zip(data.dataset, data.subject, data.label.tolist(), strict=True), strict=True))
    assert found == {
        "sub05_clip": ("casme2", "sub05", 2),
        "s3_clip": ("smic", "s3", 1),
        "006_clip": ("samm", "006", 0),
    }
    for i, name in enumerate(data.clip):
        np.testing.assert_array_equal(data.maps[i], pictures[name])
    why = {one.clip: one.why for one in data.skipped}
    assert set(why) == {"s3/small", "006/12"}
    assert "28×28" in why["s3/small"]
    assert "not a folder of a class" in why["006/12"]


def test_a_tree_that_leaks_is_refused(tmp_path: Path) -> None:
    picture = [np.zeros((28, 28, 3), np.uint8)]
    images(tmp_path / "s3" / "u_test" / "0", ["one.png"], picture)
    images(tmp_path / "s3" / "u_train" / "0", ["one.png"], picture)
    with pytest.raises(DatasetError, match="u_train and u_test"):
        flowmaps.load(tmp_path)


@pytest.mark.skipif(not COMPOSITE.exists(), reason="the shared composite is not here")
def test_the_shared_composite_agrees_with_the_challenges_key() -> None:
    data = flowmaps.load(COMPOSITE)
    counts = {
        name: np.bincount(data.label[np.array(data.dataset) == name], minlength=3).tolist()
        for name in ("smic", "casme2", "samm")
    }
    assert counts == {"smic": [70, 51, 43], "casme2": [88, 32, 25], "samm": [92, 26, 15]}
    assert len(np.unique(data.person)) == 68
