"""Outputs: event log, views, recorder, and the session that feeds them."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from _lines import SESSION, SUMMARY, Full, Keep, classified, tick_line

from realtime import sinks
from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc import messages
from realtime.session.write import Recorder
from realtime.sinks import lines, open_sinks
from realtime.sinks.events import EventLog
from realtime.supervisor import journal as journals
from realtime.supervisor.journal import Journal
from realtime.types import SourceInfo


def test_event_line_carries_the_contract() -> None:
    line = json.loads(_encode(lines.event_line(classified(), now_ns=20_000_000)))
    assert line["type"] == "event"
    for key in (
        "id", "kind", "onset", "apex", "offset", "onset_t_ns", "apex_t_ns", "offset_t_ns", "label", "scores",
        "spot_score", "rois", "latency_ms",
    ):  # fmt: skip
        assert key in line
    wanted = {"decide": 5.0, "flow": 10.0, "classify": 1.0, "total": 20.0}
    assert wanted.items() <= line["latency_ms"].items()
    assert {"transfer": 1.0, "queue": 1.0, "spot": 3.0}.items() <= line["latency_ms"].items()


def _encode(line: lines.AnyLine) -> bytes:
    import msgspec

    return msgspec.json.encode(line)


def test_percentiles_are_nearest_rank() -> None:
    found = lines.percentiles([float(value) for value in range(100, 0, -1)])
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert lines.percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert lines.percentiles([]) == {}


def test_session_line_comes_first_and_ids_are_written_once() -> None:
    keep = Keep()
    journal = Journal([keep])
    journal.notice("face found", "frame 0")
    journal.event(classified(0))
    journal.gap(messages.Gap(first=3, last=4, count=2, cause="camera"))
    assert keep.lines == []
    journal.begin(SESSION)
    journal.event(classified(0))
    journal.event(classified(1))
    kinds = [type(line).__name__ for line in keep.lines]
    assert kinds == ["SessionLine", "NoticeLine", "EventLine", "GapLine", "EventLine"]
    assert journal.dropped["camera"] == 2
    assert journal.events == {0, 1}
    assert len(journal.latencies["total"]) == 2


def test_an_event_that_failed_is_a_notice_once_and_not_waited_for() -> None:
    keep = Keep()
    journal = Journal([keep])
    journal.begin(SESSION)
    journal.event(classified(0))
    for _ in range(2):  # sent again after a restart
        journal.unclassifiable(messages.Unclassified(id=1, stage="motion", reason="InputError: no"))
    notices = [(line.what, line.detail) for line in keep.lines if isinstance(line, lines.NoticeLine)]
    assert notices == [("event not classified", "event 1, motion: InputError: no")]
    assert (journal.events, journal.settled) == ({0}, {0, 1})


def test_a_tick_carries_what_dense_mode_measured_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(journals.time, "monotonic", lambda: clock[0])
    keep = Keep()
    journal = Journal([keep])
    journal.begin(SESSION)
    tick = messages.Tick(seq=0, frame=9, t_ns=9, difference={"m": 0.5}, peak={"m": 1.0}, face=True, found=True)
    journal.tick(tick, 200.0)
    journal.dense(
        messages.Dense(seq=0, frame=8, t_ns=8, strain={"m": 0.25}, flow={"m": (1.0, -2.0)}, fps=150.0, dropped=3)
    )
    journal.tick(tick, 200.0)
    journal.tick(msgspec.structs.replace(tick, face=False, found=False), 200.0)
    journal.tick(msgspec.structs.replace(tick, face=0), 200.0)
    journal.tick(msgspec.structs.replace(tick, face=1), 200.0)
    clock[0] += 2.0
    journal.tick(tick, 200.0)
    plain, fresh, faceless, first, second, stale = (msgspec.to_builtins(line) for line in keep.lines[1:])
    assert set(fresh) - set(plain) == {"strain", "flow", "dense_frame", "dense_fps", "dense_dropped"}
    assert (fresh["strain"], fresh["flow"], fresh["dense_frame"]) == ({"m": 0.25}, {"m": (1.0, -2.0)}, 8)
    assert (fresh["dense_fps"], fresh["dense_dropped"]) == (150.0, 3)
    assert faceless["strain"] == stale["strain"] == {}
    assert first["strain"] == fresh["strain"]
    assert "strain" not in second, "of several faces, it is measured of face 0"
    assert stale["dense_fps"] == 0.0


def test_a_failing_sink_is_reported_once_and_tried_again() -> None:
    keep, full = Keep(), Full()
    journal = Journal([full, keep])
    journal.begin(SESSION)
    journal.event(classified(0))
    journal.event(classified(1))
    notices = [line for line in keep.lines if isinstance(line, lines.NoticeLine)]
    assert [(notice.what, notice.detail) for notice in notices] == [("output failed", "No space left on device")]
    assert journal.failed_sinks == {"Full": "No space left on device"}
    full.space = True
    for seq in range(3):
        tick = messages.Tick(seq=seq, frame=seq, t_ns=0, difference={}, peak={}, face=True, found=True)
        journal.tick(tick, 200.0)
        assert journal.failed_sinks, "a tick proves nothing: a log does not write it"
    journal.event(classified(2))
    assert journal.failed_sinks == {}
    assert len(full.lines) == 4


def test_nothing_follows_the_summary() -> None:
    full, keep = Full(), Keep()
    journal = Journal([full, keep])
    full.space = True
    journal.begin(SESSION)
    full.space = False
    journal.finish(SUMMARY)
    assert [type(line).__name__ for line in keep.lines] == ["SessionLine", "SummaryLine"]
    assert journal.failed_sinks


def test_event_log_writes_each_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    log = EventLog(str(path))
    log.line(SESSION)
    log.line(lines.event_line(classified(), 20_000_000))
    log.line(tick_line(1, {}))
    assert [json.loads(text)["type"] for text in path.read_text().splitlines()] == ["session", "event"]
    log.close()


def test_an_older_log_stays_until_the_session_starts(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.jsonl", tmp_path / "new.jsonl"
    kept.write_text("an older log\n" * 100)
    for path in (kept, new):
        EventLog(str(path)).close()
    assert kept.read_text() == "an older log\n" * 100
    assert not new.exists()
    log = EventLog(str(kept))
    log.line(SESSION)
    log.close()
    assert [json.loads(text)["type"] for text in kept.read_text().splitlines()] == ["session"]
    assert (tmp_path / "kept.jsonl.1").read_text() == "an older log\n" * 100
    (tmp_path / "link").symlink_to(kept)
    log = EventLog(str(tmp_path / "link"))
    log.line(SESSION)
    log.line(SUMMARY)
    log.close()
    assert len(kept.read_text().splitlines()) == 2
    assert len((tmp_path / "kept.jsonl.2").read_text().splitlines()) == 1


def test_an_older_log_that_can_not_be_moved_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "e.jsonl", os.rename

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path.write_text("an older log\n")
    log = EventLog(str(path))
    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(OSError, match="not permitted"):
        log.line(SESSION)
    assert path.read_text() == "an older log\n"
    monkeypatch.setattr(os, "rename", rename)
    log.line(SUMMARY)
    log.close()
    assert [json.loads(text)["type"] for text in path.read_text().splitlines()] == ["session", "summary"]
    assert (tmp_path / "e.jsonl.1").read_text() == "an older log\n"


def test_a_log_that_can_not_be_opened_behind_the_older_one_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older log has made way, and then there are no more files to be had: an OSError, as for any failed line."""
    path = tmp_path / "e.jsonl"
    path.write_text("an older log\n")
    log = EventLog(str(path))

    def refused(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refused)
        for line in (SESSION, lines.NoticeLine(what="face lost", detail="", t_ns=0)):
            with pytest.raises(OSError, match="Too many open files"):
                log.line(line)
    assert (tmp_path / "e.jsonl.1").read_text() == "an older log\n"
    log.line(SUMMARY)
    log.close()
    written = [json.loads(text)["type"] for text in path.read_text().splitlines()]
    assert written == ["session", "notice", "summary"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["e.jsonl", "e.jsonl.1"]


def test_event_log_keeps_what_a_full_disk_did_not_take() -> None:
    log = EventLog("/dev/full")
    with pytest.raises(OSError, match="/dev/full: No space left"):
        log.line(SESSION)
    read, write = os.pipe()
    log._file.close()
    log._file = os.fdopen(write, "wb", buffering=0)
    log.line(SUMMARY)
    log.close()
    with os.fdopen(read) as pipe:
        assert [json.loads(text)["type"] for text in pipe] == ["session", "summary"]


def test_event_log_refuses_a_bad_path_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't write the event log"):
        EventLog(str(tmp_path))


@pytest.mark.parametrize("form", ["raw", "ffv1"])
def test_recorder_loses_no_bit(form: str, tmp_path: Path) -> None:
    info = SourceInfo(source="demo", kind="demo", width=64, height=48, fps=200.0)
    recorder = Recorder(str(tmp_path), "one", info, 200.0, form)
    frames = np.random.default_rng(0).integers(0, 256, (20, 48, 64), np.uint8)
    for number, frame in enumerate(frames):
        recorder.write(frame, 2 * number, 2 * number * 5_000_000, number)
    recorder.close()
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    from realtime.sources import open_source
    from realtime.types import SourceRequest

    source = open_source(str(tmp_path / "one"), SourceRequest())
    assert source.info.fps == 200.0
    out = np.empty((48, 64), np.uint8)
    for frame in frames:
        assert source.read(out) is not None
        np.testing.assert_array_equal(out, frame)
    assert source.read(out) is None
    rows = (tmp_path / "one" / "frames.csv").read_text().splitlines()
    assert rows[1:3] == ["0,0,0", "2,10000000,1"]
    assert json.loads((tmp_path / "one" / "source.json").read_text())["width"] == 64
    assert cv2.VideoCapture(str(tmp_path / "one" / "frames.mkv")).isOpened()


def test_recorder_refuses_a_bad_folder(tmp_path: Path) -> None:
    info = SourceInfo(source="demo", kind="demo", width=64, height=48, fps=200.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't record there"):
        Recorder(str(tmp_path / "file"), "one", info, 200.0, "raw")


def test_open_sinks_by_settings(tmp_path: Path) -> None:
    made = open_sinks(OutputSettings(events=str(tmp_path / "e.jsonl"), view="plain"))
    assert [type(sink).__name__ for sink in made] == ["EventLog", "PlainView"]
    made = open_sinks(OutputSettings(view="auto"))  # no terminal here
    assert [type(sink).__name__ for sink in made] == ["PlainView"]
    assert open_sinks(OutputSettings(view="none")) == []


_NEW_SINK = """
class Counter:
    def __init__(self, path):
        self.path, self.count = path, 0
    def line(self, line):
        self.count += 1
    def show(self, state):
        pass
    def close(self):
        with open(self.path, "w") as file:
            file.write(str(self.count))

def open_sink(settings):
    return Counter(settings.curve_dir) if settings.curve_dir else None
"""


def test_a_new_sink_is_one_file_and_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counter_of_lines.py").write_text(_NEW_SINK)
    monkeypatch.setattr(sinks, "__path__", [*sinks.__path__, str(tmp_path)])
    try:
        made = open_sinks(OutputSettings(view="none", curve_dir=str(tmp_path / "count")))
        assert [type(sink).__name__ for sink in made] == ["Counter"]
        journal = Journal(made)
        journal.begin(SESSION)
        journal.finish(SUMMARY)
        journal.close()
        assert (tmp_path / "count").read_text() == "2"
    finally:
        sys.modules.pop("realtime.sinks.counter_of_lines", None)


def test_a_sink_that_can_not_be_opened_closes_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with pytest.raises(UserError, match="write tcp://HOST:PORT or ipc://PATH"):
        open_sinks(OutputSettings(events=str(path), publish="udp://x", view="none"))
    assert not path.exists()


def test_every_sink_is_closed_whatever_another_one_does() -> None:
    class Bad(Keep):
        def close(self) -> None:
            raise ZeroDivisionError("a bug in a sink")

    class Good(Keep):
        closed = False

        def close(self) -> None:
            self.closed = True

    first, last = Good(), Good()
    with pytest.raises(ZeroDivisionError):
        Journal([first, Bad(), last]).close()
    assert first.closed
    assert last.closed
