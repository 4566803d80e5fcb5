"""The blind bed: the same clip for the same name, movements where and as large as the truth says, scoring as ever."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from _synthesis import one_thread  # noqa: F401 (a fixture that all tests here use)

from bench import _table_parts, _tables_spotting
from bench import blind as cli
from bench.blind_bed.clip import Clip, Spec
from bench.blind_bed.conditions import CONDITIONS, MICRO_PX
from bench.blind_bed.courses import course, drawn_residual, drawn_times
from bench.blind_bed.head import Head
from bench.blind_bed.portraits import FACES, Face, meshed
from bench.blind_bed.render import STILL, Renderer
from bench.blind_bed.speech import Track, talk
from realtime.synthesis import Portrait

SMALL = {"face_px": 80.0, "size": (160, 160)}


@pytest.fixture(scope="module")
def face() -> Face:
    return meshed("packaged", Portrait.packaged().place((400, 352), 150.0).image.astype(np.uint8))


@pytest.fixture(scope="module")
def head(face: Face) -> Head:
    return Head(face, np.random.default_rng(1), **SMALL)


def voice(wide: float = 0.12) -> Track:
    """Somebody who opens and shuts the mouth thrice a second, 25 s; ``wide``: eye distances."""
    t = np.arange(600) / 24
    gap = wide / 2 * (1 - np.cos(2 * np.pi * 3 * t)) * (1 + 0.2 * np.sin(t))
    places = np.zeros((600, 7, 2))
    places[:, [0, 5, 6], 1] = -0.1 * gap[:, None]
    return Track("made", places, gap, 24.0)


def shown(image: np.ndarray) -> np.ndarray:
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def test_a_name_always_gives_the_same_frames(face: Face) -> None:
    one, again, other = (Clip(Spec("far", number), face) for number in (1, 1, 2))
    frames, same, others = (list(islice(clip, 3)) for clip in (one, again, other))
    assert frames[0].shape == (240, 288)
    assert frames[0].dtype == np.uint8
    assert all(np.array_equal(a, b) for a, b in zip(frames, same, strict=True))
    assert one.truth == again.truth != other.truth
    assert not np.array_equal(frames[0], others[0])
    noise = frames[0] - next(one.clean())
    assert noise.std() == pytest.approx(one.truth["noise_sd"], rel=0.05)


def test_each_face_shows_each_condition() -> None:
    for condition in CONDITIONS:
        assert {Spec(condition, number).face for number in range(1, 5)} == set(FACES)
    assert Spec("base", 1).seed == 52527609253039, "a clip's random numbers are part of the bed"


def test_a_face_that_does_nothing_gives_equal_frames(head: Head) -> None:
    renderer = Renderer(head)
    first, second = renderer.frame(STILL, {}), renderer.frame(STILL, {})
    assert np.array_equal(first, second)
    assert first.shape == (160, 160)


@pytest.mark.parametrize(
    ("unit", "point", "up"), [("1+2", 105, 1), ("1r", 336, 1), ("15", 61, -1), ("17", 199, 1), ("9", 129, 1)]
)
def test_a_unit_moves_its_place_by_the_stated_px(head: Head, unit: str, point: int, up: int) -> None:
    field = head.fields.moves[unit]
    size = np.linalg.norm(field, axis=2)
    assert size.max() == pytest.approx(1, abs=1e-5)
    x, y = head.points[point, :2] / 2
    near = field[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
    assert np.linalg.norm(near, axis=2).max() > 0.6
    assert np.sign(near[..., 1].mean()) == -up
    assert (size > 0.3).mean() < 0.12, "the rest of the face holds still"


def test_optical_flow_sees_the_stated_px(face: Face) -> None:
    head = Head(face, np.random.default_rng(1), face_px=150.0, size=(288, 288))
    renderer = Renderer(head)
    still, moved = (shown(renderer.frame(STILL, acts)) for acts in ({}, {"1+2": 1.5}))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    seen = flow.calc(still, moved, None)
    told = renderer.full(head.fields.moves["1+2"] * np.float32(1.5))
    size = np.linalg.norm(told, axis=2)
    assert np.percentile(np.linalg.norm(seen[size > 1.2], axis=1), 90) == pytest.approx(1.5, rel=0.25)
    assert np.median(seen[size > 1.2][:, 1]) < -0.9, "brows go up"
    far = (size < 0.03) & cv2.resize(head.face_mask.astype(np.uint8), head.size).astype(bool)
    assert np.median(np.linalg.norm(seen[far], axis=1)) < 0.1


def test_a_turn_moves_the_nose_against_the_temples(head: Head) -> None:
    field = Renderer(head).displacement(None, STILL | {"yaw": 5.0})

    def at(point: int) -> float:
        x, y = head.points[point, :2] / 2
        return float(field[round(y), round(x), 0])

    assert abs(at(1) - (at(127) + at(356)) / 2) > 1.5, "a body, not a shifted picture"


def test_lids_close_and_lips_part_where_they_are(head: Head) -> None:
    open_, shut, says = (
        Renderer(head).frame(STILL, {}, jaw, lids) for jaw, lids in ((0.0, (0, 0)), (0.0, (1, 1)), (6.0, (0, 0)))
    )
    rows, _ = np.where(np.abs(shut - open_) > 8)
    eyes, nose, chin = (head.points[points, 1].mean() for points in ([468, 473], [1], [152]))
    assert abs(np.median(rows) - eyes) < 6
    assert rows.max() < nose
    rows, _ = np.where(np.abs(says - open_) > 8)
    assert nose < np.median(rows) < chin, "lips and chin"
    assert rows.min() > eyes
    x, y = np.round(head.points[[13, 14], :2].mean(0)).astype(int)
    assert says[y : y + 5, x].min() < open_[y : y + 5, x].mean(), "it is dark between the lips"


@pytest.mark.parametrize("seed", range(6))
def test_a_course_keeps_its_times(seed: int) -> None:
    rng, t = np.random.default_rng(seed), np.arange(1600) / 200
    rise, fall, _ = drawn_times(rng)
    residual = drawn_residual(rng)
    one = course(rng, t, 2.0, rise, fall, residual)
    assert one.onset / 200 == pytest.approx(2.0, abs=0.006)
    assert (one.apex - one.onset) / 200 == pytest.approx(rise, abs=0.011)
    assert (one.offset - one.apex) / 200 == pytest.approx(fall, abs=0.006)
    assert one.share[one.apex] == pytest.approx(1, abs=0.01)
    assert one.share[one.offset] == pytest.approx(residual, abs=0.03)
    assert one.share[-1] < residual


def test_truth_of_every_condition(face: Face) -> None:
    one = voice()
    for condition in CONDITIONS:
        truth = Clip(Spec(condition, 1), face, (one, one)).truth
        micros = [event for event in truth["events"] if event["kind"] == "micro"]
        for event in truth["events"]:
            assert 0 < event["onset_frame"] < event["apex_frame"] < event["offset_frame"] < truth["frames"] == 2400
        for event in micros:
            assert event["offset_frame"] - event["onset_frame"] <= 0.5 * truth["fps"]
            assert event["amplitude_px"] == MICRO_PX.get(condition, 1.5)
        none = condition in ("talkonly", "raise", "squint", "swallow", "idle")
        assert len(micros) == (0 if none else 2 if condition == "smilehold" else 3), condition
        json.dumps(truth)


def test_who_gapes_talks_only_alone() -> None:
    gaping, other = voice(0.3), voice(0.3)
    rng = np.random.default_rng(0)
    assert talk(rng, 2000, 60.0, (gaping, gaping)).jaw.max() == pytest.approx(0.3 * 60, rel=0.3)
    with pytest.raises(ValueError, match="no 10 s of lively talk"):
        talk(rng, 2000, 60.0, (gaping, other))
    assert talk(rng, 2000, 60.0, (voice(), other)).fields["ul"].shape == (2000,)


def test_a_short_clip_is_written_with_its_truth(face: Face, tmp_path: Path) -> None:
    clip = Clip(Spec("far", 1), face)
    clip.script.count = 5
    told = clip.save(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["far-1.avi", "far-1.json"]
    video = cv2.VideoCapture(str(tmp_path / "far-1.avi"))
    for frame in clip:
        assert np.array_equal(video.read()[1][..., 0], frame)
    assert not video.read()[0]
    assert cli.kept(tmp_path, None) == [told]
    with pytest.raises(cli.WrongCallError, match="no clip"):
        cli.kept(tmp_path, "base")


def test_truth_is_told_as_the_living_suite_tells_it(face: Face) -> None:
    from _blind_score import moves  # beside blind.py, whose import makes it known

    truth = Clip(Spec("far", 1), face).truth
    for move, event in zip(moves(truth), truth["events"], strict=True):
        assert (move.onset, move.apex, move.offset) == tuple(
            event[name] for name in ("onset_frame", "apex_frame", "offset_frame")
        )
        assert move.px == pytest.approx(1.0 * 152 / 80)
        assert move.au.startswith("AU")
        assert move.side == {"l": "right", "r": "left"}.get(event["field"][-1], "both")


def test_a_wrong_call_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["--only", "base,zz"], ["--clips", str(tmp_path)]):
        assert cli.main(words) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "no condition zz" in told or "no clip" in told


def test_the_table_is_drawn_from_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row: dict[str, Any] = {
        "micros": 12, "hits_micro": 9, "f1_micro": 0.8, "false_micro_per_minute": 1.25,
        "false_macro_per_minute": 0.0, "macros": 0, "macros_found": 0, "offset_within_40ms": 0.5, "minutes": 0.8,
    }  # fmt: skip
    stamp = {"commit": "0123456789ab", "cpu": "a", "cores": 2, "time_utc": "2026-01-01T00:00:00Z"}
    result = {"clips": 4, "talk_of": ["cap12_edit"], "systems": {"motion": {"base": row}}, "all": row, "machine": stamp}
    (tmp_path / "blind.json").write_text(json.dumps(result))
    monkeypatch.setattr(_table_parts, "RESULTS", tmp_path)
    table = _tables_spotting.blind()
    assert "| base | 9 of 12 | 0.80 | 1.2 | 0.0 | – | 50% | – | 0.8 |" in table
    assert "All 4 clips: 9 of 12 micros found" in table
    assert "Talk: cap12_edit." in table
