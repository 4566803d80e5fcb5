"""The living suite: splits that share nothing, clips kept without loss, and how a row is scored."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import _clip_store as store
import _living_score
import living
from _living_score import ClipResult, Found, score

from realtime.synthesis import Portrait
from realtime.synthesis.living import TruthMove
from realtime.synthesis.living.speech import articulated


def move(onset: int, apex: int, offset: int, kind: str = "micro") -> TruthMove:
    return TruthMove(
        kind=kind, onset=onset, apex=apex, offset=offset, au="AU12", side="both", region="mouth", px=1.5, residual=0.0
    )  # type: ignore[arg-type]


def result(truth: list[TruthMove], found: list[Found], unusable: list[tuple[int, int]] | None = None) -> ClipResult:
    return ClipResult("clip", "base", 200.0, 12_000, 12.0, truth, found, unusable or [])


def test_kept_frames_come_back_bit_by_bit(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 24, 32), np.uint8)
    path = tmp_path / "kept" / "a.clip"
    store.write(path, iter(frames), 7, (32, 24))
    assert np.array_equal(np.stack(list(store.read(path))), frames)
    assert list(path.parent.iterdir()) == [path]


def test_a_stranger_in_the_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "b.clip"
    path.write_bytes(b"0" * 64)
    with pytest.raises(ValueError, match=r"b\.clip"):
        next(store.read(path))


def test_splits_share_no_seed_portrait_or_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    own = living.portraits
    packaged = Portrait.packaged()
    others = dict.fromkeys(("a", "b", "c"), packaged)
    monkeypatch.setattr(living, "portraits", lambda split: own(split) if split == "tuning" else others)
    tuning, heldout = living.suite("tuning"), living.suite("heldout")
    assert not {clip.seed for clip in tuning} & {clip.seed for clip in heldout}
    assert len({clip.seed for clip in tuning}) == len(tuning)
    assert not {clip.portrait_name for clip in tuning} & {clip.portrait_name for clip in heldout}
    assert {clip.portrait_name for clip in heldout} == set(others)
    assert living.SPEECH_PARTS["tuning"][1] < living.SPEECH_PARTS["heldout"][0]
    assert {clip.factor for clip in tuning} == {clip.factor for clip in heldout} == set(living.FACTORS)
    assert sum(c.settings.seconds for c in heldout if c.factor == "idle-living") == 600


def test_each_factor_changes_the_base() -> None:
    base = {**living.BASE}
    settings = {name: base | changes for name, changes in living.FACTORS.items()}
    assert len({repr(sorted(value.items(), key=str)) for value in settings.values()}) == len(settings)


def test_held_out_clips_fill_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(living, "portraits", lambda split: {"packaged": Portrait.packaged()})
    short = {"size": (400, 352), "face_width_px": 150.0, "seconds": 0.1}
    settings = living.LivingSettings(**short)
    tuning, heldout = (living.SuiteClip("base", split, 0, 1, "packaged", settings) for split in living.SPLITS)
    with heldout.kept() as path:
        kept = list(store.read(path))
    assert np.array_equal(np.stack(list(heldout.frames())), np.stack(kept))
    assert not list(tmp_path.rglob("*.clip"))
    with tuning.kept() as path:
        assert np.array_equal(np.stack(list(store.read(path))), np.stack(kept))
    assert list(tmp_path.rglob("*.clip")) == [path]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="yaw-3"):
        living.suite("tuning", ["base", "yaw-3"])
    with pytest.raises(ValueError, match="train"):
        living.suite("train")


def test_a_kept_clip_is_named_by_all_that_decides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = living.suite("tuning", ["base"])
    before = first.path()
    assert before != second.path()
    monkeypatch.setattr(living, "code_digest", lambda: "other code")
    assert first.path() != before


def test_another_speaker_changes_clips_in_which_somebody_speaks_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    own = articulated(np.random.default_rng(1), 3.0)
    other = articulated(np.random.default_rng(2), 3.0)
    monkeypatch.setattr(
        living, "speech_of", lambda split, video: asked.append((split, video)) or (other if "b" in video.stem else own)
    )
    here = {video: living.suite("tuning", ["base", "speech-alone"], Path(video), 3) for video in ("a.mp4", "b.mp4")}
    paths = {video: {clip.path().name for clip in found} for video, found in here.items()}
    assert all(len(found) == 6 for found in paths.values())
    assert {name[:11] for name in paths["a.mp4"] & paths["b.mp4"]} == {"tuning-base"}
    assert len(paths["a.mp4"] | paths["b.mp4"]) == 9
    assert set(asked) == {("tuning", Path("a.mp4")), ("tuning", Path("b.mp4"))}


def test_hits_count_whatever_they_are_called_but_f1_does_not() -> None:
    truth = [move(100, 120, 150), move(400, 420, 450), move(700, 720, 750)]
    found = [Found("micro", 102, 124, 148), Found("macro", 395, 421, 470), Found("micro", 1000, 1010, 1030)]
    row = score([result(truth, found)])
    assert (row["hits"], row["hits_micro"], row["micros"]) == (2, 1, 3)
    assert row["f1_micro"] == pytest.approx(2 * 1 / (3 + 2))
    assert row["false_micro_per_minute"] == pytest.approx(1.0)
    assert row["false_macro_per_minute"] == 0
    assert row["apex_error_p50_ms"] == pytest.approx((20 + 5) / 2)
    assert row["offset_within_40ms"] == 0.5  # 10 and 100 ms
    assert row["ms_per_frame"] == pytest.approx(1.0)


def test_movements_that_are_told_to_be_no_use_count_as_any_and_stand_beside() -> None:
    truth = [move(100, 120, 150), move(400, 420, 450), move(700, 720, 750)]
    row = score([result(truth, [Found("micro", 102, 124, 148)], [(0, 60), (425, 5_938), (6_000, 6_424)])])
    assert (row["hits"], row["micros"]) == (1, 3)
    assert row["f1_micro"] == pytest.approx(2 * 1 / (3 + 1))
    assert row["micros_unusable"] == 2  # 26 of 51 frames, all of 51
    assert row["unusable_share"] == pytest.approx((61 + 5_514 + 425) / 12_000)
    away, back, anew = "head turned away", "head back", "face anchored again"
    told = [(anew, 2), (away, 5), (back, 9), (away, 11), (anew, 14), (away, 20), (away, 22)]
    assert _living_score.spans(told, 30) == [(5, 8), (11, 13), (20, 29)]
    assert _living_score.spans([(back, 9)], 30) == []


def test_a_macro_is_right_as_a_macro_and_its_micro_is_counted_apart() -> None:
    truth = [move(100, 200, 700, "macro"), move(400, 420, 450)]
    both = [Found("macro", 110, 210, 690), Found("micro", 401, 421, 449)]
    row = score([result(truth, both)])
    assert (row["macros_found"], row["macros"], row["hits"]) == (1, 1, 1)
    assert row["false_micro_per_minute"] == row["false_macro_per_minute"] == 0
    alone = score([result(truth, [Found("macro", 110, 210, 690), Found("macro", 1000, 1100, 1200)])])
    assert alone["hits"] == 0
    assert alone["false_macro_per_minute"] == pytest.approx(1.0)


def test_an_idle_row_has_no_f1() -> None:
    row = score([result([], [Found("micro", 1, 5, 9)])])
    assert row["f1_micro"] is None
    assert row["macro_recall"] is None
    assert row["false_micro_per_minute"] == pytest.approx(1.0)
    assert _living_score.table({"idle": row}, "t").row_count == 1


def test_every_system_is_given_the_same_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = living.LivingSettings(size=(320, 320), face_width_px=150.0, seconds=4.0, first_s=2.0, gap_s=(5.0, 6.0))
    clip = living.SuiteClip("base", "tuning", 0, 3, "packaged", settings)
    answers = _living_score.spot_clip(clip, ("motion", "frame-difference"))
    assert list(answers) == ["motion", "frame-difference"]
    assert all(answer.frames == 800 and answer.spent_s > 0 for answer in answers.values())
    assert answers["motion"].truth == answers["frame-difference"].truth == clip.clip().truth.moves
    row = score([answers["motion"]])
    assert (row["micros"], row["f1_micro"]) == (1, 1.0)
