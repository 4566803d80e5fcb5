"""Two sessions on one machine, on one log, on one camera: unharmed, or one line for the second."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _session import ROOT, Run, assert_balanced, left_behind
from fakev4l2 import FakeCamera, build

SMALL = ("--camera", "demo:5", "--fps", "60", "--size", "320x240")


def refused(*options: str, **environment: str) -> str:
    command = [sys.executable, "-m", "realtime", "--view", "none", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=environment or None, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.slow
def test_two_sessions_run_side_by_side_but_not_on_one_log_or_socket(tmp_path: Path) -> None:
    socket, kept = f"ipc://{tmp_path}/p", str(tmp_path / "kept")
    first = Run(tmp_path, *SMALL, "--publish", socket, "--record", kept)
    first.wait_for(lambda lines: bool(lines))
    second = Run(tmp_path, *SMALL, "--record", kept, "--frames", "60", name="second")
    assert "another session writes its log there" in refused(*SMALL, "--events", str(first.events))
    assert "another program publishes there" in refused(*SMALL, "--publish", socket)
    code, errors = second.end()
    assert code == 0, errors
    assert assert_balanced(second.lines())["recording"]["readable"] == 60
    assert left_behind(second.child.pid) == []
    first.signal(signal.SIGINT)
    code, errors = first.end()
    assert code == 0, errors
    summary = assert_balanced(first.lines())
    assert summary["restarts"] == 0
    assert summary["recording"]["readable"] == summary["recording"]["frames"] > 60
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert [path.name for path in tmp_path.glob("events*")] == ["events.jsonl"], "no log was moved away"
    assert left_behind(first.child.pid) == []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fakev4l2"))


def test_a_camera_belongs_to_one_session(library: Path, tmp_path: Path) -> None:
    camera = FakeCamera(tmp_path, library)
    camera.serve(np.random.default_rng(0).integers(0, 256, (97, 120, 160), np.uint8), FPS=60)
    options = ("--camera", "0", "--fps", "60", "--size", "160x120")
    first = Run(tmp_path, *options, **camera.environment)
    first.wait_for(lambda lines: bool(lines))
    message = refused(*options, "--events", str(tmp_path / "second.jsonl"), **camera.environment)
    assert "/dev/video0" in message
    assert "in use by another program" in message
    assert not (tmp_path / "second.jsonl").exists()
    first.stage("capture").kill()  # it lets go of the camera, and takes it again
    first.wait_for(lambda lines: any(line.get("what") == "stage back" for line in lines))
    first.signal(signal.SIGINT)
    code, errors = first.end()
    assert code == 0, errors
    assert_balanced(first.lines())
