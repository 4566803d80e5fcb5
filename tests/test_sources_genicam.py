"""GenICam cameras by Aravis: its own simulators, in this process and as a GigE device on loopback; no hardware."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakegenicam import LoopbackCamera, aravis_is_here, play, wait_for_port
from fakev4l2 import outcome

from realtime.errors import SourceError
from realtime.sources import list_cameras, open_source, take_notices
from realtime.sources.genicam import abi
from realtime.types import SourceRequest

needs_aravis = pytest.mark.skipif(not aravis_is_here(), reason="Aravis is not here: apt install libaravis-0.8-0")
WIDTH, HEIGHT = 160, 120
ASKED = {"fps": 200, "size": [WIDTH, HEIGHT]}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(97, 120, 160): a prime count, so that a frame at the wrong number is a wrong frame."""
    return np.random.default_rng(7).integers(0, 256, (97, HEIGHT, WIDTH), np.uint8)


@pytest.fixture
def camera(tmp_path: Path, frames: np.ndarray) -> Iterator[LoopbackCamera]:
    made = LoopbackCamera(tmp_path, "MT7", (WIDTH, HEIGHT), frames=frames)
    yield made
    made.unplug()


def holes(numbers: list[int]) -> list[tuple[int, int]]:
    return [(a + 1, b - 1) for a, b in itertools.pairwise(numbers) if b - a > 1]


def assert_identical(played: dict[str, Any], frames: np.ndarray) -> None:
    """Each frame shows what the camera showed at its number, whatever was lost before it."""
    expected = [zlib.crc32(frame) for frame in frames]
    first = expected.index(played["digests"][0])
    wrong = [
        number
        for number, digest in zip(played["numbers"], played["digests"], strict=True)
        if digest != expected[(first + number) % len(frames)]
    ]
    assert wrong == []
    assert all(b > a for a, b in itertools.pairwise(played["times"]))


@needs_aravis
def test_lost_and_torn_frames_are_holes_of_exactly_that_size(camera: LoopbackCamera, frames: np.ndarray) -> None:
    """600 frames over GigE Vision, past the wrap of the 16-bit frame ids (Aravis begins at 65 401)."""
    process = play(spec="genicam:MT7", frames=600, request={**ASKED, "exposure_us": 2500})
    camera.control.wait("produced", 200)
    camera.control.put("lose_n", 7)
    camera.control.wait("produced", 350)
    camera.control.put("tear_n", 3)
    played = outcome(process)
    info = played["info"]
    assert (info["width"], info["height"], info["fps"], info["pixel_format"]) == (WIDTH, HEIGHT, 200, "Mono8")
    assert "Aravis Fake MT7: Mono8 160x120 at 200 fps, exposure 2500 µs" in info["detail"]
    assert camera.control.get("exposure_us") == 2500, "it reached the camera"
    assert camera.control.get("kept_back") == 10
    assert sorted(last - first + 1 for first, last in holes(played["numbers"])) == [3, 7]
    assert_identical(played, frames)


@needs_aravis
def test_unplugged_is_lost_and_back_is_a_new_session(camera: LoopbackCamera, frames: np.ndarray) -> None:
    process = play(spec="genicam:MT7", frames=150, request=ASKED, sessions=2)
    camera.control.wait("produced", 60)
    camera.unplug()
    time.sleep(2.5)
    camera.start()
    played = outcome(process)
    assert "no whole frame for 2.0 s" in played["lost"] or "control lost" in played["lost"]
    (again,) = played["sessions"]
    assert again["lost"] is None
    assert len(again["numbers"]) == 150
    assert_identical(again, frames)


@needs_aravis
def test_a_camera_that_another_program_has_is_told(camera: LoopbackCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.sources.genicam import cameras

    monkeypatch.setattr(cameras, "_BUSY_S", 0.1)
    process = play(spec="genicam:MT7", frames=1000, request=ASKED)
    camera.control.wait("produced", 10)
    with pytest.raises(SourceError, match=r"^genicam:Aravis-Fake-MT7: cannot be opened: in use by another program$"):
        open_source("genicam:127.0.0.1", SourceRequest())
    process.kill()
    process.communicate()


@needs_aravis
def test_found_by_listing(camera: LoopbackCamera) -> None:
    (found,) = [each for each in list_cameras() if each.path == "genicam:Aravis-Fake-MT7"]
    assert found.driver == "GigEVision 127.0.0.1"
    assert str(found.modes[0]) == "Mono8 2048x2048@1000"


@needs_aravis
def test_the_simulator_in_this_process_gives_the_rate_asked() -> None:
    source = open_source("genicam:Fake_1", SourceRequest(fps=200.0, size=(320, 240), gain=2.0))
    out = np.empty((240, 320), np.uint8)
    stamps = [source.read(out) for _ in range(300)]
    source.close()
    source.close()
    assert source.info.fps == 200
    assert "gain 2" in source.info.detail
    steps = np.diff([(stamp.number, stamp.t_ns) for stamp in stamps if stamp], axis=0)
    assert steps.min() >= 1
    assert np.median(steps[:, 1]) == pytest.approx(5e6, rel=0.2)
    assert [what for what, _ in take_notices(source) if what != "camera network"] == []


@needs_aravis
def test_sixteen_bits_become_eight_and_it_is_said() -> None:
    source = open_source("genicam:Fake_1", SourceRequest(size=(64, 48), pixel_format="Mono16", fps=100.0))
    out = np.empty((48, 64), np.uint8)
    source.read(out)
    source.close()
    assert "Mono16 (its 8 high bits) 64x48" in source.info.detail
    assert source.info.pixel_format == "Mono16"
    steps = np.diff(out[:20, :20].astype(int), axis=1)
    assert set(np.unique(steps)) <= {0, 1, 2, -255, -254, -253}, "the simulator's ramp, of its high byte"


@needs_aravis
def test_a_trigger_sets_the_rate_and_none_is_asked() -> None:
    measured = open_source("genicam:Fake_1", SourceRequest(trigger="Line0", size=(64, 48)))
    measured.close()
    assert measured.info.fps == pytest.approx(25, rel=0.05), "the simulator's trigger"
    assert "triggered by Line0" in measured.info.detail
    stated = open_source("genicam:Fake_1", SourceRequest(trigger="Line0", size=(64, 48), fps=25.0))
    stated.close()
    assert stated.info.detail.startswith("Aravis Fake 1: Mono8 64x48 triggered by Line0")
    assert "25 fps as given" in stated.info.detail


@needs_aravis
def test_features_pass_through_by_their_type() -> None:
    features: dict[str, bool | int | float | str] = {
        "OffsetX": 16, "ExposureTimeAbs": 1234, "TriggerSelector": "FrameStart", "TestBoolean": True,
    }  # fmt: skip
    source = open_source("genicam:Fake_1", SourceRequest(features=features))
    source.close()
    assert "exposure 1234 µs" in source.info.detail


@needs_aravis
@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"size": (5000, 100)}, "has no size 5000x100; it has 1…2048 x 1…2048"),
        ({"pixel_format": "Mono12"}, "has no pixel format Mono12; of those that it has"),
        ({"pixel_format": "MJPG"}, "has no pixel format MJPG"),
        ({"exposure_us": 1e8}, "source.exposure_us = 1e+08: it takes 10 to 1e+07"),
        ({"gain": 1e5}, "source.gain = 100000: it takes 0 to 10"),
        ({"trigger": "Line9"}, "no such trigger source; it has Line0, Software"),
        ({"features": {"Foo": 1}}, "source.features.Foo: the camera has no such feature"),
        ({"features": {"TriggerMode": "Maybe"}}, "it takes Off, On"),
    ],
)
def test_what_the_camera_has_not_is_one_line(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("genicam:Fake_1", SourceRequest(**request_))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@needs_aravis
def test_no_such_camera_names_those_there_are(camera: LoopbackCamera) -> None:
    with pytest.raises(SourceError, match=r"^no camera genicam:nobody; cameras here: .*genicam:Aravis-Fake-MT7"):
        open_source("genicam:nobody", SourceRequest())


def test_missing_aravis_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abi, "_LIBRARY", "libaravis-that-is-not-here.so")
    abi.aravis.cache_clear()
    with pytest.raises(SourceError, match=r"needs? Aravis .*apt install libaravis-0.8-0"):
        open_source("genicam:", SourceRequest())
    assert all(not each.path.startswith("genicam:") for each in list_cameras())
    abi.aravis.cache_clear()


def test_settings_of_machine_vision_cameras_are_refused_by_others() -> None:
    with pytest.raises(SourceError, match=r"^source.exposure_us: demo takes none; only genicam: and gentl: cameras do"):
        open_source("demo", SourceRequest(exposure_us=100.0))


@needs_aravis
def test_an_independent_camera_with_chunk_data_and_lost_packets() -> None:
    """viva-genicam's camera, another implementation of GigE Vision: chunk time and number, packets never sent again."""
    testing = pytest.importorskip("viva_genicam.testing", reason="viva-genicam is not installed")
    wait_for_port()
    lost = [40, 41, 42, 77]
    with testing.FakeGigeCamera(320, 240, fps=100, packet_resend=False, drop_packets=[(b, 5) for b in lost]) as fake:
        source = open_source("genicam:127.0.0.1", SourceRequest(fps=100.0))
        out = np.empty((240, 320), np.uint8)
        stamps = [stamp for _ in range(120) if (stamp := source.read(out))]
        source.close()
        exposure_us = np.frombuffer(fake.peek(fake.REGISTERS["ExposureTime"], 8), ">f8")[0]
    assert f"exposure {exposure_us:g} µs" in source.info.detail
    assert "chunk data" in source.info.detail
    numbers = [stamp.number for stamp in stamps]
    assert [last - first + 1 for first, last in holes(numbers)] == [3, 1]
    assert all(b.t_ns > a.t_ns for a, b in itertools.pairwise(stamps))
