"""``--control``: what an experiment's script can ask of a running session, and who may ask."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.auth
from _recordings import read_all
from _session import ROOT, Run, assert_balanced, left_behind

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc import bus, messages
from realtime.ipc.board import Board
from realtime.ipc.keys import make_keys
from realtime.ipc.ring import RingReader, RingWriter
from realtime.session.curves import read_curves
from realtime.sinks.lines import State
from realtime.supervisor.commands import frame_at, frame_in
from realtime.supervisor.control import Control
from realtime.types import SourceInfo

LIVE = SourceInfo(source="0", kind="camera", width=16, height=12, fps=100.0)
MS = 1_000_000


class Session:
    """What a control socket has of a session: counters, a ring, the way to the supervisor."""

    def __init__(self, folder: Path) -> None:
        name = f"merealtime-test-{folder.name[-20:]}-{time.monotonic_ns()}"
        self.board = Board.create(f"{name}-board")
        self.ring_name = f"{name}-ring"
        self.ring = RingWriter.create(self.ring_name, 8, 12, 16)
        self.info = LIVE
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.endpoint = f"ipc://{folder}/reports"
        self.reports = bus.Receiver(self.context, self.endpoint)

    def to_supervisor(self) -> bus.Sender:
        return bus.Sender(self.context, self.endpoint)

    def frame(self, number: int, t_ns: int) -> None:
        self.ring.reserve()
        self.ring.commit(number, t_ns, t_ns)
        row = self.board.row("capture")
        row.put("frames", self.ring.count)
        row.put("last_number", number)
        row.put("last_t_ns", t_ns)

    def taken(self) -> messages.Report | None:
        return self.reports.take(messages.decode_report, 2.0)

    def close(self) -> None:
        self.reports.close()
        self.context.destroy(linger=0)
        self.ring.close()
        self.ring.unlink()
        self.board.close()
        self.board.unlink()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


def asker(endpoint: str) -> Any:
    """ask(text or object) → the reply; None where none comes in two seconds."""
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(endpoint)

    def ask(request: object) -> Any:
        socket.send(request if isinstance(request, bytes) else json.dumps(request).encode())
        return json.loads(socket.recv()) if socket.poll(2000) else None

    return SimpleNamespace(ask=ask, socket=socket, close=lambda: context.destroy(linger=0))


@pytest.fixture
def control(session: Session, tmp_path: Path) -> Iterator[tuple[Any, Session]]:
    settings = OutputSettings(record=str(tmp_path), control=f"ipc://{tmp_path}/control")
    made = Control(settings.control or "", settings, session)  # type: ignore[arg-type]
    client = asker(settings.control or "")
    yield client, session
    client.close()
    made.close()
    assert not (tmp_path / "control").exists()


def test_a_mark_has_the_time_of_its_request_and_the_frame_of_that_time(control: tuple[Any, Session]) -> None:
    client, session = control
    now = time.monotonic_ns()
    for number in (0, 1, 2, 5):  # two were lost in the camera
        session.frame(number, now - (30 - 10 * number) * MS)
    session.frame(1000, now + 3_600_000_000_000)  # the next one is there
    before = time.monotonic_ns()
    reply = client.ask({"do": "mark", "text": "  film   1 "})
    assert reply["ok"]
    assert before < reply["t_ns"] < time.monotonic_ns()
    assert reply["frame"] == (5 if reply["t_ns"] >= now + 20 * MS else 2)
    told = session.taken()
    assert isinstance(told, messages.Command)
    assert (told.do, told.text, told.t_ns, told.frame, told.origin) == (
        "mark", "film 1", reply["t_ns"], reply["frame"], "control",
    )  # fmt: skip


def test_the_frame_of_a_moment(session: Session) -> None:
    for number in (0, 1, 2, 5, 6, 7, 8, 9, 10, 11):
        session.frame(number, 10**12 + number * 10 * MS)
    with RingReader.attach(session.ring_name) as ring:
        found = [frame_in(ring, 10**12 + ms * MS) for ms in (75, 80, 99, 109)]
        assert found == [7, 8, 9, 10]
        assert frame_in(ring, 10**12) is None, "the ring has it no more"
        assert frame_in(ring, 10**12 + 110 * MS) is None, "the one after it may have begun by then"
    board = session.board
    assert [frame_at(10**12 + ms * MS, board, LIVE) for ms in (110, 119, 120, 95)] == [11, 11, 12, 9]
    assert frame_at(5, board, SourceInfo(source="c", kind="recording", width=1, height=1, fps=9, live=False)) == 11


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"", "not understood"),
        (b"{", "not understood"),
        (b"[" * 2000, "not understood"),
        (b"\xff\xfe", "not understood"),
        ({"do": "dance"}, "not understood"),
        ({"do": "mark", "text": 3}, "not understood"),
        ({"do": "mark", "txt": "a"}, "not understood"),
        ({"do": "mark", "text": "a" * 201}, "at most 200 characters"),
        ({"do": "mark", "text": "a\u0007b"}, "that can be printed"),
        ({"do": "stop", "text": "now"}, "stop: takes no text"),
        ({"do": "record"}, "record: say on, true or false"),
        ({"do": "rest", "on": True}, "rest: takes no on"),
    ],
)
def test_what_is_no_request_gets_a_reason_and_does_nothing(
    request_: Any, says: str, control: tuple[Any, Session]
) -> None:
    client, session = control
    reply = client.ask(request_)
    assert reply["ok"] is False
    assert says in reply["error"]
    assert session.reports.take(messages.decode_report, 0.05) is None
    assert client.ask({"do": "status"})["ok"], "it goes on"


def test_orders_reach_the_supervisor_and_status_says_how_it_stands(control: tuple[Any, Session]) -> None:
    client, session = control
    session.frame(7, time.monotonic_ns())
    status = client.ask({"do": "status"})
    assert (status["phase"], status["frame"], status["recording"]) == ("starting", 7, {"on": True, "frames": 0})
    for request in ({"do": "rest"}, {"do": "record", "on": False}, {"do": "stop"}):
        assert client.ask(request)["ok"]
        told = session.taken()
        assert isinstance(told, messages.Command)
        assert told.do == request["do"]
        assert told.on is bool(request.get("on"))
    assert client.ask({"do": "status"})["recording"]["on"] is False


def test_without_a_folder_nothing_can_be_recorded(session: Session, tmp_path: Path) -> None:
    made = Control(f"ipc://{tmp_path}/c", OutputSettings(), session)  # type: ignore[arg-type]
    made.show(State(phase="running", seconds=3.25))
    client = asker(f"ipc://{tmp_path}/c")
    assert "--record DIR" in client.ask({"do": "record", "on": True})["error"]
    assert (client.ask({"do": "status"})["recording"], client.ask({"do": "status"})["seconds"]) == (None, 3.25)
    client.close()
    made.close()


def test_beyond_this_machine_only_with_keys(session: Session, tmp_path: Path) -> None:
    for endpoint, says in (
        ("tcp://0.0.0.0:0", "needs keys"),
        ("udp://x", "write tcp://HOST:PORT"),
        ("ipc://", "bytes"),
    ):
        with pytest.raises(UserError, match=f"--control {endpoint}.*{says}"):
            Control(endpoint, OutputSettings(), session)  # type: ignore[arg-type]
    keys = tmp_path / "keys"
    make_keys(keys)
    settings = OutputSettings(curve_dir=str(keys))
    made = Control(f"ipc://{tmp_path}/c", settings, session)  # type: ignore[arg-type]
    stranger, known = asker(f"ipc://{tmp_path}/c"), asker(f"ipc://{tmp_path}/none")
    known.socket.curve_publickey, known.socket.curve_secretkey = zmq.auth.load_certificate(keys / "client.key_secret")
    known.socket.curve_serverkey = zmq.auth.load_certificate(keys / "server.key")[0]
    known.socket.connect(f"ipc://{tmp_path}/c")
    known.socket.disconnect(f"ipc://{tmp_path}/none")
    assert stranger.ask({"do": "stop"}) is None
    assert known.ask({"do": "status"})["ok"]
    assert session.reports.take(messages.decode_report, 0.05) is None
    for client in (stranger, known):
        client.close()
    made.close()


def test_thousands_of_marks_pass_the_gate(control: tuple[Any, Session]) -> None:
    client, session = control
    for count in range(1500):
        assert client.ask({"do": "mark", "text": f"stimulus {count}"})["ok"]
    assert sum(session.taken() is not None for _ in range(1500)) == 1500


def test_an_experiment_from_start_to_stop(tmp_path: Path) -> None:
    """A live session, driven by the example's script and by hand."""
    endpoint, kept = f"ipc://{tmp_path}/control", tmp_path / "kept"
    options = ("--camera", "demo:5", "--fps", "100", "--size", "320x240", "--record", str(kept), "--subject", "S01")
    run = Run(tmp_path, *options, "--control", endpoint)
    while not (tmp_path / "control").exists():
        time.sleep(0.05)
        assert run.child.poll() is None
    client = asker(endpoint)
    while client.ask({"do": "status"})["phase"] != "running":
        time.sleep(0.1)
    time.sleep(0.7)
    client.ask({"do": "record", "on": False})
    off = client.ask({"do": "mark", "text": "off"})
    time.sleep(0.6)
    client.ask({"do": "record", "on": True})
    on = client.ask({"do": "mark", "text": "on"})
    client.close()
    said = subprocess.run(
        [sys.executable, ROOT / "examples" / "experiment.py", endpoint],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    code, errors = run.end()
    assert code == 0, errors
    summary = assert_balanced(run.lines())
    assert summary["ended"] == "stopped by control"
    markers = run.of_type("marker")
    assert [line["text"] for line in markers] == ["off", "on", *(
        text for film in ("neutral", "disgust", "surprise") for text in (f"film {film}", "answer")
    )]  # fmt: skip
    assert said.splitlines() == [f"{m['text'][5:]} at frame {m['frame']}" for m in markers if "film" in m["text"]]
    told = [line["what"] for line in run.of_type("notice")]
    asked_for = ["recording paused", "recording goes on"]
    assert [what for what in told if what in asked_for] == asked_for  # a busy disk may make it stall besides
    (folder,) = kept.iterdir()
    _check_folder(folder, run, summary)
    _check_marks_and_pause(folder, markers, off["frame"], on["frame"])
    assert left_behind(run.child.pid) == []


def _check_folder(folder: Path, run: Run, summary: dict[str, Any]) -> None:
    """What the interface promises of it."""
    assert {path.name for path in folder.iterdir()} == {
        "session.json", "source.json", "events.jsonl", "curves.parquet", "frames.csv", "frames.mkv",
    }  # fmt: skip
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert (folder / "events.jsonl").read_text() == run.events.read_text()
    facts = json.loads((folder / "session.json").read_text())
    assert (facts["subject"], facts["camera"]["fps"], facts["settings"]["source"]["fps"]) == ("S01", 100.0, 100.0)
    assert len(facts["model"]["digest"]) == 64
    assert facts["sensitivity_px"] == summary["sensitivity_px"]
    clocks = facts["clock"], facts["clock_end"]
    assert abs(clocks[1]["utc_minus_monotonic_ns"] - clocks[0]["utc_minus_monotonic_ns"]) < 10**9
    assert clocks[0]["utc_ns"] - clocks[0]["monotonic_ns"] == clocks[0]["utc_minus_monotonic_ns"]
    rows = read_curves(folder)
    assert len(rows) == summary["frames_analysed"]
    assert (np.diff(rows["frame"]) > 0).all()
    assert rows["found"].mean() > 0.9
    assert (rows["scale"][rows["found"]] > 0).all()


def _check_marks_and_pause(folder: Path, markers: list[dict[str, Any]], off: int, on: int) -> None:
    rows = read_curves(folder)
    for mark in markers:
        seen = rows[rows["t_ns"] <= mark["t_ns"]]
        assert mark["frame"] >= seen["frame"][-1], "the last frame that was exposed by then"
        later = rows[rows["t_ns"] > mark["t_ns"]]
        assert not len(later) or mark["frame"] < later["frame"][0]
    numbers = np.array([stamp.number for stamp in read_all(folder)[1]])
    at = int(np.diff(numbers).argmax())
    assert abs(int(numbers[at]) - off) < 20, "it stopped when it was told to"
    assert abs(int(numbers[at + 1]) - on) < 20, "and went on"
