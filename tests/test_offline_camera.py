"""What a camera adds to a flow map in training: nothing unless asked, then by the physics, never to what is tested."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.training import camera, shallow
from offline.training.batches import Recipe, augment, epoch_batches, mirror
from offline.zoo import laenet
from realtime.vision.features import FeatureSpec
from realtime.vision.features.maps import reduce_map, stretch
from realtime.vision.flow import strain

SPEC = FeatureSpec()
ALL = {"crop_px": 6.0, "crop_percent": 8.0, "head_residual": 0.2, "flow_noise": 0.1, "strain_noise": 0.1}


def blobs(seed: int, growth: float = 1.0, shift: tuple[float, float] = (0, 0), head: float = 0.0) -> np.ndarray:
    """(170, 140, 2) px: smooth movements of a face, in a crop that is grown and shifted; head: of a roll, px."""
    random = np.random.default_rng(seed)
    places, vectors = random.uniform(0.25, 0.75, (4, 2)) * [140, 170], random.normal(size=(4, 2))
    x, y = np.meshgrid(np.arange(140.0), np.arange(170.0))
    x, y = (x - 69.5 - shift[0]) / growth + 69.5, (y - 84.5 - shift[1]) / growth + 84.5
    near = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / 14**2) for px, py in places]
    flow = growth * sum(one[..., None] * vector for one, vector in zip(near, vectors, strict=True))
    return (flow + head / 84.5 * np.stack([-(y - 84.5), x - 69.5], -1)).astype(np.float32)


def seen(flow: np.ndarray) -> np.ndarray:
    """Not yet stretched: (28, 28, 3)."""
    return reduce_map(np.dstack([flow, strain(flow)]), SPEC)


def of(flow: np.ndarray) -> np.ndarray:
    return stretch(seen(flow))


def likeness(first: np.ndarray, second: np.ndarray) -> list[float]:
    return [float(np.corrcoef(first[..., k].ravel(), second[..., k].ravel())[0, 1]) for k in range(3)]


def test_nothing_added_is_the_map_itself_and_draws_nothing() -> None:
    """Old recipes train the very same network: the same numbers, and the generator where it was."""
    maps = np.random.default_rng(0).uniform(0, 255, (5, 28, 28, 3)).astype(np.float32)
    random, other = np.random.default_rng(3), np.random.default_rng(3)
    assert camera.filmed(maps, Recipe(), random) is maps
    assert random.bit_generator.state == other.bit_generator.state
    plain = augment(maps, Recipe(mirror=False, shift_px=0), random)
    np.testing.assert_array_equal(plain, maps)
    assert not camera.adds(None)
    assert all(camera.adds(Recipe(**{name: 0.01})) for name in camera.AMOUNTS)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("growth", "shift"), [(1.0, (5.0, 0.0)), (1.0, (-3.0, 4.0)), (1.1, (0.0, 0.0)), (0.92, (2.0, 5.0))]
)
def test_a_jittered_map_is_the_map_of_a_jittered_crop_in_its_strain_too(
    seed: int, growth: float, shift: tuple[float, float]
) -> None:
    wanted = of(blobs(seed, growth, shift))
    before = of(blobs(seed))
    arrays = np.array([growth], np.float32), np.array([shift], np.float32)
    found = camera.stretched(camera.jittered(before[None], *arrays))[0]
    off = np.abs(found - wanted).mean((0, 1))
    assert (off < 4).all()  # of 255: interpolation between cells of 5 px
    assert (off < 0.45 * np.abs(before - wanted).mean((0, 1))).all()


@pytest.mark.parametrize("seed", range(4))
def test_an_added_roll_bends_the_flow_and_leaves_the_strain(seed: int) -> None:
    """u and v of the same movement under a rolling head, though how they were stretched apart is unknown."""
    flow = blobs(seed)
    longest = float(np.hypot(*np.moveaxis(seen(flow)[..., :2], -1, 0)).max())
    wanted, before = of(blobs(seed, head=0.3 * longest)), of(flow)
    y, x = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5, indexing="ij")
    roll = np.stack([-y * 170 / 28, x * 140 / 28], -1) / 84.5
    found = camera.stretched(camera.moved(before[None], 0.3 * roll[None].astype(np.float32)))[0]
    np.testing.assert_allclose(found[..., 2], before[..., 2], atol=2.0)
    after, as_it_was = likeness(found, wanted)[:2], likeness(before, wanted)[:2]
    assert min(after) > 0.95
    assert min(after) > max(as_it_was[0], as_it_was[1]) or min(np.subtract(after, as_it_was)) > 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [0.4, 1.0, 2.5])
def test_how_far_u_and_v_were_stretched_apart_is_read_from_the_strain(seed: int, apart: float) -> None:
    flow = seen(blobs(seed))
    cells = flow * [1, 1 / apart, 1]
    _, ratio, _ = camera.unstretched(cells[None].astype(np.float32))
    assert ratio[0] == pytest.approx(apart, rel=0.15)


def test_noise_in_the_flow_is_in_its_strain() -> None:
    """Strain of flow and noise, of a movement whose zero and scales are known."""
    before = np.stack([of(blobs(seed)) for seed in range(8)])
    noise = camera.noise_fields(8, (28, 28), np.random.default_rng(1))
    assert float((noise**2).sum(-1).mean()) == pytest.approx(1, rel=0.1)
    found = camera.moved(before, 0.1 * noise)
    flow, _, scale = camera.unstretched(before)
    longest = np.sqrt((flow**2).sum(-1).max((1, 2)))[:, None, None, None]
    by_hand = np.sqrt(scale[:, None, None] * camera.squared_strain(flow + 0.1 * noise * longest))
    for one, other in zip(found, by_hand, strict=True):
        assert np.corrcoef(one[..., 2].ravel(), other.ravel())[0, 1] > 0.97
    rim = np.zeros((28, 28), bool)
    rim[:3], rim[-3:] = True, True
    assert found[:, rim, 2].mean() > 2 * before[:, rim, 2].mean()  # noise strains where nothing moved


def test_noise_in_the_strain_lifts_it_as_it_does_a_length() -> None:
    maps = np.zeros((4, 28, 28, 3), np.float32)
    maps[:, 14, 14, 2] = 255.0
    noisy = camera.with_strain_noise(maps, 0.1, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy[..., :2], maps[..., :2])
    assert noisy[..., 2].min() >= 0
    assert noisy[:, :10, :, 2].mean() == pytest.approx(25.5 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh's mean


@settings(max_examples=30, deadline=None)
@given(
    amounts=st.fixed_dictionaries({name: st.sampled_from([0.0, 0.05, 1.0]) for name in camera.AMOUNTS}),
    seed=st.integers(0, 2**32 - 1),
    flat=st.booleans(),
)
def test_any_amounts_give_maps(amounts: dict[str, float], seed: int, flat: bool) -> None:
    """0..255 and finite whatever is drawn, also of a map without any motion; the same seed gives the same map."""
    maps = np.random.default_rng(seed).uniform(0, 255, (3, 28, 28, 3)).astype(np.float32)
    if flat:
        maps[0] = [127.5, 127.5, 0]
    kept, recipe = maps.copy(), Recipe(**amounts)
    found = camera.filmed(maps, recipe, np.random.default_rng(seed))
    again = camera.filmed(maps, recipe, np.random.default_rng(seed))
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(maps, kept)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 255.01


def test_filming_and_mirroring_can_change_places() -> None:
    """A crop jittered right of the mirrored face is one jittered left of the face."""
    maps = np.stack([of(blobs(seed)) for seed in range(3)])
    growth, shift = np.full(3, 1.05, np.float32), np.array([[4.0, -2]] * 3, np.float32)
    first = camera.jittered(mirror(maps), growth, shift)
    second = mirror(camera.jittered(maps, growth, shift * np.array([-1, 1], np.float32)))
    np.testing.assert_allclose(first, second, atol=0.01)


def test_batches_change_in_their_pictures_alone() -> None:
    data = made_maps(4, 6)
    recipe = Recipe(batch=8)
    for plain, filmed in zip(
        epoch_batches(data.maps, data.label, recipe, 2, 3),
        epoch_batches(data.maps, data.label, msgspec.structs.replace(recipe, **ALL), 2, 3),
        strict=True,
    ):
        np.testing.assert_array_equal(plain.first, filmed.first)
        np.testing.assert_array_equal(plain.targets, filmed.targets)
        assert (np.abs(plain.images - filmed.images).mean((1, 2, 3)) > 1).all()


def test_held_out_clips_are_scored_as_they_are() -> None:
    """What is added in training is added to none of the clips that a fold is judged on."""
    data = made_maps(4, 6)
    held = (data.person == data.person[0])[None]
    recipe = Recipe(epochs=2, batch=16, warmup_steps=1, **ALL)
    trained = shallow.train_folds(data.maps, data.label, held, recipe, shallow.initial(laenet.STREAMS, 0), 0)
    one = shallow.Weights(trained.weights.rows[0], trained.weights.moving[0])
    own = shallow.probabilities(one, shallow.patches(data.maps[held[0]]))
    np.testing.assert_allclose(trained.scores[-1, held[0]], own, atol=1e-6)
    # and what they look like changes nothing that is learnt
    other = data.maps.copy()
    other[held[0]] = 255 - other[held[0]]
    again = shallow.train_folds(other, data.label, held, recipe, shallow.initial(laenet.STREAMS, 0), 0)
    np.testing.assert_array_equal(again.weights.rows, trained.weights.rows)
