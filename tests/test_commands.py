"""``merealtime NAME`` and ``python -m offline.NAME`` are one command; a live session needs nothing of the extra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from _session import ROOT, assert_balanced

from offline import extra
from realtime import cli

# Stands for an interpreter in which packages are not installed; children start with it too.
HIDING = """\
import sys
HIDDEN = {names!r}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def without(folder: Path, *names: str) -> dict[str, str]:
    """The environment of a process for which those packages are not installed."""
    (folder / "sitecustomize.py").write_text(HIDING.format(names=names))
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def python(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False
    )


def test_every_offline_command_is_a_command() -> None:
    in_folder = {path.stem for path in (ROOT / "offline" / "commands").glob("*.py")} - {
        "__init__",
        "cli",
        "training_run",
    }
    modules = {path.stem for path in (ROOT / "offline").glob("*.py") if "__main__" in path.read_text()}
    assert set(cli.OFFLINE_COMMANDS) == in_folder == modules
    for name in cli.OFFLINE_COMMANDS:
        assert name in cli._EPILOG


@pytest.mark.parametrize("name", cli.OFFLINE_COMMANDS)
def test_both_ways_are_the_same(name: str) -> None:
    ours, theirs = python("-m", "realtime", name, "--help"), python("-m", f"offline.{name}", "--help")
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert ours.stdout == theirs.stdout
    assert "usage:" in ours.stdout
    ours, theirs = python("-m", "realtime", name, "--colour"), python("-m", f"offline.{name}", "--colour")
    assert ours.returncode == theirs.returncode == 2
    assert ours.stderr == theirs.stderr
    assert ours.stderr.count("\n") == 1


def test_check_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--camera", "63"]) == 2
    assert "/dev/video63" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("-m", "realtime", "train"), ("-m", "offline.evaluate", "runs/a")])
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = python(*words, env=without(tmp_path, "tensorflow", "sklearn"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "tensorflow, sklearn" in done.stderr
    assert "pip install 'merealtime[offline]'" in done.stderr
    done = python(*words[:3], "--help", env=without(tmp_path, "tensorflow", "sklearn"))
    assert done.returncode == 0


def test_a_session_runs_without_the_extra(tmp_path: Path) -> None:
    """All but matplotlib, on which MediaPipe insists."""
    env = without(tmp_path, *(set(extra.MODULES) - {"matplotlib"}), "keras", "h5py")
    hidden = python("-c", "import tensorflow", env=env)
    assert "No module named 'tensorflow'" in hidden.stderr
    log = tmp_path / "e.jsonl"
    options = ("--camera", "demo", "--size", "320x240", "--frames", "200", "--view", "none", "--events", str(log))
    done = python("-m", "realtime", *options, env=env)
    assert done.returncode == 0, done.stderr
    summary = assert_balanced([json.loads(line) for line in log.read_text().splitlines()])
    assert summary["frames_captured"] == 200
    assert summary["frames_analysed"] > 0
