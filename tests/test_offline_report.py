"""The report: what its sections say of right and wrong, and where there is no learning curve."""

from __future__ import annotations

import numpy as np
from _offline_data import made_maps

from offline import report
from offline.fit import Fitted

DATA = made_maps(3, 6)


def test_curves_without_held_out_ones_and_without_epochs() -> None:
    scores = np.full((len(DATA), 3), 1 / 3, np.float32)
    losses = np.array([1.0, 0.5, 0.25], np.float32)
    held_out = np.repeat(scores[None], 3, 0)
    both = report._curves([Fitted(scores, held_out, losses)], DATA.label)
    assert "<svg" in both
    assert "Held-out curves are shown" in both
    one = report._curves([Fitted(scores, losses=losses)], DATA.label)
    assert "<svg" in one
    assert "No held-out curve" in one
    assert one.count('id="axes_') == 1 < both.count('id="axes_') == 2
    none = report._curves([Fitted(scores)], DATA.label)
    assert "<svg" not in none
    assert "Nothing here is trained in epochs" in none
