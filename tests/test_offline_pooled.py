"""Linear machines on pooled flow: resumed as whole, features as by hand, served as trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _offline_data import made_maps

from offline.evaluation.splits import loso
from offline.training import pooled_flow
from offline.training.batches import mirror
from realtime.recognition import bundle


def test_a_killed_pooled_run_goes_on_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled_flow, "COSTS", (1.0,))
    monkeypatch.setattr(pooled_flow, "CHECKPOINT_FOLDS", 2)
    data = made_maps(5, 6, noise=2.0)
    held = np.stack([fold.held_out() for fold in loso(data.person)])

    def once(**options: Any) -> pooled_flow.Pooled:
        return pooled_flow.train_folds(data.maps, data.label, held, data.person, **options)

    def kill(fold: int) -> None:
        if fold == 3:
            raise KeyboardInterrupt

    whole = once()
    with pytest.raises(KeyboardInterrupt):
        once(checkpoint=tmp_path / "part.npz", on_fold=kill)
    folds: list[int] = []
    resumed = once(checkpoint=tmp_path / "part.npz", on_fold=folds.append)
    assert folds == [3, 4, 5]
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.chosen == whole.chosen


def test_features_kept_once_have_the_inner_products_of_all() -> None:
    """Against the plain mean of map and mirrored map, no feature left out."""
    maps = made_maps(2, 6, noise=2.0).maps
    for shape in pooled_flow.VARIANTS["all-w47"].shapes:
        d = pooled_flow.Descriptor(shape, "std", True)
        plain = np.mean([_plain_features(m, d) for m in (maps, mirror(maps))], axis=0)
        folded = pooled_flow.describe(maps, d)
        assert folded.shape[1] == shape.size < 0.57 * plain.shape[1]
        np.testing.assert_allclose(folded @ folded.T, plain @ plain.T, rtol=1e-4)


def _plain_features(maps: np.ndarray, d: pooled_flow.Descriptor) -> np.ndarray:
    centred = maps - np.median(maps, axis=(1, 2), keepdims=True)
    centred = centred / np.sqrt((centred**2).mean((1, 2), keepdims=True))
    turns = 2 * np.pi * np.arange(d.shape.directions) / d.shape.directions
    along = [np.maximum(centred[..., 0] * np.cos(t) + centred[..., 1] * np.sin(t), 0) for t in turns]
    channels = np.stack([*along, centred[..., 2]], -1)
    windows = np.lib.stride_tricks.sliding_window_view(channels, (d.shape.window,) * 2, (1, 2))
    means = windows[:, :: d.shape.stride, :: d.shape.stride].mean((-1, -2))
    return (np.sign(means) * np.sqrt(np.abs(means))).reshape(len(maps), -1)


@pytest.mark.parametrize("variant", ["all-w47", "centred-w4", "none-w7"])
def test_pooled_flow_as_served_is_pooled_flow_as_trained(variant: str) -> None:
    from offline.export.litert import function_to_litert

    data = made_maps(4, 6)
    nobody = np.zeros((1, len(data)), bool)
    machines = pooled_flow.train_folds(data.maps, data.label, nobody, data.person, variant).machines
    served = pooled_flow.serving_function(list(machines), variant, 1.5)
    network = bundle._interpreter(function_to_litert(served), Path("test"))
    where, out = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]
    margins = [
        pooled_flow.describe(data.maps, d) @ m.weights + m.bias
        for d, m in zip(pooled_flow.descriptors(variant), machines, strict=True)
    ]
    expected = pooled_flow.softmax(1.5 * np.mean(margins, axis=0))
    for i in range(len(data)):
        network.set_tensor(where, data.maps[i : i + 1])
        network.invoke()
        np.testing.assert_allclose(network.get_tensor(out)[0], expected[i], atol=1e-5)
