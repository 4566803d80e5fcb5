"""A session's zero is the exposure of frame 0, whatever the machine was busy with when the session began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from _lines import SESSION

from realtime.session.curves import ROW, CurveLog
from realtime.session.folder import first_frame
from realtime.session.load import load
from realtime.session.read import HEADER
from realtime.session.times import FrameTimes
from realtime.sinks.lines import EventLine

T0, STEP = 10**13, 5_000_000
SLOW = msgspec.structs.replace(SESSION, fps_measured=61.3, fps_granted=200.0)
"""Of a machine that was busy: few frames came in in the first half second."""


def at(number: int) -> int:
    """Exposure: frame 0 came 3 ms late, the rest by the camera's clock."""
    return T0 + number * STEP + (3_000_000 if number == 0 else 0)


def event(onset: int) -> EventLine:
    places = {"onset": onset, "apex": onset + 30, "offset": onset + 60}
    times = {f"{name}_t_ns": at(number) for name, number in places.items()}
    return EventLine(
        id=0, kind="micro", label="surprise", scores={}, spot_score=1.0, rois={}, latency_ms={}, decided=onset + 70,
        **places, **times,
    )  # fmt: skip


def folder_of(root: Path, frames: range, *, facts: dict[str, Any] | None = None, table: range | None = None) -> Path:
    """A session whose spotter saw these frames."""
    log = CurveLog(root)
    rows = np.zeros(len(frames), ROW)
    rows["frame"], rows["t_ns"] = frames, [at(number) for number in frames]
    log.add(rows.tobytes())
    log.close()
    (root / "events.jsonl").write_bytes(msgspec.json.encode(SLOW) + b"\n" + msgspec.json.encode(event(300)) + b"\n")
    (root / "session.json").write_text(json.dumps(facts or {}))
    if table is not None:
        (root / "frames.csv").write_text("\n".join([HEADER, *(f"{n},{at(n)},0" for n in table), ""]))
    return root


def test_the_first_frame_says_it_though_it_was_never_analysed(tmp_path: Path) -> None:
    told = msgspec.structs.replace(SLOW, first_frame=0, first_t_ns=at(0))
    session = load(folder_of(tmp_path, range(90, 500), facts={"first_frame": first_frame(told)}))
    assert session.zero_ns == at(0)
    assert session.frame_seconds(300) == pytest.approx(1.5 - 0.003)
    assert session.frame_seconds(40) == pytest.approx(0.2 - 0.003, abs=0.002), "between what is known"
    assert session.frame_seconds(600) == pytest.approx(3.0 - 0.003)


def test_an_event_log_alone_says_it_too(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    told = msgspec.structs.replace(SLOW, first_frame=0, first_t_ns=at(0))
    log.write_bytes(msgspec.json.encode(told) + b"\n" + msgspec.json.encode(event(300)) + b"\n")
    assert load(log).zero_ns == at(0)
    log.write_bytes(msgspec.json.encode(SLOW) + b"\n" + msgspec.json.encode(event(300)) + b"\n")
    assert load(log).zero_ns == T0, "counted back by the event's own frames, not by 61.3 fps"
    log.write_bytes(msgspec.json.encode(SLOW) + b"\n")
    assert load(log).zero_ns == 0


def test_an_older_session_is_counted_back_by_the_camera_s_step(tmp_path: Path) -> None:
    """Neither by the rate of the first half second nor by one that lost frames slow down."""
    (tmp_path / "a").mkdir()
    assert load(folder_of(tmp_path / "a", range(90, 500))).zero_ns == T0
    (tmp_path / "b").mkdir()
    assert load(folder_of(tmp_path / "b", range(90, 500), table=range(4, 500))).zero_ns == T0
    (tmp_path / "c").mkdir()
    assert load(folder_of(tmp_path / "c", range(90, 500), table=range(500))).zero_ns == at(0), "the recorder had it"
    (tmp_path / "d").mkdir()
    holes = folder_of(tmp_path / "d", range(90, 92))
    rows = np.zeros(60, ROW)
    rows["frame"] = [n for n in range(90, 150) if n % 3] + list(range(150, 170))
    rows["t_ns"] = [at(n) for n in rows["frame"].tolist()]
    (holes / "curves.parquet").unlink()
    log = CurveLog(holes)
    log.add(rows.tobytes())
    log.close()
    assert load(holes).zero_ns == T0


@pytest.mark.parametrize(
    "told", ["soon", {}, {"number": "0", "t_ns": 5}, {"number": 0, "t_ns": 2**80}, {"number": -1, "t_ns": 5}, [0, 5]]
)
def test_what_is_no_first_frame_is_not_believed(told: Any, tmp_path: Path) -> None:
    assert load(folder_of(tmp_path, range(90, 500), facts={"first_frame": told})).zero_ns == T0


def test_the_first_frame_in_utc() -> None:
    live = first_frame(msgspec.structs.replace(SLOW, first_frame=0, first_t_ns=at(0)))
    assert (live["number"], live["t_ns"], str(live["utc"])[-6:]) == (0, at(0), "+00:00")
    played = msgspec.structs.replace(SLOW, first_frame=7, first_t_ns=70, live=False)
    assert first_frame(played) == {"number": 7, "t_ns": 70}
    assert first_frame(SLOW) == {}


def test_times_between_and_beyond() -> None:
    times = FrameTimes.of([(10, 1000), (12, 1200), (13, 1300), (16, 1900), (12, 1200)])
    assert [times.at(n) for n in (10, 11, 14, 15, 16, 17, 0)] == [1000, 1100, 1500, 1700, 1900, 2000, 0]
    assert FrameTimes.of([(5, 100)], fps=100.0).at(7) == 100 + 20_000_000
    assert FrameTimes.of([], fps=100.0).at(3) == 30_000_000
    assert FrameTimes.of([]).at(3) == 0
