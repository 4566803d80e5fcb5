"""What of the head's motion a pair of crops keeps, and the two frames of the crop."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import pytest

from realtime.vision.features import FeatureSpec
from realtime.vision.features.crop import apply, compose, crop_transform, invert, mean_crop
from realtime.vision.features.pose_rule import Pose, correction
from realtime.vision.features.relief import parallax, relief

STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
TO_CROP = np.array([[1.2, 0.0, -80.0], [0.0, 1.2, -60.0]])
MIDDLE = np.array([[70.0, 85.0]])


def moved(turn_deg: float = 0.0, growth: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Frame px -> crop px of a head that has so moved about the crop's middle: what registration finds."""
    angle = math.radians(turn_deg)
    turn = growth * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    taken_out = np.column_stack([turn, MIDDLE[0] + np.array(shift) - turn @ MIDDLE[0]])
    return compose(taken_out, TO_CROP)


def rule(registration: str, apex: np.ndarray, offset: np.ndarray = TO_CROP, share: float = 0.5) -> np.ndarray:
    """Frame px -> crop px at the apex by a rule, relative to the onset's."""
    spec = msgspec.structs.replace(FeatureSpec(), registration=registration)
    found = correction([Pose(TO_CROP), Pose(apex), Pose(offset)], share, spec)
    return compose(compose(found.left_in, apex), invert(TO_CROP))


def test_full_takes_everything_out() -> None:
    apex = moved(2, 1.02, (3, 4))
    np.testing.assert_allclose(rule("full", apex), compose(apex, invert(TO_CROP)), atol=1e-9)


def test_translation_leaves_small_turns_and_growths_in() -> None:
    found = rule("translation", moved(0.2, 1.004, (1.5, -0.5)))
    np.testing.assert_allclose(found[:, :2], np.eye(2), atol=1e-9)
    np.testing.assert_allclose(apply(found, MIDDLE), MIDDLE + np.array([1.5, -0.5]), atol=1e-9)


@pytest.mark.parametrize(("turn_deg", "growth"), [(0.3, 1.0), (-0.3, 1.0), (0.0, 1.008), (0.0, 0.992), (1.0, 1.02)])
def test_translation_takes_large_turns_and_growths_out(turn_deg: float, growth: float) -> None:
    apex = moved(turn_deg, growth, (1.0, 0.0))
    np.testing.assert_allclose(rule("translation", apex), compose(apex, invert(TO_CROP)), atol=1e-9)


def test_turn_and_growth_have_each_a_dead_zone_of_their_own() -> None:
    found = rule("translation", moved(1.0, 1.003))
    assert math.sqrt(np.linalg.det(found[:, :2])) == pytest.approx(1.0)
    assert math.degrees(math.atan2(found[1, 0], found[0, 0])) == pytest.approx(1.0)


def test_between_knows_nothing_of_the_apex() -> None:
    """What the expression does to the pose at the apex is not head motion: only onset and offset count."""
    offset = moved(0.0, 1.0, (2.0, 1.0))
    for apex in (moved(), moved(1.0, 1.01, (5.0, 5.0))):
        found = rule("between", apex, offset, share=0.25)
        np.testing.assert_allclose(found, STILL + np.array([[0, 0, 0.5], [0, 0, 0.25]]), atol=1e-9)


def test_between_goes_no_further_than_the_offset() -> None:
    offset = moved(0.0, 1.0, (2.0, 1.0))
    np.testing.assert_allclose(rule("between", moved(), offset, share=1.4), rule("between", moved(), offset, share=1.0))


@pytest.mark.parametrize(("registration", "yaw"), [("full", 0.03), ("translation", 0.03), ("between", 0.01)])
def test_the_turn_goes_by_the_same_rule(registration: str, yaw: float) -> None:
    """Yaw from 0.01 at the onset over 0.04 at the apex to 0.03 at the offset, half of the way."""
    poses = [Pose(TO_CROP, (turned, -turned)) for turned in (0.01, 0.04, 0.03)]
    spec = msgspec.structs.replace(FeatureSpec(), registration=registration, turn=True)
    np.testing.assert_allclose(correction(poses, 0.5, spec).turn, [yaw, -yaw], atol=1e-12)
    off = msgspec.structs.replace(spec, turn=False)
    assert not correction(poses, 0.5, off).turn.any()


def test_relief_follows_the_heights() -> None:
    """A ramp stays a ramp between the mesh's points, and the far field takes the nearest points' height."""
    x, y = np.meshgrid(np.linspace(30, 110, 17), np.linspace(30, 140, 22))
    mesh = np.column_stack([x.ravel(), y.ravel()])
    found = relief(mesh, 0.5 * mesh[:, 0], FeatureSpec())
    assert found.shape == (170, 140)
    np.testing.assert_allclose(found[60:110, 45:95], np.broadcast_to(0.5 * np.arange(45, 95), (50, 50)), atol=1.5)
    assert found[85, 0] < 0.5 * 45
    assert found[85, 139] > 0.5 * 95


def test_a_head_that_turns_is_put_straight() -> None:
    """A picture whose points were carried by parallax gives the crop of the head at rest."""
    rng = np.random.default_rng(5)
    rest = cv2.GaussianBlur(rng.uniform(0, 255, (170, 140)).astype(np.float32), (0, 0), 4)
    rest = cv2.normalize(rest, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    spec = FeatureSpec()
    mesh = np.column_stack([rng.uniform(0, 140, 478), rng.uniform(0, 170, 478)])
    heights = 40 * np.exp(-(((mesh - [70, 85]) / 40) ** 2).sum(1))
    carried = parallax(np.array([0.05, -0.03]), mesh, heights, spec)
    assert carried is not None
    assert 1 < np.abs(carried).max() < 2.1
    x, y = np.meshgrid(np.arange(140, dtype=np.float32), np.arange(170, dtype=np.float32))
    turned = cv2.remap(rest, x - carried[..., 0], y - carried[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    off = np.abs(turned.astype(float) - rest)[10:-10, 10:-10].mean()
    straight = mean_crop([(turned, STILL)], spec, carried).astype(float)
    assert np.abs(straight - rest)[10:-10, 10:-10].mean() < off / 3
    assert parallax(np.zeros(2), mesh, heights, spec) is None


def face(right: tuple[float, float], left: tuple[float, float]) -> np.ndarray:
    """(68, 2) landmarks whose eyes' centres are these; the rest is anywhere."""
    points = np.random.default_rng(3).uniform(100, 300, (68, 2))
    ring = np.column_stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)])
    points[36:42], points[42:48] = right + 9 * ring, left + 9 * ring
    return points


@pytest.mark.parametrize(
    ("right", "left"), [((200, 180), (264, 180)), ((310.5, 200), (380, 230)), ((90, 70), (70, 10))]
)
def test_the_eyes_lie_where_the_public_maps_have_them(right: tuple[float, float], left: tuple[float, float]) -> None:
    """At (31.1, 46.4) and (108.9, 46.4) of 140×170, however the face lies in the picture."""
    spec = FeatureSpec(frame="eyes")
    to_crop = crop_transform(face(right, left), spec)
    eyes = apply(to_crop, np.array([right, left], float))
    np.testing.assert_allclose(eyes, [[31.1, 46.4], [108.9, 46.4]], atol=0.05)
    along, down = np.linalg.norm(to_crop[0, :2]), np.linalg.norm(to_crop[1, :2])
    assert along == pytest.approx(down, rel=0.01), "practically a similarity"


def test_the_papers_frame_is_the_landmarks_box() -> None:
    spec = FeatureSpec(frame="landmarks")
    points = face((200, 180), (264, 180))
    inside = apply(crop_transform(points, spec), points)
    np.testing.assert_allclose(inside.min(0), [5, 25], atol=1e-6)
    np.testing.assert_allclose(inside.max(0), [135, 170], atol=1e-6)


def test_the_digest_tells_frames_and_rules_apart() -> None:
    variants = [
        FeatureSpec(frame="landmarks"),
        FeatureSpec(frame="eyes", eyes_down=0.5),
        FeatureSpec(registration="full"),
        FeatureSpec(registration="translation"),
        FeatureSpec(registration="between"),
        FeatureSpec(registration="between", eye_mask=True),
        FeatureSpec(registration="between", eye_mask=False),
    ]
    assert len({spec.digest() for spec in variants}) >= len(variants) - 1
