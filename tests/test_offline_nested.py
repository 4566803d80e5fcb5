"""``--protocol nested``: the same choices as a slow loop, blind to whom a fold tests, told in the results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps
from _offline_runs import run, save

from offline.commands import cli, evaluate
from offline.datasets.flowmaps import MapSet
from offline.evaluation import calibration
from offline.evaluation.metrics import confusion, metrics
from offline.evaluation.results import read_predictions, read_results, write_results
from offline.evaluation.splits import loso
from offline.training import fit, grids, nested, nested_networks, pooled_flow, protocol, shallow
from offline.training.batches import Recipe
from offline.zoo import get
from realtime.recognition import bundle

STREAMS = (3, 5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three settings of few epochs, one machine a descriptor, two kinds of descriptors."""
    few = [msgspec.structs.replace(one, changes=one.changes | {"epochs": 3, "batch": 16}) for one in grids.settings()]
    chosen = tuple(few[k] for k in (0, 1, 4))
    for module in (grids, nested_networks):
        monkeypatch.setattr(module, "settings", lambda: chosen)
    monkeypatch.setattr("offline.training.fold_parallel.settings", lambda: chosen)
    monkeypatch.setattr("offline.training.estimators.settings", lambda: chosen)
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))
    monkeypatch.setattr(pooled_flow, "POWERS", (1.0,))


def folds_of(data: MapSet) -> np.ndarray:
    return np.stack([fold.held_out() for fold in loso(data.person)])


def fitted(model: str, data: MapSet, state: Path, members: int = 1) -> fit.Fitted:
    job = fit.Job(entry=get(model), recipe=Recipe(members=members), nested=True)
    return fit.fit(job, data, folds_of(data), 0, state)


def network(data: MapSet, setting: grids.Setting, train: np.ndarray, seed: int) -> shallow.Weights:
    """One network, alone: the same as in a batch of folds."""
    recipe = setting.recipe(Recipe())
    maps = grids.normalised(data.maps, setting.spread)
    start = shallow.initial(STREAMS, seed)
    weights = shallow.train_folds(maps, data.label, ~train[None], recipe, start, seed).weights
    return shallow.Weights(weights.rows[0], weights.moving[0])


def asked(data: MapSet, setting: grids.Setting, one: shallow.Weights, clips: np.ndarray) -> np.ndarray:
    return shallow.probabilities(one, shallow.patches(grids.normalised(data.maps[clips], setting.spread)))


def by_hand(data: MapSet, seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The choices and held-out scores of LAENet, fold by fold, setting by setting, inner fold by inner fold."""
    people = sorted(set(data.person.tolist()))
    chosen, held_out = [], np.zeros((len(data), 3))
    for tested in people:
        own = data.person != tested
        values = []
        for setting in grids.settings():
            scores = np.full((len(data), 3), np.nan)
            for group in range(3):
                inside = {name for k, name in enumerate(people) if k % 3 == group and name != tested}
                inner = own & np.isin(data.person, sorted(inside))
                if inner.any():
                    scores[inner] = asked(data, setting, network(data, setting, own & ~inner, seed), inner)
            values.append((uf1(scores[own], data.label[own]), scores))
        place = int(np.argmax([value for value, _ in values]))
        share = np.bincount(data.label[own], minlength=3) / own.sum()
        tried = [values[place][1][own] / share**by for by in grids.ADJUSTMENTS]
        by = grids.ADJUSTMENTS[int(np.argmax([uf1(one, data.label[own]) for one in tried]))]
        setting = grids.settings()[place]
        chosen.append({"network": setting.name, "adjustment": by})
        raw = asked(data, setting, network(data, setting, own, seed), ~own) / share**by
        held_out[~own] = raw / raw.sum(1, keepdims=True)
    return chosen, held_out


def uf1(scores: np.ndarray, label: np.ndarray) -> float:
    return metrics(confusion(label, scores.argmax(1)))["uf1"]


def test_the_choices_are_those_of_a_slow_loop(tmp_path: Path) -> None:
    data = made_maps(6, 6, noise=2.0)
    found = fitted("laenet", data, tmp_path)
    assert found.chosen is not None
    chosen, scores = by_hand(data)
    assert [nested.decoded(str(one)) for one in found.chosen[:-1]] == chosen
    assert len({one["network"] for one in chosen}) > 1  # or there was nothing to get wrong
    np.testing.assert_allclose(found.scores, scores, atol=1e-4)


@pytest.mark.parametrize(("model", "members"), [("laenet", 2), ("pooled-flow", 1), ("fusion", 2)])
def test_who_is_tested_has_no_part_in_the_choice(model: str, members: int, tmp_path: Path) -> None:
    data = made_maps(6, 6, noise=2.0)
    held = folds_of(data)[2]
    before = fitted(model, data, tmp_path / "a", members)
    label = data.label.copy()
    label[held] = (label[held] + 1) % 3
    after = fitted(model, msgspec.structs.replace(data, label=label), tmp_path / "b", members)
    assert before.chosen is not None
    assert after.chosen is not None
    assert before.factors is not None
    assert after.factors is not None
    assert before.chosen[2] == after.chosen[2]
    np.testing.assert_array_equal(before.factors[2], after.factors[2])
    np.testing.assert_array_equal(before.scores[held], after.scores[held])
    assert not np.array_equal(before.scores[~held], after.scores[~held])


def test_inner_folds_hide_whom_they_ask_and_whom_the_fold_tests() -> None:
    data = made_maps(11, 3)
    held = np.vstack([folds_of(data), np.zeros((1, len(data)), bool)])
    found = nested.inner(held, data.person)
    for fold, tested in enumerate(held):
        union = np.zeros(len(data), int)
        for group, row in enumerate(found.of[fold]):
            ask = found.asked[fold, group]
            union += ask
            if row >= 0:
                assert not (ask & tested).any()
                assert (found.hidden[row] >= (ask | tested)).all()
                assert np.array_equal(found.hidden[row], ask | tested)
        np.testing.assert_array_equal(union, ~tested)  # each training clip once
    # 3 groups alone, and each of 11 people with each of the 2 other groups
    assert len(found.hidden) == 3 + 11 * 2


def test_one_training_person_leaves_nothing_to_choose_by(tmp_path: Path) -> None:
    data = made_maps(2, 6)
    found = fitted("laenet", data, tmp_path)
    assert found.chosen is not None
    first = {"network": grids.settings()[0].name, "adjustment": grids.ADJUSTMENTS[0]}
    assert [nested.decoded(str(one)) for one in found.chosen[:2]] == [first, first]
    assert np.isfinite(found.scores).all()


def test_a_killed_run_goes_on_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made_maps(5, 6, noise=2.0)
    whole = fitted("fusion", data, tmp_path / "whole", 2)
    answers, calls = nested_networks.answers, []

    def killed(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answers(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(nested_networks, "answers", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted("fusion", data, tmp_path / "part", 2)
    trained = []
    train = nested_networks.train
    monkeypatch.setattr(nested_networks, "train", lambda *a: trained.append(a) or train(*a))  # type: ignore[func-returns-value]
    done: list[int] = []
    job = fit.Job(entry=get("fusion"), recipe=Recipe(members=2), nested=True)
    again = fit.fit(job, data, folds_of(data), 0, tmp_path / "part", done.append)
    np.testing.assert_array_equal(again.scores, whole.scores)
    assert again.chosen is not None
    assert whole.chosen is not None
    assert again.chosen.tolist() == whole.chosen.tolist()
    assert done[-1] == max(done) == fit.units(job, 6)
    inner = [a for a in trained if len(a[3]) > 6]
    assert len(inner) < 3 + 3  # two of the three settings were read back


def test_keeping_inner_scores_changes_no_machine() -> None:
    data = made_maps(5, 6, noise=2.0)
    held = folds_of(data)
    plain = pooled_flow.train_folds(data.maps, data.label, held, data.person)
    kept = pooled_flow.train_folds(data.maps, data.label, held, data.person, keep_inner=True)
    assert kept.inner is not None
    np.testing.assert_array_equal(plain.scores, kept.scores)
    assert plain.chosen == kept.chosen
    for fold, own in enumerate(held):
        np.testing.assert_array_equal(np.isfinite(kept.inner[fold, :, 0]), ~own)


def test_maps_are_centred_for_the_network_as_they_are_served() -> None:
    data = made_maps(2, 3)
    made = grids.normalised(data.maps, "std")
    served = np.concatenate([np.asarray(grids.normalised_tf(one[None], "std")) for one in data.maps])
    np.testing.assert_allclose(made, served, atol=1e-3)
    rest = np.median(made, axis=(1, 2))
    np.testing.assert_allclose(rest, np.broadcast_to([127.5, 127.5, 0.0], rest.shape), atol=1e-3)


@pytest.mark.parametrize("model", ["laenet", "pooled-flow", "fusion"])
def test_what_is_served_is_what_the_folds_of_all_chose(model: str, tmp_path: Path) -> None:
    """The bundle gives what the last row's choice gives, from its parts."""
    data = made_maps(5, 6, noise=2.0)
    file, out = save(data, tmp_path / "m.npz"), tmp_path / "run"
    given = ["--dataset", "flowmaps", "--data", file, "--model", model, "--protocol", "nested", "--out", out]
    assert run(*given, *(["--set", "members=2"] if model == "fusion" else [])) == 0
    served, state = bundle.load(out / "bundle"), next((out / ".state").glob("*/nested"))
    with np.load(state / "seed-0.npz") as saved:
        choice = nested.decoded(str(saved["chosen"][-1]))
    shift = nested.log_share(data.label, np.ones(len(data), bool)) * np.float32(choice["adjustment"])
    parts: dict[str, np.ndarray] = {}
    if "network" in choice:
        setting = next(one for one in grids.settings() if one.name == choice["network"])
        everyone = np.ones(len(data), bool)
        networks = [network(data, setting, everyone, seed) for seed in range(2 if model == "fusion" else 1)]
        # members' logits are averaged in what is served
        each = [np.log(asked(data, setting, one, everyone)) for one in networks]
        parts["network"] = pooled_flow.softmax(np.mean(each, axis=0))
    if "flow" in choice:
        nobody = np.zeros((1, len(data)), bool)
        machines = pooled_flow.train_folds(data.maps, data.label, nobody, data.person, choice["flow"]).machines
        pairs = zip(pooled_flow.descriptors(choice["flow"]), machines, strict=True)
        margins = np.mean([pooled_flow.describe(data.maps, d) @ m.weights + m.bias for d, m in pairs], axis=0)
        parts["flow"] = pooled_flow.softmax(choice.get("sharpness", pooled_flow.SHARPNESS) * margins)
    share = choice.get("share", float("flow" in parts))
    expected = share * parts.get("flow", 0) + (1 - share) * parts.get("network", 0)
    by = np.array([served.card.recipe["calibration"], served.card.noise])
    expected = calibration.meant(nested.adjusted(expected, shift), by)
    np.testing.assert_allclose(served.predict(data.maps), expected, atol=0.02)  # weights are kept in 16 bits
    assert "inner folds" in served.card.protocol
    assert served.card.notes[0] == protocol.STILL_IN_VIEW


def test_results_say_what_each_fold_chose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made_maps(5, 6, noise=2.0)
    file, out = save(data, tmp_path / "m.npz"), tmp_path / "run"
    given = ["--dataset", "flowmaps", "--data", file, "--model", "laenet", "--protocol", "nested"]
    assert run(*given, "--dry-run", "--out", out) == 0
    said = capsys.readouterr().out
    assert "6 trainings" in said
    assert "13 inner trainings a setting, to choose network (3), adjustment (3)" in said
    assert not out.exists()
    assert run(*given, "--seeds", 2, "--out", out) == 0
    found = read_results(out)
    assert (found.protocol, found.selection) == ("nested", "nested: inner folds of the training subjects")
    assert found.choices is not None
    assert found.chosen is not None
    assert set(found.choices) == set(data.person.tolist())
    assert sum(found.chosen.values()) == 5
    assert found.calibration is not None
    assert found.calibration.nested
    # temperatures are those of the inner folds, not of the other subjects
    scores = read_predictions(out).scores
    with np.load(next((out / ".state").glob("*/nested/seed-0.npz"))) as saved:
        factors = np.stack([saved["factors"][:-1]] * 2)
    order = sorted(range(len(data)), key=lambda i: (data.subject[i], data.clip[i]))
    again = calibration.judge(scores, data.label[order], data.person[order], factors)
    assert again is not None
    assert again.ece == pytest.approx(found.calibration.ece, abs=2e-4)
    page = (out / "report.html").read_text()
    assert "Each fold chose its settings" in page
    assert "in inner folds of the training subjects" in page


def test_the_evaluator_checks_a_nested_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made_maps(5, 6, noise=2.0)
    file, out, plain = save(data, tmp_path / "m.npz"), tmp_path / "run", tmp_path / "plain"
    given = ["--dataset", "flowmaps", "--data", file, "--model", "pooled-flow"]
    assert run(*given, "--protocol", "nested", "--out", out) == 0
    assert run(*given, "--out", plain) == 0
    assert cli.run(evaluate.main, [str(plain), str(out)]) == 0
    assert "5 subjects" in capsys.readouterr().out  # paired: the same ones were left out
    found = read_results(out)
    assert found.choices is not None
    first, *others = found.choices
    wrong: dict[str, dict[str, Any]] = {
        "no choice of each fold": {"choices": None},
        "what is not in the run's grid": {"choices": found.choices | {first: {"flow": "w9", "adjustment": 0.0}}},
        "did not choose": {"choices": found.choices | {first: {"flow": "std-w4"}}},
        "disagree on the fold": {"choices": {name: found.choices[name] for name in others}},
    }
    for said, change in wrong.items():
        broken = tmp_path / said.replace(" ", "-")
        shutil.copytree(out, broken, ignore=shutil.ignore_patterns(".state"))
        write_results(broken, msgspec.structs.replace(found, **change))
        assert cli.run(evaluate.main, [str(broken)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "offapexnet"], "has no grid to choose from; fusion, laenet, pooled-flow, ststnet have one"),
        (["--model", "laenet", "--epochs", "3"], "the folds choose epochs"),
        (["--model", "fusion", "--set", "dropout=0.1"], "the folds choose dropout"),
        (["--model", "pooled-flow", "--variant", "std-w4"], "can't go with --variant"),
        (["--model", "laenet", "--weights", "laenet-composite"], "can't go with --weights"),
        (["--model", "laenet", "--pretrain", "flowmaps", "--pretrain-data", "MAPS"], "can't go with --pretrain"),
        (["--model", "laenet", "--protocol", "frame-split", "--beside", "nested"], "--beside nested"),
    ],
)
def test_what_nested_can_not_do_is_one_line(
    words: list[str], message: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(maps) if word == "MAPS" else word for word in words]
    assert run("--dataset", "flowmaps", "--data", maps, "--protocol", "nested", "--out", tmp_path / "r", *given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
