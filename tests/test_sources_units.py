"""What of the camera source needs no camera: layouts, clock, choice of a mode, luma of each format."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import config
from realtime.errors import ConfigError, SourceError
from realtime.sources import open_source
from realtime.sources.v4l2 import abi
from realtime.sources.v4l2.clock import CameraClock
from realtime.sources.v4l2.jpeg import decode_jpeg
from realtime.sources.v4l2.modes import Mode, choose
from realtime.sources.v4l2.source import copy_luma
from realtime.types import MAX_FPS, SourceRequest, Stamp

MS = 1_000_000

_NUMBERS = {
    "QUERYCAP": abi.QUERYCAP,
    "ENUM_FMT": abi.ENUM_FMT,
    "S_FMT": abi.S_FMT,
    "REQBUFS": abi.REQBUFS,
    "QUERYBUF": abi.QUERYBUF,
    "QBUF": abi.QBUF,
    "DQBUF": abi.DQBUF,
    "STREAMON": abi.STREAMON,
    "STREAMOFF": abi.STREAMOFF,
    "G_PARM": abi.G_PARM,
    "S_PARM": abi.S_PARM,
    "S_CTRL": abi.S_CTRL,
    "ENUM_FRAMESIZES": abi.ENUM_FRAMESIZES,
    "ENUM_FRAMEINTERVALS": abi.ENUM_FRAMEINTERVALS,
}
_OFFSETS = {
    "struct v4l2_buffer, timestamp": abi.Buffer.seconds.offset,
    "struct v4l2_buffer, sequence": abi.Buffer.sequence.offset,
    "struct v4l2_buffer, m": abi.Buffer.offset.offset,
    "struct v4l2_buffer, length": abi.Buffer.length.offset,
    "struct v4l2_format, fmt": abi.Format.fmt.offset,
    "struct v4l2_streamparm, parm": abi.StreamParm.parm.offset,
    "struct v4l2_frmivalenum, discrete": abi.FrameInterval.values.offset,
    "struct v4l2_frmsizeenum, discrete": abi.FrameSize.values.offset,
    "struct v4l2_capability, device_caps": abi.Capability.device_caps.offset,
}


def test_layouts_and_numbers_are_those_of_the_kernel_header(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists() or ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("needs gcc and linux/videodev2.h of a 64-bit system")
    numbers = "".join(f'printf("%u\\n", (unsigned)VIDIOC_{name});' for name in _NUMBERS)
    offsets = "".join(f'printf("%zu\\n", offsetof({place}));' for place in _OFFSETS)
    source = tmp_path / "abi.c"
    header = "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\n"
    source.write_text(f"{header}int main(void) {{ {numbers} {offsets} return 0; }}")
    subprocess.run([compiler, "-o", str(tmp_path / "abi"), str(source)], check=True)
    printed = subprocess.run([str(tmp_path / "abi")], capture_output=True, text=True, check=True).stdout
    assert list(map(int, printed.split())) == [*_NUMBERS.values(), *_OFFSETS.values()]


def clock() -> tuple[CameraClock, list[tuple[str, str]]]:
    notices: list[tuple[str, str]] = []
    return CameraClock(5 * MS, notices), notices


def test_clock_counts_from_the_first_frame_and_over_the_wrap() -> None:
    ticking, notices = clock()
    first = 2**32 - 2
    stamps = [ticking.stamp((first + n) % 2**32, 100 * MS + 5 * MS * n, 5 * MS * n) for n in (0, 1, 2, 3, 7)]
    assert stamps == [Stamp(n, 100 * MS + 5 * MS * n) for n in (0, 1, 2, 3, 7)]
    assert notices == []


def test_clock_of_a_driver_that_does_not_count() -> None:
    ticking, notices = clock()
    assert [ticking.stamp(0, 5 * MS * n, 5 * MS * n).number for n in range(5)] == [0, 1, 2, 3, 4]
    assert [what for what, _ in notices] == ["camera sequence"]


@pytest.mark.parametrize("wild", [3372, 2**31 - 5, 2**31 + 5, 2**32 - 40])
def test_one_wild_count_makes_no_frames(wild: int) -> None:
    """Time has no room for them; the next count is right again, and so is a real loss after it."""
    ticking, notices = clock()
    kept = [n for n in range(200) if n not in (150, 151)]
    counts = [(n + (wild if n == 100 else 0)) % 2**32 for n in kept]
    stamps = [ticking.stamp(count, 5 * MS * n, 5 * MS * n + MS) for count, n in zip(counts, kept, strict=True)]
    assert stamps == [Stamp(n, 5 * MS * n) for n in kept]
    assert [what for what, _ in notices] == ["camera sequence"]


@pytest.mark.parametrize("start", [0, 10**6])
def test_a_counter_that_begins_anew_is_followed_from_there(start: int) -> None:
    """Time tells how many frames were lost meanwhile."""
    ticking, _ = clock()
    kept = [n for n in range(200) if n not in (100, 101, 102, 150)]
    counts = [n if n < 100 else n - 103 + start for n in kept]
    stamps = [ticking.stamp(count, 5 * MS * n, 5 * MS * n + MS) for count, n in zip(counts, kept, strict=True)]
    assert stamps == [Stamp(n, 5 * MS * n) for n in kept]


@pytest.mark.parametrize("jump", [-300 * MS, 4000 * MS])
def test_clock_evens_out_a_jump_and_the_jump_back(jump: int) -> None:
    ticking, notices = clock()
    raw = [5 * MS * n + (jump if 10 <= n < 20 else 0) for n in range(30)]
    times = [ticking.stamp(n, raw[n], 5 * MS * n).t_ns for n in range(30)]
    assert times == [5 * MS * n for n in range(30)]
    assert len(notices) == 2


def test_clock_keeps_a_real_pause_and_a_backlog() -> None:
    ticking, notices = clock()
    # the sensor pauses for 600 ms after frame 1; then we sleep for 400 ms and find a backlog
    raw = [0, 5, 605, 610, 615, 620]
    arrival = [1, 6, 606, 1010, 1011, 1012]
    stamps = [ticking.stamp(n, r * MS, a * MS) for n, (r, a) in enumerate(zip(raw, arrival, strict=True))]
    assert [stamp.t_ns for stamp in stamps] == [r * MS for r in raw]
    assert notices == []


def true_times(count: int, seed: int) -> np.ndarray:
    """Exposure times, ns: a camera granted 200 fps that delivers 120 to 240, with pauses now and then."""
    rng = np.random.default_rng(seed)
    steps = np.full(count, 1e9 / rng.uniform(120, 240))
    steps += (rng.random(count) < 0.002) * rng.uniform(0.2e9, 0.8e9, count)
    return np.cumsum(steps).astype(np.int64)


def test_stamps_that_repeat_do_not_drift() -> None:
    """A driver whose clock ticks every 10 ms, at 200 fps: the clock was a second too late after 400 frames."""
    ticking, notices = clock()
    raw = [10 * MS * (n // 2) for n in range(4000)]
    times = [ticking.stamp(n, raw[n], 5 * MS * n + MS).t_ns for n in range(4000)]
    assert times == [5 * MS * n for n in range(4000)]
    assert notices == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.9))
def test_random_repeats_keep_the_times_within_a_stamp_of_the_truth(seed: int, share: float) -> None:
    truth = true_times(3000, seed)
    rng = np.random.default_rng(seed + 1)
    raw, run = truth.copy(), 0
    for n in range(1, len(raw)):
        run = run + 1 if rng.random() < share and run < 12 else 0
        raw[n] = raw[n - 1] if run else truth[n]
    ticking, _ = clock()
    arrival = truth + rng.integers(MS // 2, 3 * MS, len(truth))
    times = np.array([ticking.stamp(n, int(raw[n]), int(arrival[n])).t_ns for n in range(len(raw))])
    assert (np.diff(times) > 0).all()
    behind = truth - raw  # how old the stamp is that the frame carries
    assert (np.abs(times - truth) <= np.maximum(behind, 12 * 5 * MS) + 5 * MS).all()
    assert (np.abs(times - truth)[raw == truth] <= 12 * 5 * MS).all(), "a fresh stamp takes back what was counted on"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), often=st.floats(0.001, 0.3))
def test_random_jumps_of_the_drivers_clock_never_add_up(seed: int, often: float) -> None:
    """Jumps there and back or for good, small and large, forwards and backwards, and repeats, for a minute."""
    truth = true_times(8000, seed)
    rng = np.random.default_rng(seed + 1)
    jumps = np.where(rng.random(len(truth)) < often, rng.normal(0, 1, len(truth)) * 10 ** rng.uniform(5, 10), 0)
    kept = rng.random(len(truth)) < 0.5
    raw = truth + np.cumsum(np.where(kept, jumps, 0)).astype(np.int64) + np.where(kept, 0, jumps).astype(np.int64)
    repeat = np.flatnonzero(rng.random(len(truth)) < 0.1)
    raw[repeat[repeat > 0]] = raw[repeat[repeat > 0] - 1]
    arrival = np.maximum.accumulate(truth + rng.integers(MS // 2, 20 * MS, len(truth)))
    ticking, notices = clock()
    stamps = [ticking.stamp(n, int(raw[n]), int(arrival[n])) for n in range(len(raw))]
    times = np.array([stamp.t_ns for stamp in stamps])
    assert [stamp.number for stamp in stamps] == list(range(len(truth)))
    assert (np.diff(times) > 0).all()
    assert (times - arrival).max() <= 101 * MS
    assert (arrival - times).max() <= 1000 * MS
    assert len(notices) <= 20


def test_a_clock_that_stands_still_is_replaced_by_ours() -> None:
    ticking, _ = clock()
    arrival = [8 * MS * n for n in range(3000)]  # granted 200 fps, delivering 125
    times = [ticking.stamp(n, 0, arrival[n]).t_ns for n in range(3000)]
    assert max(abs(t - a) for t, a in zip(times, arrival, strict=True)) <= 100 * MS
    assert times[-1] == arrival[-1]


def test_stamps_of_another_epoch_become_ours() -> None:
    ticking, notices = clock()
    times = [ticking.stamp(n, 10**18 + 5 * MS * n, 7 * MS + 5 * MS * n).t_ns for n in range(100)]
    assert times == [7 * MS + 5 * MS * n for n in range(100)]
    assert len(notices) == 1


_CAMERA = [
    Mode("MJPG", 640, 480, (260.0, 60.0)),
    Mode("YUYV", 640, 480, (30.0,)),
    Mode("GREY", 640, 480, (120.0, 60.0)),
    Mode("MJPG", 320, 240, (330.0,)),
    Mode("H264", 1920, 1080, (60.0,)),
]


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (SourceRequest(fps=100), ("GREY", 640)),
        (SourceRequest(fps=200), ("MJPG", 640)),
        (SourceRequest(fps=300), ("MJPG", 320)),
        (SourceRequest(fps=200, pixel_format="YUYV"), ("YUYV", 640)),
        (SourceRequest(fps=500, size=(640, 480)), ("MJPG", 640)),
        (SourceRequest(), ("MJPG", 640)),
    ],
)
def test_choice_of_mode(request_: SourceRequest, chosen: tuple[str, int]) -> None:
    mode = choose(_CAMERA, request_, "/dev/video0")
    assert (mode.pixel_format, mode.width) == chosen


def test_format_goes_before_size() -> None:
    modes = [Mode("MJPG", 640, 480, (200.0,)), Mode("GREY", 320, 240, (200.0,)), Mode("GREY", 640, 480, (60.0,))]
    mode = choose(modes, SourceRequest(fps=200), "/dev/video0")
    assert (mode.pixel_format, mode.width) == ("GREY", 320)


def test_a_rate_as_drivers_list_it_reaches_the_one_asked_for() -> None:
    modes = [Mode("MJPG", 640, 480, (30.0,)), Mode("GREY", 640, 480, (29.97,))]
    assert choose(modes, SourceRequest(fps=30), "/dev/video0").pixel_format == "GREY"


def test_yuyv_before_mjpg_where_both_reach_the_rate() -> None:
    modes = [Mode("MJPG", 640, 480, (30.0,)), Mode("YUYV", 640, 480, (30.0,))]
    assert choose(modes, SourceRequest(fps=30), "/dev/video0").pixel_format == "YUYV"


def test_no_mode_lists_those_there_are() -> None:
    with pytest.raises(SourceError, match=r"has no mode GREY 1920x1080; its modes: MJPG 640x480@260/60, YUYV"):
        choose(_CAMERA, SourceRequest(size=(1920, 1080), pixel_format="GREY"), "/dev/video0")


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("step", [1, 2])
def test_luma_of_padded_lines(step: int, padding: int) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (24, 32), np.uint8)
    lines = np.full((24, 32 * step + padding), 128, np.uint8)
    lines[:, : 32 * step : step] = gray
    out = np.zeros_like(gray)
    data = lines.reshape(-1)
    assert copy_luma(data, out, lines.shape[1], step)
    np.testing.assert_array_equal(out, gray)
    out[:] = 0
    assert copy_luma(data[: len(data) - padding], out, lines.shape[1], step), "last line without its padding"
    np.testing.assert_array_equal(out, gray)
    assert not copy_luma(data[: len(data) - padding - 1], out, lines.shape[1], step)


def jpeg() -> tuple[bytes, np.ndarray]:
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 2)
    data = simplejpeg.encode_jpeg(picture, quality=95)
    return data, simplejpeg.decode_jpeg(data, colorspace="GRAY")[..., 0]


def segments_left_out(data: bytes, marker: int) -> bytes:
    """The JPEG without its segments of one kind (up to the scan)."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept += data[at : at + length]
        at += length
    return kept + data[at:]


def test_jpeg_as_cameras_send_it() -> None:
    data, luma = jpeg()
    huffman = 0xC4
    for variant in (data, data + b"\0" * 500, segments_left_out(data, huffman)):
        out = np.zeros_like(luma)
        assert decode_jpeg(np.frombuffer(variant, np.uint8), out)
        np.testing.assert_array_equal(out, luma)


def test_jpeg_that_is_no_frame() -> None:
    data, luma = jpeg()
    out = np.zeros_like(luma)
    for broken in (b"", b"\xff\xd8\xff", data[: len(data) // 2], data[:-200], b"\0" * 1000):
        assert not decode_jpeg(np.frombuffer(broken, np.uint8), out)
    assert not decode_jpeg(np.frombuffer(data, np.uint8), np.zeros((24, 64), np.uint8))


def test_what_is_asked_of_a_source_is_written_once() -> None:
    """The settings of a session are the request that its source gets; one ceiling of rates holds everywhere."""
    asked = config.load(overrides={"source.size": "320x240", "source.fps": MAX_FPS, "source.camera": "demo"}).source
    assert isinstance(asked, SourceRequest)
    assert asked.size == (320, 240)
    assert open_source(asked.camera, asked).info.fps == MAX_FPS
    with pytest.raises(ConfigError, match=r"source\.fps"):
        config.load(overrides={"source.fps": MAX_FPS + 1})
    with pytest.raises(SourceError, match="at most 10000"):
        open_source("demo", SourceRequest(fps=MAX_FPS + 1))
    with pytest.raises(ConfigError, match=r"source\.size: '9x9' is no size; write WIDTHxHEIGHT"):
        config.load(overrides={"source.size": "9x9"})


@pytest.mark.parametrize(
    ("spec", "request_", "said"),
    [
        ("nowhere.mp4", SourceRequest(), "no such file or camera: nowhere.mp4; cameras here: "),
        ("0", SourceRequest(fps=0.0), "--fps 0: must be more than 0"),
        ("0", SourceRequest(fps=-5.0), "--fps -5: must be more than 0"),
        ("0", SourceRequest(fps=float("nan")), "--fps nan: must be more than 0"),
        ("0", SourceRequest(size=(0, 480)), "--size 0x480: width and height"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(spec: str, request_: SourceRequest, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec, request_)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
