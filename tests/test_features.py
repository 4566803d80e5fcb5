"""Feature map: crop pair and landmarks to 28×28×3, and the spec's digest."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from realtime.errors import InputError
from realtime.vision.features import FeatureSpec, feature_map, maps
from realtime.vision.flow import TvL1Params, strain

HEIGHT, WIDTH = 170, 140


def landmarks():
    """(68, 2): two eyes where a face has them, the rest anywhere."""
    points = np.random.default_rng(2).uniform(20, 120, (68, 2))
    angles = np.arange(6) * np.pi / 3
    for centre, eye in (((45, 65), 36), ((95, 65), 42)):
        points[eye : eye + 6] = np.column_stack([12 * np.cos(angles), 4 * np.sin(angles)]) + centre
    return points


def crops(shift=(1, 0), seed=0):
    noise = np.random.default_rng(seed).normal(size=(HEIGHT + 20, WIDTH + 20)).astype(np.float32)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    moved = np.roll(image, (shift[1], shift[0]), axis=(0, 1))
    return image[10:-10, 10:-10], moved[10:-10, 10:-10]


def bulge(amplitude_px=1.5):
    """A flow that fades out from a point on the cheek."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    hill = amplitude_px * np.exp(-((x - 60) ** 2 + (y - 120) ** 2) / (2 * 15.0**2))
    return np.dstack([hill, -0.5 * hill]).astype(np.float32)


def test_shape_dtype_and_range():
    cells = feature_map(*crops(), landmarks())
    assert cells.shape == (28, 28, 3)
    assert cells.dtype == np.float32
    np.testing.assert_allclose(cells.min(axis=(0, 1)), 0.0, atol=1e-4)
    np.testing.assert_allclose(cells.max(axis=(0, 1)), 255.0, atol=1e-3)
    assert cells.max() <= 255.0


def test_a_still_face_has_no_range():
    image, _ = crops()
    cells = feature_map(image, image, landmarks())
    np.testing.assert_array_equal(cells[..., :2], 127.5)
    np.testing.assert_array_equal(cells[..., 2], 0.0)


def test_channels_are_u_v_strain_and_peak_where_the_movement_is():
    cells = maps.map_from_flow(bulge(), landmarks())
    peak = np.unravel_index(cells[..., 0].argmax(), (28, 28))
    assert abs(peak[0] - 120 * 28 / HEIGHT) < 1.5
    assert abs(peak[1] - 60 * 28 / WIDTH) < 1.5
    trough = np.unravel_index(cells[..., 1].argmin(), (28, 28))
    assert trough == peak
    np.testing.assert_allclose(cells[..., 0] + cells[..., 1], 255.0, atol=0.1)
    masked_cells = maps.map_from_flow(bulge(), landmarks(), FeatureSpec(eye_mask=True, strain_px=0.0))
    expected = maps.stretch(maps.reduce_map(masked(np.dstack([bulge(), strain(bulge())]))))
    np.testing.assert_allclose(masked_cells, expected, atol=1e-3)


def masked(stack):
    stack = stack.copy()
    stack[maps.eye_mask(landmarks())] = 0.0
    return stack


def test_mirrored_flow_mirrors_u_as_in_the_public_maps():
    spec = FeatureSpec(eye_mask=False)
    flow = bulge()
    mirrored = flow[:, ::-1] * np.float32([-1, 1])
    cells = maps.map_from_flow(flow, landmarks(), spec)[:, ::-1]
    other = maps.map_from_flow(np.ascontiguousarray(mirrored), landmarks(), spec)
    np.testing.assert_allclose(other[..., 0], 255.0 - cells[..., 0], atol=0.01)
    np.testing.assert_allclose(other[..., 1:], cells[..., 1:], atol=0.01)


def test_eyes_are_masked_and_nothing_else():
    points = landmarks()
    mask = maps.eye_mask(points)
    assert mask[65, 45]
    assert mask[65, 95]
    assert not mask[65, 70]
    assert not mask[80:].any()
    assert not mask[:55].any()
    tight = maps.eye_mask(points, FeatureSpec(eye_margin_px=0))
    assert tight.sum() < mask.sum()
    assert not (tight & ~mask).any()


def test_what_happens_in_the_eyes_does_not_count():
    points = landmarks()
    flow = bulge()
    blink = flow.copy()
    blink[maps.eye_mask(points, FeatureSpec(eye_margin_px=0))] += 9.0
    # strain reads the neighbours, so the margin has to cover them too
    spec = FeatureSpec(eye_mask=True)
    unmoved = maps.map_from_flow(flow, points, spec)
    np.testing.assert_allclose(maps.map_from_flow(blink, points, spec), unmoved, atol=1e-3)
    seen = maps.map_from_flow(blink, points, FeatureSpec(eye_mask=False))
    assert np.abs(seen - unmoved).max() > 50


def test_eyes_outside_the_crop_are_no_error():
    points = landmarks() - 500
    assert not maps.eye_mask(points).any()


def test_area_reduction_is_the_mean_over_exact_areas():
    for size in (140, 170, 28, 31):
        weights = maps.area_weights(size, 28)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_allclose(weights.sum(axis=0), 28 / size, atol=1e-6)
    image = np.random.default_rng(0).normal(size=(170, 140, 3)).astype(np.float32)
    expected = cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(maps.reduce_map(image), expected, atol=1e-5)


def test_batch_is_the_same_as_one_by_one():
    first, second = crops((1, 0)), crops((0, 1), seed=1)
    points = landmarks()
    onsets, apexes = (np.stack(side) for side in zip(first, second, strict=True))
    found = maps.feature_maps(onsets, apexes, np.stack([points, points]))
    np.testing.assert_array_equal(found[1], feature_map(*second, points))
    with pytest.raises(InputError):
        maps.feature_maps(onsets, apexes[:1], points[None])


def darkened(image, share=0.12):
    """A wide shadow over the lower right, as a fold or a turned lamp casts it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shadow = 1 - share * np.exp(-((x - 95) ** 2 + (y - 120) ** 2) / (2 * 25.0**2))
    return np.clip(np.rint(image * shadow), 0, 255).astype(np.uint8)


LIGHT_LEFT_IN = FeatureSpec(detail_px=0.0, flow=TvL1Params.live())


def test_a_shadow_is_no_movement():
    face = np.clip(90 + 0.4 * crops()[0], 0, 255).astype(np.uint8)
    taken, left = (np.abs(maps.flow_crops(face, darkened(face), spec)).mean() for spec in (None, LIGHT_LEFT_IN))
    assert taken < 0.05
    assert left > 2 * taken  # or the case would not show anything


def test_a_movement_beneath_a_shadow_is_measured():
    face, moved = (np.clip(90 + 0.4 * one, 0, 255).astype(np.uint8) for one in crops((1, 0)))
    error = [np.abs(maps.flow_crops(face, darkened(moved), spec) - [1.0, 0.0]) for spec in (None, LIGHT_LEFT_IN)]
    inside = np.s_[15:-15, 15:-15]
    assert error[0][inside].mean() < 0.1
    assert error[0][inside].mean() < error[1][inside].mean()


def test_detail_is_what_a_wide_gaussian_leaves():
    from scipy.ndimage import gaussian_filter

    face, spec = crops()[0], FeatureSpec()
    found = maps.detail(face, spec)
    coarse = gaussian_filter(face.astype(np.float64), spec.detail_px, mode="mirror")
    assert np.abs(found - np.clip(2 * (face - coarse) + 128, 0, 255)).max() < 1.0
    np.testing.assert_array_equal(maps.detail(np.full((170, 140), 77, np.uint8), spec), 128)
    assert maps.detail(face, LIGHT_LEFT_IN) is face


def test_flow_apart_gives_the_same_map():
    onset, apex = crops()
    found = maps.map_from_flow(maps.flow_crops(onset, apex), landmarks())
    np.testing.assert_array_equal(found, feature_map(onset, apex, landmarks()))


@pytest.mark.parametrize(
    ("onset", "apex", "points"),
    [
        (np.zeros((171, 140), np.uint8), np.zeros((170, 140), np.uint8), landmarks()),
        (np.zeros((170, 140), np.uint8), np.zeros((140, 170), np.uint8), landmarks()),
        (np.zeros((170, 140), np.uint16), np.zeros((170, 140), np.uint8), landmarks()),
        (np.zeros((170, 140), np.uint8), np.zeros((170, 140), np.uint8), landmarks()[:67]),
        (np.zeros((170, 140), np.uint8), np.zeros((170, 140), np.uint8), landmarks() * np.nan),
    ],
)
def test_bad_input_is_refused(onset, apex, points):
    with pytest.raises(InputError):
        feature_map(onset, apex, points)


def test_digest_follows_every_field():
    digest = FeatureSpec().digest()
    assert len(digest) == 64
    assert FeatureSpec().digest() == digest
    changes = [
        {"crop_height": 171},
        {"margin_top_px": 24.0},
        {"eye_mask": True},
        {"frame": "landmarks"},
        {"eyes_down": 0.5},
        {"registration": "translation"},
        {"turn": False},
        {"average_s": 0.0},
        {"detail_px": 0.0},
        {"strain_px": 0.0},
        {"eye_margin_px": 3},
        {"map_size": 32},
        {"flow": TvL1Params.ipol()},
        {"flow": msgspec.structs.replace(TvL1Params.live(), epsilon=0.02)},
    ]
    assert len({digest, *(FeatureSpec(**change).digest() for change in changes)}) == len(changes) + 1


def test_spec_survives_json_and_refuses_unknown_keys():
    spec = FeatureSpec(flow=TvL1Params.opencv(), eye_margin_px=4)
    again = msgspec.json.decode(msgspec.json.encode(spec), type=FeatureSpec)
    assert again == spec
    assert again.digest() == spec.digest()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"eyemask": true}', type=FeatureSpec)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"channels": ["v", "u", "strain"]}', type=FeatureSpec)
