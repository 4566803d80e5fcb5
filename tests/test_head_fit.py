"""Which patches the head's motion is taken from, from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from realtime.vision.face import registration
from realtime.vision.face.head import fit_head
from realtime.vision.face.registration import Anchor


def test_a_patch_that_was_left_out_counts_again_bit_by_bit() -> None:
    """One of thirty was carried away by 3 px, and is back: by ``rise`` a frame, and at once where all may return."""
    rng = np.random.default_rng(3)
    places, heights = rng.uniform(-60, 60, (30, 2)), rng.uniform(20, 80, 30)
    moved, robust, pose = np.zeros((30, 2), np.float32), np.ones(30), np.zeros(6)
    known = places, heights, moved, np.ones(30), 4, 0.03
    moved[7, 1] = 3.0
    fit_head(*known, robust, 0.1, pose)
    assert robust[7] == 0.0
    assert np.delete(robust, 7).min() > 0.9
    moved[7, 1] = 0.0
    for frame in range(1, 4):
        fit_head(*known, robust, 0.1, pose)
        assert robust[7] == pytest.approx(0.1 * frame)
    fit_head(*known, robust, 1.0, pose)
    assert robust[7] > 0.9
    np.testing.assert_allclose(pose, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("held", "others_px", "taken_px"), [(False, 0.25, 0.25), (False, 0.35, 0.3), (True, 0.25, 0.3), (True, 0.1, 0.1)]
)
def test_while_a_strong_expression_is_held_other_patches_must_fit_clearly_better(
    held: bool, others_px: float, taken_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (240, 320), np.uint8)
    mesh = np.column_stack([rng.uniform(100, 220, 478), rng.uniform(60, 180, 478)]).astype(np.float32)
    anchor = Anchor(gray, mesh)
    misfits, rises = iter((0.3, others_px)), []

    def fit(*known: Any) -> float:
        rises.append(known[-2])
        return next(misfits)

    monkeypatch.setattr(registration, "fit_head", fit)
    anchor._fit(np.ones(anchor.layout.rigid), 0.01, held)
    assert anchor.misfit_px == taken_px
    assert rises == [0.01, 1.0], "from the last frame's patches, then from all"
