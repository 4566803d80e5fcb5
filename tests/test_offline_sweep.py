"""offline.sweep: its rows are those of offline.train; only what is missing is run; what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from _offline_data import made_maps
from _offline_runs import run as train
from _offline_runs import save

from offline.commands import cli, sweep
from offline.jobs import Job
from offline.sweeps import plan, settings
from realtime.recognition import bundle

ROOT = Path(__file__).resolve().parents[1]


def write(folder: Path, maps: Path, models: str, more: str = "", tail: str = "") -> Path:
    file = folder / "small.toml"
    file.write_text(f'models = [{models}]\n{more}\n[[data]]\ndataset = "flowmaps"\npath = "{maps}"\n{tail}\n')
    return file


def run(*arguments: object) -> int:
    return cli.run(sweep.main, [str(a) for a in arguments])


def table(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "results.parquet").to_pylist())


def figures(folder: Path) -> dict[str, Any]:
    """All that results.json says, but for the time it took."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in found.items() if name != "seconds"}


def assert_same(ours: Path, theirs: Path) -> None:
    assert figures(ours) == figures(theirs)
    assert (ours / "predictions.csv").read_bytes() == (theirs / "predictions.csv").read_bytes()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """SWEEP.toml, its data and the folder of a sweep of two models, one of them trained fold by fold in blocks."""
    folder = tmp_path_factory.mktemp("sweep")
    maps = save(made_maps(4, 6), folder / "few.npz")
    models = '"laenet", { model = "offapexnet", name = "apex", epochs = 1 }'
    more = "seeds = 2\nbundles = false\nset = { epochs = 2, batch = 16 }"
    file = write(folder, Path("few.npz"), models, more, "[jobs]\nfolds = 3")
    assert run(file, "--out", folder / "out", "--workers", 2) == 0
    return file, maps, folder / "out"


@pytest.mark.slow
def test_runs_are_those_of_train_digit_for_digit(swept: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, maps, out = swept
    shared = ["--dataset", "flowmaps", "--data", maps, "--seeds", 2, "--set", "epochs=2", "batch=16"]
    for name, more in (("laenet", []), ("apex", ["--model", "offapexnet", "--epochs", 1])):
        # in a process of its own: in this one other tests have settled how many threads TensorFlow has
        words = [str(word) for word in (*shared, *more, "--out", tmp_path / name)]
        subprocess.run([sys.executable, "-m", "offline.train", *words], cwd=ROOT, check=True, capture_output=True)
    assert_same(out / "runs" / "flowmaps-laenet-loso", tmp_path / "laenet")
    assert_same(out / "runs" / "flowmaps-apex-loso", tmp_path / "apex")
    rows = {(row["run"], row["seed"], row["part"]): row for row in table(out)}
    assert len(rows) == len(table(out)) == 2 * 2 * 2
    for name, folder in (("laenet", tmp_path / "laenet"), ("apex", tmp_path / "apex")):
        for metric, value in figures(folder)["metrics"]["full"].items():
            own = [rows[f"flowmaps-{name}-loso", seed, "full"][metric] for seed in (0, 1)]
            assert value == {"mean": np.mean(own), "std": np.std(own, ddof=1)}
    row = rows["flowmaps-apex-loso", 1, "full"]
    assert (row["clips"], row["subjects"], row["protocol"], row["data"]) == (24, 4, "loso", "flowmaps")
    assert row["seconds"] > 0
    assert row["command"].startswith("offline.train --dataset=flowmaps --data=")
    page = (out / "results.html").read_text()
    assert "flowmaps-apex-loso" in page
    assert "LAENet (2020)" in page


@pytest.mark.slow
def test_a_rerun_does_what_is_missing_alone(swept: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    file, _, out = swept
    before = {row["key"]: row for row in table(out)}
    assert run(file, "--out", out, "--dry-run") == 0
    assert "0 of 10 jobs would run" in capsys.readouterr().out
    gone = next(key for key, row in before.items() if row["run"] == "flowmaps-apex-loso" and row["seed"] == 1)
    (out / "rows" / f"{gone}.json").unlink()
    larger = file.with_name("larger.toml")
    larger.write_text(file.read_text().replace("seeds = 2", "seeds = 3"))
    assert run(larger, "--out", out, "--dry-run") == 0
    # one that is gone; of seed 2 a job of laenet, two blocks of apex and what gathers them; two joins
    assert "7 of 14 jobs would run" in capsys.readouterr().out
    assert run(file, "--out", out, "--resume", "--workers", 1) == 0
    assert "1 jobs done now, 9 before" in capsys.readouterr().out
    after = {row["key"]: row for row in table(out)}
    assert after.keys() == before.keys()
    assert after[gone]["finished_at"] >= before[gone]["finished_at"]
    for name in ("acc", "f1", "uf1", "uar", "seconds"):  # read back, not trained again
        assert after[gone][name] == before[gone][name]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_the_same(maps: Path, tmp_path: Path) -> None:
    file = write(tmp_path, maps, '{ model = "laenet", epochs = 30 }', "seeds = 3")
    command = [sys.executable, "-m", "offline.sweep", str(file), "--out", str(tmp_path / "out"), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for rows in (0, 1):  # in the midst of the first seed, and of a later one
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "out").glob("rows/*.json"))) < rows or not any(
            (tmp_path / "out").rglob("*.part.npz")
        ):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run(file, "--out", tmp_path / "out", "--workers", 1) == 0
    assert (
        train("--dataset", "flowmaps", "--data", maps, "--epochs", 30, "--seeds", 3, "--out", tmp_path / "whole") == 0
    )
    joined = tmp_path / "out" / "runs" / "flowmaps-laenet-loso"
    assert_same(joined, tmp_path / "whole")
    ours, theirs = bundle.load(joined / "bundle"), bundle.load(tmp_path / "whole" / "bundle")
    with np.load(maps) as stored:
        np.testing.assert_array_equal(ours.predict(stored["maps"]), theirs.predict(stored["maps"]))
    assert len(table(tmp_path / "out")) == 3 * 2
    assert not list((tmp_path / "out").rglob("*.part*"))


@pytest.mark.slow
def test_shares_together_are_the_whole(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each share alone; the last one joins."""
    models = '{ model = "laenet", epochs = 1 }, { model = "laenet", name = "two", epochs = 2 }'
    file = write(tmp_path, maps, models, "seeds = 2\nbundles = false")
    out, halves = tmp_path / "out", ("1/2", "2/2")
    planned = plan.plan(settings.read(file), tmp_path, out, sweep.Console(quiet=True))
    shares = [{key for key, job in sweep._share(planned, half).items() if not job.after} for half in halves]
    assert shares[0] | shares[1] == {key for key, job in planned.jobs.items() if not job.after}
    assert not shares[0] & shares[1]
    for half in halves:
        assert run(file, "--out", out, "--shard", half, "--workers", 1) == 0
    said = capsys.readouterr()
    assert "2 of 2 runs whole" in said.out
    assert len(table(out)) == 2 * 2 * 2
    if all(shares):
        assert "wait for jobs of other shares" in said.err
    assert run(file, "--out", out) == 0
    assert "0 jobs done now, 6 before" in capsys.readouterr().out


@pytest.mark.slow
def test_a_job_that_fails_is_listed_and_the_others_go_on(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, maps, '{ model = "laenet", epochs = 1 }', "seeds = 2\nbundles = false")
    out = tmp_path / "out"
    planned = plan.plan(settings.read(file), tmp_path, out, sweep.Console(quiet=True))
    first = next(iter(planned.jobs))
    (out / "state").mkdir(parents=True)
    (out / "state" / first).write_text("a file where its folder should be")
    assert run(file, "--out", out, "--workers", 1) == 1
    said = capsys.readouterr()
    assert "failed laenet, flowmaps, loso, seed 0: " in said.err
    assert said.err.splitlines()[-1].startswith("error: 1 jobs failed, first laenet, flowmaps, loso, seed 0: ")
    assert "2 rows, 0 of 1 runs whole" in said.out
    (out / "state" / first).unlink()
    assert run(file, "--out", out, "--workers", 1) == 0
    assert "2 jobs done now, 1 before" in capsys.readouterr().out


@pytest.mark.slow
def test_on_ray_it_is_the_same(swept: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray (the extra merealtime[cluster]) is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    _, maps, out = swept
    file = write(tmp_path, maps, '"laenet"', "seeds = 2\nbundles = false\nset = { epochs = 2, batch = 16 }")
    assert run(file, "--out", tmp_path / "out", "--ray", "--workers", 2) == 0
    assert_same(tmp_path / "out" / "runs" / "flowmaps-laenet-loso", out / "runs" / "flowmaps-laenet-loso")
    own = ("run", "seed", "part", "key", "acc", "f1", "uf1", "uar")
    ours, theirs = ([[row[name] for name in own] for row in table(one)] for one in (tmp_path / "out", out))
    assert len(ours) == 4
    assert ours == [row for row in theirs if row[0] == "flowmaps-laenet-loso"]


def keys_of(file: Path, out: Path) -> dict[str, Job]:
    return plan.plan(settings.read(file), file.parent, out, sweep.Console(quiet=True)).jobs


def test_a_key_is_of_all_that_decides(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = '{ model = "laenet", epochs = 2 }'
    alone = set(keys_of(write(tmp_path, maps, one), tmp_path))
    assert len(alone) == 2
    fits = {key for key, job in keys_of(write(tmp_path, maps, one), tmp_path).items() if not job.after}
    for models, more in (
        ('{ model = "laenet", epochs = 3 }', ""),
        ('{ model = "ststnet", epochs = 2 }', ""),
        ('{ model = "laenet", epochs = 2, set = { batch = 8 } }', ""),
        (one, 'protocols = ["subject-folds:2"]'),
        (one, "seeds = [1]"),
    ):
        assert not alone & set(keys_of(write(tmp_path, maps, models, more), tmp_path)), models + more
    # what decides nothing leaves it, under whatever name
    renamed = keys_of(write(tmp_path, maps, '{ model = "laenet", name = "n", epochs = 2 }', "seeds = 2"), tmp_path)
    assert fits < set(renamed)
    assert fits < set(keys_of(write(tmp_path, maps, one, "", "[jobs]\ncores = 1\nfolds = 2"), tmp_path))
    with np.load(maps) as stored:
        other = dict(stored)
    other["maps"][0, 0, 0, 0] += 1
    np.savez(tmp_path / "other.npz", **other)
    assert not alone & set(keys_of(write(tmp_path, tmp_path / "other.npz", one), tmp_path))
    monkeypatch.setattr(plan, "code_digest", lambda: "other code")
    assert not alone & set(keys_of(write(tmp_path, maps, one), tmp_path))


def test_frame_split_and_the_honest_run_beside_it_share_jobs(maps: Path, tmp_path: Path) -> None:
    file = write(tmp_path, maps, '"laenet", "pooled-flow"', 'seeds = 2\nprotocols = ["loso", "subject-folds:2"]')
    assert len(keys_of(file, tmp_path)) == 2 * 2 + 2 + 2 * 1 + 2  # pooled-flow has nothing random
    beside = 'seeds = 2\nprotocols = ["subject-folds:2", "frame-split"]\nbeside = "subject-folds:2"'
    jobs = keys_of(write(tmp_path, maps, '{ model = "laenet", frames = 1 }', beside), tmp_path)
    assert len(jobs) == 2 + 2 + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models = [", "not valid TOML"),
        ("models = []\ndata = []", "models: expected `array` of length >= 1"),
        ("seed = 3", "unknown key seed; the file knows beside, bundles, data, jobs, models"),
        ('models = [{ model = "laenet", epoch = 3 }]', "unknown key models[0].epoch; the section models[0] knows "),
        ("[[data]]\nfolder = 1", "unknown key data[0].folder; the section data[0] knows dataset, name, path"),
        ("[jobs]\ncore = 1", "unknown key jobs.core"),
        ("DATA\nmodels = ['laenet']\n[jobs]\ncores = -1", "jobs.cores"),
        ("DATA\nmodels = ['resnet']", "resnet: no such model"),
        ("DATA\nmodels = ['laenet', 'laenet']", "models: laenet comes twice: give one of them a name"),
        ("DATA\nmodels = ['laenet']\nseeds = [1, 1]", "seeds: 1 comes twice"),
        ("DATA\nmodels = ['laenet']\nseeds = 0", "seeds"),
        ("DATA\nmodels = ['laenet']\nprotocols = ['lopo']", "protocols[0] lopo: give loso"),
        ("DATA\nmodels = ['laenet']\nbeside = 'frame-split'", "beside frame-split: give loso"),
        ("DATA\nmodels = ['laenet']\nset = { epoch = 3 }", "epoch"),
        ("DATA\nmodels = [{ model = 'laenet', variant = 'x' }]", "it has no variants"),
        ("DATA\nmodels = [{ model = 'laenet', input = 'x' }]", "--input x"),
        ("DATA\nmodels = [{ model = 'laenet', name = '../up' }]", "models"),
        ("data = [{ dataset = 'casme9', path = 'x' }]\nmodels = ['laenet']", "data[0].dataset: no data set casme9"),
        ("data = [{ dataset = 'flowmaps', path = 'nowhere.npz' }]\nmodels = ['laenet']", "nowhere.npz"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_2(
    content: str, message: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(content.replace("DATA", f"data = [{{ dataset = 'flowmaps', path = '{maps}' }}]"))
    assert run(file, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "rows").exists()


def test_options_that_the_user_can_mend(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, maps, '"laenet"')
    for words, message in (
        ([tmp_path / "none.toml"], "can't be read (No such file"),
        ([file, "--shard", "3/2"], "--shard 3/2"),
        ([file, "--workers", "0"], "--workers 0"),
        ([file, "--resume"], "--resume: "),
        ([file, "--out", file], "can't be written"),
    ):
        given = words if "--out" in words else [*words, "--out", tmp_path / "out"]
        assert run(*given) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_example_reads_and_plans() -> None:
    file = ROOT / "examples" / "sweep.toml"
    asked = settings.read(file)
    plan.check_all(asked, file.parent, file)
    assert [one.dataset for one in asked.data] == ["synthetic"]
    assert len(asked.model_list) > 1
