"""From folders with faces to maps, report and bundle; cache, resuming, clips without a face."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from _offline_data import CASME2_HEADER, images, sheet

from offline.commands import cli, prepare, train
from offline.datasets import Clip, Loaded, flowmaps, load_clips, synthetic
from offline.evaluation.results import read_results
from offline.inputs import flow_map
from realtime.errors import DatasetError
from realtime.recognition import bundle
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.features import FeatureSpec

WORDS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return synthetic.load(tmp_path_factory.mktemp("faces"), subjects=2, clips_each=3)


@pytest.fixture(scope="module")
def casme2(faces: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated clips in CASME II's layout, and a clip that shows no face."""
    root = tmp_path_factory.mktemp("casme2")
    rows: list[list[object]] = [CASME2_HEADER]
    for clip in faces.clips:
        number = int(clip.subject[1:]) + 1
        folder = root / f"sub{number:02d}" / clip.name
        folder.mkdir(parents=True)
        for frame, file in zip(clip.numbers, clip.files, strict=True):
            shutil.copy(file, folder / f"img{frame}.png")
        emotion = WORDS[clip.emotion]
        rows.append([number, clip.name, None, clip.onset, clip.apex, clip.offset, None, "", emotion])
    images(root / "sub02" / "wall", [f"img{n}.png" for n in range(3)], [np.full((240, 320), 90, np.uint8)] * 3)
    rows.append([2, "wall", None, 0, 1, 2, None, "", "disgust"])
    sheet(root / "CASME2-coding-20140508.xlsx", rows)
    return root


def test_from_folder_to_report_and_bundle(casme2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dataset", "casme2", "--data", str(casme2), "--epochs", "3", "--out", str(tmp_path)]
    assert cli.run(train.main, arguments) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "licence" in printed
    assert "skipped sub02/wall: no face" in printed
    results = read_results(tmp_path)
    assert results.dataset == "casme2"
    assert np.sum(results.confusion["full"]) == 6
    assert "Confusion" in (tmp_path / "report.html").read_text()
    loaded = bundle.load(tmp_path / "bundle")
    bundle.check_spec(loaded, FeatureSpec())
    assert not any("published by others" in note for note in loaded.card.notes)


def test_prepared_maps_are_what_train_reads(casme2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--dataset", "casme2", "--data", str(casme2), "--out", str(tmp_path), "--workers", "1"]
    assert cli.run(prepare.main, arguments) == 0
    data = flowmaps.load(tmp_path / "maps.npz")
    assert data.feature_digest == FeatureSpec().digest()
    assert len(data) == 6
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert [s["clip"] for s in report["skipped"]] == ["sub02/wall"]
    for one in data.maps:
        for channel in range(3):
            assert one[..., channel].min() == pytest.approx(0, abs=1e-3)
            assert one[..., channel].max() == pytest.approx(255, abs=1e-3)

    def not_again(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(prepare, "make_file", not_again)
    before = (tmp_path / "maps.npz").read_bytes()
    assert cli.run(prepare.main, arguments) == 0
    assert (tmp_path / "maps.npz").read_bytes() == before


def test_a_killed_run_goes_on(faces: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = prepare.make_file

    def counted(clip: Clip, file: Path, spec: FeatureSpec, frames: int) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(clip.name)
        real(clip, file, spec, frames)

    few = msgspec.structs.replace(faces, clips=faces.clips[:3])
    monkeypatch.setattr(prepare, "make_file", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(few, tmp_path, workers=1)
    monkeypatch.setattr(prepare, "make_file", lambda *a: (made.append("later"), real(*a)))
    resumed = prepare.prepare(few, tmp_path, workers=1)
    assert made == [few.clips[0].name, few.clips[1].name, "later"]
    monkeypatch.setattr(prepare, "make_file", real)
    whole = prepare.prepare(few, tmp_path / "fresh", workers=1)
    np.testing.assert_array_equal(resumed.maps, whole.maps)


def test_the_cache_knows_clip_and_spec(faces: Loaded, tmp_path: Path) -> None:
    clip = faces.clips[0]
    key = prepare.clip_key(clip, FeatureSpec())
    assert key == prepare.clip_key(clip, FeatureSpec())
    assert key != prepare.clip_key(clip, FeatureSpec(eye_mask=True))
    assert key != prepare.clip_key(msgspec.structs.replace(clip, apex=None), FeatureSpec())
    moved = Path(shutil.copytree(Path(clip.files[0]).parent, tmp_path / "copy"))
    other = msgspec.structs.replace(clip, files=tuple(str(moved / Path(f).name) for f in clip.files))
    assert key == prepare.clip_key(other, FeatureSpec())
    cv2.imwrite(other.files[3], np.zeros((480, 640), np.uint8))
    assert key != prepare.clip_key(other, FeatureSpec())


def test_a_missing_apex_is_spotted_near_the_true_one(faces: Loaded) -> None:
    offs = []
    for clip in faces.clips[:3]:
        mesh = FaceMesh()
        made = flow_map.INPUT.make(msgspec.structs.replace(clip, apex=None), mesh.detect)
        mesh.close()
        assert clip.apex is not None
        assert "spotted" in made.note
        offs.append(abs(made.apex - clip.apex) / clip.fps)
    assert np.median(offs) < 0.1


def test_frames_of_a_clip_spread_over_it(faces: Loaded) -> None:
    clip = faces.clips[0]
    mesh = FaceMesh()
    made = flow_map.INPUT.make(clip, mesh.detect, frames=4)
    mesh.close()
    assert made.maps.shape == (4, 28, 28, 3)
    assert made.frames[0] == clip.numbers[1]
    assert made.frames[-1] == clip.numbers[-1]


def test_nothing_but_walls_is_an_error(casme2: Path, tmp_path: Path) -> None:
    loaded = load_clips("casme2", casme2)
    walls = msgspec.structs.replace(loaded, clips=tuple(c for c in loaded.clips if c.name == "wall"))
    with pytest.raises(DatasetError, match="no face"):
        prepare.prepare(walls, tmp_path, workers=1)
