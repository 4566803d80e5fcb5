"""Runs in one table, and paired; what can not be paired is said."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec
import pytest
from _offline_data import made_maps
from _offline_runs import run, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import recognition
from offline.commands import cli, evaluate
from offline.evaluation.published import ROWS
from offline.evaluation.results import COLUMNS, read_predictions, read_results, write_results
from offline.training import fit, pooled_flow
from offline.training.batches import Recipe
from offline.zoo import get
from realtime.recognition import bundle


def test_evaluate_puts_runs_beside_published_rows(
    laenet_run: Path, maps: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))
    other = maps.parent / "pooled"
    assert run("--dataset", "flowmaps", "--data", maps, "--model", "pooled-flow", "--seeds", 3, "--out", other) == 0
    assert read_results(other).seeds == [0]  # nothing random in it
    page = maps.parent / "all.html"
    assert cli.run(evaluate.main, [str(laenet_run), str(other), "--html", str(page)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    rows = page.read_text().split("<tr")
    assert any("<td>843</td><td>2</td><td>flowmaps</td><td>loso</td><td>none</td>" in row for row in rows)
    assert any(f"<td>{read_results(other).parameters:,}</td><td>1</td>" in row for row in rows)
    for row in ROWS:
        assert row.method.split()[0] in page.read_text()
    assert "HTNet (2024) †" in page.read_text()
    assert "STSTNet (2019) ‡" in page.read_text()
    assert "p = " in printed
    assert "6 subjects" in printed
    results, card = read_results(other), bundle.load(other / "bundle").card
    assert "Nothing here is trained in epochs" in (other / "report.html").read_text()
    assert results.selection == "nested: inner folds of the training subjects"
    assert results.chosen is not None
    assert sum(results.chosen.values()) == 6
    assert set(results.chosen) <= set(pooled_flow.VARIANTS)
    assert card.parameters == results.parameters in {pooled_flow.parameters(v) for v in pooled_flow.VARIANTS}
    assert "inner folds" in card.protocol
    assert any("in view" in note for note in card.notes)


def test_runs_on_other_clips_can_not_be_paired(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(made_maps(5, 6), tmp_path / "m.npz")
    assert run("--dataset", "flowmaps", "--data", file, "--epochs", 1, "--out", tmp_path / "run") == 0
    page = tmp_path / "all.html"
    assert cli.run(evaluate.main, [str(laenet_run), str(tmp_path / "run"), "--html", str(page)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not tested on the same clips" in printed
    assert "p = " not in printed
    assert "not tested on the same clips" in page.read_text()
    code = cli.run(recognition.main, [str(laenet_run), str(tmp_path / "run"), "--json", str(tmp_path / "r.json")])
    assert code == 2
    assert "same clips" in capsys.readouterr().err


def test_runs_that_split_frames_can_not_be_paired(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky = tmp_path / "leaky"
    shutil.copytree(laenet_run, leaky)
    write_results(leaky, msgspec.structs.replace(read_results(laenet_run), protocol="frame-split"))
    for pair in ([laenet_run, leaky], [leaky, laenet_run], [leaky, leaky]):
        assert cli.run(evaluate.main, [str(folder) for folder in pair]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "not leave-one-subject-out but frame-split" in printed
        assert "p = " not in printed
        code = cli.run(recognition.main, [*map(str, pair), "--json", str(tmp_path / "r.json")])
        assert code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_runs_that_spell_their_clips_differently_are_paired(laenet_run: Path, tmp_path: Path) -> None:
    spelt = (
        [("casme2", "sub01", "EP02"), ("smic", "s3", "s3_ne_01")],
        [("CASME II", "1", "sub01_EP02"), ("SMIC", "s03", "S03_NE_01")],
    )
    for folder, names in zip((tmp_path / "a", tmp_path / "b"), spelt, strict=True):
        folder.mkdir()
        rows = [f"0,{d},{s},{c},negative,negative,1,0,0" for d, s, c in names]
        (folder / "predictions.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    results = read_results(laenet_run)
    assert len(evaluate.compare([tmp_path / "a", tmp_path / "b"], [results, results], "acc")) == 1


def test_clips_that_come_twice_can_not_be_paired(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the frames of one clip would: they must not be taken for one sample."""
    twice = tmp_path / "twice"
    shutil.copytree(laenet_run, twice)
    text = (twice / "predictions.csv").read_text().splitlines(keepends=True)
    (twice / "predictions.csv").write_text("".join([*text, text[1]]))
    assert cli.run(evaluate.main, [str(laenet_run), str(twice)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "several predictions of one clip" in printed
    assert "p = " not in printed


def test_results_without_figures_are_one_line(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, results = tmp_path / "broken", read_results(laenet_run)
    for metrics_, said in (({}, "lack full"), ({"full": {"uf1": {"mean": 1.0, "std": 0.0}}}, "full lack acc")):
        write_results(broken, msgspec.structs.replace(results, metrics=metrics_))
        assert cli.run(evaluate.main, [str(broken)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_a_folder_for_the_page_is_refused(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("page", "."):
        assert cli.run(evaluate.main, [str(laenet_run), "--html", folder]) == 2
        assert "give a file" in capsys.readouterr().err
    assert [file.name for file in tmp_path.rglob("*")] == ["page"]


def test_rows_for_the_readme_are_the_runs_figures(laenet_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    assert cli.run(recognition.main, [str(laenet_run), str(laenet_run), "--json", str(out)]) == 0
    found, results = msgspec.json.decode(out.read_bytes()), read_results(laenet_run)
    row = found["rows"][0]
    assert (row["model"], row["parameters"], row["seeds"]) == ("laenet", 843, 2)
    assert row["metrics"]["full"]["uar"]["mean"] == pytest.approx(results.metrics["full"]["uar"]["mean"], abs=1e-4)
    assert "--set epochs=12 batch=16" in row["command"]
    assert {(t["model"], t["against"]) for t in found["paired_over_subjects"]} == {("laenet", "laenet")}
    assert [t["p_value"] for t in found["paired_over_subjects"]] == [1.0, 1.0, 1.0]


def test_rows_that_are_not_measured_again_are_kept_and_marked(
    laenet_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.json"
    assert cli.run(recognition.main, [str(laenet_run), "--json", str(out)]) == 0
    first = msgspec.json.decode(out.read_bytes())
    assert first["rows"][0]["calibration"]["ece_biased"] is not None
    assert (
        first["rows"][0]["calibration"]["selective_raw"]["0.7"] >= first["rows"][0]["calibration"]["selective_raw"]["1"]
    )
    assert cli.run(recognition.main, [str(laenet_run), "--json", str(out), "--keep", "laenet"]) == 0
    new, kept = msgspec.json.decode(out.read_bytes())["rows"]
    assert "commit" not in new
    assert kept == first["rows"][0] | {"commit": first["machine"]["commit"]}
    capsys.readouterr()
    assert cli.run(recognition.main, [str(laenet_run), "--json", str(out), "--keep", "ststnet"]) == 2
    assert "no such row" in capsys.readouterr().err


def test_predictions_are_read_in_a_fixed_order(laenet_run: Path) -> None:
    found = read_predictions(laenet_run)
    assert found.scores.shape == (2, 54, 3)
    assert sorted(found.person.tolist()) == found.person.tolist()
    assert fit.units(fit.Job(entry=get("laenet"), recipe=Recipe(epochs=7)), 3) == 7
