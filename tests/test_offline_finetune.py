"""Fine-tuning from a bundle: the start is the bundle's network, nothing of a held-out subject goes in, and the new one
is tested beside the old.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps
from _offline_runs import run, save

from offline.datasets.flowmaps import MapSet
from offline.evaluation.beside import beside
from offline.evaluation.metrics import confusion, metrics
from offline.training import bundle_start, shallow
from offline.zoo import get
from realtime.errors import UserError
from realtime.recognition import bundle


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> MapSet:
    """Made maps of people whom no bundle knows."""
    made = made_maps(6, 9)
    return msgspec.structs.replace(made, dataset=("new",) * len(made))


@pytest.fixture(scope="module")
def start() -> bundle_start.Start:
    return bundle_start.read("laenet-composite", "laenet", 8)[1]


def test_each_fold_starts_as_the_bundle_answers(own: MapSet, start: bundle_start.Start) -> None:
    """Whatever the statistics are, the untrained network's scores are the bundle's, calibration aside."""
    served = bundle.load("laenet-composite")
    factor = served.card.recipe["calibration"]
    held = np.stack([own.person == name for name in np.unique(own.person)])
    made = start.for_folds(own.maps, held)
    assert made.rows.shape == (6, 108, 8)
    seen = shallow.patches(own.maps[:12])
    for fold in range(6):
        raw = factor * shallow.logits(shallow.Weights(made.rows[fold], made.moving[fold]), seen)
        scores = np.exp(raw - raw.max(1, keepdims=True))
        shares = (1 - served.card.noise) * scores / scores.sum(1, keepdims=True) + served.card.noise / 3
        np.testing.assert_allclose(shares, served.predict(own.maps[:12]), atol=1e-4)


def test_a_fold_s_start_holds_nothing_of_whom_it_holds_out(own: MapSet, start: bundle_start.Start) -> None:
    held = np.stack([own.person == name for name in np.unique(own.person)])
    before = start.for_folds(own.maps, held)
    changed = own.maps.copy()
    changed[held[2]] = 255 - changed[held[2]]
    after = start.for_folds(changed, held)
    np.testing.assert_array_equal(after.rows[2], before.rows[2])
    np.testing.assert_array_equal(after.moving[2], before.moving[2])
    assert (after.moving[0] != before.moving[0]).any(), "the others see that subject"


def test_the_statistics_are_those_of_the_fold_s_clips(own: MapSet, start: bundle_start.Start) -> None:
    held = np.zeros((1, len(own)), bool)
    held[0, :40] = True
    made = start.for_folds(own.maps, held)
    active = np.maximum(shallow.patches(own.maps[40:]) @ start.convolution[:27] + start.convolution[27], 0)
    np.testing.assert_allclose(made.moving[0, 0], active.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(made.moving[0, 1], active.var((0, 1, 2)), rtol=1e-3, atol=1e-7)


def test_folds_may_start_apart(own: MapSet) -> None:
    """A start for each fold: trained together each gives what it gives trained alone."""
    entry = get("laenet")
    recipe = msgspec.structs.replace(entry.recipe, epochs=2, batch=16)
    held = np.stack([own.person == name for name in np.unique(own.person)])[:3]
    starts = [shallow.initial((3, 5), seed) for seed in range(3)]
    together = shallow.Weights(np.stack([s.rows for s in starts]), np.stack([s.moving for s in starts]))
    every = shallow.train_folds(own.maps, own.label, held, recipe, together, 0)
    for fold in range(3):
        alone = shallow.train_folds(own.maps, own.label, held[fold][None], recipe, starts[fold], 0)
        np.testing.assert_allclose(alone.weights.rows[0], every.weights.rows[fold], atol=1e-6)


def test_what_can_not_be_started_from(start: bundle_start.Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="fusion-composite is another network than laenet"):
        bundle_start.read("fusion-composite", "laenet", 8)
    with pytest.raises(UserError, match="another network than ststnet"):
        bundle_start.read("laenet-composite", "ststnet", 16)
    with pytest.raises(UserError, match="trained on casme2 itself"):
        bundle_start.check_people(start, {"casme2", "new"})
    bundle_start.check_people(start, {"new", "composite"})
    other = msgspec.structs.replace(start, term=start.term + 1)
    monkeypatch.setattr(bundle_start, "_read", lambda *_: other)
    with pytest.raises(UserError, match="another network"):  # what is read must answer as the bundle does
        bundle_start.read("laenet-composite", "laenet", 8)


def test_beside_a_bundle(own: MapSet) -> None:
    folder = bundle.find("laenet-composite")
    perfect = np.eye(3, dtype=np.float32)[own.label][None]
    found = beside(folder, own, perfect)
    theirs = bundle.load(folder).predict(own.maps).argmax(-1)
    assert found.metrics == metrics(confusion(own.label, theirs))
    uar = found.tests[0]
    assert (uar.metric, uar.first, uar.second) == ("uar", 1.0, pytest.approx(found.metrics["uar"]))
    assert found.verdict == "better than laenet-composite on these subjects"
    assert "keep that one" in beside(folder, own, np.roll(np.eye(3, dtype=np.float32)[own.label], 1, 1)[None]).verdict
    same = beside(folder, own, bundle.load(folder).predict(own.maps)[None])
    assert (same.tests[0].difference, same.tests[0].p_value) == (0.0, 1.0)
    assert same.verdict.startswith("no better than")
    assert "6 subjects" in same.lines()[0]


def test_a_run_that_starts_from_a_bundle(own: MapSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its results, report, card and terminal tell the start and the test; a start that knows the people is refused."""
    maps = save(own, tmp_path / "own.npz")
    words = ("--dataset", "flowmaps", "--data", maps, "--epochs", 3, "--set", "batch=16", "--out", tmp_path / "run")
    assert run(*words, "--weights", "laenet-composite") == 0
    assert "(laenet-composite) → " in capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["selection"] == "none"
    digest = bundle.load("laenet-composite").card.network.sha256[:16]
    assert results["config"]["weights"].startswith(f"laenet-composite (SHA-256 {digest}; casme2 145")
    tests = {test["metric"]: test for test in results["beside_bundle"]["tests"]}
    assert tests["uar"]["first"] == pytest.approx(results["metrics"]["full"]["uar"]["mean"])
    assert tests["uar"]["subjects"] == 6
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Beside the bundle that is there" in report
    card = bundle.load(tmp_path / "run").card
    assert "started from laenet-composite" in card.trained_on
    assert run(*words[:-1], tmp_path / "again", "--weights", tmp_path / "run") == 2
    assert "was trained on new itself" in capsys.readouterr().err
    known = save(msgspec.structs.replace(own, dataset=("smic",) * len(own)), tmp_path / "known.npz")
    assert run("--dataset", "flowmaps", "--data", known, "--weights", "laenet-composite", "--out", tmp_path / "x") == 2
    assert "was trained on smic itself" in capsys.readouterr().err
    assert run(*words[:-1], tmp_path / "y", "--weights", "nowhere") == 2
    assert "no bundle there" in capsys.readouterr().err
