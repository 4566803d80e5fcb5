"""What is found in a folder tree: every recording once, whatever names and links stand there; and its digest."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from offline.archive import records
from offline.archive.tree import look, plain, walk
from realtime.errors import DatasetError


def touch(file: Path, text: str = "x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def images(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((8, 8), np.uint8))
    return folder


def test_videos_image_folders_and_sessions(tmp_path: Path) -> None:
    touch(tmp_path / "a.MP4")
    touch(tmp_path / "s 01" / "ünï" / "take 1.avi")
    images(tmp_path / "s02" / "frames")
    touch(tmp_path / "recorded" / "frames.mkv")
    touch(tmp_path / "recorded" / "clips" / "event-0.mkv")  # the same footage once more
    touch(tmp_path / "beside" / "b.mov")
    images(tmp_path / "beside")  # thumbnails of it
    images(tmp_path / "cover", 1)
    touch(tmp_path / "notes.txt")
    touch(tmp_path / ".hidden.mp4")
    touch(tmp_path / ".cache" / "c.mp4")
    found = walk(tmp_path)
    assert [(one.path, one.kind) for one in found.recordings] == [
        ("a.MP4", "video"),
        ("beside/b.mov", "video"),
        ("recorded", "session"),
        ("s 01/ünï/take 1.avi", "video"),
        ("s02/frames", "images"),
    ]
    assert found.unusable == ()
    assert found.passed_over == {".txt": 1, ".png": 4}


def test_links_lead_to_each_folder_once_and_out_of_circles(tmp_path: Path) -> None:
    data = tmp_path / "data"
    touch(data / "z" / "one.mp4")
    (data / "a").symlink_to(data / "z")  # comes first by name, but is no folder of its own
    (data / "z" / "up").symlink_to(data)
    (data / "self").symlink_to("self")
    touch(tmp_path / "elsewhere" / "two.mp4")
    (data / "b").symlink_to(tmp_path / "elsewhere")
    (data / "c").symlink_to(tmp_path / "elsewhere")
    (data / "gone.mp4").symlink_to("nowhere.mp4")
    (data / "round.mp4").symlink_to("round.mp4")
    found = walk(data)
    assert [one.path for one in found.recordings] == ["b/two.mp4", "z/one.mp4"]
    assert [(one.path, "leads nowhere" in one.why) for one in found.unusable] == [
        ("gone.mp4", True),
        ("round.mp4", True),
    ]


def test_what_can_not_be_tried_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    touch(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")))
    touch(tmp_path / "line\nbreak \x1b[31m.mp4")
    found = walk(tmp_path)
    assert [one.path for one in found.recordings] == ["line\nbreak \x1b[31m.mp4"]
    assert plain(found.recordings[0].path) == r"line break \x1b[31m.mp4"
    assert {one.path: one.why.split(";")[0] for one in found.unusable} == {
        r"caf\udce9.mp4": "its name is no UTF-8",
        "pipe.mp4": "no file but a device, a pipe or a socket",
    }


def test_a_folder_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("this user may read everything")
        found = walk(tmp_path)
    finally:
        closed.chmod(0o700)
    assert [one.path for one in found.unusable] == ["closed"]
    assert "Permission denied" in found.unusable[0].why


def test_a_folder_that_goes_while_it_is_walked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "gone").mkdir()
    scan = os.scandir

    def scandir(folder: Path) -> object:
        if Path(folder).name == "gone":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [(one.path, one.why) for one in walk(tmp_path).unusable] == [
        ("gone", "this folder can't be read: Permission denied")
    ]


def test_results_inside_the_archive_are_not_taken_for_recordings(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "out" / "videos" / "b.mp4" / "c.mp4")
    assert [one.path for one in walk(tmp_path, tmp_path / "out").recordings] == ["a.mp4"]


def test_an_empty_tree_says_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path / "a.txt")
    with pytest.raises(DatasetError, match=r"no recording below it .* there is 1 \.txt"):
        walk(tmp_path)


def test_the_digest_changes_with_the_files(tmp_path: Path) -> None:
    video = touch(tmp_path / "event.mkv")
    before = look(tmp_path, "event.mkv", "video")
    assert look(tmp_path, "event.mkv", "video") == before
    os.utime(video, ns=(1, 1))
    changed = look(tmp_path, "event.mkv", "video")
    assert changed.digest != before.digest
    touch(tmp_path / "event.csv", "number,t_ns,captured_ns\n")  # the frame table tells the times
    assert look(tmp_path, "event.mkv", "video").digest != changed.digest
    folder = images(tmp_path / "images")
    many = look(tmp_path, "images", "images")
    (folder / "1.png").unlink()
    assert look(tmp_path, "images", "images").digest != many.digest


def test_no_two_recordings_share_a_folder(tmp_path: Path) -> None:
    paths = ["a", "a/events.jsonl", "a/events.jsonl~", "a/record.json", "a.mp4", "events.jsonl", "b/events.jsonl/c.mp4"]
    folders = [records.folder_of(tmp_path, path) for path in paths]
    assert len(set(folders)) == len(paths)
    for folder in folders:
        assert folder.name not in (records.LOG, records.RECORD)
        assert not {records.LOG, records.RECORD} & set(folder.parts)
