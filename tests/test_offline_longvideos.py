"""Loaders of long videos on sheets and trees as they are given out: coded subjects, old .xls, links, torn marks."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from _offline_data import images, named_sheets, samm_folder

from offline.datasets import longvideos, spreadsheets, trees
from offline.datasets.longvideos import LongVideo, LongVideos
from realtime.errors import DatasetError

FRAMES = [f"img{n:03d}.jpg" for n in range(1, 60)]
MICRO = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
BOTH = ["Subject", "Filename", "Expression type", "Onset", "Apex", "Offset", "AU", "Emotion"]


def by_name(found: LongVideos) -> dict[str, LongVideo]:
    return {f"{v.subject}/{v.name}": v for v in found.videos}


def marks(video: LongVideo) -> list[tuple[int, int, str, int | None]]:
    return [(m.onset, m.offset, m.kind, m.label) for m in video.marked]


# --- CAS(ME)² -----------------------------------------------------------------------------------------------


def casme_sq(root: Path) -> Path:
    """The workbook as it is given out, in small: subject 15 is s32, and there is an s15, which is subject 1."""
    named_sheets(
        root / "CAS(ME)^2code_final.xlsx",
        {
            "CASFEcode_final": [
                [1, "disgust1_1", 10, 15, 20, "4", "negative", "micro-expression", "disgust"],
                [15, "disgust1_1", 30, 40, 0, "12", "positive", "macro-expression", "happiness"],
                [15, "anger1_1", 5, 6, 7, "4", "negative", "micro-expression", "anger"],
            ],
            "naming rule1": [["a", "s15", 1], ["b", "s16", 2], ["c", "s32", 15]],
            "naming rule2": [["0101", "disgust1", "disgustingteeth"], ["0401", "anger1", "girlcrashing"],
                             ["0502", "happy1", "farmer"]],
        },
    )  # fmt: skip
    for subject, video in (("s15", "15_0101disgustingteeth"), ("s15", "15_0401girlcrashing"),
                           ("s32", "32_0101disgustingteeth"), ("s32", "32_0401girlcrashing"),
                           ("s16", "16_0502farmer")):  # fmt: skip
        images(root / "rawpic" / subject / video, FRAMES)
    return root


def test_a_coded_subject_of_casme_sq_is_not_its_folders_number(tmp_path: Path) -> None:
    found = longvideos.load("casme_sq", casme_sq(tmp_path))
    videos = by_name(found)
    assert "/s32/32_0101" in videos["15/disgust1"].files[0]
    assert "/s32/32_0401" in videos["15/anger1"].files[0]
    assert "/s15/15_0101" in videos["1/disgust1"].files[0]
    assert marks(videos["15/disgust1"]) == [(30, 40, "macro", 1)]
    assert marks(videos["1/disgust1"]) == [(10, 20, "micro", 0)]
    assert found.skipped == ()


def test_videos_of_casme_sq_without_a_mark_are_there_as_negatives(tmp_path: Path) -> None:
    videos = by_name(longvideos.load("casme_sq", casme_sq(tmp_path)))
    assert set(videos) == {"1/disgust1", "1/anger1", "15/disgust1", "15/anger1", "2/happy1"}
    assert videos["1/anger1"].marked == videos["2/happy1"].marked == ()
    assert len(videos["2/happy1"].files) == len(FRAMES)


def test_casme_sq_is_read_from_whole_videos_and_not_from_the_clips_that_were_cut_out(tmp_path: Path) -> None:
    casme_sq(tmp_path)
    images(tmp_path / "cropped" / "s15" / "disgust1_1", FRAMES[:5])
    images(tmp_path / "selectedpic" / "s32" / "anger1_1", FRAMES[:5])
    found = longvideos.load("casme_sq", tmp_path)
    assert len(found.videos) == 5
    assert all("/rawpic/" in file for video in found.videos for file in video.files)
    (note,) = found.notes
    assert "cropped" in note.what
    assert "selectedpic" in note.what


def test_the_naming_rule_may_hold_numbers_for_codes_and_folders(tmp_path: Path) -> None:
    named_sheets(
        tmp_path / "CAS(ME)^2code_final.xlsx",
        {
            "code": [[15, "disgust1_1", 3, 4, 5, "4", "negative", "micro-expression", "disgust"]],
            "naming rule1": [[1, 15, 1], [2, 32, 15]],
            "naming rule2": [[101, "disgust1", "teeth"]],
        },
    )
    images(tmp_path / "s32" / "32_0101disgustingteeth", FRAMES)
    images(tmp_path / "s15" / "15_0101disgustingteeth", FRAMES)
    videos = by_name(longvideos.load("casme_sq", tmp_path))
    assert marks(videos["15/disgust1"]) == [(3, 5, "micro", 0)]
    assert "/s32/" in videos["15/disgust1"].files[0]
    assert videos["1/disgust1"].marked == ()


# --- CAS(ME)³ -----------------------------------------------------------------------------------------------


def casme3(root: Path, macro: str = "CAS(ME)3_part_A_v2.xls") -> Path:
    """Both workbooks, one broken mark, a video without marks, depth images beside the colour ones."""
    rows = [["spNO.1", "b", 175, 180, 190, "4", "I", "Fear"], ["spNO.1", "b", 175, 180, 190, "4", "I", "Fear"]]
    named_sheets(root / "annotation" / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [MICRO, *rows]})
    both = [
        ["spNO.1", "b", "Macro-expression", 20, 30, 60, "12", "Happy"],
        ["spNO.1", "b", "Micro-expression", 175, 180, 190, "4", "Fear"],
        ["spNO.216", "d", "Macro-expression", 3647, 3650, 2694, "12", "Happy"],
        ["spNO.216", "d", "Macro-expression", 10, 12, 0, "12", "Surprise"],
    ]
    named_sheets(root / macro, {"part A": [BOTH, *both]})
    for folder in ("spNO.1/b", "spNO.216/d", "spNO.7/c"):
        images(root / "data" / folder / "color", [f"{n}.jpg" for n in range(1, 200)])
        images(root / "data" / folder / "depth", [f"{n}.png" for n in range(1, 200)])
    return root


def test_macro_marks_of_casme3_come_from_the_old_xls(tmp_path: Path) -> None:
    found = longvideos.load("casme3", casme3(tmp_path))
    videos = by_name(found)
    assert marks(videos["spNO.1/b"]) == [(175, 190, "micro", 0), (20, 60, "macro", 1)]
    assert marks(videos["spNO.216/d"]) == [(10, 12, "macro", 2)]  # offset 0: the apex counts
    (broken,) = found.skipped
    assert broken.clip == "spNO.216/d"
    assert "3647" in broken.why
    assert "2694" in broken.why
    assert longvideos.summary(found.videos)["macro"] == 2


def test_videos_of_casme3_without_a_mark_count_and_depth_is_no_video(tmp_path: Path) -> None:
    videos = by_name(longvideos.load("casme3", casme3(tmp_path)))
    assert set(videos) == {"spNO.1/b", "spNO.216/d", "spNO.7/c"}
    assert videos["spNO.7/c"].marked == ()
    assert all("/color/" in file for video in videos.values() for file in video.files)


@pytest.mark.parametrize("name", ["labels/CAS(ME)3_PART_A_MAE_LABEL.xlsx", "Cas(me)3_part_A_MaE_label.xlsx"])
def test_macro_sheets_of_casme3_are_found_in_any_folder_and_case(name: str, tmp_path: Path) -> None:
    images(tmp_path / "spNO.1" / "b" / "color", [f"{n}.jpg" for n in range(1, 200)])
    row = ["spNO.1", "b", 175, 180, 190, "4", "I", "Fear"]
    named_sheets(tmp_path / "deep" / "CAS(ME)3_part_A_me_LABEL_JpgIndex_v2.xlsx", {"label": [MICRO, row]})
    named_sheets(tmp_path / name, {"label": [MICRO, ["SPNO.1", "B", 20, 30, 60, "12", "I", "Happy"]]})
    found = longvideos.load("casme3", tmp_path)
    assert marks(found.videos[0]) == [(175, 190, "micro", 0), (20, 60, "macro", 1)]
    assert found.notes == ()


def test_casme3_without_a_sheet_of_macros_says_so_and_part_c_is_left_alone(tmp_path: Path) -> None:
    images(tmp_path / "spNO.1" / "b" / "color", [f"{n}.jpg" for n in range(1, 200)])
    row = ["spNO.1", "b", 175, 180, 190, "4", "I", "Fear"]
    named_sheets(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [MICRO, row]})
    named_sheets(tmp_path / "cas(me)3_part_C_ME_label.xlsx", {"label": [MICRO, [*row[:2], 1, 2, 3, *row[5:]]]})
    found = longvideos.load("casme3", tmp_path)
    assert marks(found.videos[0]) == [(175, 190, "micro", 0)]
    assert "macro" in found.notes[0].what


def test_a_torn_xls_is_refused_with_its_name(tmp_path: Path) -> None:
    casme3(tmp_path)
    file = tmp_path / "CAS(ME)3_part_A_v2.xls"
    whole = file.read_bytes()
    torn_ones = [b"", b"no sheet at all", whole[:600], whole[: len(whole) // 2]]
    torn_ones += [whole[: 512 * k + 7] for k in range(1, len(whole) // 512)]  # in the midst of each sector
    for torn in torn_ones:
        file.write_bytes(torn)
        with pytest.raises(DatasetError, match=r"part_A_v2\.xls"):
            longvideos.load("casme3", tmp_path)


def test_an_old_sheet_reads_like_a_new_one(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["Name", "Onset"], ["a", 3], ["b", 4.5]]
    for suffix in spreadsheets.SUFFIXES:
        named_sheets(tmp_path / f"s{suffix}", {"one": rows, "two": [["x"]]})
    new, old = (spreadsheets.pages(tmp_path / f"s{suffix}") for suffix in spreadsheets.SUFFIXES)
    assert [page.title for page in old] == [page.title for page in new] == ["one", "two"]
    assert [list(row) for row in old[0].rows] == [list(row) for row in new[0].rows] == rows


# --- the tree -----------------------------------------------------------------------------------------------


def test_linked_folders_and_frames_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    casme3(tmp_path / "store")
    root = tmp_path / "root"
    root.mkdir()
    (root / "part_A").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "store" / "data" / "again").symlink_to(tmp_path / "store", target_is_directory=True)
    frames = root / "spNO.9" / "a" / "color"
    frames.mkdir(parents=True)
    for n in range(1, 5):
        (frames / f"{n}.jpg").symlink_to(tmp_path / "store" / "data" / "spNO.7" / "c" / "color" / f"{n}.jpg")
    videos = by_name(longvideos.load("casme3", root))
    assert set(videos) == {"spNO.1/b", "spNO.216/d", "spNO.7/c", "spNO.9/a"}
    assert len(videos["spNO.9/a"].files) == 4


def test_samm_long_videos_are_not_taken_for_the_short_clips(tmp_path: Path) -> None:
    samm_folder(tmp_path / "SAMM")
    header = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Type"]
    rows = [["006", "006_1_1", 30, 35, 40, "Micro - 1/2"], ["006", "006_1_2", 9, 8, 7, "Macro"]]
    named_sheets(tmp_path / "SAMM_LongVideos_V2_Release.xlsx", {"codes": [header, *rows]})
    images(tmp_path / "long" / "006_1", [f"006_1_{n:04d}.jpg" for n in range(1, 50)])
    found = longvideos.load("samm_lv", tmp_path)
    assert set(by_name(found)) == {"006/006_1"}
    assert marks(found.videos[0]) == [(30, 40, "micro", None)]
    assert [one.clip for one in found.skipped] == ["006/006_1"]


@pytest.mark.parametrize("make", [casme_sq, casme3])
def test_each_folder_is_looked_at_once(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    real, looked = os.scandir, Counter[str]()

    def scandir(path: Any = ".") -> Any:
        looked[os.fspath(path)] += 1
        return real(path)

    def listdir(path: Any = ".") -> list[str]:
        looked[os.fspath(path)] += 1
        with real(path) as entries:
            return [entry.name for entry in entries]

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", listdir)
    longvideos.load("casme3" if make is casme3 else "casme_sq", tmp_path)
    assert len(looked) > 5
    assert set(looked.values()) == {1}


def test_a_walk_lists_folders_from_the_root_down_without_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/c", "a", ".hidden"):
        images(tmp_path / name, ["2.jpg", "1.jpg"])
    tree = trees.walk(tmp_path)
    assert [str(f.relative_to(tmp_path)) for f in tree.folders] == [".", "a", "b", "b/c"]
    assert tree.folders[tmp_path / "a"] == ["1.jpg", "2.jpg"]
    assert list(tree.images(tmp_path / "b" / "c")) == [1, 2]
    with pytest.raises(DatasetError, match="nowhere"):
        trees.walk(tmp_path / "nowhere")
