"""``--record-frames events``: each frame of a clip, bit for bit, none missing at its edges, none of anything else."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from _recordings import read_all

from realtime.session import clips
from realtime.session.clips import ClipRecorder
from realtime.session.read import readable
from realtime.session.write import FrameFile
from realtime.types import SourceInfo

FPS, MS = 200.0, 1_000_000
INFO = SourceInfo(source="0", kind="camera", width=32, height=24, fps=FPS)
FRAMES = np.random.default_rng(3).integers(0, 256, (400, 24, 32), np.uint8)
T0 = 10**13


def at(number: int) -> int:
    return T0 + number * 5 * MS


def recorder(folder: Path, form: str = "raw", most: int = 300) -> ClipRecorder:
    return ClipRecorder(folder, INFO, FPS, form, most=most)


def add(keeper: ClipRecorder, numbers: range, index: int | None = None) -> None:
    for place, number in enumerate(numbers):
        where = number if index is None else index + place
        keeper.add(FRAMES[number].copy(), where, number, at(number), at(number) + 7)


def clip(folder: Path, event: int, expected: range) -> None:
    """These frames and no others, bit for bit, with their times."""
    _, stamps, pictures, notices = read_all(folder / "clips" / f"event-{event}.mkv")
    assert notices == []
    assert [stamp.number for stamp in stamps] == list(expected)
    assert [stamp.t_ns for stamp in stamps] == [at(number) for number in expected]
    np.testing.assert_array_equal(pictures, FRAMES[expected.start : expected.stop])


@pytest.mark.parametrize("form", ["raw", "ffv1"])
def test_two_events_100_ms_apart_and_one_at_each_end(form: str, tmp_path: Path) -> None:
    keeper = recorder(tmp_path, form)
    add(keeper, range(60))
    keeper.want(0, at(0) - 500 * MS, at(30))  # it began before the first frame
    add(keeper, range(60, 170))
    keeper.want(1, at(100), at(180))
    add(keeper, range(170, 200))
    keeper.want(2, at(120), at(220))
    add(keeper, range(200, 300))
    keeper.want(3, at(250), at(500))  # it ends behind the last frame
    assert keeper.close() == 31 + 81 + 101 + 50
    clip(tmp_path, 0, range(31))
    clip(tmp_path, 1, range(100, 181))
    clip(tmp_path, 2, range(120, 221))
    clip(tmp_path, 3, range(250, 300))
    assert (keeper.missing, keeper.troubles()) == (0, [])
    assert keeper.written == readable(tmp_path) == 263
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == sorted(
        f"event-{k}.{kind}" for k in range(4) for kind in ("csv", "mkv")
    )
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "clips").iterdir())
    assert stat.S_IMODE((tmp_path / "clips").stat().st_mode) == 0o700


def test_what_is_missing_is_counted_and_told(tmp_path: Path) -> None:
    """Frames that fell out of memory, and frames that the ring did not keep."""
    keeper = recorder(tmp_path, most=50)
    add(keeper, range(100))
    keeper.want(0, at(40), at(70))
    add(keeper, range(110, 150), index=110)
    keeper.want(1, at(105), at(120))
    keeper.close()
    clip(tmp_path, 0, range(50, 71))
    clip(tmp_path, 1, range(110, 121))
    assert keeper.missing == 10 + 5
    told = keeper.troubles()
    assert "event-0.mkv: 10 frames" in told[0]
    assert "event-1.mkv: 5 frames" in told[1]


def test_no_clip_holds_what_was_not_to_be_kept(tmp_path: Path) -> None:
    keeper = recorder(tmp_path)
    add(keeper, range(100))
    keeper.want(0, at(60), at(140))
    keeper.forget()  # pause: the clip ends here
    keeper.want(1, at(50), at(90))  # what was before it is gone
    add(keeper, range(200, 300))
    keeper.want(2, at(180), at(240))
    keeper.close()
    clip(tmp_path, 0, range(60, 100))
    clip(tmp_path, 2, range(200, 241))
    assert not (tmp_path / "clips" / "event-1.mkv").exists()
    assert keeper.missing == 0


def test_a_disk_that_fails_loses_that_clip_alone_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FrameFile.write

    def failing(self: FrameFile, *frame: object) -> int:
        if self.video.stem == "event-0" and self.written >= 5:
            raise OSError(28, "No space left on device")
        return real(self, *frame)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameFile, "write", failing)
    keeper = recorder(tmp_path)
    add(keeper, range(100))
    keeper.want(0, at(20), at(39))
    keeper.want(1, at(60), at(79))
    keeper.close()
    clip(tmp_path, 0, range(20, 25))
    clip(tmp_path, 1, range(60, 80))
    (told,) = keeper.troubles()
    assert "event-0.mkv: 15 frames are not in it: No space left on device" in told


def test_a_disk_that_hangs_holds_up_nothing_and_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), clips.ClipRecorder._write

    def hanging(self: ClipRecorder, *task: object) -> None:
        go_on.wait()
        real(self, *task)  # type: ignore[arg-type]

    monkeypatch.setattr(clips.ClipRecorder, "_write", hanging)
    keeper = recorder(tmp_path, most=40)
    add(keeper, range(30))
    keeper.want(0, at(0), at(390))
    add(keeper, range(30, 390))
    assert keeper._tasks.qsize() <= 41
    go_on.set()
    keeper.close()
    (told,) = keeper.troubles()
    assert "the disk is too slow" in told
    assert keeper.written + keeper.missing == 390


def test_a_recorder_that_takes_over_writes_the_clip_anew(tmp_path: Path) -> None:
    keeper = recorder(tmp_path)
    add(keeper, range(50))
    keeper.want(0, at(10), at(40))
    keeper.close()
    again = recorder(tmp_path)
    assert again.written == 31
    add(again, range(100, 200))
    again.want(0, at(150), at(160))
    assert again.close() == 11
    clip(tmp_path, 0, range(150, 161))
