"""``merealtime check``: what it says of a rig is what was put in, and the first advice is the one that matters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from _session import ROOT
from fakev4l2 import FakeCamera, build

from realtime.rig import pictures
from realtime.rig.command import main
from realtime.rig.figures import Figures, judge
from realtime.rig.report import write
from realtime.sources.v4l2 import exposure

RNG = np.random.default_rng(4)
FACE = cv2.imread(str(ROOT / "realtime" / "assets" / "portrait.png"), cv2.IMREAD_GRAYSCALE)[130:430, 130:380]
GOOD = Figures(
    source="0", detail="a camera", width=640, height=480, seconds=20.0, frames=4000, fps_requested=200.0,
    fps_granted=200.0, fps_measured=199.9, jitter_ms=0.02, jitter_p99_ms=0.1, lost=0, lost_percent=0.0, left_out=0,
    left_out_percent=0.0, brightness=128.0, dark_percent=0.0, bright_percent=0.0, noise_grey=1.5, flicker_hz=100.0,
    flicker_percent=0.5, blur=0.3, face_width_px=160.0, face_percent=100.0,
    sensitivity_px={"left_eye_brow": 0.18, "chin": 0.25},
)  # fmt: skip


@pytest.mark.parametrize("sigma", [0.6, 1.4, 4.0, 10.0])
def test_noise_is_that_which_was_added_whatever_flickers_or_moves(sigma: float) -> None:
    smooth = np.clip(cv2.GaussianBlur(FACE.astype(np.float32), (0, 0), 6) * 0.8 + 25, 30, 225)
    pairs = []
    for k in range(6):
        light = 1.0 + 0.05 * np.sin(k)
        one, other = (smooth * gain + RNG.normal(0, sigma, smooth.shape) for gain in (1.0, light))
        other[:, 200:] = np.roll(other, 7, axis=0)[:, 200:]  # a third of the picture moves
        made = [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in (one, other)]
        found = pictures.noise_grey(*made)
        assert found is not None
        pairs.append(found)
    expected = np.hypot(sigma, 1 / np.sqrt(12))
    assert np.median(pairs) == pytest.approx(expected, rel=0.15)


def test_a_picture_without_grey_says_nothing_of_noise() -> None:
    white = np.full((64, 64), 255, np.uint8)
    assert pictures.noise_grey(white, white) is None


@pytest.mark.parametrize(("hertz", "seen"), [(7.5, 7.5), (60.0, 60.0), (100.0, 100.0), (120.0, 80.0)])
def test_flicker_is_found_with_its_depth_above_half_the_rate_as_its_alias(hertz: float, seen: float) -> None:
    t = np.arange(4000) / 200.0
    brightness = 120.0 * (1 + 0.02 * np.cos(2 * np.pi * hertz * t)) + RNG.normal(0, 0.05, len(t)) + 3 * t / 20
    found, percent = pictures.flicker(brightness, 200.0)
    assert found == pytest.approx(seen, abs=0.2)
    assert percent == pytest.approx(2.0, rel=0.1)


def test_steady_light_does_not_flicker() -> None:
    assert pictures.flicker(120 + RNG.normal(0, 0.1, 3000), 200.0) == (0.0, 0.0)
    assert pictures.flicker(np.full(3000, 90.0), 200.0) == (0.0, 0.0)
    assert pictures.flicker(np.full(5, 90.0), 200.0) == (0.0, 0.0)


def test_blur_rises_with_blur() -> None:
    values = [pictures.blur(FACE)] + [pictures.blur(cv2.GaussianBlur(FACE, (0, 0), s)) for s in (1.5, 3, 6)]
    assert values == sorted(values)
    assert values[0] < 0.5 < 0.75 < values[-1] <= 1.0


def changed(**fields: Any) -> Figures:
    figures = msgspec.structs.replace(GOOD, **fields)
    judge(figures)
    return figures


def test_a_good_rig_is_good() -> None:
    assert (changed().verdict, changed().advice) == ("good", [])


@pytest.mark.parametrize(
    ("fields", "verdict", "advice"),
    [
        ({"fps_measured": 80.0, "fps_requested": None}, "usable", "80 frames a second"),
        ({"fps_measured": 30.0}, "not for micro-expressions", "30 frames a second"),
        ({"fps_measured": 150.0}, "usable", "150 of 200 frames a second come"),
        ({"lost_percent": 0.5}, "usable", "0.5 % of the frames are lost"),
        ({"lost_percent": 12.0}, "not for micro-expressions", "12 % of the frames are lost"),
        ({"left_out_percent": 40.0}, "not for micro-expressions", "40 % of the frames could not be analysed"),
        ({"brightness": 20.0}, "usable", "the face is dark"),
        ({"bright_percent": 30.0}, "not for micro-expressions", "30 % of the face is white"),
        ({"face_width_px": 90.0}, "usable", "the face is 90 px wide"),
        ({"face_width_px": None, "sensitivity_px": {}}, "not for micro-expressions", "no face was found"),
        ({"sensitivity_px": {}}, "not for micro-expressions", "not at rest for long enough"),
        ({"exposure_ms": 33.3}, "usable", "the exposure is 33.3 ms"),
        ({"flicker_percent": 8.0}, "usable", "the light flickers (8.0 % at 100.0 Hz)"),
        ({"blur": 0.9}, "not for micro-expressions", "the face is blurred"),
        ({"sensitivity_px": {"nose": 0.2, "chin": 0.6}}, "usable", "below 0.60 px go unseen (chin)"),
        ({"sensitivity_px": {"nose": 1.4}}, "not for micro-expressions", "below 1.40 px go unseen (nose)"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], verdict: str, advice: str) -> None:
    figures = changed(**fields)
    assert figures.verdict == verdict
    assert advice in figures.advice[0]
    assert len(figures.advice) == 1


def test_what_makes_it_useless_comes_first() -> None:
    figures = changed(flicker_percent=8.0, blur=0.9)
    assert figures.advice[0].startswith("the face is blurred")
    assert len(figures.advice) == 2


def test_the_page_holds_no_markup_of_others_and_asks_nobody(tmp_path: Path) -> None:
    figures = changed(detail="<script>alert(1)</script>", source="rtsp://u:secret@host/")
    write(figures, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert "secret" not in text
    assert "http" not in text
    assert "0.25 px" in text


def test_a_recording_of_the_demo(clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command: a session behind it, the table, the page, the figures."""
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    words = ["--camera", clip, "--fps", "200", "--set", "spot.noise_window_s=0.5"]
    words += ["--seconds", "3", "--report", str(page), "--json", str(data)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    figures = msgspec.json.decode(data.read_bytes(), type=Figures)
    assert (figures.fps_measured, figures.lost, figures.left_out, figures.width) == (200.0, 0, 0, 480)
    assert figures.jitter_p99_ms < 0.01
    assert figures.noise_grey == pytest.approx(1.4, abs=0.5)
    assert figures.face_width_px == pytest.approx(109, abs=8)
    assert figures.face_percent == 100.0
    assert figures.flicker_hz == pytest.approx(100.0, abs=1.0)
    assert set(json.loads(data.read_text())) == {field.name for field in msgspec.structs.fields(Figures)}
    for text in (f"verdict: {figures.verdict}", "200.00 fps", "least chin"):
        assert text in printed
    assert figures.verdict in page.read_text()
    assert not list(tmp_path.glob("*.mkv")), "no frame was kept"


def test_the_exposure_of_a_camera_is_asked_of_its_driver(tmp_path: Path) -> None:
    """While it streams to the session, by a second descriptor; an emulated camera."""
    camera = FakeCamera(tmp_path, build(tmp_path))
    face = np.ascontiguousarray(cv2.resize(FACE, (200, 240)))
    scene = np.full((240, 320), 90, np.uint8)
    scene[:, 60:260] = face
    camera.serve(np.stack([scene] * 20), EXPOSURE=62, EXPOSURE_AUTO=3)
    data = tmp_path / "rig.json"
    words = ("check", "--camera", "0", "--fps", "60", "--seconds", "3", "--json", str(data))
    ran = camera.start(sys.executable, "-m", "realtime", *words)
    printed, errors = ran.communicate(timeout=120)
    assert ran.returncode == 0, errors
    figures = msgspec.json.decode(data.read_bytes(), type=Figures)
    assert (figures.exposure_ms, figures.exposure_auto) == (6.2, True)
    assert "6.20 ms, automatic" in printed


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"EXPOSURE": 50, "EXPOSURE_AUTO": 1}, [5.0, False]),
        ({"EXPOSURE": 50, "EXPOSURE_AUTO": 0}, [5.0, True]),
        ({}, [4.0, None]),
        ({"EXPOSURE": -1}, None),
    ],
)
def test_what_a_driver_tells_of_its_exposure(settings: dict[str, int], told: Any, tmp_path: Path) -> None:
    camera = FakeCamera(tmp_path, build(tmp_path))
    camera.serve(np.zeros((2, 48, 64), np.uint8), **settings)
    code = "import json; from realtime.sources.v4l2.exposure import read; e = read('0'); "
    ran = camera.start(sys.executable, "-c", code + "print(json.dumps(None if e is None else [e.ms, e.auto]))")
    printed, errors = ran.communicate(timeout=60)
    assert json.loads(printed) == told, errors


@pytest.mark.parametrize("spec", ["demo", "77", "/dev/null", "/nowhere/video0", "clip.mkv", "rtsp://host/", "٣"])
def test_what_is_no_v4l2_camera_tells_no_exposure(spec: str) -> None:
    assert exposure.read(spec) is None


def test_wrong_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seconds", "1"])
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["--camera", "/nowhere.mkv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
