"""Movements planted into real video: their time, size and place are as the truth says; scoring counts as it says."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from _synthesis import one_thread  # noqa: F401 (a fixture that all tests here use)

from bench import _table_parts, _tables_spotting, real_planted
from bench.planted import courses, draw, recipes, scenes, sources, takes, tracks, truth
from bench.planted.codec import BlockCodec
from bench.planted.courses import STILL, Movement, share
from bench.planted.moves import UNITS, Extra, planted, unit_field
from bench.planted.recipes import RECIPES, FastRecipe, Plant, Recipe, chosen, seeded
from bench.planted.schedule import Spacing, scheduled
from bench.planted.splines import FaceSpline
from bench.planted.takes import Take
from bench.planted.trajectories import CHOSEN, SKIN, trajectory
from bench.planted.warps import turn_field

FACE_PX = 152
ASSETS = Path(__file__).resolve().parents[1] / "realtime" / "assets"


def face(width: float = FACE_PX) -> np.ndarray:
    """(478, 2) px: a real face's mesh, its face ``width`` px wide, with room around it."""
    mesh = np.load(ASSETS / "portrait_landmarks.npz")["mesh"].astype(np.float64)
    mesh = mesh * (width / np.linalg.norm(mesh[234] - mesh[454]))
    return mesh - mesh.min(0) + 0.4 * width


def texture(width: float = FACE_PX, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: something whose movement can be measured everywhere."""
    size = np.ceil((face(width).max(0) + 0.4 * width) / 2).astype(int) * 2  # OpenCV writes no odd column
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(size[::-1]), (0, 0), 1.5)
    gray = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)


def still_take(count: int = 60, fps: float = 25.0, width: float = FACE_PX, shift: Any = 0.0) -> Take:
    """A face that does nothing, or is shifted as a whole by ``shift`` (T, 1, 2) px."""
    mesh = np.repeat(face(width)[None], count, axis=0) + shift
    points = np.concatenate([mesh, np.zeros((count, 478, 1))], 2).astype(np.float32)
    return Take([texture(width)] * count, fps, points, np.zeros((count, 3), np.float32), "made")


def move(unit: str = "AU12", side: str = "both", px: float = 2.0, residual: float = 0.0) -> Movement:
    """0.2 s up, 0.2 s down, from 0.8 s on."""
    return Movement("micro", unit, side, px, residual, 1.5 if residual else 0.0, 0.2, 0.2, 0.4, 0.8)


def measured(before: np.ndarray, after: np.ndarray, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places on the face and how far each moved, px, by Lucas-Kanade: no code of ours."""
    (left, top), (right, bottom) = mesh.min(0), mesh.max(0)
    grid = np.mgrid[left:right:3, top:bottom:3].reshape(2, -1).T.astype(np.float32)[:, None]
    gray = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (before, after)]
    end, found, _ = cv2.calcOpticalFlowPyrLK(gray[0], gray[1], grid, None, winSize=(7, 7), maxLevel=2)
    good = found[:, 0] == 1
    return grid[good, 0], (end - grid)[good, 0]


@pytest.mark.parametrize("kind", ["micro", "macro"])
@pytest.mark.parametrize("seed", range(8))
def test_a_time_course_hits_onset_apex_offset_and_residual(kind: str, seed: int) -> None:
    one = courses.drawn(np.random.default_rng(seed), "AU1", "both", 1.0, kind).at(3.0)
    assert share(one, one.onset_s) == share(one, 1.0) == 0
    assert share(one, one.top_s) == share(one, one.apex_s) == share(one, one.falls_s) == pytest.approx(1)
    left = one.residual if one.residual >= STILL else 0
    assert share(one, one.offset_s) == pytest.approx(left, abs=1e-9)
    assert one.onset_s < one.top_s <= one.apex_s <= one.falls_s < one.offset_s
    assert 0.24 <= one.length_s <= 0.48 if kind == "micro" else 0.85 <= one.length_s <= 2.4
    rise = share(one, np.linspace(one.onset_s, one.top_s, 50))
    fall = share(one, np.linspace(one.falls_s, one.offset_s + 30, 3000))
    assert (np.diff(rise) >= 0).all()
    assert (np.diff(fall) <= 1e-12).all(), "it falls, then what is left decays, and never rises again"
    assert (one.gone_s is None) == (one.residual == 0)
    if one.gone_s is not None:
        assert share(one, one.gone_s - 0.05) > 0
    assert share(one, (one.gone_s or one.offset_s) + 0.01) == 0


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_a_unit_moves_the_picture_by_the_stated_size(unit: str) -> None:
    take = still_take(8, fps=5.0)
    frames = list(planted(take, [move(unit)]))
    places, moved = measured(take.frames[0], frames[5], take.mesh[5])
    length = np.linalg.norm(moved, axis=1)
    assert np.percentile(length, 99.8) == pytest.approx(2.0, rel=0.18), "a window sees a little less than the peak"
    box, field = unit_field(take.mesh[5], take.width[5], take.frames[0].shape, unit, "both")
    size = np.linalg.norm(field, axis=2)
    there = np.array(np.unravel_index(size.argmax(), size.shape))[::-1] + box[:2]
    # what lies at the peak is seen 2 px along from it
    nearest = np.linalg.norm(places - there, axis=1).argsort()[:5]
    assert np.median(length[nearest]) == pytest.approx(2.0, rel=0.2), "the peak lies where the field says"


def test_the_size_is_that_of_a_face_152_px_wide() -> None:
    take = still_take(8, fps=5.0, width=304)
    frames = list(planted(take, [move("AU1")]))
    moved = measured(take.frames[0], frames[5], take.mesh[5])[1]
    assert np.percentile(np.linalg.norm(moved, axis=1), 99.8) == pytest.approx(4.0, rel=0.12)
    assert moved[np.linalg.norm(moved, axis=1) > 3][:, 1].max() < 0, "AU1 raises"


def test_half_way_it_is_half_and_afterwards_the_residual_stays() -> None:
    take, one = still_take(8, fps=5.0), replace(move("AU4", px=3.0, residual=0.5), rise_s=0.3, fall_s=0.4, length_s=0.6)
    frames = list(planted(take, [one]))
    sizes = {}
    for name, number in (("rise", 5), ("apex", 6), ("offset", 7)):
        moved = measured(take.frames[0], frames[number], take.mesh[0])[1]
        sizes[name] = np.percentile(np.linalg.norm(moved, axis=1), 99.8)
        sizes[name] /= share(one, number / take.fps)
    assert list(sizes.values()) == pytest.approx([3.0] * 3, rel=0.12)
    assert share(one, one.offset_s) == pytest.approx(0.5)


def test_frames_without_a_movement_and_pixels_far_from_it_are_untouched() -> None:
    take = still_take(12, fps=5.0)
    frames = list(planted(take, [move("AU12", "L")]))
    for number in (*range(5), *range(6, 12)):
        assert frames[number] is take.frames[number]
    changed = np.where((frames[5] != take.frames[5]).any(2))
    assert changed[1].min() > take.mesh[5, 0, 0], "the person's left is the image's right"
    assert changed[0].min() > take.mesh[5, 168, 1], "nothing above the eyes moves with a corner of the lips"


def test_two_movements_and_a_turn_add_up_and_a_missing_face_gets_none() -> None:
    take = still_take(12, fps=5.0)
    take.depth = np.repeat(np.hypot(*(face() - face()[1]).T)[None], len(take), axis=0)
    turn = Extra(
        lambda t_s: float(1.7 < t_s < 1.9), lambda i: turn_field(take.mesh[i], take.depth[i], FACE_PX, (300, 300), 2, 0)
    )
    take.width[10:] = np.nan
    frames = list(planted(take, [move("AU1"), move("AU15")], [turn]))
    moved = (frames[5] != take.frames[5]).any(2)
    low, high = (moved[part].any() for part in (np.s_[: int(face()[168, 1])], np.s_[int(face()[0, 1]) :]))
    assert low
    assert high
    assert (frames[9] != take.frames[9]).any(), "the turn"
    assert frames[11] is take.frames[11], "no face, no movement"


def test_sides_are_swapped_in_mirrored_clips() -> None:
    take, one = still_take(8, fps=5.0), move("AU2", "R")
    told = [truth.event(one, take, mirrored) for mirrored in (False, True)]
    assert [event["where"] for event in told] == ["right_brow", "left_brow"]
    assert truth.event(move("AU17"), take)["where"] == "chin"
    as_is = Recipe("one", "", lambda: take)
    plain = list(draw.shown(take, [one], scenes.Scene(), as_is))
    mirrored = list(draw.shown(take, [one], scenes.Scene(), replace(as_is, mirrored=True)))
    assert np.array_equal(mirrored[5], plain[5][:, ::-1])
    columns = np.where((mirrored[5] != take.frames[5][:, ::-1]).any(2))[1]
    middle = take.frames[0].shape[1] - take.mesh[5, 168, 0]
    assert columns.mean() > middle, "the left brow of the person as shown is on the image's right"


def test_a_face_that_does_nothing_covers_nothing() -> None:
    told = truth.event(move(residual=0.25), still_take())
    assert (told["onset"], told["apex"], told["offset"]) == (20, 25, 30)
    assert told["real_motion_there_px_at_152"] < 0.05
    assert real_planted.is_clear(told)
    assert not real_planted.is_clear({**told, "real_motion_there_px_at_152": 1.1})


def test_places_meet_their_conditions() -> None:
    take = still_take(500)
    take.blink[200:205] = take.blink[300:306] = True
    take.speech[350:] = True
    rng = np.random.default_rng(3)
    moves = [courses.drawn(rng, "AU1", "both", 1.0) for _ in range(5)]
    found = scheduled(take, rng, moves, ["afterblink", "rest", "speech", 5.0, "any"], Spacing(2.0, 0.7))
    assert len(found) == 5
    onsets = [int(one.onset_s * take.fps) for one in found]
    assert any(onset - end in (0, 1, 2, 3) for onset in onsets for end in (205, 306))
    assert any(5.0 <= one.onset_s < 5.02 for one in found)
    gaps = [b.onset_s - a.offset_s for a, b in pairwise(found)]
    assert min(gaps) > 0.4
    assert sum(take.during(onset, onset + 8) == "speech" for onset in onsets) >= 1


def test_recipes_are_the_same_for_a_seed() -> None:
    order = "c01 c02 c06 c04 c10 c09 hs1 c11 c12 c17 c03 hs2 c08 c07 c14 c13 c15 c16 c18 hs3 c05 c19 hs4"
    assert [recipe.name.split("_")[0] for recipe in RECIPES] == order.split(), "a clip's place is part of its seed"
    take = still_take(600)
    assert len({recipe.name for recipe in RECIPES}) == 23
    for recipe in RECIPES:
        if isinstance(recipe, FastRecipe) or not recipe.plants or recipe.name.startswith(("c06", "c16", "c17")):
            continue
        arrange = recipe.arrange or recipes.placed
        one, again, other = (arrange(take, seeded(recipe, seed), recipe.plants, recipe.spacing) for seed in (1, 1, 2))
        assert one == again != other
        assert {m.unit for m in one} <= {p.unit for p in recipe.plants}
    with pytest.raises(ValueError, match="no clip begins with zz"):
        chosen(["zz"])
    assert [recipe.name[:3] for recipe in chosen(["hs", "c01"])] == ["c01", "hs1", "hs2", "hs3", "hs4"]


def test_a_clip_is_written_with_its_truth(tmp_path: Path) -> None:
    take = still_take(30, fps=10.0, width=80)

    def freeze(take: Take, rng: np.random.Generator) -> scenes.Scene:
        return scenes.Scene(held=frozenset({20}), notes=[takes.note("held", 20, 20)], facts={"more": 1})

    plants = (Plant("AU1", "L", 2.0, 1.0, kind="macro"),)
    recipe = Recipe("made", "a test", lambda: take, plants, freeze, mirrored=True, gray=True)
    frames, fps, facts = draw._clip(recipe, np.random.default_rng([1, 0]))
    kept = list(frames)
    assert draw.write(tmp_path / "made.avi", iter(kept), fps) == 30
    video = cv2.VideoCapture(str(tmp_path / "made.avi"))
    for frame in kept:
        read, decoded = video.read()
        assert read
        assert np.array_equal(decoded[..., 0], frame)
    assert not video.read()[0]
    draw.write(tmp_path / "odd.avi", [kept[0][1:, 1:]], fps)
    video = cv2.VideoCapture(str(tmp_path / "odd.avi"))
    assert np.array_equal(video.read()[1][..., 0], kept[0][1:-1, 1:-1])
    assert np.array_equal(kept[20], kept[19])
    event = facts["events"][0]
    assert (event["where"], event["onset"], facts["more"], facts["not_placed"]) == ("right_brow", 10, 1, 0)
    assert {"what": "held", "frames": [20, 20]} in facts["non_events"]
    assert (kept[event["apex"]] != kept[0]).any()
    assert np.array_equal(kept[event["onset"]], kept[0]), "the onset is the last frame at rest"


def test_a_codec_pulses_with_its_key_frames() -> None:
    take = still_take(8)
    codec = BlockCodec(30, 22, 4)
    seen = [codec(frame) for frame in take.frames]
    assert seen[0].shape == take.frames[0].shape
    assert np.array_equal(seen[0], seen[4]), "a key frame knows nothing of the ones before"
    assert np.abs(seen[0].astype(int) - take.frames[0]).mean() > 1


def test_a_spline_moves_the_face_and_not_the_corners() -> None:
    mesh, shape = face(), texture().shape[:2]
    spline = FaceSpline(mesh, FACE_PX, shape)
    points = mesh[CHOSEN]
    assert np.abs(spline.pull(points, points)).max() < 1e-3
    pull = spline.pull(points + np.array([2.0, 0]), points)
    x, y = mesh[1].astype(int)
    assert pull[y, x] == pytest.approx([-2, 0], abs=0.1)
    assert np.abs(pull[[0, 0, -1, -1], [0, -1, 0, -1]]).max() < 0.05


def test_a_shifted_face_is_a_trajectory_of_its_head_alone() -> None:
    shift = np.zeros((30, 1, 2))
    shift[:, 0, 0] = 3 * np.sin(np.arange(30) / 5)
    found = trajectory(still_take(30, shift=shift), face(), FACE_PX, 1.0, 1.0)
    assert np.ptp(found.head[:, 2]) == pytest.approx(6, abs=0.5)
    assert np.abs(found.head[:, [0, 1, 3]]).max() < 0.05
    assert np.abs(found.amounts @ found.modes).max() < 0.1
    assert CHOSEN.max() < SKIN


def test_the_recordings_are_read() -> None:
    if not (tracks.MEDIA / sources.SMILE).exists():
        pytest.skip("../shared/media is not here")
    frames, fps = tracks.frames_of(sources.SMILE, 2, 5, (320, 180))
    assert [frame.shape for frame in frames] == [(180, 320, 3)] * 3
    assert fps == pytest.approx(30, abs=0.1)


def event(kind: str, onset: int, offset: int, **more: Any) -> dict[str, Any]:
    middle = (onset + offset) // 2
    return {"kind": kind, "onset": onset, "apex": middle, "offset": offset, "magnitude_px": 1.0, **more}


def told(kind: str, onset: int, offset: int, real_px: float = 0.2) -> dict[str, Any]:
    more = {"au": "AU1", "where": "both_brow", "px_at_152": 1.0, "residual": 0, "during": "rest"}
    return event(kind, onset, offset, real_motion_there_px_at_152=real_px, **more)


def test_scoring_counts_each_report_once() -> None:
    planted_there = [told("micro", 100, 110), told("micro", 200, 210, real_px=0.7), told("macro", 300, 340)]
    reports = [
        event("micro", 101, 111),
        event("micro", 99, 116),  # overlaps the first too: false
        event("macro", 200, 212),
        event("macro", 335, 400),  # IoU below one half
        event("micro", 500, 508),
    ]
    row = real_planted.score(planted_there, reports)
    counts = {name: row[name] for name in real_planted.COUNTS}
    assert counts == {
        "micros": 2,
        "micros_found": 2,
        "micros_called_micro": 1,
        "macros": 1,
        "macros_found": 0,
        "false_micro": 2,
        "false_macro": 1,
    }
    assert [one["clear"] for one in row["planted"]] == [True, False, True]
    assert row["planted"][0]["found"]["onset"] == 101, "the one that overlaps it most"
    assert row["planted"][2]["iou"] == pytest.approx(0.05)
    assert real_planted.iou(event("micro", 1, 1), event("micro", 1, 1)) == 0


def a_result() -> dict[str, Any]:
    with_plants = {"seconds": 20.0, **real_planted.score([told("micro", 10, 20), told("micro", 50, 60, 0.9)],
                                                         [event("micro", 10, 20)])}  # fmt: skip
    control = {"seconds": 40.0, **real_planted.score([], [event("micro", 1, 9), event("macro", 1, 90)])}
    rows = [
        {"clip": name, "what": "some", "fps": 25.0, "frames": 1, "exit_code": 0, "not_placed": 0, **row}
        for name, row in (("c01", with_plants), ("c04", control))
    ]
    return {"rows": rows, "totals": real_planted.summed(rows)}


def test_totals_split_micros_and_set_the_controls_apart() -> None:
    totals = a_result()["totals"]
    assert totals["clear"] == {"micros": 1, "micros_found": 1, "micros_called_micro": 1}
    assert totals["covered"] == {"micros": 1, "micros_found": 0, "micros_called_micro": 0}
    assert totals["controls"]["clips"] == 1
    assert totals["controls"]["false_micro_per_minute"] == pytest.approx(1.5)
    assert totals["false_micro_per_minute"] == pytest.approx(1.0)


def test_the_table_is_drawn_from_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = {"commit": "0123456789ab", "cpu": "a", "cores": 2, "time_utc": "2026-01-01T00:00:00Z"}
    (tmp_path / "real_planted.json").write_text(json.dumps({**a_result(), "machine": stamp}))
    monkeypatch.setattr(_table_parts, "RESULTS", tmp_path)
    table = _tables_spotting.real_planted()
    assert "| `c01` | some | 25 | 1 of 2 | 1 of 2 | – | 0 | 0 |" in table
    assert "| `c04` | some | 25 | – | – | – | 1 | 1 |" in table
    assert "the clear ones: 1 of 1 found" in table
    assert "1.5 over the 40 s where nothing is planted" in table


def test_clips_go_with_the_run_unless_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with real_planted.folder_for(1, keep=False) as folder:
        (folder / "clip.avi").write_text("")
        assert folder.parent == tracks.folder()
    assert not folder.exists()
    with real_planted.folder_for(1, keep=True) as folder, real_planted.folder_for(2, keep=True) as other:
        assert folder != other
