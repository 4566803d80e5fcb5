"""Augmentation keeps to the physics; batches depend on seed, epoch and step alone; splits keep people apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from offline.evaluation.splits import frame_split, leak, loso
from offline.training.batches import Recipe, augment, class_weights, epoch_batches, learning_rate, mirror, rescaled
from realtime.errors import DatasetError


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (20, 28, 28, 3)).astype(np.float32)


def test_mirroring_negates_horizontal_motion_only(maps: np.ndarray) -> None:
    before, after = rescaled(maps), rescaled(mirror(maps))
    np.testing.assert_allclose(after[..., 0], -before[:, :, ::-1, 0], atol=1e-5)
    np.testing.assert_allclose(after[..., 1:], before[:, :, ::-1, 1:], atol=1e-5)
    np.testing.assert_allclose(mirror(mirror(maps)), maps, atol=1e-4)


def test_members_never_share_a_seed() -> None:
    recipe = Recipe(members=4)
    assert [own for seed in range(3) for own in recipe.member_seeds(seed)] == list(range(12))
    assert list(Recipe().member_seeds(7)) == [7]


def test_mirroring_is_what_a_mirrored_film_gives() -> None:
    """The feature map of two mirrored crops is the mirrored feature map of the two crops, in every channel."""
    import cv2

    from realtime.vision.features import FeatureSpec, feature_map

    spec = FeatureSpec(eye_mask=False)
    random = np.random.default_rng(0)
    first = cv2.GaussianBlur(random.uniform(0, 255, (spec.crop_height, spec.crop_width)), (0, 0), 2)
    first = ((first - first.min()) / np.ptp(first) * 255).astype(np.float32)
    y, x = np.mgrid[: spec.crop_height, : spec.crop_width].astype(np.float32)
    right, down = (np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 800) for cy, cx in ((50, 45), (120, 80)))
    second = cv2.remap(first, x - 2 * right, y - 1.5 * down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    film = [np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in (first, second)]
    nowhere = np.zeros((68, 2), np.float32)
    straight = feature_map(film[0], film[1], nowhere, spec)
    turned = feature_map(*(np.ascontiguousarray(image[:, ::-1]) for image in film), nowhere, spec)
    assert np.abs(straight - turned).mean() > 20  # the movement is on one side
    for channel in range(3):
        assert np.abs(mirror(straight[None])[0] - turned)[..., channel].mean() < 5


def test_shifts_move_by_one_pixel_and_repeat_the_edge(maps: np.ndarray) -> None:
    recipe = Recipe(mirror=False, shift_px=1)
    moved = augment(maps, recipe, np.random.default_rng(0))
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    choices = [padded[:, 1 - dy : 29 - dy, 1 - dx : 29 - dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    same = np.array([[np.array_equal(c[i], moved[i]) for c in choices] for i in range(len(maps))])
    assert same.any(1).all()
    assert same.any(0).sum() > 4


def test_batches_repeat_and_cover_everything(maps: np.ndarray) -> None:
    label = np.arange(20) % 3
    recipe = Recipe(batch=8, mixup=0.4)
    first = list(epoch_batches(maps, label, recipe, 3, 5))
    again = list(epoch_batches(maps, label, recipe, 3, 5))
    other = list(epoch_batches(maps, label, recipe, 3, 6))
    assert [len(b.images) for b in first] == [8, 8, 4]
    assert all(np.array_equal(a.images, b.images) and a.random == b.random for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].first, other[0].first)
    assert sorted(np.concatenate([b.first for b in first])) == list(range(20))
    for b in first:
        np.testing.assert_allclose(b.targets.sum(1), 1, atol=1e-6)
        assert set(b.second) == set(b.first)


def test_class_weights_balance_the_classes() -> None:
    label = np.repeat([0, 1, 2], [60, 30, 10])
    weights = class_weights(label, 1.0)
    np.testing.assert_allclose(weights * [60, 30, 10], 100 / 3, rtol=1e-6)
    np.testing.assert_allclose(class_weights(label, 0.0), 1, rtol=1e-6)
    assert class_weights(label[:90], 1.0)[2] == 0


def test_learning_rate_warms_up_and_falls_to_nothing() -> None:
    recipe = Recipe(learning_rate=1e-2, warmup_steps=10)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] < 1e-4
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_loso_never_trains_on_the_tested_person() -> None:
    random = np.random.default_rng(0)
    person = np.array(
        [f"{d}/s{s}" for d, s in zip(random.choice(["a", "b"], 90), random.integers(0, 9, 90), strict=True)]
    )
    folds = list(loso(person))
    assert len(folds) == len(set(person))
    for fold in folds:
        assert set(person[fold.test]) == {fold.name}
        assert fold.name not in set(person[fold.train])
        assert sorted([*fold.train, *fold.test]) == list(range(90))
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(90))


def test_one_person_can_not_be_left_out() -> None:
    with pytest.raises(DatasetError, match="two subjects"):
        list(loso(["a/s1"] * 5))


def test_frame_split_says_what_it_leaks() -> None:
    person = np.repeat([f"d/s{i}" for i in range(5)], 40)
    clip = [f"c{i // 10}" for i in range(200)]
    fold = frame_split(200, seed=0)
    assert len(fold.test) == 60
    found = leak(fold, person, clip)
    assert found.same_clip > 0.9
    assert found.same_subject == 1
    honest = leak(next(loso(person)), person, clip)
    assert honest.same_clip == honest.same_subject == 0
