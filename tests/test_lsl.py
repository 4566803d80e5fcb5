"""Lab Streaming Layer, confined to loopback: what goes out is what the log says, what comes in is a marker line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from _session import Run, assert_balanced

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc import lsl
from realtime.ipc.messages import Curves
from realtime.sinks.lines import EventLine, SessionLine
from realtime.sinks.lsl import LslOutlets, open_sink
from realtime.supervisor.lsl_markers import MarkerInlets

pylsl = pytest.importorskip("pylsl", reason="pylsl is not installed")
HERE = Path(__file__).parent
LOOPBACK = """\
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
MachineAddresses = {127.0.0.1}
ListenAddress = 127.0.0.1
[lab]
KnownPeers = {127.0.0.1}
SessionID = merealtime-tests
[log]
level = -2
"""


@pytest.fixture(scope="session", autouse=True)
def loopback(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Before liblsl reads its settings, which it does once."""
    path = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    path.write_text(LOOPBACK)
    os.environ["LSLAPICFG"] = str(path)
    return {"LSLAPICFG": str(path)}


def recorder(path: Path, *names: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "_xdf.py"), str(path), "60", *names]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def stopped(process: subprocess.Popen[str]) -> None:
    _, _ = process.communicate("", timeout=60)
    assert process.returncode == 0


def session_line(**changes: object) -> SessionLine:
    values = {
        "version": "0", "started_at": "", "source": "genicam:A", "fps_requested": 200.0, "fps_measured": 200.0,
        "width": 640, "height": 480, "pixel_format": "Mono8", "model": "m", "flow_backend": "cpu",
        "config_digest": "", "fps_granted": 200.0, "live": True, "detector": "motion", **changes,
    }  # fmt: skip
    return SessionLine(**values)  # type: ignore[arg-type]


def event_line(number: int, onset_ns: int) -> EventLine:
    return EventLine(
        id=number, kind="micro", onset=10, apex=30, offset=50, onset_t_ns=onset_ns, apex_t_ns=onset_ns + 100_000_000,
        offset_t_ns=onset_ns + 200_000_000, label="surprise", scores={"surprise": 1.0}, spot_score=9.0, rois={},
        latency_ms={}, decided=60,
    )  # fmt: skip


def test_lsl_and_our_clock_are_one() -> None:
    offset = lsl.clock_offset(lsl.load("--lsl"))
    assert abs(offset.seconds) < 1e-3
    assert offset.error_s < 1e-3


def test_streams_say_what_they_carry_and_samples_arrive_with_their_times() -> None:
    outlets = open_sink(OutputSettings(lsl=True))
    assert isinstance(outlets, LslOutlets)
    outlets.line(session_line(faces=2, source="genicam:B"))
    inlets = {}
    for name in ("merealtime events", "merealtime regions", "merealtime regions 1"):
        (found,) = pylsl.resolve_byprop("name", name, timeout=10)
        inlets[name] = pylsl.StreamInlet(found)
        inlets[name].open_stream(timeout=10)
    info = inlets["merealtime regions"].info(10)
    labels = info.get_channel_labels()
    assert labels == ["left_eye_brow", "right_eye_brow", "nose", "left_mouth", "right_mouth", "chin", "found", "frame"]
    assert info.get_channel_units()[0] == "px"
    acquisition = info.desc().child("acquisition")
    assert acquisition.child_value("model") == "genicam:B"
    assert acquisition.child_value("frame_rate") == "200"
    assert info.desc().child("synchronization").child_value("can_drop_samples") == "true"
    now_ns = time.monotonic_ns()
    times = [now_ns + k * 5_000_000 for k in range(6)]
    values = np.arange(36, dtype=np.float32).reshape(6, 6)
    values[3] = np.nan
    outlets.curves(
        Curves(
            seq=0,
            frames=[100, 100, 101, 102, 102, 103],
            t_ns=times,
            faces=[0, 1, 0, 0, 1, 0],
            found=[True, True, True, False, True, True],
            values=values.tobytes(),
        )
    )
    outlets.line(event_line(3, now_ns - 700_000_000))
    rows, stamps = inlets["merealtime regions"].pull_chunk(timeout=10, max_samples=4)
    assert [row[-1] for row in rows] == [100, 101, 102, 103]
    assert [row[-2] for row in rows] == [1, 1, 0, 1]
    assert np.isnan(rows[2][:6]).all()
    assert rows[1][:6] == values[2].tolist()
    assert np.abs(np.array(stamps) - np.array(times)[[0, 2, 3, 5]] / 1e9).max() < 1e-3
    rows, _ = inlets["merealtime regions 1"].pull_chunk(timeout=10, max_samples=2)
    assert [row[-1] for row in rows] == [100, 102]
    (text,), stamp = inlets["merealtime events"].pull_sample(timeout=10)
    event = json.loads(text)
    assert (event["id"], event["label"], event["decided"]) == (3, "surprise", 60)
    assert stamp == pytest.approx((now_ns - 700_000_000) / 1e9, abs=1e-3), "the onset, which is over"
    assert event["apex_lsl"] == pytest.approx(stamp + 0.1, abs=1e-6)
    outlets.close()


def test_a_recordings_times_are_refused() -> None:
    outlets = open_sink(OutputSettings(lsl=True))
    assert outlets is not None
    with pytest.raises(UserError, match="add --live"):
        outlets.line(session_line(live=False))


def test_without_lsl_nothing_opens() -> None:
    assert open_sink(OutputSettings()) is None
    assert list(MarkerInlets([]).take()) == []


def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    lsl.load.cache_clear()
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(UserError, match=r"^--lsl needs pylsl: pip install 'merealtime\[lsl\]'$") as caught:
        open_sink(OutputSettings(lsl=True))
    assert caught.value.exit_code == 2
    lsl.load.cache_clear()


@pytest.mark.parametrize("name", ["", "it's"])
def test_no_name_of_a_stream(name: str) -> None:
    with pytest.raises(UserError, match="not the name of a stream"):
        MarkerInlets([name])


def taken_until(inlets: MarkerInlets, what: str, timeout_s: float = 30.0) -> list:
    """Everything until a notice (or a marker's text) ``what`` has come."""
    found, deadline = [], time.monotonic() + timeout_s
    while not any(what in (taken.what, taken.text) for taken in found):
        assert time.monotonic() < deadline, found
        found += inlets.take()
        time.sleep(0.01)
    return found


def test_markers_of_others_come_with_their_times_and_the_stream_may_go_and_return() -> None:
    def outlet() -> object:
        return pylsl.StreamOutlet(pylsl.StreamInfo("trials", "Markers", 1, 0, "string", "trials-1"))

    inlets = MarkerInlets(["trials"])
    made = outlet()
    taken_until(inlets, "markers found")
    made_ns = time.monotonic_ns() - 250_000_000
    made.push_sample(["stimulus 1"], made_ns / 1e9)  # type: ignore[attr-defined]
    marker = taken_until(inlets, "stimulus 1")[-1]
    assert abs(marker.t_ns - made_ns) < 1_000_000, "when it was made, not when it came"
    del made
    taken_until(inlets, "markers lost")
    made = outlet()
    taken_until(inlets, "markers found")
    made.push_sample(["stimulus 2"])  # type: ignore[attr-defined]
    taken_until(inlets, "stimulus 2")
    inlets.close()
    del made


@pytest.mark.slow
def test_a_session_recorded_as_xdf_says_what_the_log_says(loopback: dict[str, str], tmp_path: Path) -> None:
    """Out: every event and every frame's sample, to a millisecond. In: a marker, at its frame."""
    pyxdf = pytest.importorskip("pyxdf", reason="pyxdf is not installed")
    options = ("--camera", "demo:3", "--fps", "100", "--size", "480x360")
    run = Run(tmp_path, *options, "--lsl", "--lsl-markers", "trials", **loopback)
    trials = pylsl.StreamOutlet(pylsl.StreamInfo("trials", "Markers", 1, 0, "string", "trials-2"))
    recording = recorder(tmp_path / "session.xdf", "merealtime events", "merealtime regions")
    assert recording.stdout is not None
    assert recording.stdout.readline() == "recording\n"
    trials.wait_for_consumers(20)
    pushed_ns = time.monotonic_ns()
    trials.push_sample(["trial 1"], pushed_ns / 1e9)
    run.wait_for(lambda lines: sum(line.get("onset_t_ns", 0) > pushed_ns for line in lines) >= 2)
    run.signal(signal.SIGINT)
    code, errors = run.end()
    stopped(recording)
    assert code == 0, errors
    lines = run.lines()
    summary = assert_balanced(lines)
    streams, _ = pyxdf.load_xdf(str(tmp_path / "session.xdf"), synchronize_clocks=True, dejitter_timestamps=False)
    by_name = {stream["info"]["name"][0]: stream for stream in streams}
    markers, regions = by_name["merealtime events"], by_name["merealtime regions"]

    pairs = markers["time_series"], markers["time_stamps"]
    logged = {line["id"]: line for line in lines if line["type"] == "event"}
    heard = {json.loads(text[0])["id"]: stamp for text, stamp in zip(*pairs, strict=True)}
    assert heard.keys() <= logged.keys()
    assert heard.keys() >= {n for n, event in logged.items() if event["offset_t_ns"] > pushed_ns}, "since it records"
    assert all(abs(stamp - logged[n]["onset_t_ns"] / 1e9) < 1e-3 for n, stamp in heard.items())

    frames = regions["time_series"][:, -1].astype(int)
    assert (np.diff(frames) >= 1).all()
    missing = (frames[-1] - frames[0] + 1) - len(frames)
    assert missing <= sum(summary["frames_dropped"].values()), "a sample each analysed frame"
    assert frames[-1] >= summary["frames_captured"] - 1 - sum(summary["frames_dropped"].values()), "to the last one"
    period_s = np.diff(regions["time_stamps"]) / np.diff(frames)
    assert np.abs(period_s - 0.01).max() < 1e-3, "the frames' own times"

    (marker,) = [line for line in lines if line["type"] == "marker"]
    assert (marker["text"], marker["origin"]) == ("trial 1", "lsl:trials")
    assert abs(marker["t_ns"] - pushed_ns) < 1_000_000
    at = np.interp(pushed_ns / 1e9, regions["time_stamps"], frames)
    assert abs(marker["frame"] - at) < 2
    assert any(line.get("what") == "markers found" for line in lines)
