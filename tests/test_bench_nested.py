"""Inner folds of the nested choice never see the tested subject."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
from _offline_data import made_maps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import nested
from offline.batches import Recipe
from offline.splits import loso

DATA = made_maps(5, 6, noise=1.0)
OUTER = np.stack([fold.held_out() for fold in loso(DATA.person)])


def test_each_training_clip_is_tested_once_and_no_other() -> None:
    tested = nested.inner_folds(DATA, OUTER)
    np.testing.assert_array_equal(tested.sum(1), ~OUTER)
    for fold in range(len(OUTER)):
        for own in tested[fold]:
            train = ~OUTER[fold] & ~own
            assert not set(DATA.person[own]) & set(DATA.person[train])


def test_inner_scores_and_the_choice_know_nothing_of_the_tested_subject() -> None:
    recipe, tested = Recipe(epochs=2, batch=16, warmup_steps=2), nested.inner_folds(DATA, OUTER)
    label, maps = DATA.label.copy(), DATA.maps.copy()
    label[OUTER[2]] = (label[OUTER[2]] + 1) % 3
    maps[OUTER[2]] = 255 - maps[OUTER[2]]
    other = msgspec.structs.replace(DATA, label=label, maps=maps)
    (ours, before), (theirs, after) = (nested.scores_of(d, OUTER, tested, recipe, 0) for d in (DATA, other))
    np.testing.assert_array_equal(before[2], after[2])
    assert not np.array_equal(before[1], after[1], equal_nan=True)
    assert np.isfinite(ours).all()
    assert not np.array_equal(ours[OUTER[2]], theirs[OUTER[2]])  # the maps themselves are others
    known = np.eye(3, dtype=np.float32)[DATA.label][None].repeat(len(OUTER), 0)
    wrong = np.roll(known, 1, axis=-1)
    inner = {"range": np.where(OUTER[..., None], np.nan, wrong), "centred": np.where(OUTER[..., None], np.nan, known)}
    assert nested.choose(DATA.label, inner, 0) == "centred"  # right on the training subjects
    assert nested.choose(label, inner, 2) == nested.choose(DATA.label, inner, 2)
