"""The rivals find a 3 px movement on a still head, each by its own rule, and nothing where nothing moves."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from _synthesis import PORTRAIT, one_thread  # noqa: F401

from offline.evaluation.megc import hits
from offline.rivals import RIVALS, Found, frame_difference, mdmd
from offline.rivals.found import runs_of
from realtime.synthesis import FaceRenderer, SynthesisSettings, TruthEvent, generate_clip

FPS = 100.0
STILL = SynthesisSettings(
    amplitude_px=(3.0, 3.0), blinks=False, drift_px=0.0, rotation_deg=0.0, scale_percent=0.0, first_event_s=1.8,
    event_gap_s=(2.0, 2.2), rise_s=(0.12, 0.16), hold_s=(0.05, 0.06), fall_s=(0.12, 0.16),
)  # fmt: skip
MESH = PORTRAIT.place((640, 480)).mesh


def find_mesh(gray: np.ndarray) -> np.ndarray:
    return MESH


def clip(seed: int, seconds: float = 7.0, **changes: object) -> tuple[list[np.ndarray], list[TruthEvent]]:
    import msgspec

    settings = msgspec.structs.replace(STILL, **changes)
    frames, events = generate_clip(PORTRAIT, seed, seconds, FPS, settings)
    return list(frames), events


@pytest.fixture(scope="module")
def moving() -> tuple[list[np.ndarray], list[TruthEvent]]:
    return clip(3)


@pytest.mark.parametrize("name", RIVALS)
def test_a_movement_of_3_px_on_a_still_head_is_found(
    name: str, moving: tuple[list[np.ndarray], list[TruthEvent]]
) -> None:
    frames, events = moving
    assert len(events) >= 2
    found = RIVALS[name](iter(frames), FPS, find_mesh)
    micro = [one for one in found if one.kind == "micro"]
    spans = [(one.onset, one.offset) for one in micro]
    paired = hits(spans, [(e.onset, e.offset) for e in events])
    assert len(paired) == len(events), (found, events)
    for mine, theirs in paired:
        assert micro[mine].onset <= micro[mine].apex <= micro[mine].offset
        assert abs(micro[mine].apex - events[theirs].apex) <= 0.12 * FPS


def test_noise_and_flicker_alone_move_nothing_for_frame_differences() -> None:
    frames, events = clip(5, events=False)
    assert not events
    assert frame_difference.spot_clip(frames, FPS, find_mesh) == []


def test_a_picture_that_stands_still_gives_neither_anything() -> None:
    frame = np.empty((480, 640), np.uint8)
    FaceRenderer(PORTRAIT, SynthesisSettings.clean(events=False), seed=1, fps=FPS).render(0, frame)
    for spot_clip in RIVALS.values():
        assert spot_clip([frame] * 400, FPS, find_mesh) == []


def test_without_a_face_there_is_nothing_to_spot(moving: tuple[list[np.ndarray], list[TruthEvent]]) -> None:
    for spot_clip in RIVALS.values():
        assert spot_clip(moving[0][:50], FPS, lambda gray: None) == []
        assert spot_clip([], FPS, find_mesh) == []


def test_frames_without_a_face_at_the_start_shift_nothing(
    moving: tuple[list[np.ndarray], list[TruthEvent]],
) -> None:
    frames, _ = moving
    empty = np.full((480, 640), 7, np.uint8)

    def finder(gray: np.ndarray) -> np.ndarray | None:
        return None if gray[0, 0] == 7 and gray.std() == 0 else MESH

    whole = mdmd.spot_clip(frames, FPS, find_mesh)
    later = mdmd.spot_clip([*[empty] * 30, *frames], FPS, finder)
    assert later == [Found(o + 30, e + 30, a + 30, kind) for o, e, a, kind in whole]


def test_frame_differences_know_no_later_frame(moving: tuple[list[np.ndarray], list[TruthEvent]]) -> None:
    """What is decided at a frame is the same whatever comes after it."""

    def decided(frames: Iterator[np.ndarray]) -> list[tuple[int, Found]]:
        spotter = frame_difference.FrameDifference(FPS, find_mesh)
        return [(number, one) for number, frame in enumerate(frames) for one in spotter.push(frame)]

    frames, _ = moving
    whole = decided(iter(frames))
    assert whole
    number, first = whole[0]
    assert number > first.offset
    scrambled = [*frames[: number + 1], *reversed(frames[number + 1 :])]
    assert decided(iter(scrambled))[0] == (number, first)
    assert decided(iter(frames[: number + 1])) == [(number, first)]
    assert decided(iter(frames[:number])) == []


@pytest.mark.parametrize("factor", [2, 4])
def test_times_are_seconds_at_any_rate(factor: int, moving: tuple[list[np.ndarray], list[TruthEvent]]) -> None:
    """Every second or fourth frame of the clip is the same clip at a lower rate."""
    frames, events = moving
    for name, spot_clip in RIVALS.items():
        found = [one for one in spot_clip(frames[::factor], FPS / factor, find_mesh) if one.kind == "micro"]
        truth = [(e.onset // factor, e.offset // factor) for e in events]
        assert len(hits([one[:2] for one in found], truth)) == len(events), name


def slow_movement(there: np.ndarray, beyond: np.ndarray) -> float:
    """MDMD's r pixel by pixel, as the paper words it."""
    height, width = there.shape[0] // 6, there.shape[1] // 6
    blocks = []
    for row in range(6):
        for column in range(6):
            bins: dict[tuple[bool, bool], list[float]] = {}
            for y in range(row * height, (row + 1) * height):
                for x in range(column * width, (column + 1) * width):
                    u, v = there[y, x]
                    long = float(np.hypot(u, v)) - float(np.hypot(*beyond[y, x]))
                    bins.setdefault((u < 0, v < 0), []).append(long)
            order = [(False, False), (True, False), (False, True), (True, True)]
            main = max((bins.get(key, []) for key in order), key=len)
            blocks.append(float(np.mean(sorted(main, reverse=True)[: max(1, round(len(main) / 3))])))
    return float(np.mean(sorted(blocks, reverse=True)[:12]))


def test_mdmds_measure_is_the_papers_pixel_by_pixel() -> None:
    random = np.random.default_rng(0)
    there, beyond = (cv2.GaussianBlur(random.normal(0, 9, (50, 44, 2)), (0, 0), 3).astype(np.float32) for _ in "ab")
    assert mdmd.movement(there, beyond) == pytest.approx(slow_movement(there, beyond), rel=1e-5)
    zero = np.zeros((50, 44, 2), np.float32)
    assert mdmd.movement(zero, zero) == 0
    assert mdmd.movement(there, there) == 0
    assert mdmd.movement(there, zero) > 0 > mdmd.movement(zero, there)


def test_mdmd_finds_what_comes_and_goes_and_not_what_stays() -> None:
    """Flows made by hand: 2 px for 0.3 s in one block, then another block that moves and stays."""
    fps = 30.0
    course = np.zeros((150, 2), np.float32)
    course[60:70, 0] = 2.0
    course[110:, 1] = 2.0
    faces = [np.full((60, 60), number, np.uint8) for number in range(150)]

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        made = np.zeros((60, 60, 2), np.float32)
        change = course[int(second[0, 0])] - course[int(first[0, 0])]
        made[:30, :, 1] = change[0]
        made[30:, :, 1] = change[1]
        return made

    assert mdmd.spot_faces(faces, fps, "micro", flow) == [(60, 69, 60)]
    assert mdmd.spot_faces(faces[:20], fps, "macro", flow) == []  # too short for any k


def test_runs() -> None:
    assert runs_of(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 1), (3, 3), (6, 6)]
    assert runs_of(np.zeros(3, bool)) == runs_of(np.zeros(0, bool)) == []
