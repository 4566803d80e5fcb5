"""MediaPipe's landmarks read from its memory: the same numbers as in its public way, and that way where it differs."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.synthesis import Portrait
from realtime.vision.face import mesh_points
from realtime.vision.face.landmarks import FaceMesh

GRAY = Portrait.packaged().gray


def test_both_ways_read_the_same_points() -> None:
    """Bit for bit, mesh and depth."""
    ours, theirs = FaceMesh(), FaceMesh()
    theirs._ask = mesh_points._by_objects(theirs._task)
    try:
        assert ours._ask.__qualname__.startswith("_in_place"), "this MediaPipe is built otherwise: frames wait for it"
        found, again = ours.detect_all(GRAY), theirs.detect_all(GRAY)
    finally:
        ours.close()
        theirs.close()
    assert len(found) == len(again) == 1
    assert found[0].mesh.shape == (478, 2)
    assert np.ptp(found[0].mesh, axis=0).min() > 50.0
    np.testing.assert_array_equal(found[0].mesh, again[0].mesh)
    np.testing.assert_array_equal(found[0].depth, again[0].depth)


def test_points_outlive_the_call() -> None:
    """They are a copy: the library frees its own."""
    mesh = FaceMesh()
    try:
        first = mesh.detect_all(GRAY)[0].mesh
        kept = first.copy()
        mesh.detect_all(np.ascontiguousarray(GRAY[:, ::-1]))
        assert mesh.detect_all(np.zeros_like(GRAY)) == []
    finally:
        mesh.close()
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("missing", ["_lib", "_handle"])
def test_a_package_that_is_built_otherwise_is_asked_its_public_way(missing: str) -> None:
    """Another version may have no such members."""

    class Task:
        _lib = type("", (), {"MpFaceLandmarkerDetectForVideo": None, "MpFaceLandmarkerCloseResult": None})
        _handle = None

        def detect_for_video(self, image: object, t_ms: int) -> object:
            point = type("", (), {"x": 0.25, "y": 0.5, "z": -0.125})
            return type("", (), {"face_landmarks": [[point] * 3]})

    delattr(Task, missing)
    (points,) = mesh_points.looker(Task())(None, 1)
    np.testing.assert_array_equal(points, [[0.25, 0.5, -0.125]] * 3)
