"""A recorded session played again: numbers and times of its table, damaged tables, real-time play of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _recordings import FakeTime, read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import SourceError
from realtime.session.read import HEADER, read_frame_table
from realtime.session.write import Recorder
from realtime.sources import open_source
from realtime.sources.pacing import PacedSource
from realtime.types import SourceInfo, SourceRequest, Stamp

MS = 1_000_000
GRANTED_FPS = 30.0
INFO = SourceInfo(source="0", kind="camera", width=64, height=48, fps=GRANTED_FPS)
PICTURES = np.random.default_rng(0).integers(0, 256, (20, 48, 64), np.uint8)
STAMPS = [Stamp(n, 10**12 + 66 * MS * n + n % 3 * MS) for n in (*range(3, 9), *range(12, 20), 40, 41, 42, 50, 51, 52)]
"""20 frames of a camera that was granted 30 fps but delivers 15, with holes."""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The folder that the recorder makes of them."""
    recorder = Recorder(str(tmp_path), "session", INFO, GRANTED_FPS, "raw")
    for picture, stamp in zip(PICTURES, STAMPS, strict=True):
        recorder.write(picture, stamp.number, stamp.t_ns, stamp.t_ns + MS)
    recorder.close()
    return tmp_path / "session"


def change_rows(folder: Path, **rows: str) -> None:
    """Put other text in place of rows (``row3="…"``)."""
    lines = (folder / "frames.csv").read_text().split("\n")
    for name, text in rows.items():
        lines[1 + int(name.removeprefix("row"))] = text
    (folder / "frames.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("spec", [".", "frames.mkv"])
def test_numbers_and_times_are_those_of_the_table(recorded: Path, spec: str) -> None:
    info, stamps, pictures, notices = read_all(recorded / spec)
    assert stamps == STAMPS
    np.testing.assert_array_equal(pictures, PICTURES)
    assert info.fps == pytest.approx(1 / 0.066, rel=0.02), "what the camera delivered, not what it was granted"
    assert (info.source, info.live, info.kind) == (str(recorded / spec), False, "recording")
    assert "numbers and times of the frame table" in info.detail
    assert notices == []


def test_a_rate_given_by_hand_replaces_the_times_and_keeps_the_numbers(recorded: Path) -> None:
    info, stamps, _, _ = read_all(recorded, fps=100.0)
    assert info.fps == 100.0
    assert stamps == [Stamp(stamp.number, 10 * MS * stamp.number) for stamp in STAMPS]


def test_a_clip_with_its_table_beside_it(recorded: Path) -> None:
    for suffix in ("mkv", "csv"):
        (recorded / f"frames.{suffix}").rename(recorded / f"event-7.{suffix}")
    assert read_all(recorded / "event-7.mkv")[1] == STAMPS
    (recorded / "event-7.csv").write_text("frame,au12\n0,1\n")  # a table of another program
    assert [stamp.number for stamp in read_all(recorded / "event-7.mkv")[1]] == list(range(20))


def test_without_a_table_frames_are_counted_and_that_is_told(recorded: Path) -> None:
    (recorded / "frames.csv").unlink()
    info, stamps, pictures, notices = read_all(recorded)
    assert stamps == [Stamp(n, round(n * 1e9 / GRANTED_FPS)) for n in range(20)]
    np.testing.assert_array_equal(pictures, PICTURES)
    assert info.fps == GRANTED_FPS
    ((what, detail),) = notices
    assert what == "frame table"
    assert "frames.csv is missing" in detail


def test_a_table_without_rows_counts_at_the_videos_rate(recorded: Path) -> None:
    (recorded / "frames.csv").write_text(f"{HEADER}\n")
    _, stamps, _, notices = read_all(recorded)
    assert stamps == [Stamp(n, round(n * 1e9 / GRANTED_FPS)) for n in range(20)]
    assert [what for what, _ in notices] == ["frame table"]


def test_a_table_that_was_cut_is_counted_on(recorded: Path) -> None:
    """A crash: the table is written in blocks, so it ends within a row while the video goes on."""
    whole = (recorded / "frames.csv").read_text()
    at = whole.index("\n16,") + 12  # within the row of number 16
    (recorded / "frames.csv").write_text(whole[:at])
    info, stamps, pictures, notices = read_all(recorded)
    kept = [stamp for stamp in STAMPS if stamp.number < 16]
    assert stamps[: len(kept)] == kept
    assert len(stamps) == len(pictures) == 20
    more = stamps[len(kept) :]
    assert [stamp.number for stamp in more] == list(range(16, 16 + len(more)))
    assert np.diff([kept[-1].t_ns, *(stamp.t_ns for stamp in more)]) == pytest.approx(1e9 / info.fps, abs=1)
    ((what, detail),) = notices
    assert what == "frame table"
    assert f"ends after {len(kept)} rows" in detail


def test_a_damaged_row_between_its_neighbours_is_restored(recorded: Path) -> None:
    change_rows(recorded, row2="5,1000\0\0\0,\ufffd", row3="", row8="999999999999,5,5")
    _, stamps, pictures, notices = read_all(recorded)
    assert [stamp.number for stamp in stamps] == [stamp.number for stamp in STAMPS]
    np.testing.assert_array_equal(pictures, PICTURES)
    assert max(abs(a.t_ns - b.t_ns) for a, b in zip(stamps, STAMPS, strict=True)) <= 2 * MS
    assert notices == []


def test_a_damaged_row_at_a_hole_is_left_out(recorded: Path) -> None:
    """Number 12 comes after 8: whether the frame was 9, 10, 11 or 12 can't be known."""
    change_rows(recorded, row6="12,what")
    _, stamps, pictures, notices = read_all(recorded)
    assert stamps == STAMPS[:6] + STAMPS[7:]
    np.testing.assert_array_equal(pictures, np.delete(PICTURES, 6, axis=0))
    ((what, detail),) = notices
    assert what == "frame table"
    assert "1 rows can't be read" in detail


def test_a_video_shorter_than_its_table_is_told(recorded: Path) -> None:
    with (recorded / "frames.csv").open("a") as file:
        file.writelines(f"{n},{STAMPS[-1].t_ns + n},0\n" for n in range(53, 60))
    _, stamps, _, notices = read_all(recorded)
    assert stamps == STAMPS
    assert [what for what, _ in notices] == ["recording truncated"]
    assert "lists 27 frames, the video has 20" in notices[0][1]


def test_a_table_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"frames\.csv: can't be read \(No such file"):
        read_frame_table(str(tmp_path / "frames.csv"))


@settings(max_examples=60, deadline=None)
@given(garbage=st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=30)), max_size=6), cut=st.integers(0, 900))
def test_whatever_a_table_holds_numbers_and_times_rise(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[tuple[int, bytes]], cut: int
) -> None:
    rows = [f"{2 * n},{10**15 + 7 * n},{n}".encode() for n in range(31)]
    for at, text in garbage:
        rows[at] = text
    path = tmp_path_factory.mktemp("tables") / "frames.csv"
    path.write_bytes((HEADER.encode() + b"\n" + b"\n".join(rows))[: 900 - cut])
    known = read_frame_table(str(path)).rows
    known = known[known[:, 0] >= 0]
    assert (np.diff(known, axis=0) > 0).all()


def test_live_play_keeps_the_recorded_times(recorded: Path) -> None:
    """Frames come at the table's distances, a hole is waited out, and one that is late is passed over."""
    fake = FakeTime()
    source = PacedSource(open_source(str(recorded), SourceRequest()), fake.clock, fake.sleep)  # type: ignore[arg-type]
    out = np.empty((48, 64), np.uint8)
    seen = []
    while (stamp := source.read(out)) is not None:
        assert stamp.t_ns - 10**12 == next(s.t_ns for s in STAMPS if s.number == stamp.number) - STAMPS[0].t_ns
        assert stamp.t_ns <= fake.now_ns < stamp.t_ns + 70 * MS
        np.testing.assert_array_equal(out, PICTURES[[s.number for s in STAMPS].index(stamp.number)])
        seen.append(stamp.number)
        if stamp.number == 13:
            fake.sleep(0.230)  # 14, 15 and 16 are due meanwhile, 16 just now
    assert seen == [s.number for s in STAMPS if s.number not in (14, 15)]
    source.close()


def test_a_session_that_kept_clips_only_names_one(recorded: Path) -> None:
    (recorded / "clips").mkdir()
    (recorded / "frames.mkv").rename(recorded / "clips" / "event-3.mkv")
    with pytest.raises(SourceError, match=r"kept no frames but those of its clips; open one, as .*/clips/event-3\.mkv"):
        open_source(str(recorded), SourceRequest())


def test_live_play_goes_on_where_it_was(recorded: Path) -> None:
    """Another process plays on: frame 12 was due at a time of our clock, and that was 210 ms ago."""
    fake = FakeTime()
    source = PacedSource(open_source(str(recorded), SourceRequest()), fake.clock, fake.sleep)  # type: ignore[arg-type]
    alive: list[int] = []
    source.resume(12, fake.now_ns - 210 * MS, lambda: alive.append(1))
    assert len(alive) == 7, "a sign of life for each frame on the way"
    out = np.empty((48, 64), np.uint8)
    stamp = source.read(out)
    assert stamp is not None
    assert stamp.number == 15
    assert stamp.t_ns - (fake.now_ns - 210 * MS) == STAMPS[9].t_ns - STAMPS[6].t_ns
    source.close()
