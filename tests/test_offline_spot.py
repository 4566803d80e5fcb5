"""Spotting protocol: scores by hand, loaders of the three layouts, and the live spotter on generated long videos."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from _offline_data import images, sheet

from offline.commands import cli, spot
from offline.datasets import longvideos
from offline.evaluation import megc
from offline.evaluation.megc import Interval, Score, VideoResult
from realtime.config import SpotSettings
from realtime.errors import DatasetError
from realtime.types import SpotEvent


def test_overlap_counts_both_ends() -> None:
    assert megc.iou((1, 10), (1, 10)) == 1
    assert megc.iou((1, 10), (11, 20)) == 0
    assert megc.iou((1, 10), (10, 19)) == pytest.approx(1 / 19)
    assert megc.iou((1, 10), (1, 5)) == 0.5


def test_half_the_union_is_a_hit_and_less_is_not() -> None:
    assert megc.hits([(1, 5)], [(1, 10)]) == [(0, 0)]
    assert megc.hits([(1, 4)], [(1, 10)]) == []


def test_hits_are_one_to_one() -> None:
    assert len(megc.hits([(1, 10), (1, 11)], [(1, 10)])) == 1
    assert megc.hits([(1, 11), (1, 10)], [(1, 10)]) == [(1, 0)]


def test_as_many_pairs_as_can_be() -> None:
    """The nearest pair first would leave one of each alone."""
    spotted, marked = [(0, 9), (4, 13)], [(2, 11), (7, 16)]
    assert len(megc.hits(spotted, marked)) == 2


def intervals(*spans: tuple[int, int], kind: str = "micro", label: int | None = None) -> tuple[Interval, ...]:
    return tuple(Interval(a, b, kind, label) for a, b in spans)  # type: ignore[arg-type]


def test_counts_add_up_over_videos() -> None:
    videos = [
        VideoResult(intervals((10, 20), (50, 60)), intervals((11, 21), (80, 90))),
        VideoResult(intervals((5, 15)), ()),  # nothing spotted: misses count
        VideoResult((), intervals((1, 9))),  # nothing marked: false alarms count
        VideoResult(intervals((1, 100), kind="macro"), intervals((1, 100))),  # the kind must agree
    ]
    micro, macro = megc.spotting(videos, "micro"), megc.spotting(videos, "macro")
    assert micro == Score(1, 3, 2)
    assert macro == Score(0, 0, 1)
    assert micro.f1 == pytest.approx(2 / 7)
    assert (micro + macro).f1 == pytest.approx(2 / 8)
    assert macro.f1 == macro.precision == macro.recall == 0


def test_strs_is_a_product() -> None:
    videos = [
        VideoResult(
            (Interval(10, 20, "micro", 0), Interval(50, 60, "micro", 1), Interval(90, 99, "micro", 2)),
            (Interval(10, 20, "micro", 0), Interval(50, 60, "micro", 2), Interval(200, 210, "micro", 1)),
        )
    ]
    found = megc.strs(videos)
    assert found is not None
    assert found["spotting_f1"] == pytest.approx(4 / 6)
    # two hits, 0 called 0 and 1 called 2; of the three classes that are marked one has precision and recall 1
    assert found["recognition_f1"] == pytest.approx(1 / 3)
    assert found["strs"] == pytest.approx(2 / 9)
    assert megc.strs([VideoResult(intervals((1, 9)), intervals((1, 9)))]) is None


def test_casme_sq(tmp_path: Path) -> None:
    images(tmp_path / "rawpic" / "s15" / "15_0101disgustingteeth", [f"img{n:03d}.jpg" for n in range(1, 60)])
    sheet(
        tmp_path / "CAS(ME)^2code_final.xlsx",
        [
            [1, "disgust1_1", 10, 15, 20, "4", "negative", "micro-expression", "disgust"],
            [1, "disgust1_2", 30, 40, 0, "12", "happiness", "macro-expression", "happiness"],
            [2, "anger1_1", 5, 6, 7, "4", "anger", "micro-expression", "anger"],
        ],
        [["0101", "disgust1", "disgustingteeth"], ["0401", "anger1", "boy"]],
        [["s15", 1], ["s16", 2]],
    )
    found = longvideos.load("casme_sq", tmp_path)
    (video,) = found.videos
    assert (video.subject, video.name, len(video.files), video.fps) == ("1", "disgust1", 59, 30)
    assert [(m.onset, m.offset, m.kind, m.label) for m in video.marked] == [
        (10, 20, "micro", 0),
        (30, 40, "macro", 1),
    ]
    assert [s.clip for s in found.skipped] == ["2/anger1"]


def samm_lv(root: Path, rows: list[list[object]]) -> Path:
    header = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration",
              "Type", "Action Units", "Notes"]  # fmt: skip
    sheet(root / "SAMM_LongVideos_V2_Release.xlsx", [["SAMM Long Videos"], *[[None, "text"]] * 9, header, *rows])
    return root


def test_samm_long_videos(tmp_path: Path) -> None:
    samm_lv(
        tmp_path,
        [
            ["006", "006_1_2", 1, 30, 35, 40, 11, "Micro - 1/2", "4", None],
            ["006", "006_1_3", 1, 50, 60, 180, 131, "Macro", "12", None],
        ],
    )
    images(tmp_path / "006_1", [f"006_1_{n:04d}.jpg" for n in range(1, 200)])
    images(tmp_path / "007_2", [f"007_2_{n:04d}.jpg" for n in range(1, 20)])
    videos = {v.name: v for v in longvideos.load("samm_lv", tmp_path).videos}
    assert [(m.onset, m.offset, m.kind) for m in videos["006_1"].marked] == [(30, 40, "micro"), (50, 180, "macro")]
    assert videos["007_2"].marked == ()  # a video in which nothing was marked can still give false alarms
    assert videos["006_1"].fps == 200


def test_casme3(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    row = ["spNO.1", "b", 175, 175, 190, "4", "I", "Fear"]
    sheet(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [header, row])
    images(tmp_path / "spNO.1" / "b" / "color", [f"{n}.jpg" for n in range(170, 195) if n != 180])
    (video,) = longvideos.load("casme3", tmp_path).videos
    assert (video.marked[0].onset, video.marked[0].offset, video.marked[0].label) == (175, 190, 0)
    assert 180 not in video.numbers


@pytest.mark.parametrize("name", longvideos.NAMES)
def test_another_folder_is_refused_with_the_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected"):
        longvideos.load(name, tmp_path)


@pytest.mark.slow
def test_the_live_spotter_on_a_generated_long_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAMM's layout with a generated face: marked movements are found, labelled, and scored; nothing runs twice."""
    from realtime.synthesis import Portrait, SynthesisSettings, generate_clip

    settings = SynthesisSettings(amplitude_px=(2.0, 3.0))
    frames, events = generate_clip(Portrait.packaged(), seed=4, seconds=9, settings=settings)
    folder = tmp_path / "data" / "006_1"
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"006_1_{number:05d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    rows = [
        ["006", f"006_1_{i}", 1, e.onset, e.apex, e.offset, 1, "Micro - 1/2", "", None] for i, e in enumerate(events)
    ]
    samm_lv(tmp_path / "data", rows)
    arguments = ["--dataset", "samm_lv", "--data", str(tmp_path / "data"), "--model", "laenet-composite",
                 "--out", str(tmp_path / "out"), "--workers", "1"]  # fmt: skip
    assert cli.run(spot.main, arguments) == 0
    scores = msgspec.json.decode((tmp_path / "out" / "spotting.json").read_bytes())["scores"]
    assert len(events) >= 2
    assert scores["micro"]["tp"] + scores["micro"]["fn"] == len(events)
    assert scores["micro"]["recall"] >= 0.5
    lines = (tmp_path / "out" / "intervals.csv").read_text().splitlines()
    assert lines[0] == "video,who,onset,offset,kind,label"
    labels = [line.rsplit(",", 1)[1] for line in lines if ",spotted," in line and ",micro," in line]
    assert set(labels) <= {"negative", "positive", "surprise"}
    assert labels

    def not_again(*_: object) -> None:
        raise AssertionError("spotted again")

    monkeypatch.setattr(spot, "spot_video", not_again)
    assert cli.run(spot.main, arguments) == 0


def test_spot_reports_what_it_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Perfect intervals score 1, written where the command says."""
    samm_lv(tmp_path, [["006", "006_1_2", 1, 3, 5, 9, 7, "Micro - 1/2", "4", None]])
    images(tmp_path / "006_1", [f"006_1_{n:04d}.jpg" for n in range(1, 20)])
    monkeypatch.setattr(spot, "spot_video", lambda *_: [Interval(3, 9, "micro", 1)])
    out = tmp_path / "out"
    arguments = ["--dataset", "samm_lv", "--data", str(tmp_path), "--out", str(out), "--workers", "1"]
    assert cli.run(spot.main, arguments) == 0
    scores = msgspec.json.decode((out / "spotting.json").read_bytes())["scores"]
    assert scores["micro"]["f1"] == scores["all"]["f1"] == 1
    assert "006/006_1,spotted,3,9,micro,positive" in (out / "intervals.csv").read_text()
    printed = " ".join(capsys.readouterr().out.split())
    assert "SOFTNet 2021 0.1520" in printed


@pytest.mark.parametrize("damage", ["empty", "dangling"])
def test_a_video_with_an_unreadable_frame_is_skipped(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = [1, 3, 5, 9, 7, "Micro - 1/2", "4", None]
    samm_lv(tmp_path, [["006", "006_1_2", *row], ["007", "007_1_1", *row]])
    pictures = [np.full((64, 64), 90, np.uint8)] * 19
    for video in ("006_1", "007_1"):
        images(tmp_path / video, [f"{video}_{n:04d}.png" for n in range(1, 20)], pictures)
    bad = tmp_path / "007_1" / "007_1_0004.png"
    bad.unlink()
    if damage == "empty":
        bad.touch()
    else:
        bad.symlink_to(tmp_path / "gone.png")
    out = tmp_path / "out"
    arguments = ["--dataset", "samm_lv", "--data", str(tmp_path), "--out", str(out), "--workers", "1"]
    for _ in range(2):  # the second time from what the first one kept
        assert cli.run(spot.main, arguments) == 0
        record = msgspec.json.decode((out / "spotting.json").read_bytes())
        assert record["videos"] == 1
        assert record["scores"]["micro"]["fn"] == 1
        printed = capsys.readouterr()
        assert "1 videos, 1 skipped" in printed.out
        told = " ".join(printed.err.split())
        assert "skipped 007/007_1" in told
        assert bad.name in told
    for kept in (out / ".state").iterdir():
        kept.write_bytes(b"")  # a result that was not written whole is made again
    assert cli.run(spot.main, arguments) == 0
    shutil.rmtree(tmp_path / "006_1")
    assert cli.run(spot.main, arguments) == 2
    assert "no video could be read" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["workers", "out"])
def test_spot_refuses_what_can_not_be(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    changed = ["--workers", "-1"] if wrong == "workers" else ["--out", str(file)]
    arguments = ["--dataset", "samm_lv", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *changed]
    assert cli.run(spot.main, arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error: --{wrong} {changed[1]}: " in line


def test_numbers_of_the_synthetic_score() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        spans = [tuple(sorted(random.integers(0, 60, 2).tolist())) for _ in range(8)]
        pairs = megc.hits(spans[:4], spans[4:])  # type: ignore[arg-type]
        assert len({s for s, _ in pairs}) == len({m for _, m in pairs}) == len(pairs)
        assert all(megc.iou(spans[s], spans[4 + m]) >= 0.5 for s, m in pairs)  # type: ignore[arg-type]


def test_strs_counts_subjects_without_predictions_and_the_classes_that_nobody_hit() -> None:
    """By hand: 2 hits of 4 marked, 3 spotted: F1 4/7; class 0 right once of once called; class 1 missed as 0."""
    videos = [
        VideoResult((Interval(10, 20, "micro", 0), Interval(50, 60, "micro", 1)),
                    (Interval(10, 20, "micro", 0), Interval(50, 60, "micro", 0))),
        VideoResult((Interval(5, 9, "micro", 2), Interval(30, 40, "micro", 0)), ()),  # a subject with no prediction
        VideoResult((), (Interval(1, 9, "micro", 1),)),  # a video with no mark
    ]  # fmt: skip
    found = megc.strs(videos)
    assert found is not None
    assert found["spotting_f1"] == pytest.approx(4 / 7)
    precision, recall = (1 / 2 + 0 + 0) / 3, (1 + 0 + 0) / 3
    assert found["recognition_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert found["strs"] == pytest.approx(found["spotting_f1"] * found["recognition_f1"])
    missed = megc.strs([VideoResult((Interval(10, 20, "micro", 0),), (Interval(90, 99, "micro", 0),))])
    assert missed == {"spotting_f1": 0, "recognition_f1": 0, "strs": 0}


def one_video(folder: Path, sizes: tuple[int, ...]) -> longvideos.LongVideo:
    folder.mkdir(exist_ok=True)
    files = [folder / f"{n}.png" for n in range(len(sizes))]
    for n, (file, size) in enumerate(zip(files, sizes, strict=True)):
        file.write_bytes(b"x" * size)
        os.utime(file, ns=(0, 10**9 + n))
    return longvideos.LongVideo(dataset="samm_lv", subject="006", name="006_1", fps=200.0,
                                numbers=tuple(range(len(sizes))), files=tuple(map(str, files)), marked=())  # fmt: skip


def test_the_cache_key_tells_size_from_time(tmp_path: Path) -> None:
    """A frame that is a byte longer and a nanosecond older is another frame."""
    video, settings = one_video(tmp_path, (5, 7)), SpotSettings()
    before = spot.key_of(video, settings, None)
    assert spot.key_of(video, settings, None) == before
    Path(video.files[1]).write_bytes(b"x" * 8)
    os.utime(video.files[1], ns=(0, 10**9))
    assert spot.key_of(video, settings, None) != before


def test_the_cache_key_knows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, settings = one_video(tmp_path, (5, 7)), SpotSettings()
    before = spot.key_of(video, settings, None)
    renumbered = msgspec.structs.replace(video, numbers=(0, 2))
    assert spot.key_of(renumbered, settings, None) != before
    with monkeypatch.context() as patch:
        patch.setattr(spot, "CODE_VERSION", spot.CODE_VERSION + 1)
        assert spot.key_of(video, settings, None) != before
    with monkeypatch.context() as patch:
        patch.setattr(spot, "code_digest", lambda: "other")
        assert spot.key_of(video, settings, None) != before


def test_the_codes_digest_changes_with_a_source_of_the_spotter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime import vision

    copy = Path(shutil.copytree(Path(vision.__file__).parent, tmp_path / "vision"))
    monkeypatch.setattr(vision, "__file__", str(copy / "__init__.py"))
    digest = spot.code_digest.__wrapped__
    before = digest()
    with (copy / "spotting" / "spotter.py").open("a") as source:
        source.write("\n# another line\n")
    assert digest() != before


def test_every_event_that_a_frame_completes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.vision.spotting import face_meter

    def event(onset: int, kind: str) -> SpotEvent:
        given = {"kind": kind, "onset": onset, "apex": onset + 1, "offset": onset + 2}
        needed = {f.name: 0 for f in msgspec.structs.fields(SpotEvent) if f.required}
        return SpotEvent(**(needed | given))  # type: ignore[arg-type]

    answers = iter(
        [(None, []), (None, [event(1, "micro")]), (None, [event(5, "macro"), event(6, "micro")]), (None, [])]
    )

    class Meter:
        def __init__(self, *_: object) -> None: ...
        def process(self, *_: object) -> object:
            return next(answers)

        def flush(self) -> object:
            return [event(9, "micro")]

        def close(self) -> None: ...

    monkeypatch.setattr(face_meter, "FaceMeter", Meter)
    images(tmp_path, [f"{n}.png" for n in range(4)])
    files = tuple(str(tmp_path / f"{n}.png") for n in range(4))
    video = longvideos.LongVideo(dataset="samm_lv", subject="6", name="6_1", fps=200.0, numbers=(0, 1, 2, 3),
                                 files=files, marked=())  # fmt: skip
    found = spot.spot_video(video, SpotSettings(), None)
    assert [(i.onset, i.kind) for i in found] == [(1, "micro"), (5, "macro"), (6, "micro"), (9, "micro")]
