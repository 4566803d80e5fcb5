"""A bundle that is not ours: its network runs in a child first, so that one that crashes costs a line, no session."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from _session import ROOT, left_behind

from realtime.errors import BundleError
from realtime.recognition import bundle, trial


def with_network(folder: Path, network: bytes) -> Path:
    """A copy of the built-in bundle with another network, whose checksum is right."""
    made = Path(shutil.copytree(bundle.find("laenet-composite"), folder / "a bündle"))
    card = msgspec.json.decode((made / bundle.CARD_FILE).read_bytes())
    card["network"]["sha256"] = hashlib.sha256(network).hexdigest()
    (made / card["network"]["file"]).write_bytes(network)
    (made / bundle.CARD_FILE).write_bytes(msgspec.json.encode(card))
    return made


def built_in() -> bytearray:
    return bytearray((bundle.find("laenet-composite") / "network.tflite").read_bytes())


@pytest.fixture
def crashing(tmp_path: Path) -> Path:
    """One byte of the network's head is another: LiteRT then reads where nothing is."""
    network = built_in()
    network[16] = 0
    return with_network(tmp_path, bytes(network))


def test_the_network_really_crashes_the_process_that_runs_it(crashing: Path) -> None:
    code = (
        "import sys, pathlib\nfrom realtime.recognition import bundle\nbundle.open_network(pathlib.Path(sys.argv[1]))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code, str(crashing)], cwd=ROOT, capture_output=True, check=False
        ).returncode
        < 0
    )


def test_a_network_that_crashes_is_one_line(crashing: Path) -> None:
    with pytest.raises(BundleError, match=r"crashes the runtime \(SIG") as caught:
        bundle.load(crashing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [(), ("--check",)], ids=["session", "check"])
def test_the_program_survives_it(what: tuple[str, ...], crashing: Path) -> None:
    options = ["--camera", "demo:5", "--size", "320x240", "--fps", "60", "--view", "none", "--model", str(crashing)]
    child = subprocess.Popen(
        [sys.executable, "-m", "realtime", *options, *what],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    shown, errors = child.communicate(timeout=120)
    assert child.returncode == 2
    assert errors.count("\n") == 1
    assert "crashes the runtime (SIG" in (shown if what else errors)
    assert "Traceback" not in shown + errors
    assert left_behind(child.pid) == []


def test_a_damaged_network_is_never_run_not_even_in_a_child(crashing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (crashing / "network.tflite").write_bytes(b"no network")
    monkeypatch.setattr(trial, "attempt", lambda folder: pytest.fail("it was tried"))
    with pytest.raises(BundleError, match="SHA-256"):
        bundle.load(crashing)


def test_ours_is_not_tried_and_another_s_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(trial, "attempt", tried.append)
    bundle.load("laenet-composite")
    assert tried == []
    copy = with_network(tmp_path, bytes(built_in()))
    bundle.load(copy)
    assert tried == [copy]
    monkeypatch.undo()
    assert bundle.load(copy).labels == bundle.load("laenet-composite").labels


def test_what_is_no_network_is_said_as_before(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be loaded"):
        bundle.load(with_network(tmp_path, b"no network"))


def test_a_network_that_never_answers_is_ended(crashing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "python"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(endless))
    monkeypatch.setattr(trial, "_MOST_S", 0.5)
    with pytest.raises(BundleError, match=r"did not answer within 0\.5 s"):
        bundle.load(crashing)


def test_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    copy = with_network(tmp_path, bytes(built_in()))
    with (copy / "network.tflite").open("ab") as network:
        network.truncate(1 << 40)
    with pytest.raises(BundleError, match="larger than 512 MiB"):
        bundle.load(copy)
    with (copy / bundle.CARD_FILE).open("ab") as card:
        card.truncate(1 << 40)
    with pytest.raises(BundleError, match="larger than 1 MiB"):
        bundle.load(copy)
