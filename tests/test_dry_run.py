"""``--dry-run``: says what would be made, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from _lines import SESSION, SUMMARY, classified
from _offline_runs import run

from offline.commands import cli, prepare
from realtime.session import review
from realtime.session.export import command as export_command
from realtime.session.review import Verdict
from realtime.session.write import Recorder
from realtime.sinks.lines import event_line
from realtime.types import SourceInfo

INFO = SourceInfo(source="0", kind="camera", width=16, height=12, fps=100.0)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Three people, each reviewed twice; the frames are empty, which nothing here looks at."""
    root = tmp_path / "lab"
    for person in range(3):
        recorder = Recorder(str(root), f"session-{person}", INFO, 100.0, "raw")
        for number in range(100):
            recorder.write(np.zeros((12, 16), np.uint8), number, number * 10_000_000, 0)
        recorder.close()
        folder = root / f"session-{person}"
        (folder / "session.json").write_text(f'{{"subject": "S{person}"}}')
        (folder / "events.jsonl").write_bytes(msgspec.json.encode(SESSION) + b"\n")
        for number, label in enumerate(("surprise", "negative")):
            begin = 20 + 30 * number
            said = Verdict(
                event=number, verdict="true", label=label, onset=begin, apex=begin + 8, offset=begin + 16,
                reviewer="ann", at="2026",
            )  # fmt: skip
            review.append(folder, said)
    return root


def test_train_says_what_it_would_do(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(tmp_path)
    words = ("--dataset", "sessions", "--data", lab, "--seeds", 2, "--epochs", 5, "--out", tmp_path / "run")
    assert run(*words, "--weights", "laenet-composite", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "6 clips of 3 subjects (3 negative, 0 positive, 3 surprise), 0 skipped" in printed
    assert "6 of 6 clips still to be made" in printed
    assert "leave-one-subject-out: 4 trainings × 2 seeds, 5 epochs each" in printed
    assert everything(tmp_path) == before
    assert run(*words, "--protocol", "subject-folds:9", "--dry-run") == 2
    assert run("--dataset", "synthetic", "--data", tmp_path / "s", "--dry-run") == 2
    assert everything(tmp_path) == before


def test_train_on_maps_says_what_it_would_do(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--dataset", "flowmaps", "--data", maps, "--protocol", "subject-folds:3", "--out", tmp_path / "run")
    assert run(*words, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "54 clips of 6 subjects (18 negative, 18 positive, 18 surprise)" in printed
    assert "subject-folds:3: 4 trainings × 1 seeds" in printed
    assert everything(tmp_path) == set()


def test_prepare_says_what_it_would_make(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(tmp_path)
    words = ["--dataset", "sessions", "--data", str(lab), "--out", str(tmp_path / "maps"), "--frames", "4"]
    assert cli.run(prepare.main, [*words, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6 clips still to be made" in printed
    assert f"{6 * 4 * 28 * 28 * 3 * 4 / 1e6:.1f} MB at most" in printed
    assert everything(tmp_path) == before


@pytest.mark.parametrize("form", ["csv", "elan", "boris"])
def test_export_names_its_files_and_writes_none(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "one.jsonl"
    lines = [SESSION, event_line(classified(), 10), SUMMARY]
    log.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    before = everything(tmp_path)
    words = [str(log), "--format", form, "--out", str(tmp_path / "there")]
    assert export_command.main([*words, "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert everything(tmp_path) == before
    assert export_command.main(words) == 0
    made = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [f"{path} ({path.stat().st_size} bytes)" for path in made]
