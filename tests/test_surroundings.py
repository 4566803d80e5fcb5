"""Odd surroundings, each for real: another user, no home, odd paths, closed pipes, Ctrl-C at any moment, scarcity."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from _session import ROOT, Run, assert_balanced, left_behind
from _surroundings import AS_USER, OWN_MOUNTS, needed

from realtime import config
from realtime.errors import UserError
from realtime.recognition import bundle
from realtime.supervisor import needs

SMALL = ("--camera", "demo:5", "--fps", "60", "--size", "320x240")
COMMAND = (sys.executable, "-m", "realtime")


def environment(**changes: str | None) -> dict[str, str]:
    """Ours with changes; None: unset."""
    clean = {**os.environ, "PYTHONPATH": str(ROOT), **{k: v for k, v in changes.items() if v is not None}}
    return {name: text for name, text in clean.items() if changes.get(name, "") is not None}


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def one_line(errors: str, *words: str) -> None:
    assert errors.count("\n") == 1, errors
    assert errors.startswith("merealtime: ")
    assert "this is a bug" not in errors
    for word in words:
        assert word in errors


# ---------------------------------------------------------------- users, homes, paths


def test_a_user_without_a_home_and_paths_with_blanks_and_umlauts(tmp_path: Path) -> None:
    """What it writes is its own to read, and the temporary folder is as it was."""
    folder = tmp_path / "mit Leerzeichen ünd ☃"
    temporary = tmp_path / "t mp é"
    folder.mkdir()
    temporary.mkdir()
    model = shutil.copytree(bundle.find("laenet-composite"), folder / "mödel x")
    log, endpoint = folder / "e vénts.jsonl", f"ipc://{os.path.relpath(folder, ROOT)}/p ü"
    options = ["--events", str(log), "--record", str(folder / "rec ö"), "--model", str(model), "--publish", endpoint]
    done = subprocess.run(
        [*needed(AS_USER), *COMMAND, *SMALL, "--frames", "60", "--view", "plain", *options],
        cwd=ROOT,
        env=environment(HOME=None, XDG_RUNTIME_DIR=None, XDG_CONFIG_HOME=None, TMPDIR=str(temporary), LC_ALL="C"),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    summary = assert_balanced(lines_of(log))
    assert summary["recording"]["readable"] == 60
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("merealtime-numba")] == []
    assert not (folder / "p ü").exists()
    kept = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder / "rec ö").rglob("*")}
    assert {mode for name, mode in kept.items() if "." in name} == {0o600}, kept
    assert {mode for name, mode in kept.items() if "." not in name} == {0o700}, kept
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_read_only_home_no_temporary_folder_a_poor_terminal(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    log = tmp_path / "e.jsonl"
    done = subprocess.run(
        [*needed(AS_USER), *COMMAND, *SMALL, "--frames", "30", "--view", "plain", "--events", str(log)],
        cwd=ROOT,
        env=environment(
            HOME=str(home), XDG_RUNTIME_DIR="/not/there", TMPDIR=str(tmp_path / "gone"), PYTHONIOENCODING="ascii"
        ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xd7240" in done.stdout, "320×240, as far as this terminal goes"
    assert_balanced(lines_of(log))
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("option", ["--camera", "--events", "--record", "--model", "--config"])
def test_a_name_that_is_no_text_is_one_line(option: str, tmp_path: Path) -> None:
    command = [*COMMAND, "--view", "none", option, os.fsencode(tmp_path) + b"/\xff.x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    one_line(done.stderr, "\\udcff")


def test_another_s_escapes_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('"\\u001b]0;mine\\u0007" = 1\n')
    done = subprocess.run([*COMMAND, "--config", str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    one_line(done.stderr, "\\x1b]0;mine\\x07")


# ---------------------------------------------------------------- streams and signals


def test_nobody_reads_the_errors_any_more(tmp_path: Path) -> None:
    """The stages' logs go to standard error with --debug, whose reader leaves."""
    log = tmp_path / "e.jsonl"
    command = [*COMMAND, *SMALL, "--frames", "90", "--view", "plain", "--debug", "--events", str(log)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stderr is not None
    assert child.stdout is not None
    child.stderr.close()
    child.stdout.close()
    assert child.wait(timeout=90) in (0, 1)
    summary = assert_balanced(lines_of(log))
    assert summary["frames_captured"] - summary["frames_dropped"]["camera"] == 90, "a late reader loses some"
    assert left_behind(child.pid) == []


MOMENTS_S = (0.06, 0.3, 0.8, 1.3, 2.0, 3.0)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_start(tmp_path: Path) -> None:
    """No traceback, nothing left behind; a log is not there, or has its first and its last line."""
    for pair in (MOMENTS_S[at : at + 2] for at in range(0, len(MOMENTS_S), 2)):
        runs = [Run(tmp_path, *SMALL, name=f"at-{moment}") for moment in pair]
        begun = time.monotonic()
        for run, moment in zip(runs, pair, strict=True):
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            run.signal(signal.SIGINT)
        for run, moment in zip(runs, pair, strict=True):
            code, errors = run.end()
            if "init_import_site" in errors:
                continue  # before any line of ours: Python itself was starting
            assert code in (0, 130, -signal.SIGINT), (moment, code, errors)
            assert errors in ("", "merealtime: interrupted\n"), (moment, errors)
            if run.events.exists():
                assert_balanced(run.lines())
            assert left_behind(run.child.pid) == [], moment


def test_ctrl_c_at_any_moment_of_the_end(tmp_path: Path) -> None:
    """The first ends the session; then one every 3 ms from the last line on, until the process is gone."""
    run = Run(tmp_path, *SMALL)
    run.wait_for(lambda lines: bool(lines))
    run.signal(signal.SIGINT)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (run.lines() and run.lines()[-1]["type"] == "summary"):
        time.sleep(0.01)
    while run.child.poll() is None and time.monotonic() < deadline:
        run.signal(signal.SIGINT)
        time.sleep(0.003)
    code, errors = run.end()
    assert code in (0, -signal.SIGINT), errors
    assert errors in ("", "merealtime: interrupted\n")
    assert_balanced(run.lines())
    assert left_behind(run.child.pid) == []


# ---------------------------------------------------------------- scarce


def limited(*options: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """A session under limits: ``NOFILE=40``."""

    def limit() -> None:
        for name, most in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))

    return subprocess.run(
        [*COMMAND, *SMALL, "--frames", "30", "--view", "none", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit,
    )  # fmt: skip


@pytest.mark.parametrize("most", [12, 24, 40, 100])
def test_too_few_descriptors_are_said_before_the_start(most: int, tmp_path: Path) -> None:
    log = tmp_path / "e.jsonl"
    done = limited("--events", str(log), "--publish", f"ipc://{tmp_path}/p", NOFILE=most)
    assert done.returncode == 2
    one_line(done.stderr, f"{most} files may be open at a time, a session needs 320", "ulimit -n")
    assert list(tmp_path.iterdir()) == []


def test_a_low_limit_that_may_be_raised_is_raised() -> None:
    code = (
        "import resource as r\nfrom realtime import config\nfrom realtime.supervisor import needs\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (40, 500))\nprint(needs.files(config.Settings()), r.getrlimit(r.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "500 files may be open (500, 500)\n", done.stderr


def test_descriptors_that_run_out_in_the_midst_end_it_with_all_lines(tmp_path: Path) -> None:
    run = Run(tmp_path, *SMALL, "--publish", f"ipc://{tmp_path}/p")
    run.wait_for(lambda lines: bool(lines))
    parent = psutil.Process(run.child.pid)
    pss = sum(process.memory_full_info().pss for process in (parent, *parent.children()))
    assert (parent.num_fds() < needs._FILES, pss < needs._MEMORY) == (True, True), "the needs are real ones"
    taken = {int(name) for name in os.listdir(f"/proc/{run.child.pid}/fd")}
    hole = min(set(range(len(taken) + 1)) - taken)  # a limit above it would leave room for the new child's files
    resource.prlimit(run.child.pid, resource.RLIMIT_NOFILE, (hole, hole))
    run.stage("motion").kill()
    code, errors = run.end()
    assert code == 1
    one_line(errors, "motion", "Too many open files")
    assert_balanced(run.lines())
    assert left_behind(run.child.pid) == []


@pytest.mark.parametrize("most", [400, 800])  # under some 150 MB OpenBLAS ends Python before a line of ours runs
def test_too_little_memory_is_said_before_the_start(most: int) -> None:
    done = limited(AS=most * 1_000_000)
    assert done.returncode == 2
    one_line(done.stderr, f"may take {most} MB", "ulimit -v")


def test_a_full_container_is_said_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{600 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{200 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {40 << 20}\nactive_file {10 << 20}\n")
    monkeypatch.setattr(needs, "_CGROUP", tmp_path)
    with pytest.raises(UserError, match="472 MB free, a session takes 795 MB"):
        needs.memory(config.Settings())
    (tmp_path / "memory.max").write_text("max\n")
    assert "MB free" in needs.memory(config.Settings())


@pytest.mark.parametrize(
    ("mount", "words"),
    [("-o size=4m", "free in /dev/shm"), ("-o ro", "Read-only file system")],
)
def test_shared_memory_too_small_or_read_only_is_one_line(mount: str, words: str, tmp_path: Path) -> None:
    log = tmp_path / "e.jsonl"
    words_of = " ".join(
        ("exec", *map(repr, COMMAND), *SMALL, "--frames", "30", "--view", "none", "--events", repr(str(log)))
    )
    done = subprocess.run(
        [*needed(OWN_MOUNTS), "sh", "-c", f"mount -t tmpfs {mount} none /dev/shm && {words_of}"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    one_line(done.stderr, words)
    assert not log.exists()


def test_check_says_what_is_scarce() -> None:
    done = limited("--check", "--camera", "63", NOFILE=60)
    assert done.returncode == 2
    assert "open files     FAILS: 60 files may be open at a time, a session needs 128" in done.stdout
