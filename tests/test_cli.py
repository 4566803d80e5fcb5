"""The command line: one clear line and the right exit code for each mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from _session import ROOT

from realtime import __version__, cli
from realtime.check import check, print_cameras
from realtime.config import load
from realtime.supervisor import cleanup

BUNDLE = ROOT / "realtime" / "recognition" / "bundles" / "laenet-composite"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "realtime", "--view", "none", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def refused(*options: str) -> str:
    """Run what must fail at the start: exit code 2, one line; returns it."""
    done = run(*options)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("merealtime: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def options_of(*options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Parse what argparse itself refuses (in this process: quick)."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(options))
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fps", "0"], "--fps: 0 must be greater than 0"),
        (["--fps", "-3"], "--fps"),
        (["--fps", "nan"], "--fps"),
        (["--fps", "fast"], "'fast' is not a number"),
        (["--size", "640"], "WIDTHxHEIGHT"),
        (["--frames", "0"], "at least 1"),
        (["--frames", "1.5"], "whole number"),
        (["--faces", "0"], "--faces: 0 must be at least 1"),
        (["--duration", "0"], "--duration"),
        (["--pixel-format", "RGB3"], "GREY"),
        (["--flow", "gpu"], "cuda"),
        (["--colour"], "--colour"),
        (["--cam", "0"], "--cam"),
    ],
)
def test_bad_options(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = options_of(*options, capsys=capsys)
    assert words in message
    assert message.startswith("merealtime: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "spot.colour=1"], "unknown key spot.colour"),
        (["--set", "spot"], "KEY=VALUE"),
        (["--faces", "9"], "spot.faces: expected `int` <= 8"),
        (["--config", "absent.toml"], "absent.toml: can't read"),
        (["--events", "{here}/not/e.jsonl"], "/not/e.jsonl: can't write"),
        (["--record", "/proc/nowhere"], "--record /proc/nowhere: can't write there"),
        (["--publish", "tcp://0.0.0.0:5555"], "--curve-dir"),
        (["--publish", "udp://127.0.0.1:5555"], "tcp://HOST:PORT"),
        (["--publish", "tcp://127.0.0.1"], "port is missing"),
        (["--curve-dir", "keys"], "add --publish"),
    ],
)
def test_mistakes_found_before_anything_starts(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--view", "none", *(text.replace("{here}", str(tmp_path)) for text in options)]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_a_missing_camera(tmp_path: Path) -> None:
    older = tmp_path / "keep.jsonl"
    older.write_text("an older log\n")
    message = refused("--camera", "63", "--events", str(older))
    assert "/dev/video63" in message
    assert older.read_text() == "an older log\n"


def test_the_log_does_not_replace_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    (tmp_path / "link").symlink_to(clip)
    assert cli.main(["--view", "none", "--camera", str(clip), "--events", str(tmp_path / "link")]) == 2
    assert "the source itself" in capsys.readouterr().err
    assert clip.read_bytes() == b"frames"


def test_a_missing_file() -> None:
    assert "no such file or camera: nowhere.mp4" in refused("--camera", "nowhere.mp4")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no images" in refused("--camera", str(tmp_path))


def test_a_truncated_video(tmp_path: Path) -> None:
    whole = str(tmp_path / "whole.mp4")
    writer = cv2.VideoWriter(whole, cv2.VideoWriter.fourcc(*"mp4v"), 100.0, (320, 240), True)
    for level in range(40):
        writer.write(np.full((240, 320, 3), level, np.uint8))
    writer.release()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(Path(whole).read_bytes()[:600])
    assert "cut.mp4" in refused("--camera", str(cut))


def test_pictures_too_small_for_a_face(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((24, 24), 128, np.uint8))
    message = refused("--camera", str(tmp_path), "--fps", "100")
    assert "24x24 px are too small for a face; give 32x32 at least" in message


def test_a_broken_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    network = next(path for path in bundle.iterdir() if path.suffix != ".json")
    network.write_bytes(network.read_bytes()[:-8] + b"tampered")
    assert "SHA-256" in refused("--model", str(bundle))
    assert "no bundle there" in refused("--model", str(tmp_path / "absent"))


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have a GPU")
def test_a_missing_gpu_is_said_at_the_start() -> None:
    assert "cuda" in refused("--flow", "cuda")


def test_version_and_help() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"merealtime {__version__}")
    done = run("--help")
    assert done.returncode == 0
    for option in cli._OPTIONS:
        assert f"--{option.replace('_', '-')}" in done.stdout


def test_options_become_settings() -> None:
    arguments = cli.make_parser().parse_args(
        ["--camera", "0", "--fps", "200", "--size", "320x240", "--live", "--set", "source.fps=100", "--faces", "2"]
    )
    settings = load(overrides=cli.overrides_of(arguments))
    assert settings.source.camera == "0"
    assert settings.source.fps == 200
    assert settings.source.size == (320, 240)
    assert settings.source.live
    assert settings.spot.faces == 2


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--debug", "--set", "a=1"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_check_reports_each_subject(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load(overrides={"source.size": "320x240", "source.fps": 60.0})
    assert check(settings) == 0
    report = capsys.readouterr().out
    for subject in ("processors", "shared memory", "real time", "flow", "model", "source"):
        assert subject in report
    assert "delivers" in report


def test_check_names_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load(overrides={"source.camera": "63", "recognition.bundle": "absent"})
    assert check(settings) == 2
    report = capsys.readouterr().out
    assert report.count("FAILS") == 2


def test_list_cameras_always_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_cameras() == 0
    assert capsys.readouterr().out


@pytest.mark.slow
def test_plain_view_prints_one_line_an_event(tmp_path: Path) -> None:
    log = tmp_path / "e.jsonl"
    options = ["--camera", "demo:5", "--size", "320x240", "--frames", "400", "--events", str(log)]
    command = [sys.executable, "-m", "realtime", "--view", "plain", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    events = [line for line in log.read_text().splitlines() if json.loads(line)["type"] == "event"]
    assert sum(line.startswith("event") for line in done.stdout.splitlines()) == len(events)
    assert done.stdout.splitlines()[-1].startswith("done   --frames")


@pytest.mark.parametrize(("closed", "code"), [(True, 0), (False, 1)])
def test_only_a_closed_standard_output_is_no_failure(closed: bool, code: int) -> None:
    text = "import sys\nfrom realtime import cli\ndef broken(*a):\n    print('x', flush=True)\n"
    text += "    raise BrokenPipeError(32, 'Broken pipe')\ncli._run = broken\nsys.exit(cli.main([]))"
    child = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    if closed:
        child.stdout.close()
    errors = child.stderr.read()
    assert child.wait(60) == code
    assert errors.count("\n") == code, errors
    child.stderr.close()
    child.stdout.close()


def test_an_interrupt_while_loading_shows_no_traceback() -> None:
    """Ctrl-C within an import of the command line's own, and within one of the session's."""
    # as in a terminal: a shell's background job, CI's perhaps, starts with SIGINT ignored
    fake = "import sys, os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    fake += "class Finder:\n    def find_spec(self, name, *_):\n"
    fake += "        if name == NAME:\n            os.kill(os.getpid(), signal.SIGINT)\n"
    fake += "sys.modules.pop('argparse', None)\nsys.meta_path.insert(0, Finder())\n"
    fake += "from realtime import cli\nsys.exit(cli.main(['--view', 'none']))"
    for name, code, lines in (("argparse", -2, 1), ("realtime.supervisor", 0, 0)):
        command = [sys.executable, "-c", fake.replace("NAME", repr(name))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (code, lines), done


def test_a_bug_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys\nfrom realtime import cli, supervisor\n"
        "def broken(*a, **k): raise ZeroDivisionError('x')\n"
        "supervisor.Supervisor.run = broken\nsys.exit(cli.main(sys.argv[1:]))"
    )
    for options, lines in (([], 1), (["--debug"], 5)):
        command = [sys.executable, "-c", code, "--view", "none", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "ZeroDivisionError" in done.stderr
        assert (done.stderr.count("\n") == 1) == (lines == 1)
    cleanup.sweep()  # what the broken sessions left
