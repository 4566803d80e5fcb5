"""All folds at once against fold by fold: alone, in Keras, after a kill; nothing of the tested subject gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _offline_data import made_maps

from offline.evaluation.splits import loso
from offline.training import pooled_flow, shallow
from offline.training.batches import Recipe, class_weights, epoch_batches, rescaled
from offline.training.fold_parallel import FoldParallel
from offline.training.keras_folds import KerasFolds
from offline.zoo import ZOO, laenet, ststnet

DATA = made_maps(6, 9, noise=0.8)
HELD = np.stack([fold.held_out() for fold in loso(DATA.person)])
RECIPE = Recipe(epochs=3, batch=20, warmup_steps=2, mixup=0.4)
STREAMS = laenet.STREAMS


def train(
    held: np.ndarray = HELD, recipe: Recipe = RECIPE, streams: tuple[int, ...] = STREAMS, **options: Any
) -> shallow.Trained:
    maps, label = options.pop("maps", DATA.maps), options.pop("label", DATA.label)
    return shallow.train_folds(maps, label, held, recipe, shallow.initial(streams, 0), 0, **options)


@pytest.fixture(scope="module")
def together() -> shallow.Trained:
    return train()


def test_a_fold_alone_is_bit_for_bit_the_fold_among_all(together: shallow.Trained) -> None:
    for fold in (0, 1, 5):
        alone = train(HELD[fold : fold + 1])
        np.testing.assert_array_equal(alone.weights.rows[0], together.weights.rows[fold])
        np.testing.assert_array_equal(alone.weights.moving[0], together.weights.moving[fold])
        np.testing.assert_array_equal(alone.scores[:, HELD[fold]], together.scores[:, HELD[fold]])


@pytest.mark.parametrize("streams", [(3, 5), (3, 5, 8), (3, 2)])
def test_all_folds_at_once_equal_fold_by_fold_in_keras(streams: tuple[int, ...]) -> None:
    """Same batches, same start, no dropout: Keras' gradients, batch norm and Adam give the same networks."""
    from offline.training.sequential import Stepper
    from offline.zoo.layers import shallow as shallow_network

    recipe = Recipe(epochs=3, batch=20, warmup_steps=2, mixup=0.4, dropout=0.0)
    batched = train(HELD[:3], recipe, streams)
    model = shallow_network(streams, 0.0, "both")
    stepper = Stepper(shallow.to_keras(shallow.initial(streams, 0), model, streams), seed=0)
    for fold in range(3):
        stepper.reset()
        stepper.train(DATA.maps, DATA.label, HELD[fold], recipe)
        scores = stepper.predict(DATA.maps[HELD[fold]]).numpy()
        np.testing.assert_allclose(scores, batched.scores[-1, HELD[fold]], atol=2e-4)
        ours = shallow.Weights(batched.weights.rows[fold], batched.weights.moving[fold])
        trained = [v.numpy() for v in model.variables]
        shallow.to_keras(ours, model, streams)
        for theirs, own in zip(trained, model.variables, strict=True):
            np.testing.assert_allclose(own.numpy(), theirs, atol=5e-4)


def reference_loss(weights: np.ndarray, batch: Any, own: np.ndarray, balance: np.ndarray, dropout: float) -> float:
    """The network's training loss, slowly and in double precision, dropout as the kernels draw it."""
    rows = weights.astype(np.float64)
    kernels = rows.shape[1]
    padded = np.pad(rescaled(batch.images).astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).reshape(-1, 28, 28, 27)
    active = np.maximum(windows @ rows[:27] + rows[27], 0)[own]
    normal = (active - active.mean((0, 1, 2))) / np.sqrt(active.var((0, 1, 2)) + 1e-3) * rows[28] + rows[29]
    bordered = np.pad(normal, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = bordered.reshape(-1, 10, 3, 10, 3, kernels).max((2, 4)).reshape(-1, 100, kernels)
    pooled = pooled * shallow.dropout_mask(batch.random, len(batch.images), kernels, dropout)[own]
    features = pooled.reshape(-1, 5, 2, 5, 2, kernels).mean((2, 4)).reshape(-1, 25, kernels)
    logits = np.einsum("nqk,qck->nc", features, rows[30:105].reshape(25, 3, kernels)) + rows[105:108, 0]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(-(batch.targets[own] * balance * log_p).sum(1).mean())


def test_one_step_follows_the_gradient_of_a_slow_reference() -> None:
    """Adam's first step is the sign of the gradient: taken against finite differences, dropout and mixup included."""
    recipe = Recipe(epochs=1, batch=len(DATA), warmup_steps=0, learning_rate=1e-3, mixup=0.4, dropout=0.5)
    start = shallow.initial(STREAMS, 0)
    start.rows[28, ::3] *= -1  # a falling normalisation must pool the other way
    trained = shallow.train_folds(DATA.maps, DATA.label, HELD[:1], recipe, start, 0)
    (batch,) = epoch_batches(DATA.maps, DATA.label, recipe, 0, 0)
    own = ~(HELD[0][batch.first] | HELD[0][batch.second])
    balance = class_weights(DATA.label[~HELD[0]], 1.0).astype(np.float64)
    moved = trained.weights.rows[0] - start.rows
    random, checked = np.random.default_rng(0), 0
    for row in [*random.choice(27, 8, replace=False), 27, 28, 29, *random.choice(range(30, 105), 12), 105]:
        lane = int(random.integers(8)) if row < 105 else 0
        values = []
        for sign in (1, -1):
            nudged = start.rows.astype(np.float64).copy()
            nudged[row, slice(None) if row >= 105 else lane] += sign * 1e-5
            values.append(reference_loss(nudged, batch, own, balance, 0.5))
        slope = (values[0] - values[1]) / 2e-5
        if abs(slope) > 1e-4:
            assert moved[row, lane] == pytest.approx(-1e-3 * np.sign(slope), rel=0.02)
            checked += 1
    assert checked > 15
    assert trained.losses[0, 0] == pytest.approx(reference_loss(start.rows, batch, own, balance, 0.5), rel=1e-4)


def test_nothing_of_the_tested_subject_reaches_its_fold(together: shallow.Trained) -> None:
    """Other labels and other maps for a subject: its fold's network stays the same to the bit, mixup included."""
    held = HELD[2]
    label, maps = DATA.label.copy(), DATA.maps.copy()
    label[held] = (label[held] + 1) % 3
    maps[held] = np.random.default_rng(0).uniform(0, 255, maps[held].shape)
    changed = train(maps=maps, label=label)
    np.testing.assert_array_equal(changed.weights.rows[2], together.weights.rows[2])
    np.testing.assert_array_equal(changed.weights.moving[2], together.weights.moving[2])
    assert not np.array_equal(changed.weights.rows[1], together.weights.rows[1])


def test_labels_of_a_subject_change_none_of_its_predictions(together: shallow.Trained) -> None:
    label = DATA.label.copy()
    label[HELD[4]] = 0
    changed = train(label=label)
    np.testing.assert_array_equal(changed.scores[:, HELD[4]], together.scores[:, HELD[4]])


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shallow, "CHECKPOINT_EPOCHS", 2)
    recipe = Recipe(epochs=5, batch=20, warmup_steps=2)
    whole = train(recipe=recipe)
    file = tmp_path / "state.npz"

    def kill(epoch: int) -> None:
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(recipe=recipe, checkpoint=file, on_epoch=kill)
    epochs: list[int] = []
    resumed = train(recipe=recipe, checkpoint=file, on_epoch=epochs.append)
    assert epochs == [3, 4, 5]
    np.testing.assert_array_equal(resumed.weights.rows, whole.weights.rows)
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    np.testing.assert_array_equal(resumed.losses, whole.losses)


def test_frozen_layers_stay(together: shallow.Trained) -> None:
    start = shallow.initial(STREAMS, 0)
    frozen = train(trainable=shallow.frozen_mask(STREAMS, 0.5)).weights.rows
    np.testing.assert_array_equal(frozen[:, :28], np.broadcast_to(start.rows[:28], frozen[:, :28].shape))
    assert not np.array_equal(frozen[0, 28:], start.rows[28:])
    first = train(trainable=shallow.frozen_mask(STREAMS, 0.2)).weights.rows
    np.testing.assert_array_equal(first[0, :28, :3], start.rows[:28, :3])
    assert not np.array_equal(first[0, :28, 3:], start.rows[:28, 3:])


@pytest.mark.parametrize(("name", "module"), [("laenet", laenet), ("ststnet", ststnet)])
def test_exported_keras_model_is_the_trained_network(name: str, module: Any) -> None:
    trained = train(HELD[:1], streams=module.STREAMS)
    weights = shallow.Weights(trained.weights.rows[0], trained.weights.moving[0])
    model = shallow.to_keras(weights, module.build(), module.STREAMS)
    theirs = model(DATA.maps[:10], training=False).numpy()
    np.testing.assert_allclose(theirs, shallow.logits(weights, shallow.patches(DATA.maps[:10])), atol=1e-4)


def test_merged_members_are_the_mean_of_their_log_probabilities() -> None:
    trained = [train(HELD[:1], streams=STREAMS, maps=DATA.maps + 9.0 * i).weights for i in range(3)]
    members = [shallow.Weights(one.rows[0], one.moving[0]) for one in trained]
    seen = shallow.patches(DATA.maps)
    apart = np.stack([shallow.probabilities(one, seen) for one in members])
    assert np.abs(apart[0] - apart[1]).max() > 1e-3
    expected = np.prod(apart.astype(np.float64), axis=0) ** (1 / 3)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(shallow.averaged(apart), expected, atol=1e-5)
    np.testing.assert_allclose(shallow.probabilities(shallow.merged(members), seen), expected, atol=1e-5)
    np.testing.assert_array_equal(shallow.averaged(apart[:1]), apart[0])


OF_MAPS = {n: e.trainer for n, e in ZOO.items() if isinstance(e.trainer, FoldParallel | KerasFolds)}


@pytest.mark.parametrize("name", OF_MAPS)
def test_parameter_counts(name: str) -> None:
    trainer = OF_MAPS[name]
    model = trainer.build(0.5)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trainer.network
    assert model.output_shape == (None, 3)


def test_the_papers_counts() -> None:
    assert ZOO["laenet"].parameters == 8 * 28 + 16 + 603 == 843
    assert ZOO["ststnet"].parameters == 1683
    assert ZOO["offapexnet"].parameters == 2_664_475


@pytest.mark.parametrize("variant", pooled_flow.VARIANTS)
def test_pooled_flows_count_is_what_it_describes(variant: str) -> None:
    """Two margins for each feature and two biases; the third margin is minus their sum."""
    which = pooled_flow.descriptors(variant)
    features = sum(pooled_flow.describe(DATA.maps[:2], d).shape[1] for d in which)
    assert pooled_flow.parameters(variant) == 2 * features + 2


def test_entries_with_pooled_flow_count_it() -> None:
    largest = 2 * sum(pooled_flow.describe(DATA.maps[:2], d).shape[1] for d in pooled_flow.descriptors("all-w47")) + 2
    assert max(map(pooled_flow.parameters, pooled_flow.VARIANTS)) == largest
    assert ZOO["pooled-flow"].parameters == largest
    assert ZOO["fusion"].parameters == largest + 5 * 843
