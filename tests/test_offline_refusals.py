"""What the user can mend is one line and exit code 2; the commands answer."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from _offline_data import made_maps
from _offline_runs import run, save
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offline.commands import cli, models, train
from offline.zoo import ZOO

REPOSITORY = Path(__file__).resolve().parents[1]


def test_what_a_model_can_not_do_is_refused_before_any_data_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("read data")

    monkeypatch.setattr(train, "load", read)
    pretrained = ["--pretrain", "flowmaps", "--pretrain-data", "b.npz"]
    for words in (
        ["pooled-flow", *pretrained],
        ["fusion", *pretrained],
        ["offapexnet", "--set", "members=2"],
    ):
        given = ["--dataset", "flowmaps", "--data", "a.npz", "--out", tmp_path / "run", "--model", *words]
        assert run(*given) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {words[0]}")
        assert error.count("\n") == 1


def test_the_bench_of_folds_says_in_a_line_that_there_is_no_data() -> None:
    command = [sys.executable, "bench/loso.py", "--data", "nowhere.npz"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.npz"], "no such file"),
        (["--data", "MAPS", "--model", "resnet"], "no such model"),
        (["--data", "MAPS", "--set", "epoch=3"], "epoch"),
        (["--data", "MAPS", "--set", "dropout=2"], "dropout"),
        (["--data", "MAPS", "--set", "dropout"], "key=value"),
        (["--data", "MAPS", "--set", "flow_noise=-1"], "flow_noise"),
        (["--data", "MAPS", "--model", "capsulenet", "--set", "crop_px=3"], "crop_px"),
        (["--data", "MAPS", "--seeds", "0"], "at least 1"),
        (["--data", "MAPS", "--epochs", "-1"], "at least 1"),
        (["--data", "MAPS", "--epochs", "0"], "at least 1"),
        (["--data", "EMPTY"], "no folder <subject>"),
        (["--data", "FILE"], "not an .npz"),
        (["--data", "MAPS", "--out", "FILE/run"], "can't be written"),
        (["--data", "MAPS", "--variant", "centred-w4"], "it has no variants"),
        (["--data", "MAPS", "--model", "pooled-flow", "--epochs", "3"], "no such recipe"),
        (["--data", "MAPS", "--model", "offapexnet", "--set", "members=2"], "one network"),
        (["--data", "MAPS", "--freeze", "0.5"], "--pretrain"),
        (["--data", "MAPS", "--pretrain", "ckplus"], "together"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_2(
    arguments: list[str], message: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    words = {"MAPS": str(maps), "EMPTY": str(tmp_path / "empty"), "FILE": str(tmp_path / "file")}
    words |= {"FILE/run": str(tmp_path / "file" / "run")}
    given = [words.get(a, a) for a in arguments]
    assert run("--dataset", "flowmaps", "--out", tmp_path, *given) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert "Traceback" not in error


def test_arguments_that_are_no_numbers_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--dataset", "flowmaps", "--data", "m.npz", "--seeds", "many")
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_refused_run_leaves_no_folder(maps: Path, tmp_path: Path) -> None:
    for arguments in (["--data", "nowhere.npz"], ["--data", maps, "--model", "resnet"]):
        assert run("--dataset", "flowmaps", *arguments, "--out", tmp_path / "deep" / "run") == 2
    assert not (tmp_path / "deep").exists()


def test_maps_of_other_feature_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(made_maps(3, 3), tmp_path / "m.npz", feature_digest=np.array("0" * 64))
    assert run("--dataset", "flowmaps", "--data", file, "--out", tmp_path / "run") == 2
    assert "prepare it again" in capsys.readouterr().err


def test_a_program_error_is_code_1() -> None:
    def broken(_: list[str]) -> None:
        raise RuntimeError("two\nlines")

    assert cli.run(broken, []) == 1


def test_models_lists_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(models.main, []) == 0
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}
    assert list(rows) == list(ZOO)
    laenet = ["843", "–", "28×28×3 u, v, strain", "all-folds", "Lien and Chiang 2020", "LAENet .7568/.7405"]
    assert rows["laenet"] == laenet
    assert rows["alexnet"][1] == "61 M; with 1000 classes 60,965,224"
    assert rows["vggm-spp4-after2"][-1] == "accuracy 76.87 %"
    assert rows["squeezenet-frames"][-1] == "accuracy 99.79 % (nothing frozen), leaky split"
    assert rows["offapexnet"][0] == "2,664,475"
    assert rows["fusion"][4] == ZOO["fusion"].source  # nothing is cut in a pipe


def test_models_folds_what_a_narrow_terminal_can_not_hold() -> None:
    console = Console(width=80, file=StringIO())
    console.print(models.listing())
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    assert all(f" {name} " in printed for name in ZOO)


def test_commands_run_as_modules() -> None:
    for name in ("train", "evaluate", "spot", "prepare", "models", "sweep"):
        done = subprocess.run(
            [sys.executable, "-m", f"offline.{name}", "--help"],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"offline.{name}" in done.stdout
