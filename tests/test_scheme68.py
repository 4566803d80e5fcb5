"""The 68-point scheme: one table, and anatomically right."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from realtime.synthesis import Portrait
from realtime.vision.face.landmarks import keep_tensorflow_out, to_68
from realtime.vision.face.scheme68 import MESH_TO_68

ROOT = Path(__file__).resolve().parents[1]
RIGHT_BROW, LEFT_BROW = range(17, 22), range(22, 27)


def contour(connections: list) -> set[int]:
    return {point for edge in connections for point in (edge.start, edge.end)}


def test_points_lie_on_mediapipes_own_contours() -> None:
    """Brows on its brow contours, eyes on its eyes', lips on its lips'."""
    keep_tensorflow_out()
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as Contours

    for points, edges in (
        (RIGHT_BROW, Contours.FACE_LANDMARKS_RIGHT_EYEBROW),
        (LEFT_BROW, Contours.FACE_LANDMARKS_LEFT_EYEBROW),
        (range(36, 42), Contours.FACE_LANDMARKS_RIGHT_EYE),
        (range(42, 48), Contours.FACE_LANDMARKS_LEFT_EYE),
        (range(48, 68), Contours.FACE_LANDMARKS_LIPS),
    ):
        assert {MESH_TO_68[point] for point in points} <= contour(edges)


def test_17_and_26_are_the_outer_ends_of_the_brows() -> None:
    points = to_68(Portrait.packaged().mesh)
    assert points[RIGHT_BROW, 0].argmin() == 0
    assert points[LEFT_BROW, 0].argmax() == 4
    assert (np.diff(points[[*RIGHT_BROW, *LEFT_BROW], 0]) > 0).all(), "from the right brow's outer end to the left's"


def test_faces_drawn_and_faces_seen_have_the_same_points() -> None:
    placed = Portrait.packaged().place((640, 480))
    np.testing.assert_array_equal(placed.landmarks, to_68(placed.mesh))


def test_there_is_one_table() -> None:
    """Nowhere else is there a list of 68 mesh points."""
    for path in [path for part in ("realtime", "offline", "bench") for path in (ROOT / part).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Tuple, ast.List)) and path.name != "scheme68.py":
                numbers = [item.value for item in ast.walk(node) if isinstance(item, ast.Constant)]
                assert numbers[:6] != list(MESH_TO_68[:6]), path
