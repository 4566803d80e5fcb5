"""Loaders on folders as users have them: spellings of a person, several trees, untidy sheets."""

from __future__ import annotations

import shutil
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

from offline.datasets import Loaded, flowmaps, load_clips, trees
from offline.datasets.people import clip_of, person_of
from offline.training import fit
from realtime.errors import DatasetError


def reasons(loaded: Loaded) -> dict[str, str]:
    return {one.clip: one.why for one in loaded.skipped}


# --- one name a person ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "spellings", "person"),
    [
        ("smic", ["s3", "s03", "S3"], "smic/003"),
        ("SMIC-HS", ["s3"], "smic/003"),
        ("casme2", ["sub01", "Sub1", "1", "S1"], "casme2/001"),
        ("CASME II", ["sub01"], "casme2/001"),
        ("samm", ["6", "006"], "samm/006"),
        ("ckplus", ["S005"], "ckplus/005"),
        ("SMIC-VIS", ["s3"], "smic/003"),
        ("SAMM Long Videos", ["006"], "samm/006"),
        ("made", ["s03"], "made/s03"),
        ("CAS(ME)^2", ["s3"], "CAS(ME)^2/s3"),
        ("casme2", ["spNO.1"], "casme2/spNO.1"),
    ],
)
def test_spellings_of_a_person_agree(dataset: str, spellings: list[str], person: str) -> None:
    assert {person_of(dataset, subject) for subject in spellings} == {person}


def named(dataset: str, subjects: list[str]) -> flowmaps.MapSet:
    data = made_maps(1, len(subjects))
    return flowmaps.MapSet(
        maps=data.maps, label=data.label, subject=tuple(subjects), dataset=(dataset,) * len(subjects), clip=data.clip
    )


def test_pretraining_on_a_test_subject_is_refused_however_it_is_spelt() -> None:
    ours = named("smic", ["s03", "s04"])
    assert ours.subject == ("s03", "s04")
    with pytest.raises(DatasetError, match="003"):
        fit.check_source(ours, named("SMIC", ["S1", "S3"]))
    with pytest.raises(DatasetError, match="003"):  # the same people before another camera
        fit.check_source(ours, named("SMIC-NIR", ["s3", "s5"]))
    fit.check_source(ours, named("smic", ["s1", "s2"]))
    fit.check_source(ours, named("casme2", ["sub03"]))


def test_a_tree_of_maps_tells_its_data_sets_apart() -> None:
    subjects = {"sub05": "casme2", "s5": "smic", "s20": "smic", "006": "samm", "S005": "ckplus", "made3": "other"}
    assert {name: flowmaps.dataset_of(name) for name in subjects} == subjects


def test_data_sets_have_one_name_in_results() -> None:
    arrays = {"maps": made_maps(1, 3).maps, "label": [0, 1, 2], "subject": ["s1"] * 3, "clip": ["a", "b", "c"]}
    found = flowmaps.checked(Path("m.npz"), arrays | {"dataset": ["SMIC-HS", "CASME II", "CAS(ME)^2"]})
    assert found.dataset == ("smic", "casme2", "CAS(ME)^2")


def test_people_sort_as_their_folders_did() -> None:
    spelt = [("casme2", f"sub{n:02d}") for n in range(1, 27)] + [("samm", f"{n:03d}") for n in (6, 13, 37)]
    spelt += [("smic", f"s{n:02d}") for n in (1, 3, 11, 20)]
    assert sorted(spelt, key=lambda one: person_of(*one)) == sorted(spelt, key="/".join)


@pytest.mark.skipif(not COMPOSITE.exists(), reason="the shared composite is not here")
def test_people_of_the_shared_composite_sort_as_before() -> None:
    data = flowmaps.load(COMPOSITE)
    before = np.array([f"{d}/{s}" for d, s in zip(data.dataset, data.subject, strict=True)])
    np.testing.assert_array_equal(*(np.unique(names, return_inverse=True)[1] for names in (before, data.person)))


def test_clips_agree_with_and_without_the_subject_in_their_names() -> None:
    spelt = [("sub05", "EP12_03f"), ("Sub5", "sub05_EP12_03f"), ("5", "S5_ep12_03F")]
    assert len({clip_of("casme2", *one) for one in spelt}) == 1
    assert clip_of("casme2", "sub05", "sub06_EP12_03f") != clip_of("casme2", *spelt[0])


# --- several trees, other spellings of folders ------------------------------------------------------------


def smic_as_distributed(root: Path) -> Path:
    cropped = smic_folder(root / "SMIC_all_cropped" / "HS")
    for other, subject in (("SMIC_all_cropped/NIR", "s1"), ("SMIC_all_cropped/VIS", "s1"), ("SMIC_all_raw/HS", "s01")):
        shutil.copytree(cropped / "s1", root / other / subject)
    images(root / "SMIC_all_raw" / "HS" / "s01" / "non_micro" / "s1_no_01", ["image1.bmp", "image2.bmp"])
    return root


def test_smic_as_distributed_holds_each_person_once(tmp_path: Path) -> None:
    loaded = load_clips("smic", smic_as_distributed(tmp_path))
    assert sorted(clip.name for clip in loaded.clips) == ["s1_ne_01", "s1_sur_01", "s2_po_01"]
    assert all("SMIC_all_cropped/HS/" in file for clip in loaded.clips for file in clip.files)
    (note,) = loaded.notes
    assert "read from SMIC_all_cropped/HS" in note.what
    assert "SMIC_all_raw/HS" in note.what
    assert loaded.skipped == ()


def test_smic_names_the_clips_that_only_a_passed_over_tree_has(tmp_path: Path) -> None:
    smic_as_distributed(tmp_path)
    images(tmp_path / "SMIC_all_raw" / "HS" / "s03" / "micro" / "positive" / "s3_po_01", ["image1.bmp", "image2.bmp"])
    (skipped,) = load_clips("smic", tmp_path).skipped
    assert skipped.clip == "s03/s3_po_01"
    assert "passed over" in skipped.why


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["a/HS", "a/HS_raw", "a/cropped"], "a/HS"),
        (["raw/HS", "cropped/HS"], "cropped/HS"),
        (["raw", "b"], "b"),
        (["raw_selected", "drawn"], "drawn"),
    ],
)
def test_hs_comes_first_then_cropped_and_raw_last(there: list[str], chosen: str, tmp_path: Path) -> None:
    tree, (note,) = trees.choose(tmp_path, [tmp_path / one for one in there], "smic")
    assert tree == tmp_path / chosen
    assert all(one in note.what for one in there)


def test_smic_of_slow_cameras_alone_is_refused(tmp_path: Path) -> None:
    smic_folder(tmp_path / "SMIC_all_cropped" / "VIS")
    for root in (tmp_path, tmp_path / "SMIC_all_cropped", tmp_path / "SMIC_all_cropped" / "VIS"):
        with pytest.raises(DatasetError, match="slow cameras"):
            load_clips("smic", root)
    smic_folder(tmp_path / "SMIC_HS_NIR_VIS" / "HS")
    smic_folder(tmp_path / "SMIC_HS_NIR_VIS" / "VIS")
    assert len(load_clips("smic", tmp_path / "SMIC_HS_NIR_VIS").clips) == 3
    assert len(load_clips("smic", tmp_path / "SMIC_HS_NIR_VIS" / "HS").clips) == 3


def test_smic_refuses_a_clip_that_is_there_twice(tmp_path: Path) -> None:
    smic_folder(tmp_path)
    images(tmp_path / "S01" / "Micro" / "negative" / "S01_ne_01", ["a1.bmp", "a2.bmp"])
    with pytest.raises(DatasetError, match="are one clip"):
        load_clips("smic", tmp_path)


def test_smic_in_other_case(tmp_path: Path) -> None:
    images(tmp_path / "S1" / "Micro" / "Negative" / "s1_ne_01", [f"image{n}.bmp" for n in range(5)])
    (clip,) = load_clips("smic", tmp_path).clips
    assert (clip.subject, clip.label) == ("S1", 0)


def test_the_long_smic_is_read_from_one_tree(tmp_path: Path) -> None:
    for tree, kept in (("SMIC_E_raw/VIS", 5), ("SMIC_E_raw/HS", 60), ("SMIC_E_cropped/HS", 40)):
        images(tmp_path / tree / "s03" / "s3_po_05", [f"image{n}.jpg" for n in range(kept)])
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"]
    rows = [header, ["s3", "s03_po_05", 1010, 1030, "positive", 1000], ["s3", "s3_po_06", 5, 9, "positive", "inf"]]
    sheet(tmp_path / "SMIC-HS-E_annotation.xlsx", rows)
    loaded = load_clips("smic", tmp_path)
    (clip,) = loaded.clips
    assert "SMIC_E_cropped/HS" in clip.files[0]
    assert (clip.onset, clip.offset) == (10, 30)
    assert "passed over: SMIC_E_raw/HS" in loaded.notes[0].what
    assert "FirstF" in reasons(loaded)["s3/s3_po_06"]


def test_casme2_says_which_of_its_trees_it_reads(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    images(tmp_path / "CASME2-RAW" / "sub01" / "EP02_01f", [f"img{n}.jpg" for n in range(1, 100)])
    loaded = load_clips("casme2", tmp_path)
    assert all("/Cropped/" in clip.files[0] for clip in loaded.clips)
    assert [note.what for note in loaded.notes] == ["frames are read from Cropped; passed over: CASME2-RAW"]
    assert not load_clips("casme2", casme2_folder(tmp_path / "alone")).notes


@pytest.mark.parametrize("spelling", ["Sub01", "S1", "SUB1"])
def test_casme2_finds_its_people_in_other_spellings(spelling: str, tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    (tmp_path / "Cropped" / "sub01").rename(tmp_path / "Cropped" / spelling)
    (tmp_path / "Cropped" / spelling / "EP03_02").rename(tmp_path / "Cropped" / spelling / "ep03_02")
    clips = load_clips("casme2", tmp_path).clips
    assert [c.subject for c in clips] == ["sub01", "sub01", "sub05"]
    images(tmp_path / "Cropped" / "sub001" / "EP02_01f", ["img1.jpg"])
    with pytest.raises(DatasetError, match="are one person"):
        load_clips("casme2", tmp_path)


# --- what is said of frames -------------------------------------------------------------------------------


def casme2_clip(root: Path, frames: list[int], row: tuple[object, object, object]) -> Loaded:
    """One clip with these frames, coded (onset, apex, offset), beside a good one."""
    good, bad = ([1, "good", None, 1, 2, 3, None, "", "disgust"], [1, "EP", None, *row, None, "", "disgust"])
    sheet(root / "CASME2-coding-20140508.xlsx", [CASME2_HEADER, good, bad])
    images(root / "sub01" / "good", [f"img{n}.jpg" for n in (1, 2, 3)])
    images(root / "sub01" / "EP", [f"img{n}.jpg" for n in frames])
    return load_clips("casme2", root)


@pytest.mark.parametrize(
    ("frames", "row", "note", "apex"),
    [
        (range(10, 31), (10, 20, 30), "", 20),
        (range(10, 31), (10, "/", 30), "", None),
        ([n for n in range(10, 31) if n != 20], (10, 20, 30), "the frame of its apex, 20, is missing", None),
        (range(10, 31), (10, 40, 30), "40, is not between onset 10 and offset 30", None),
        (range(10, 31), (10, 10, 30), "10, is not between", None),
        (range(10, 31, 2), (10, 20, 30), "10 of its 21 frames are missing", 20),
        (range(10, 28), (10, 20, 30), "3 of its 21 frames are missing", 20),
    ],
)
def test_what_a_clip_lacks_is_noted(
    frames: range, row: tuple[object, object, object], note: str, apex: int | None, tmp_path: Path
) -> None:
    loaded = casme2_clip(tmp_path, list(frames), row)
    clip = next(c for c in loaded.clips if c.name == "EP")
    assert clip.apex == apex
    assert (note in clip.note) if note else not clip.note


@pytest.mark.parametrize(
    ("frames", "row", "why"),
    [
        ([10, 11, 12, 28, 29, 30], (10, 11, 30), "only 6 of 21"),
        (range(10, 27), (10, 20, 30), "offset is 30, the last one is 26"),
        (range(11, 31), (10, 20, 30), "onset 10 is not in"),
        (range(10, 31), (10, 20, 5), "offset 5 is not after onset 10"),
        (range(10, 31), ("inf", 20, 30), "no onset in the sheet: 'inf'"),
        (range(10, 31), (10, 20, None), "no offset in the sheet: ''"),
    ],
)
def test_a_clip_with_holes_is_skipped_with_the_reason(
    frames: range, row: tuple[object, object, object], why: str, tmp_path: Path
) -> None:
    loaded = casme2_clip(tmp_path, list(frames), row)
    assert [c.name for c in loaded.clips] == ["good"]
    assert why in reasons(loaded)["sub01/EP"]


# --- sheets and keys --------------------------------------------------------------------------------------


def test_rows_that_say_the_same_count_once_and_others_not_at_all(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    row = [1, "EP02_01f", None, 46, 59, 86, None, "4", "disgust"]
    twice = [1, "EP03_02", None, 10, "/", 20, None, "12", "happiness"]
    other = [*twice[:8], "disgust"]
    sheet(tmp_path / "CASME2-coding-20140508.xlsx", [CASME2_HEADER, row, row, twice, other])
    loaded = load_clips("casme2", tmp_path)
    assert [clip.name for clip in loaded.clips] == ["EP02_01f"]
    assert "first row counts" in reasons(loaded)["sub01/EP02_01f"]
    assert "listed 2 times with different" in reasons(loaded)["sub01/EP03_02"]


def test_a_key_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    key = composite_folder(tmp_path) / "megc2019_key.csv"
    key.write_text(key.read_text() + "SMIC-HS,S1,s1_ne_01,0\n")
    clips = load_clips("composite", tmp_path).clips
    assert len([c for c in clips if c.name == "s1_ne_01"]) == 1
    key.write_text(key.read_text() + "smic,s1,ne_01,1\n")
    with pytest.raises(DatasetError, match=r"key\.csv:10: ne_01 has label 1 here and 0 in line 5"):
        load_clips("composite", tmp_path)


def test_a_key_in_another_encoding_is_refused(tmp_path: Path) -> None:
    key = composite_folder(tmp_path) / "megc2019_key.csv"
    rows = key.read_text()
    key.write_text(rows, encoding="utf-8-sig")
    assert len(load_clips("composite", tmp_path).clips) == 6
    key.write_text(rows, encoding="utf-16")
    with pytest.raises(DatasetError, match="UTF-8"):
        load_clips("composite", tmp_path)


def test_the_composite_takes_no_other_data_set_for_its_own(tmp_path: Path) -> None:
    composite_folder(tmp_path)
    for other in ("CAS(ME)^2", "CASME", "CASME_sq", "SAMM Long Videos", "A SAMM long"):
        images(tmp_path / other / "s15", ["img1.jpg"])
    (tmp_path / "samm").rename(tmp_path / "SAMM_v2_of_micro_movements")
    assert len(load_clips("composite", tmp_path).clips) == 6
    (tmp_path / "SMIC_HS").rename(tmp_path / "SMIC-HS-long")
    assert len(load_clips("composite", tmp_path).clips) == 6


def test_a_cover_sheet_and_a_wrong_dimension_do_not_matter(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    file = tmp_path / "CASME2-coding-20140508.xlsx"
    row = [1, "EP02_01f", None, 46, 59, 86, None, "4", "disgust"]
    sheet(file, [["CASME II"], ["read me first"]], [CASME2_HEADER, row])
    assert [c.name for c in load_clips("casme2", tmp_path).clips] == ["EP02_01f"]
    sheet(file, [CASME2_HEADER, row])
    rewrite(file, lambda xml: xml.replace(b'<dimension ref="A1:I2"', b'<dimension ref="A1:B1"'))
    assert [c.name for c in load_clips("casme2", tmp_path).clips] == ["EP02_01f"]


def test_a_broken_sheet_is_refused(tmp_path: Path) -> None:
    casme2_folder(tmp_path)
    rewrite(tmp_path / "CASME2-coding-20140508.xlsx", lambda xml: xml[: len(xml) // 2])
    with pytest.raises(DatasetError, match="not a readable"):
        load_clips("casme2", tmp_path)


def rewrite(file: Path, change: object) -> None:
    """Change the XML of a workbook's first sheet."""
    with zipfile.ZipFile(file) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    before = parts["xl/worksheets/sheet1.xml"]
    parts["xl/worksheets/sheet1.xml"] = change(before)  # type: ignore[operator]
    assert parts["xl/worksheets/sheet1.xml"] != before
    with zipfile.ZipFile(file, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)


# --- CK+ and SAMM -----------------------------------------------------------------------------------------


def test_ckplus_passes_over_what_other_systems_leave(tmp_path: Path) -> None:
    ckplus_folder(tmp_path)
    emotion = tmp_path / "Emotion" / "S005" / "001"
    (emotion / "._S005_001_00000007_emotion.txt").write_bytes(b"\x00\x05\x16\x07\xff")
    (tmp_path / "Emotion" / "S010" / "002" / "S010_002_00000007_emotion.txt").write_text("")
    images(tmp_path / "cohn-kanade-images" / "S011" / "001", ["S011_1.png", "S011_2.png"])
    loaded = load_clips("ckplus", tmp_path)
    assert [c.name for c in loaded.clips] == ["S005_001"]
    why = reasons(loaded)
    assert "should hold one number" in why["S010/002"]
    assert "is empty" in why["S010/004"]
    assert "no folder" in why["S011/001"]
    assert "S011/001" in why["S011/001"]


def test_ckplus_as_its_archives_unpack(tmp_path: Path) -> None:
    ckplus_folder(tmp_path / "a")
    (tmp_path / "extended-cohn-kanade-images").mkdir()
    (tmp_path / "Emotion_labels").mkdir()
    images_folder, labels = tmp_path / "a" / "cohn-kanade-images", tmp_path / "a" / "Emotion"
    images_folder.rename(tmp_path / "extended-cohn-kanade-images" / "cohn-kanade-images")
    labels.rename(tmp_path / "Emotion_labels" / "Emotion")
    assert len(load_clips("ckplus", tmp_path).clips) == 2


def test_samm_subjects_without_leading_zeros(tmp_path: Path) -> None:
    samm_folder(tmp_path)
    (tmp_path / "006").rename(tmp_path / "6")
    assert [c.subject for c in load_clips("samm", tmp_path).clips] == ["006", "007"]
