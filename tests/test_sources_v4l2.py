"""The V4L2 source against an emulated camera: bits, numbers, times, faults, and what it says."""

from __future__ import annotations

import itertools
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from fakev4l2 import FakeCamera, build, outcome

from realtime.errors import SourceError
from realtime.sources import open_source
from realtime.types import SourceRequest

WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fakev4l2"))


@pytest.fixture
def camera(tmp_path: Path, library: Path) -> Iterator[FakeCamera]:
    return FakeCamera(tmp_path, library)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(97, 120, 160): a prime count, so that a frame at the wrong number is a wrong frame."""
    return np.random.default_rng(7).integers(0, 256, (97, HEIGHT, WIDTH), np.uint8)


def holes(numbers: list[int]) -> list[tuple[int, int]]:
    """(first, last) of every run of missing numbers."""
    return [(a + 1, b - 1) for a, b in itertools.pairwise(numbers) if b - a > 1]


def lost(numbers: list[int]) -> int:
    return sum(last - first + 1 for first, last in holes(numbers))


def assert_identical(played: dict[str, Any], frames: np.ndarray) -> None:
    expected = [zlib.crc32(frame) for frame in frames]
    wrong = [n for n, crc in zip(played["numbers"], played["digests"], strict=True) if crc != expected[n % len(frames)]]
    assert wrong == []
    assert played["numbers"] == sorted(set(played["numbers"]))
    assert all(b > a for a, b in itertools.pairwise(played["times"]))


@pytest.mark.parametrize("pixel_format", ["auto", "GREY", "YUYV"])
def test_every_frame_arrives_bit_identical(camera: FakeCamera, frames: np.ndarray, pixel_format: str) -> None:
    camera.serve(frames)
    played = outcome(camera.play(frames=400, request={"fps": 200, "pixel_format": pixel_format}))
    assert played["info"]["pixel_format"] == ("GREY" if pixel_format == "auto" else pixel_format)
    assert (played["info"]["width"], played["info"]["height"]) == (WIDTH, HEIGHT)
    assert played["info"]["fps"] == 200
    assert played["numbers"] == list(range(400))
    assert_identical(played, frames)
    steps = np.diff(played["times"])
    assert np.abs(steps - 5_000_000).max() <= 1000, "the driver's own time stamps, to the microsecond"
    assert played["notices"] == []
    assert camera.control.get("overrun") == 0


def test_a_reader_that_sleeps_for_an_eighth_of_a_second_loses_nothing(camera: FakeCamera, frames: np.ndarray) -> None:
    """The 32 buffers asked for hold 160 ms at 200 fps."""
    camera.serve(frames)
    for _ in range(5):  # a loaded machine may let us sleep for longer
        played = outcome(camera.play(frames=120, request={"fps": 200}, pause_s=0.125))
        if played["paused_s"] < 0.14:
            break
    assert played["numbers"] == list(range(120))
    assert_identical(played, frames)


def test_rate_above_the_listed_ones(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    played = outcome(camera.play(frames=500, request={"fps": 500}))
    assert played["info"]["fps"] == 500
    assert camera.control.get("fps_milli") == 500_000
    assert lost(played["numbers"]) == camera.control.get("overrun")


def test_lower_rate_than_asked_is_told_not_refused(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    played = outcome(camera.play(frames=20, request={"fps": 2000}))
    assert played["info"]["fps"] == 1000
    assert "at 1000 fps, asked for 2000" in played["info"]["detail"]


@pytest.mark.parametrize(("fault", "count"), [("skip_n", 7), ("corrupt_n", 3), ("short_n", 2), ("skip_n", 1)])
def test_faults_are_holes_of_exactly_that_size(camera: FakeCamera, frames: np.ndarray, fault: str, count: int) -> None:
    camera.serve(frames)
    process = camera.play(frames=300)
    camera.control.wait("delivered", 50)
    camera.control.put(fault, count)
    camera.control.wait("delivered", 150)
    camera.control.put(fault, count)
    played = outcome(process)
    assert [last - first + 1 for first, last in holes(played["numbers"])] == [count, count]
    assert_identical(played, frames)


def test_all_faults_together_add_up(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    process = camera.play(frames=500)
    for at, (fault, count) in enumerate([("skip_n", 5), ("corrupt_n", 2), ("short_n", 4), ("skip_n", 11)], 1):
        camera.control.wait("delivered", 60 * at)
        camera.control.put(fault, count)
    played = outcome(process)
    assert lost(played["numbers"]) == 5 + 2 + 4 + 11 + camera.control.get("overrun")
    assert_identical(played, frames)


def test_short_silence_is_waited_out(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    process = camera.play(frames=200)
    camera.control.wait("delivered", 50)
    camera.control.put("stall_ms", 700)
    played = outcome(process)
    assert played["lost"] is None
    assert lost(played["numbers"]) == 0
    assert max(np.diff(played["times"])) >= 700_000_000, "a real pause stays in the times"
    assert played["notices"] == []


def test_long_silence_is_a_lost_source_and_close_works(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    process = camera.play(frames=10_000)
    camera.control.wait("delivered", 50)
    camera.control.put("stall_ms", 2600)
    played = outcome(process)
    assert played["lost"] == "/dev/video0: no frame for 2.0 s"


def test_unplugged_is_lost_and_replugged_is_a_new_session(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    process = camera.play(frames=150, sessions=2)
    camera.control.wait("delivered", 50)
    camera.control.put("unplugged", 1)
    time.sleep(0.2)  # the program notices, and tries in vain to open it again
    camera.control.put("unplugged", 0)
    played = outcome(process)
    assert "camera gone" in played["lost"]
    assert 50 <= len(played["numbers"]) < 150
    (again,) = played["sessions"]
    assert again["lost"] is None
    assert again["numbers"] == list(range(150))


@pytest.mark.parametrize("jump_ms", [-300, 5000, -1])
def test_time_stamps_that_jump_are_evened_out_and_noticed(camera: FakeCamera, frames: np.ndarray, jump_ms: int) -> None:
    camera.serve(frames)
    process = camera.play(frames=300)
    camera.control.wait("delivered", 100)
    camera.control.put("ts_jump_ms", jump_ms)
    played = outcome(process)
    steps = np.diff(played["times"])
    assert steps.min() > 0
    assert steps.max() < 50_000_000
    assert lost(played["numbers"]) == camera.control.get("overrun")
    assert [what for what, _ in played["notices"]] == (["camera time"] if abs(jump_ms) > 100 else [])


def test_mjpg_luma_and_broken_jpegs(camera: FakeCamera, frames: np.ndarray) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (10, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    pictures = [np.ascontiguousarray(np.kron(c, np.ones((8, 8, 1), np.uint8))) for c in colours]
    jpegs = [simplejpeg.encode_jpeg(picture, quality=90) for picture in pictures]
    broken = [jpeg[: len(jpeg) // 2] if index in (3, 4, 8) else jpeg for index, jpeg in enumerate(jpegs)]
    camera.serve(b"".join(broken), W=WIDTH, H=HEIGHT)
    played = outcome(camera.play(frames=70))
    assert played["info"]["pixel_format"] == "MJPG"
    assert played["numbers"] == [n for n in range(100) if n % 10 not in (3, 4, 8)]
    luma = np.stack([simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[..., 0] for jpeg in jpegs])
    assert_identical(played, luma)


def jpegs_of(count: int, height: int, width: int) -> tuple[list[bytes], np.ndarray]:
    """In colour, each another picture, and the luma that a decoder makes of them."""
    colours = np.random.default_rng(2).integers(0, 256, (count, height // 16, width // 16, 3), np.uint8)
    pictures = [np.ascontiguousarray(np.kron(c, np.ones((16, 16, 1), np.uint8))) for c in colours]
    jpegs = [simplejpeg.encode_jpeg(picture, quality=90, colorsubsampling="422") for picture in pictures]
    return jpegs, np.stack([simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[..., 0] for jpeg in jpegs])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: there is nobody to help")
def test_mjpg_that_waits_is_decoded_by_helpers_in_order(camera: FakeCamera) -> None:
    """A reader that slept finds a pile of buffers; those that are broken are holes, nothing else is missing."""
    jpegs, luma = jpegs_of(13, 720, 1280)
    jpegs[5] = jpegs[5][: len(jpegs[5]) // 2]
    camera.serve(b"".join(jpegs), W=1280, H=720)
    played = outcome(camera.play(frames=200, pause_s=0.1))
    numbers = played["numbers"]
    broken = {n for n in range(numbers[-1]) if n % 13 == 5}
    assert broken.isdisjoint(numbers)
    missing = set(range(numbers[-1])) - set(numbers) - broken
    assert len(missing) <= camera.control.get("overrun"), "all that nobody was too busy for"
    assert_identical(played, luma)
    assert played["ahead"] >= 10


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: there is nobody to help")
def test_a_camera_unplugged_while_helpers_decode_is_lost_and_lets_go(camera: FakeCamera) -> None:
    jpegs, luma = jpegs_of(7, 1088, 1920)
    camera.serve(b"".join(jpegs), W=1920, H=1088)
    process = camera.play(frames=100_000, request={"fps": 1000})  # far more than any number of threads can decode
    camera.control.wait("delivered", 60)
    camera.control.put("unplugged", 1)
    played = outcome(process)
    assert "camera gone" in played["lost"]
    assert played["ahead"] > 0
    assert_identical(played, luma)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"size": [1280, 720]}, "has no mode 1280x720; its modes: GREY 160x120@200/120"),
        ({"pixel_format": "MJPG"}, "has no mode MJPG; its modes: GREY 160x120@200"),
    ],
)
def test_mode_that_is_not_there(camera: FakeCamera, frames: np.ndarray, request_: dict[str, Any], said: str) -> None:
    camera.serve(frames)
    played = outcome(camera.play(frames=1, request=request_))
    assert said in played["error"]
    assert "\n" not in played["error"]
    assert played["exit_code"] == 2


def test_missing_camera_names_those_there_are(camera: FakeCamera, frames: np.ndarray) -> None:
    camera.serve(frames)
    played = outcome(camera.play(spec="/dev/video9", frames=1))
    assert played["error"] == "no camera /dev/video9; cameras here: /dev/video0 (Fake high-speed camera)"


def test_missing_camera_without_any() -> None:
    with pytest.raises(SourceError, match=r"^no camera /dev/video97; cameras here: "):
        open_source("97", SourceRequest(fps=200))


@pytest.mark.slow
def test_twenty_seconds_at_200_fps_drop_nothing(camera: FakeCamera) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (199, 480, 640), np.uint8)
    camera.serve(frames)
    played = outcome(camera.play(frames=4_000), timeout_s=150)
    assert played["numbers"] == list(range(4_000))
    assert_identical(played, frames)
    assert camera.control.get("overrun") == 0
