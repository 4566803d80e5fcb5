"""From folders in the data sets' layouts to each input, and from there to report and bundle: every kind of system."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from _offline_data import CASME2_HEADER, sheet

from offline.commands import cli, prepare, train
from offline.datasets import Loaded, flowmaps, load_clips, synthetic
from offline.evaluation.results import read_results
from offline.inputs import INPUTS, flow_emr
from realtime.errors import BundleError
from realtime.recognition import bundle

pytestmark = pytest.mark.slow
WORDS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
CODES = {"negative": 3, "positive": 5, "surprise": 7}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pool: starting one takes longer than these few clips."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return synthetic.load(tmp_path_factory.mktemp("faces"), subjects=2, clips_each=3)


@pytest.fixture(scope="module")
def casme2(faces: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated clips in CASME II's layout; one is of a word that is no class of the three."""
    root = tmp_path_factory.mktemp("casme2")
    rows: list[list[object]] = [CASME2_HEADER]
    for at, clip in enumerate(faces.clips):
        number = int(clip.subject[1:]) + 1
        folder = root / f"sub{number:02d}" / clip.name
        folder.mkdir(parents=True)
        for frame, file in zip(clip.numbers, clip.files, strict=True):
            os.symlink(file, folder / f"img{frame}.png")
        word = "others" if at == 1 else WORDS[clip.emotion]
        rows.append([number, clip.name, None, clip.onset, clip.apex, clip.offset, None, "", word])
    sheet(root / "CASME2-coding-20140508.xlsx", rows)
    return root


@pytest.fixture(scope="module")
def ckplus(faces: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as macro-expressions of other people, each up to its apex."""
    root = tmp_path_factory.mktemp("ckplus")
    for number, clip in enumerate(faces.clips[:4]):
        subject = f"S{int(clip.subject[1:]) + 50:03d}"
        folder = root / "cohn-kanade-images" / subject / f"{number:03d}"
        folder.mkdir(parents=True)
        for frame, file in zip(clip.numbers, clip.files, strict=True):
            if clip.apex is not None and frame <= clip.apex:
                os.symlink(file, folder / f"{subject}_{number:03d}_{frame:08d}.png")
        emotion = root / "Emotion" / subject / f"{number:03d}"
        emotion.mkdir(parents=True)
        text = f"   {CODES[clip.emotion]:.7e}\n"
        (emotion / f"{subject}_{number:03d}_{clip.apex:08d}_emotion.txt").write_text(text)
    return root


@pytest.mark.parametrize("name", INPUTS)
def test_each_input_is_prepared_kept_and_told_apart(
    name: str, casme2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--dataset", "casme2", "--data", str(casme2), "--input", name, "--out", str(tmp_path)]
    assert cli.run(prepare.main, arguments) == 0
    data, shown = flowmaps.load(tmp_path / "maps.npz"), INPUTS[name]
    assert (data.shown, data.feature_digest, data.maps.shape) == (name, shown.digest(), (5, *shown.shape))
    assert len(data.frame) == 5
    assert np.isfinite(data.maps).all()
    assert data.maps.std(axis=tuple(range(1, data.maps.ndim))).min() > 0
    check = {
        "flow-map": lambda m: m.min() == 0 and m.max() == 255,
        "flow-map-masked": lambda m: m.min() == 0 and m.max() == 255,
        "flow-field": lambda m: 0.2 < np.abs(m[..., :2]).max() < 20 and m[..., 2].min() >= 0,
        "flow-pair": lambda m: (np.abs(m - 127.5).max((1, 2)) > 127).all(),
        "flow-emr": lambda m: m.max() <= 255 and np.abs(m[..., :2] - 127.5).max() > 60,
        "face": lambda m: m.dtype == np.uint8 and 30 < m.mean() < 220,
        "lbp-top": lambda m: np.allclose(m.reshape(5, 75, 59).sum(-1), 1, atol=1e-4),
    }
    assert check[name](data.maps)

    def again(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(prepare, "make_file", again)
    assert cli.run(prepare.main, arguments) == 0


def test_macro_expressions_are_reduced_and_micro_ones_magnified(casme2: Path, ckplus: Path, tmp_path: Path) -> None:
    made = {
        name: prepare.prepare(load_clips(name, root), tmp_path / name, flow_emr.INPUT, workers=1).maps
        for name, root in (("casme2", casme2), ("ckplus", ckplus))
    }
    spec = flow_emr.INPUT.spec
    px = {name: (m[..., :2] - 127.5) / 127.5 * 2 * spec.aim_px for name, m in made.items()}
    far = {n: [float(np.percentile(np.hypot(*one.transpose(2, 0, 1)), 95)) for one in m] for n, m in px.items()}
    assert all(0.7 * spec.aim_px < one < 1.3 * spec.aim_px for one in far["casme2"])
    assert max(far["ckplus"]) < 2.5 * spec.aim_px


RUNS: dict[str, list[str]] = {
    "lbp-top": [],
    "bi-woof": [],
    "capsulenet": ["--set", "size=40"],
    "vggm-spp2-after2": ["--set", "size=51"],
}


LONG = ("capsulenet", "vggm-spp2-after2")


@pytest.mark.parametrize("model", RUNS)
def test_from_folder_to_report(model: str, casme2: Path, tmp_path: Path) -> None:
    if model in LONG and not os.environ.get("MEREALTIME_LONG"):
        pytest.skip("takes long; MEREALTIME_LONG=1 runs it")
    arguments = ["--dataset", "casme2", "--data", str(casme2), "--model", model, *RUNS[model], "--out", str(tmp_path)]
    epochs = [] if model in ("lbp-top", "bi-woof") else ["--epochs", "1"]
    assert cli.run(train.main, [*arguments, *epochs]) == 0
    results = read_results(tmp_path)
    assert np.sum(results.confusion["full"]) == 5
    assert "Confusion" in (tmp_path / "report.html").read_text()
    with pytest.raises(BundleError, match=r"a live session makes flow maps of 28×28×3"):
        bundle.load(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "network.tflite").stat().st_size > 1000


def test_nmer_with_macro_expressions_beside(casme2: Path, ckplus: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", "casme2", "--data", str(casme2), "--model", "nmer", "--epochs", "1", "--set", "size=40"]
    before = ["--pretrain", "ckplus", "--pretrain-data", str(ckplus)]
    assert cli.run(train.main, [*arguments, *before, "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path)
    assert results.config["pretrain"] == "ckplus"
    assert results.config["pretrain_clips"] == 4


def test_seven_classes_of_frames_leak_and_say_so(
    casme2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The six-CNN paper's protocol, an honest one beside it; every output carries the warning."""
    arguments = ["--dataset", "casme2_emotions", "--data", str(casme2), "--model", "squeezenet-frames",
                 "--weights", "none", "--protocol", "frame-split", "--beside", "subject-folds:2", "--frames", "8",
                 "--epochs", "1", "--set", "size=48", "--out", str(tmp_path)]  # fmt: skip
    assert cli.run(train.main, arguments) == 0
    assert "have the very next frame of their clip there" in " ".join(capsys.readouterr().err.split())
    results = read_results(tmp_path)
    assert results.labels == ["happiness", "sadness", "surprise", "disgust", "fear", "repression", "others"]
    assert np.shape(results.confusion["full"]) == (7, 7)
    assert np.sum(results.confusion["full"]) == 14  # 30 % of 6 clips × 8 frames
    assert "14 test samples" in results.leak
    assert results.beside == "subject-folds:2"
    page = (tmp_path / "report.html").read_text()
    assert "This protocol leaks" in page
    assert "subject-folds:2 on the same samples" in page
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["warning"] for row in rows} == {"leaky: not by subject"}
    assert "score_repression" in rows[0]
    card = (tmp_path / "bundle" / "bundle.json").read_text()
    assert "protocol that leaks" in card
    with pytest.raises(BundleError, match="labels: 7"):
        bundle.load(tmp_path / "bundle")
    # what knows three classes refuses seven
    assert (
        cli.run(train.main, ["--dataset", "casme2_emotions", "--data", str(casme2), "--out", str(tmp_path / "x")]) == 2
    )
    assert "laenet tells negative, positive, surprise apart" in capsys.readouterr().err


def test_arrays_of_another_input_are_refused(casme2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["--dataset", "casme2", "--data", str(casme2), "--input", "face", "--out", str(tmp_path / "faces")]
    assert cli.run(prepare.main, made) == 0
    words = ["--dataset", "flowmaps", "--data", str(tmp_path / "faces" / "maps.npz"), "--out", str(tmp_path / "run")]
    assert cli.run(train.main, words) == 2
    assert "holds the input face, the model takes flow-map" in capsys.readouterr().err
