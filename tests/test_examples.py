"""The examples, and the code in README.md, run as a reader would run them."""

from __future__ import annotations

import csv
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from _session import ROOT, Run

EXAMPLES = ROOT / "examples"
DEMO = ("--camera", "demo:5", "--size", "320x240")


def python(*words: object, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_code(word: str) -> str:
    """The Python block of README.md that holds the word."""
    (found,) = [
        code for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if word in code
    ]
    return found


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.slow
def test_subscribers_hear_each_event(tmp_path: Path) -> None:
    """The README's and the one in examples/, from before the session's start to its end."""
    endpoint, code = free_endpoint(), readme_code("zmq")
    assert "tcp://127.0.0.1:5555" in code
    session = Run(tmp_path, *DEMO, "--duration", "8", "--publish", endpoint)
    commands = ([str(EXAMPLES / "subscriber.py"), endpoint], ["-c", code.replace("tcp://127.0.0.1:5555", endpoint)])
    listening = [
        subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        assert session.end()[0] == 0
        full, short = (process.communicate(timeout=30)[0].splitlines() for process in listening)
    finally:
        for process in listening:
            process.kill()
    events = session.of_type("event")
    assert events
    assert [line.split()[:2] for line in short] == [[event["kind"], event["label"]] for event in events]
    assert [line.split()[1] for line in full if line.startswith("event")] == [f"{event['id']}:" for event in events]
    assert full[-1] == f"summary {len(events)} events in {session.lines()[-1]['frames_analysed']} frames"
    assert not [line for line in full if line.startswith("missed")]


def test_the_subscriber_counts_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import subscriber

    class Socket:
        sent = iter([("notice", 4), ("event", 2), ("notice", 7), ("event", 3), ("summary", 0)])

        def recv_multipart(self) -> tuple[bytes, bytes]:
            topic, seq = next(self.sent)
            return topic.encode(), json.dumps({"type": topic, "seq": seq}).encode()

    assert [lost for _, lost in subscriber.lines(Socket())] == [0, 0, 2, 0, 0]


def drawn_movement(folder: Path) -> str:
    """onset.png and apex.png of a movement of the generated face; returns its label."""
    from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

    settings = SynthesisSettings(action_units=("AU1+2",), blinks=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, 3)
    movement = renderer.schedule.event(0, 4000)
    assert movement is not None
    frame = np.empty((480, 640), np.uint8)
    for name, number in (("onset", movement.onset), ("apex", movement.apex)):
        renderer.render(number, frame)
        cv2.imwrite(str(folder / f"{name}.png"), frame)
    return movement.label


def test_the_readme_names_a_movement_from_python(tmp_path: Path) -> None:
    label = drawn_movement(tmp_path)
    (tmp_path / "example.py").write_text(readme_code("feature_map"))
    scores = json.loads(python(tmp_path / "example.py", cwd=tmp_path).replace("'", '"'))
    assert sum(scores.values()) == pytest.approx(1.0, abs=0.02)
    assert max(scores, key=scores.get) == label


def written(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.slow
def test_a_study_finds_its_events_again(tmp_path: Path) -> None:
    trials = [
        ("trial", "text", "seconds"),
        *((f"t{k}", f"look at {k}", 2.5) for k in range(3)),
        ("end", "thanks", 0.001),
    ]
    marks, table = tmp_path / "marks.csv", tmp_path / "table.csv"
    session = Run(tmp_path, *DEMO, "--duration", "12")
    session.wait_for(lambda lines: any(line["type"] == "session" for line in lines))
    shown = python(EXAMPLES / "mark_trials.py", "run", written(tmp_path / "trials.csv", trials), marks)
    assert shown.splitlines() == ["look at 0", "look at 1", "look at 2", "thanks"]
    assert session.end()[0] == 0
    python(EXAMPLES / "mark_trials.py", "join", marks, session.events, table)
    with marks.open() as file:
        begun = [int(row["begin_t_ns"]) for row in csv.DictReader(file)]
    assert begun == sorted(begun)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    within = [e for e in session.of_type("event") if begun[0] <= e["onset_t_ns"] < begun[3]]
    assert within, "the demo moves every few seconds"
    assert [row["event"] for row in rows if row["event"]] == [str(event["id"]) for event in within]
    assert {row["trial"] for row in rows} == {"t0", "t1", "t2", "end"}


def test_a_study_s_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import mark_trials

    def event(number: int, onset_ms: int) -> dict[str, object]:
        times = {"onset_t_ns": onset_ms * 10**6, "offset_t_ns": (onset_ms + 200) * 10**6}
        return {"type": "event", "id": number, "kind": "micro", "label": "positive", **times}

    marks = [
        {"trial": name, "begin_t_ns": str(begin * 10**6), "end_t_ns": str((begin + 1000) * 10**6)}
        for name, begin in (("a", 1000), ("b", 2000))
    ]
    lost = {"type": "notice", "what": "face lost", "detail": "", "t_ns": 2500 * 10**6}
    logged = [{"type": "session", "live": True}, event(0, 999), event(1, 1000), event(2, 1950), lost]
    assert list(mark_trials.join(marks, logged)) == [
        ("a", 1, "micro", "positive", "0.0", "200.0", 0),
        ("a", 2, "micro", "positive", "950.0", "200.0", 0),
        ("b", "", "", "", "", "", 1),
    ]
    with pytest.raises(SystemExit, match="live session"):
        list(mark_trials.join(marks, [{"type": "session", "live": False}]))
    older = tmp_path / "marks.csv"
    older.write_text("kept")
    with pytest.raises(FileExistsError):
        mark_trials.run([], older, print)
    assert older.read_text() == "kept"


@pytest.mark.slow
def test_the_notebook_makes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / "recording_to_table.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit the notebook without its outputs"
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    with (tmp_path / "out" / "events.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [line["label"] for line in events if line["type"] == "event"]
    assert rows
    assert (tmp_path / "out" / "events.png").stat().st_size > 1000
