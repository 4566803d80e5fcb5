"""From a folder in each data set's layout to results, report and bundle, by the command that users give.

The clips are of the generated face; `test_offline_prepare` does the same for CASME II, with a pool of workers.
"""

from __future__ import annotations

import csv
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _offline_data import images, made_maps, sheet

from offline import datasets
from offline.commands import cli, train
from offline.datasets import Clip, Loaded, synthetic
from offline.evaluation.results import read_results
from realtime.recognition import bundle
from realtime.vision.features import FeatureSpec

CASME2_HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"]
SAMM_HEADER = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"]
CASME2_WORDS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
SAMM_WORDS = {"negative": "Anger", "positive": "Happiness", "surprise": "Surprise"}
CKPLUS_CODES = {"negative": 3, "positive": 5, "surprise": 7}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    generated(root)
    return root


generated = functools.partial(synthetic.load, subjects=2, clips_each=3)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pool: starting one takes longer than these few clips."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})


def put(clip: Clip, folder: Path, name: str, last: int | None = None) -> None:
    """Copy a clip's frames, and those around it, up to `last`; name: with a place for the frame's number."""
    folder.mkdir(parents=True)
    everything = zip((*clip.numbers, *clip.margin_numbers), (*clip.files, *clip.margin_files), strict=True)
    for number, file in everything:
        if last is None or clip.onset <= number <= last:
            shutil.copy(file, folder / name.format(number))


def person(clip: Clip) -> int:
    return int(clip.subject[1:]) + 1


def casme2(root: Path, faces: Loaded) -> None:
    rows: list[list[object]] = [CASME2_HEADER]
    for clip in faces.clips:
        put(clip, root / "Cropped" / f"sub{person(clip):02d}" / clip.name, "reg_img{}.png")
        rows.append([person(clip), clip.name, clip.onset, clip.apex, clip.offset, CASME2_WORDS[clip.emotion]])
    sheet(root / "CASME2-coding-20140508.xlsx", rows)


def samm(root: Path, faces: Loaded) -> None:
    """One apex is not given."""
    rows: list[list[object]] = [["SAMM"], [None, "version 2"], SAMM_HEADER]
    for number, clip in enumerate(faces.clips):
        subject = f"{person(clip) + 5:03d}"
        put(clip, root / subject / clip.name, subject + "_{:05d}.png")
        apex = clip.apex if number else None
        rows.append([person(clip) + 5, clip.name, clip.onset, apex, clip.offset, SAMM_WORDS[clip.emotion]])
    sheet(root / "SAMM_Micro_FACS_Codes_v2.xlsx", rows)


def smic(root: Path, faces: Loaded) -> None:
    """As it is given out: another tree holds the same people again. No apex is given."""
    for clip in faces.clips:
        own = Path(f"s{person(clip)}") / "micro" / clip.emotion / f"s{person(clip)}_{clip.name}"
        put(clip, root / "SMIC_all_cropped" / "HS" / own, "reg_image{:06d}.png", clip.offset)
    shutil.copytree(root / "SMIC_all_cropped" / "HS" / "s1", root / "SMIC_all_raw" / "HS" / "s01")


def ckplus(root: Path, faces: Loaded) -> None:
    """Each sequence ends at its apex."""
    for number, clip in enumerate(faces.clips):
        subject = f"S{person(clip):03d}"
        name = f"{subject}_{number:03d}"
        put(clip, root / "cohn-kanade-images" / subject / f"{number:03d}", name + "_{:08d}.png", clip.apex)
        folder = root / "Emotion" / subject / f"{number:03d}"
        folder.mkdir(parents=True)
        (folder / f"{name}_{clip.apex:08d}_emotion.txt").write_text(f"   {CKPLUS_CODES[clip.emotion]:.7e}\n")


def composite(root: Path, faces: Loaded) -> None:
    """One clip of each person in each of the three."""
    firsts = Loaded((faces.clips[0], faces.clips[3]), ())
    casme2(root / "CASME II", firsts)
    samm(root / "SAMM", firsts)
    smic(root / "SMIC", firsts)
    lines = ["dataset,subject,clip,label"]
    for clip in firsts.clips:
        n = person(clip)
        lines += [f"casme2,sub{n:02d},{clip.name},{clip.label}", f"samm,{n + 5:03d},{clip.name},{clip.label}"]
        lines.append(f"smic,s{n:02d},s{n}_{clip.name},{clip.label}")
    (root / "key.csv").write_text("\n".join(lines) + "\n")


def made(root: Path, faces: Loaded) -> None:
    """What the synthetic data set made before."""
    generated(root)


def tree(root: Path, faces: Loaded) -> None:
    """Flow maps as images, one of them broken."""
    data = made_maps(2, 3)
    for one, label, subject, clip in zip(data.maps, data.label, data.subject, data.clip, strict=True):
        images(root / subject / "u_test" / str(label), [f"{clip}.png"], [one.astype(np.uint8)[..., ::-1]])
    (root / "s00" / "u_test" / "0" / "broken.png").write_bytes(b"")


LAYOUTS: dict[str, tuple[str, Callable[[Path, Loaded], None], set[str], str]] = {
    "casme2": ("casme2", casme2, {"casme2/001", "casme2/002"}, ""),
    "samm": ("samm", samm, {"samm/006", "samm/007"}, "apex spotted at frame"),
    "smic": ("smic", smic, {"smic/001", "smic/002"}, "passed over: SMIC_all_raw/HS"),
    "ckplus": ("ckplus", ckplus, {"ckplus/001", "ckplus/002"}, ""),
    "composite": (
        "composite",
        composite,
        {"casme2/001", "casme2/002", "samm/006", "samm/007", "smic/001", "smic/002"},
        "passed over: SMIC_all_raw/HS",
    ),
    "synthetic": ("synthetic", made, {"synthetic/p00", "synthetic/p01"}, ""),
    "tree of flow maps": ("flowmaps", tree, {"smic/000", "smic/001"}, "skipped s00/broken"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_folder_to_report_and_bundle(
    layout: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make, people, said = LAYOUTS[layout]
    monkeypatch.setitem(datasets.CLIP_DATASETS, "synthetic", generated)
    make(tmp_path / "data", generated(faces))
    out = tmp_path / "out"
    arguments = ["--dataset", name, "--data", str(tmp_path / "data"), "--epochs", "2", "--out", str(out)]
    assert cli.run(train.main, arguments) == 0
    assert said in " ".join(capsys.readouterr().err.split())
    check(out, name, people)


def check(out: Path, name: str, people: set[str]) -> None:
    results = read_results(out)
    assert results.dataset == name
    assert np.sum(results.confusion["full"]) == 6
    with (out / "predictions.csv").open(newline="") as stream:
        tested = {datasets.people.person_of(row["dataset"], row["subject"]) for row in csv.DictReader(stream)}
    assert tested == people
    assert "Confusion" in (out / "report.html").read_text()
    loaded = bundle.load(out / "bundle")
    bundle.check_spec(loaded, FeatureSpec())
    assert loaded.predict(made_maps(1, 3).maps).shape == (3, 3)


def test_pretraining_from_a_folder(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smic(tmp_path / "smic", generated(faces))
    ckplus(tmp_path / "ckplus", generated(faces))
    out = tmp_path / "out"
    arguments = ["--dataset", "smic", "--data", str(tmp_path / "smic"), "--epochs", "2", "--out", str(out)]
    before = ["--pretrain", "ckplus", "--pretrain-data", str(tmp_path / "ckplus")]
    assert cli.run(train.main, [*arguments, *before]) == 0
    check(out, "smic", {"smic/001", "smic/002"})
    assert read_results(out).config["pretrain"] == "ckplus"
    # the same people under another spelling are no source for themselves
    (tmp_path / "again").mkdir()
    shutil.copytree(tmp_path / "smic" / "SMIC_all_raw" / "HS", tmp_path / "again" / "HS")
    same = ["--pretrain", "smic", "--pretrain-data", str(tmp_path / "again")]
    assert cli.run(train.main, [*arguments, *same]) == 2
    assert "smic/001" in capsys.readouterr().err
