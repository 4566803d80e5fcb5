"""Clips that can't be used, notes, the cache, and the frames around the onset: from a loader's clips to maps."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from _offline_data import sheet

from offline.commands import cli, prepare
from offline.datasets import Clip, Loaded, synthetic
from offline.datasets.mapping import read_gray
from offline.inputs import flow_map
from realtime.config import SpotSettings
from realtime.errors import ConfigError, DatasetError
from realtime.quiet import native_log_dropped
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.features import FeatureSpec, crop
from realtime.vision.spotting.face_meter import FaceMeter

HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"]
WORDS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return synthetic.load(tmp_path_factory.mktemp("faces"), subjects=1, clips_each=3)


def casme2(root: Path, faces: Loaded) -> Path:
    """The clips with the frames around them, in CASME II's layout."""
    rows: list[list[object]] = [HEADER]
    for clip in faces.clips:
        folder = root / "sub01" / clip.name
        folder.mkdir(parents=True)
        for file in (*clip.files, *clip.margin_files):
            shutil.copy(file, folder / f"img{int(Path(file).stem)}.png")
        rows.append([1, clip.name, clip.onset, clip.apex, clip.offset, WORDS[clip.emotion]])
    sheet(root / "CASME2-coding-20140508.xlsx", rows)
    return root


# --- one bad clip does not stop the others ----------------------------------------------------------------


@pytest.mark.parametrize("damage", ["empty", "dangling"])
def test_a_clip_with_an_unreadable_frame_is_skipped(damage: str, faces: Loaded, tmp_path: Path) -> None:
    root = casme2(tmp_path / "data", faces)
    first = faces.clips[0]
    bad = root / "sub01" / first.name / f"img{first.onset + 1}.png"
    bad.unlink()
    if damage == "empty":
        bad.touch()
    else:
        bad.symlink_to(tmp_path / "gone.png")
    arguments = ["--dataset", "casme2", "--data", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert cli.run(prepare.main, arguments) == 0
    report = msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes())
    assert report["clips"] == 2
    (skipped,) = report["skipped"]
    assert skipped["clip"] == f"sub01/{first.name}"
    assert bad.name in skipped["why"]
    assert "readable" in skipped["why"]


def test_notes_are_reported_and_counted(faces: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One apex is spotted, one clip has a hole, a second tree is passed over."""
    root = casme2(tmp_path / "data", faces)
    spotted, hole, plain = (clip.name for clip in faces.clips)
    apex, later = faces.clips[0].apex, faces.clips[1].offset - 1
    (root / "sub01" / spotted / f"img{apex}.png").unlink()
    (root / "sub01" / hole / f"img{later}.png").unlink()
    (root / "raw" / "sub01").mkdir(parents=True)
    out = tmp_path / "out"
    arguments = ["--dataset", "casme2", "--data", str(root), "--out", str(out), "--workers", "1"]
    assert cli.run(prepare.main, arguments) == 0
    report = msgspec.json.decode((out / "report.json").read_bytes())
    notes = {one["clip"]: one["what"] for one in report["notes"]}
    assert set(notes) == {"casme2", f"sub01/{spotted}", f"sub01/{hole}"}
    assert "passed over: raw" in notes["casme2"]
    assert f"{apex}, is missing" in notes[f"sub01/{spotted}"]
    assert "apex spotted at frame" in notes[f"sub01/{spotted}"]
    assert "1 of its" in notes[f"sub01/{hole}"]
    assert plain not in str(notes)
    printed = capsys.readouterr()
    assert "3 notes in report.json" in printed.out
    told = " ".join(printed.err.split())
    assert "passed over: raw" in told
    assert f"2 clips with a note, such as sub01/{spotted}" in told


def test_a_damaged_cache_is_made_again(faces: Loaded, tmp_path: Path) -> None:
    few = msgspec.structs.replace(faces, clips=faces.clips[:2])
    made = prepare.prepare(few, tmp_path, workers=1)
    first, second = sorted(tmp_path.glob("*.npz"))
    content = second.read_bytes()
    first.write_bytes(b"")
    second.write_bytes(content[: len(content) // 2])
    again = prepare.prepare(few, tmp_path, workers=1)
    np.testing.assert_array_equal(made.maps, again.maps)
    assert second.read_bytes() == content


# --- what the user can mend -------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["workers", "out is a file", "synthetic is a file", "out is below a file"])
def test_what_the_user_can_mend_is_one_line(problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    data, out, workers = tmp_path / "data", tmp_path / "out", "1"
    if problem == "workers":
        workers = "-1"
    elif problem == "synthetic is a file":
        data = file
    else:
        out = file if problem == "out is a file" else file / "out"
    arguments = ["--dataset", "synthetic", "--data", str(data), "--out", str(out), "--workers", workers]
    assert cli.run(prepare.main, arguments) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error:")]
    assert ("--workers" if problem == "workers" else str(file)) in line
    assert not data.is_dir()


def test_workers_are_at_least_one() -> None:
    cli.check_workers(None)
    cli.check_workers(1)
    with pytest.raises(ConfigError, match="--workers 0"):
        cli.check_workers(0)


def test_any_failure_is_one_line_without_debug(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> None:
        raise KeyError("no\nsuch thing")

    assert cli.run(main, []) == 1
    assert capsys.readouterr().err.splitlines() == [r"error: KeyError: 'no\nsuch thing'"]
    assert cli.run(main, ["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_native_logs_are_dropped_and_pythons_lines_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with native_log_dropped(python_passes=True):
        os.write(2, b"from a library")
        print("from Python", file=sys.stderr)
    os.write(2, b"afterwards")
    assert capfd.readouterr().err.split("\n") == ["from Python", "afterwards"]


def test_one_worker_is_as_quiet_as_many(faces: Loaded, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = msgspec.structs.replace(faces, clips=faces.clips[:1])
    prepare.prepare(one, tmp_path, workers=1)
    assert capfd.readouterr().err == ""


def test_a_broken_listing_of_generated_clips_is_made_again(tmp_path: Path) -> None:
    made = synthetic.load(tmp_path, subjects=1, clips_each=1)
    (listing,) = tmp_path.rglob("clips-*.json")
    listing.write_bytes(b"")
    assert synthetic.load(tmp_path, subjects=1, clips_each=1) == made
    with pytest.raises(DatasetError, match="kept there"):
        synthetic.load(listing, subjects=1, clips_each=1)


# --- the frames around the onset --------------------------------------------------------------------------


def onset_crop(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Map of a clip, the crop of its onset, and how many frames each mean was of."""
    real, crops, counts = crop.mean_crop, [], []

    def noted(frames: object, spec: FeatureSpec, carried: object = None) -> np.ndarray:
        listed = list(frames)  # type: ignore[call-overload]
        counts.append(len(listed))
        crops.append(real(listed, spec, carried))
        return crops[-1]

    mesh = FaceMesh()
    with monkeypatch.context() as patch:
        patch.setattr(crop, "mean_crop", noted)
        made = flow_map.INPUT.make(clip, mesh.detect)
    mesh.close()
    return made.maps, crops[0], counts


class SameMesh:
    """A landmark finder that says the same of each frame, so that camera and clip start alike."""

    def __init__(self, mesh: np.ndarray) -> None:
        self.mesh = mesh

    def detect(self, gray: np.ndarray, t_ns: int | None = None) -> np.ndarray:
        return self.mesh

    def close(self) -> None:
        pass


def test_the_onset_is_averaged_as_the_camera_does(faces: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the same frames before and after, with the same result but for half a grey level of registration."""
    clip, spec = faces.clips[0], FeatureSpec()
    assert spec.neighbours(clip.fps) == 6
    _, crop, counts = onset_crop(clip, monkeypatch)
    assert counts == [13, 13]
    files = sorted(zip((*clip.numbers, *clip.margin_numbers), (*clip.files, *clip.margin_files), strict=True))
    finder = FaceMesh()
    mesh = finder.detect(read_gray(dict(files)[clip.onset]))
    finder.close()
    assert mesh is not None
    meter = FaceMeter(SpotSettings(), clip.fps, SameMesh(mesh))  # type: ignore[arg-type]
    for number, file in files:
        meter.process(read_gray(file), number, round(number * 1e9 / clip.fps))
    assert clip.apex is not None
    camera, _, _ = meter.crops(event(clip.onset, clip.apex, clip.offset), spec)
    meter.close()
    bare = msgspec.structs.replace(clip, margin_numbers=(), margin_files=())
    _, without, _ = onset_crop(bare, monkeypatch)
    off, off_without = (np.abs(camera.astype(float) - one).mean() for one in (crop, without))
    assert off < 0.5
    assert off < off_without / 1.4


def event(onset: int, apex: int, offset: int) -> SpotEvent:
    return SpotEvent(
        kind="micro", onset=onset, apex=apex, offset=offset, onset_t_ns=0, apex_t_ns=0, offset_t_ns=0,
        score=1.0, rois={}, decided=offset,
    )  # fmt: skip


@pytest.mark.parametrize("damage", ["empty", "gone"])
def test_a_broken_frame_outside_a_clip_is_as_if_not_there(
    damage: str, faces: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = faces.clips[0]
    before = clip.margin_numbers.index(clip.onset - 1)
    bad = tmp_path / "bad.png"
    if damage == "empty":
        bad.touch()
    files = list(clip.margin_files)
    files[before] = str(bad)
    _, _, counts = onset_crop(msgspec.structs.replace(clip, margin_files=tuple(files)), monkeypatch)
    assert counts == [12, 13]
    assert prepare.clip_key(msgspec.structs.replace(clip, margin_files=tuple(files)), FeatureSpec())


def test_without_frames_around_it_a_clip_stays_as_it_was(faces: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = faces.clips[0]
    bare = msgspec.structs.replace(whole, margin_numbers=(), margin_files=())
    maps, crop, counts = onset_crop(bare, monkeypatch)
    assert counts == [7, 13]
    whole_maps, whole_crop, _ = onset_crop(whole, monkeypatch)
    assert not np.array_equal(crop, whole_crop)
    assert not np.array_equal(maps, whole_maps)
    assert prepare.clip_key(whole, FeatureSpec()) != prepare.clip_key(bare, FeatureSpec())
