"""What must not be seen: passwords of addresses, logs of faces. And a session without its standard streams."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from _session import ROOT, Run, assert_balanced
from test_sources_files import frames, server  # noqa: F401  (fixtures)

from realtime.errors import without_passwords

WORD = "s3cr/t@word"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:pw@host/1", "rtsp://me:***@host/1"),
        (f"http://me:{WORD}@host:80/x", "http://me:***@host:80/x"),
        ("http:/me:pw@host", "http:/me:***@host"),
        ("http://host/x?user=a&password=b&size=3", "http://host/x?user=a&password=***&size=3"),
        ("no such file: rtsp://a:b@c; try 0", "no such file: rtsp://a:***@c; try 0"),
        ("http://127.0.0.1:8080/video", "http://127.0.0.1:8080/video"),
        ("demo:5", "demo:5"),
    ],
)
def test_passwords_are_left_out(address: str, shown: str) -> None:
    assert without_passwords(address) == shown


def test_a_streams_password_is_in_no_log_recording_or_line_on_screen(server: str, tmp_path: Path) -> None:  # noqa: F811
    address = server.replace("://", f"://me:{WORD.replace('/', '%2F').replace('@', '%40')}@")
    options = ("--fps", "100", "--set", "source.reconnect_s=0", "--view", "plain", "--debug", "--duration", "5")
    run = Run(tmp_path, "--camera", f"{address}/300", "--record", str(tmp_path / "kept"), *options)
    shown, errors = run.child.communicate(timeout=90)
    log = run.events.read_text()
    source = next((tmp_path / "kept").glob("*/source.json")).read_text()
    for text in (shown, errors, log, source):
        assert "s3cr" not in text
    for text in (log, source):
        assert "me:***@" in text
    assert stat.S_IMODE(run.events.stat().st_mode) == 0o600
    again = Run(tmp_path, "--camera", f"{address}/missing")
    _, errors = again.end()
    assert "s3cr" not in errors
    assert "me:***@" in errors


def test_a_log_that_takes_an_older_ones_place_is_private_too(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_text("older\n")
    run = Run(tmp_path, "--camera", "demo:5", "--fps", "60", "--size", "320x240", "--frames", "30")
    assert run.end()[0] == 0
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_are_nowhere(closed: str, tmp_path: Path) -> None:
    """The session runs, and nothing that is printed lands in a file that took the stream's number."""
    log = tmp_path / "e.jsonl"
    options = f"--camera demo:5 --fps 60 --size 320x240 --frames 60 --debug --events '{log}'"
    command = ["sh", "-c", f"exec '{sys.executable}' -m realtime {options} {closed}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert_balanced([json.loads(line) for line in log.read_text().splitlines()])


def test_an_error_without_a_screen_has_its_exit_code() -> None:
    command = ["sh", "-c", f"exec '{sys.executable}' -m realtime --camera /not/there --view none 2>&-"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False).returncode == 2
