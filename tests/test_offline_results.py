"""Results: figures worked by hand, a run's state, what a run says of itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import recognition
from offline.commands import train
from offline.evaluation import report
from offline.evaluation.results import Results, best_epoch_on_test, summarise
from offline.training import fit, pooled_flow
from offline.training.batches import Recipe
from offline.zoo import get

CERTAIN = np.eye(3, dtype=np.float32)


def scores_of(*called: list[int]) -> np.ndarray:
    """(seeds, n, 3) scores that call these classes; -1: not tested."""
    rows = np.array(called)
    return np.where((rows < 0)[..., None], np.float32(np.nan), CERTAIN[rows])


def results(model: str = "laenet", **changes: Any) -> Results:
    recipe = msgspec.to_builtins(get(model).recipe)
    figures = {name: {"mean": 0.5, "std": 0.01} for name in ("acc", "f1", "uf1", "uar")}
    base = {
        "model": model, "parameters": 1, "dataset": "flowmaps", "protocol": "loso", "selection": "none",
        "seeds": [0, 1], "metrics": {"full": figures}, "confusion": {}, "seconds": 1.0,
        "config": {"recipe": recipe, "pretrain": None, "pretrain_clips": None, "freeze": 0.0},
    }  # fmt: skip
    return msgspec.convert(base | changes, Results)


def test_figures_in_full_and_of_each_data_set() -> None:
    """Two seeds, two data sets, by hand; the last clip was not tested with the second seed."""
    label = np.array([0, 0, 1, 1, 2, 0, 1, 2])
    dataset = np.array(["a"] * 5 + ["b"] * 3)
    scores = scores_of([0, 1, 1, 1, 2, 0, 0, 2], [0, 0, 1, 1, 2, 1, 1, -1])
    measured, counts = summarise(scores, label, dataset)
    assert list(measured) == list(counts) == ["full", "a", "b"]
    assert counts["a"] == [[3, 1, 0], [0, 4, 0], [0, 0, 2]]
    assert counts["b"] == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert counts["full"] == [[4, 2, 0], [1, 5, 0], [0, 0, 3]]
    # a: 4 of 5 and 5 of 5 right; b: 2 of 3 and 1 of 2; full: 6 of 8 and 6 of 7
    for part, first, second in (("a", 4 / 5, 1), ("b", 2 / 3, 1 / 2), ("full", 6 / 8, 6 / 7)):
        assert measured[part]["acc"]["mean"] == pytest.approx((first + second) / 2)
        assert measured[part]["acc"]["std"] == pytest.approx(abs(first - second) / 2**0.5)
    # a, first seed: recalls 1/2, 1, 1; F1 2·1/(2+1), 2·2/(2+3), 1
    assert measured["a"]["uar"]["mean"] == pytest.approx(((1 / 2 + 1 + 1) / 3 + 1) / 2)
    assert measured["a"]["uf1"]["mean"] == pytest.approx(((2 / 3 + 4 / 5 + 1) / 3 + 1) / 2)


def test_a_single_data_set_keeps_its_name() -> None:
    measured, counts = summarise(scores_of([0, 1, 2]), np.array([0, 1, 1]), np.array(["casme2"] * 3))
    assert list(measured) == ["full", "casme2"]
    assert measured["full"] == measured["casme2"]
    assert counts["casme2"] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert measured["full"]["acc"] == {"mean": pytest.approx(2 / 3), "std": 0.0}


def test_the_leak_of_the_best_epoch_by_hand() -> None:
    """Person a is best in epoch 2 of 3, b in epoch 1 (on a tie the first counts), the last epoch is worst."""
    label, person = np.array([0, 1, 2, 0, 1]), np.array(["a", "a", "a", "b", "b"])
    curves = scores_of([0, 0, 0, 0, 0], [0, 1, 2, 0, 2], [1, 0, 0, 2, 0])[None]
    # kept: a 0 1 2 (all right), b 0 0 (one right): 4 of 5; recalls 1, 1/2, 1; F1 4/5, 2/3, 1
    found = best_epoch_on_test(curves, label, person)
    assert found["acc"] == pytest.approx(4 / 5)
    assert found["uar"] == pytest.approx(2.5 / 3)
    assert found["uf1"] == pytest.approx((4 / 5 + 2 / 3 + 1) / 3)
    # a second seed that is right throughout: the mean of both
    perfect = np.broadcast_to(CERTAIN[label], curves.shape)
    both = best_epoch_on_test(np.concatenate([curves, perfect]), label, person)
    assert both["acc"] == pytest.approx((4 / 5 + 1) / 2)


def test_only_the_three_sets_together_stand_beside_published_full_figures() -> None:
    figures = {name: {"mean": 0.5, "std": 0.0} for name in ("acc", "f1", "uf1", "uar")}
    alone = results(metrics={"full": figures, "casme2": figures})
    assert report.ours_cells("x", alone)[1:] == ["–", "–", ".5000/.5000", "–"]
    two = results(metrics={"full": figures, "casme2": figures, "samm": figures})
    assert report.ours_cells("x", two)[1:] == ["–", "–", ".5000/.5000", ".5000/.5000"]
    three = results(metrics=dict.fromkeys(report.PARTS, figures))
    assert report.ours_cells("x", three)[1:] == [".5000/.5000"] * 4


def test_state_of_other_code_or_variants_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("laenet", "pooled-flow", "fusion"):
        job = fit.Job(entry=get(name), recipe=Recipe())
        first = train.identity(job, {"data_digest": "d"})
        assert train.identity(job, {"data_digest": "d"}) == first
        assert train.identity(job, {"data_digest": "e"}) != first
        with monkeypatch.context() as patch:
            patch.setattr(fit, "CODE_VERSION", fit.CODE_VERSION + 1)
            assert train.identity(job, {"data_digest": "d"}) != first
        with monkeypatch.context() as patch:
            patch.setattr(pooled_flow, "VARIANTS", dict(reversed(pooled_flow.VARIANTS.items())))
            assert (train.identity(job, {"data_digest": "d"}) == first) == (name == "laenet")


def test_pretraining_has_a_name() -> None:
    assert results().title == "laenet"
    config = results().config | {"pretrain": "ckplus", "pretrain_clips": 327, "freeze": 0.2}
    assert results(config=config).title == "laenet, pre-trained on ckplus (327 clips), first 20% of the layers frozen"
    assert results(config=config | {"freeze": 0.0}).pretraining == "pre-trained on ckplus (327 clips)"


def test_a_runs_command_is_whole(tmp_path: Path) -> None:
    plain = "python -m offline.train --dataset flowmaps --data COMPOSITE.npz --model {} --seeds 2{} --out runs/r"
    folder = tmp_path / "r"
    assert recognition.command(results(), folder) == plain.format("laenet", "")
    config = results().config | {"pretrain": "ckplus", "pretrain_clips": 327, "freeze": 0.5}
    config["recipe"] = config["recipe"] | {"epochs": 7, "mirror": False}
    expected = " --protocol frame-split --pretrain ckplus --pretrain-data SOURCE --freeze 0.5"
    expected += " --set epochs=7 mirror=false"
    found = recognition.command(results(config=config, protocol="frame-split"), folder)
    assert found == plain.format("laenet", expected)
    options = train.arguments().parse_args(found.split()[3:])
    assert train.recipe_of(options) == Recipe(epochs=7, mirror=False)
    # fusion's networks have a recipe, its linear machines a variant
    networks = msgspec.to_builtins(get("fusion").recipe)
    recipe = {"networks": networks | {"epochs": 9}, "variant": "std-w4"}
    fusion = results("fusion", config={"recipe": recipe, "variant": "std-w4"})
    assert recognition.command(fusion, folder) == plain.format("fusion", " --variant std-w4 --set epochs=9")
    flow = results("pooled-flow", config={"recipe": {"variant": "nested"}, "variant": "nested"})
    assert recognition.command(flow, folder) == plain.format("pooled-flow", "")
