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


def test_points_are_a_copy_and_what_the_library_holds_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a look, also where reading fails."""
    mesh = FaceMesh()
    closed = []
    free = mesh._task._lib.MpFaceLandmarkerCloseResult
    monkeypatch.setattr(mesh._task._lib, "MpFaceLandmarkerCloseResult", lambda r: (closed.append(1), free(r))[1])
    mesh._ask = mesh_points.looker(mesh._task)
    seen = []
    read = mesh_points._read
    monkeypatch.setattr(mesh_points, "_read", lambda *words: seen.append(read(*words)) or seen[-1])
    try:
        assert len(mesh.detect_all(GRAY)) == 1
        assert seen[0].base is None  # no view of the library's memory
        before = len(closed)
        monkeypatch.setattr(mesh_points, "_read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mesh.detect_all(GRAY)
        assert (before, len(closed)) == (1, 2)
    finally:
        mesh.close()


def test_several_faces_and_none() -> None:
    face = GRAY[20:260, 100:360]
    two, none = np.hstack([face, face[:, ::-1]]), np.full_like(face, 128)
    mesh = FaceMesh(faces=2)
    try:
        left, right = sorted(mesh.detect_all(two), key=lambda face: float(face.mesh[:, 0].mean()))
        assert mesh.detect_all(none) == []
    finally:
        mesh.close()
    assert left.mesh[:, 0].max() < face.shape[1] < right.mesh[:, 0].min()


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
