"""Nothing of a tested subject reaches what judges it; labels that say nothing teach nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from _offline_data import COMPOSITE, made_maps
from _offline_runs import run, save

from offline.datasets.flowmaps import MapSet
from offline.evaluation.metrics import confusion, metrics
from offline.evaluation.results import read_results
from offline.evaluation.splits import loso
from offline.training import pooled_flow, sequential, shallow
from offline.training.batches import Recipe
from offline.zoo import laenet

Trainer = Callable[[MapSet, np.ndarray], np.ndarray]


def by_all_folds(data: MapSet, held: np.ndarray) -> np.ndarray:
    recipe = Recipe(epochs=10, batch=32, mixup=0.4)
    return shallow.train_folds(data.maps, data.label, held, recipe, shallow.initial((3, 5), 0), 0).scores[-1]


def by_pooled_flow(data: MapSet, held: np.ndarray) -> np.ndarray:
    return pooled_flow.train_folds(data.maps, data.label, held, data.person, "mean-abs-w7").scores


def by_nested(data: MapSet, held: np.ndarray) -> np.ndarray:
    return pooled_flow.train_folds(data.maps, data.label, held, data.person).scores


def by_keras(data: MapSet, held: np.ndarray) -> np.ndarray:
    recipe = Recipe(epochs=2, batch=32, warmup_steps=2)
    return sequential.train_folds(laenet.build, data.maps, data.label, held, recipe, 0)[0]


@pytest.mark.parametrize("trainer", [by_all_folds, by_pooled_flow, by_nested, by_keras])
def test_labels_of_the_tested_subject_change_no_prediction_on_it(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))
    monkeypatch.setattr(pooled_flow, "POWERS", (1.0,))
    data = made_maps(5, 6, noise=1.0)
    held = np.stack([fold.held_out() for fold in loso(data.person)])
    before = trainer(data, held)
    label = data.label.copy()
    label[held[3]] = (label[held[3]] + 1) % 3
    after = trainer(msgspec.structs.replace(data, label=label), held)
    np.testing.assert_array_equal(before[held[3]], after[held[3]])
    assert not np.array_equal(before[held[0]], after[held[0]])


@pytest.mark.parametrize("trainer", [by_all_folds, by_pooled_flow])
def test_shuffled_labels_give_chance(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))  # an eighth of the machines will do, and of the time
    monkeypatch.setattr(pooled_flow, "POWERS", (1.0,))
    data = made_maps(12, 12)
    held = np.stack([fold.held_out() for fold in loso(data.person)])
    honest = metrics(confusion(data.label, trainer(data, held).argmax(1)))["uar"]
    assert honest > 0.9
    chance = []
    for seed in range(6):
        # shuffled within each subject: else a left-out subject's classes lack in training, which pulls below chance
        label, random = data.label.copy(), np.random.default_rng(seed)
        for own in held:
            label[own] = random.permutation(label[own])
        shuffled = msgspec.structs.replace(data, label=label)
        chance.append(metrics(confusion(label, trainer(shuffled, held).argmax(1)))["uar"])
    assert np.mean(chance) == pytest.approx(1 / 3, abs=0.05)


def test_choosing_reads_nothing_but_the_training_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold's variant is the same whatever the held-out subject's maps and labels are."""
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))
    data = made_maps(6, 6, noise=2.0)
    held = (data.person == data.person[0])[None]
    asked: list[set[str]] = []
    machine = pooled_flow._machine

    def noted(features: Any, gram: Any, labels: Any, train: np.ndarray) -> Any:
        asked.append(set(data.person[train]))
        return machine(features, gram, labels, train)

    monkeypatch.setattr(pooled_flow, "_machine", noted)
    first = pooled_flow.train_folds(data.maps, data.label, held, data.person)
    assert all(data.person[0] not in people for people in asked)
    # 5 inner folds of the 5 others: four people each; then the fold itself
    assert sorted({len(people) for people in asked}) == [4, 5]
    maps, label = data.maps.copy(), data.label.copy()
    maps[held[0]], label[held[0]] = 255 - maps[held[0]], (label[held[0]] + 1) % 3
    second = pooled_flow.train_folds(maps, label, held, data.person)
    assert first.chosen == second.chosen
    for a, b in zip(first.machines, second.machines, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)


@pytest.mark.slow
@pytest.mark.skipif(not COMPOSITE.exists(), reason="the shared composite is not here")
def test_shuffled_composite_gives_chance(tmp_path: Path) -> None:
    from offline.datasets.flowmaps import load

    # one shuffle of 442 labels spreads by .04, whatever the seeds of training: several are needed
    data, chance = load(COMPOSITE), []
    for seed in range(4):
        shuffled = msgspec.structs.replace(data, label=np.random.default_rng(seed).permutation(data.label))
        file, out = save(shuffled, tmp_path / "m.npz"), tmp_path / f"run-{seed}"
        assert run("--dataset", "flowmaps", "--data", file, "--epochs", 15, "--out", out) == 0  # a leak shows by then
        chance.append(read_results(out).metrics["full"]["uar"]["mean"])
    print("UAR of shuffled labels:", np.round(chance, 3), "mean", np.mean(chance).round(3))
    assert np.mean(chance) == pytest.approx(1 / 3, abs=0.05)
