"""The networks of the papers: counted as printed, and each learns maps whose class shows."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps

from offline.training import sequential
from offline.training.batches import NetworkRecipe, learning_rate
from offline.training.networks import Network, counted
from offline.training.protocol import Task
from offline.zoo import ZOO, get, vggm
from offline.zoo.capsulenet import margin_loss

NETWORKS = [name for name, entry in ZOO.items() if isinstance(entry.trainer, Network)]
SMALL = {
    "alexnet": {"size": 67}, "alexnet-one-tower": {"size": 67},
    "squeezenet": {"size": 48, "epochs": 40, "learning_rate": 3e-4},
    "googlenet": {"size": 48, "learning_rate": 5e-4, "epochs": 30}, "vgg16": {"size": 32, "learning_rate": 1e-4},
    "resnet50": {"size": 32}, "mobilenet-v2": {"size": 32, "epochs": 40}, "efficientnet-b0": {"size": 32, "epochs": 40},
    "capsulenet": {"size": 40, "epochs": 8}, "dual-inception": {"epochs": 10}, "nmer": {"size": 40, "epochs": 12},
    "vggm": {"size": 51}, "vggm-spp4-after2": {"size": 51, "epochs": 12}, "vggm-spp5-small-after1": {"size": 51},
}  # fmt: skip
"""Pictures small enough for a test; a network is built the same way at any size."""
LONG = (
    "resnet50", "mobilenet-v2", "efficientnet-b0", "alexnet", "alexnet-one-tower", "vgg16", "vggm",
    "vggm-spp5-small-after1", "googlenet", "nmer", "vggm-spp4-after2",
)  # fmt: skip
"""TensorFlow traces them for longer than they learn, and CI has little time: only with MEREALTIME_LONG=1."""


def build(name: str, **more: Any) -> Any:
    import keras

    keras.backend.clear_session()
    return get(name).trainer.build(get(name).input.shape, **more)


@pytest.mark.parametrize("name", [n for n in NETWORKS if not n.endswith("-frames") and not n.startswith("vggm-")])
def test_parameters_are_those_of_the_list(name: str) -> None:
    entry = get(name)
    model = build(name)
    assert counted(model) == entry.parameters
    assert model.output_shape == (None, 3)
    if entry.trainer.note:  # with a thousand classes, as the papers count
        head = [layer for layer in model.layers if layer.weights][-1]
        own = head.count_params()
        assert own % 3 == 0
        assert f"{counted(model) - own + own // 3 * 1000:,}" in entry.trainer.note
    faces = ZOO.get(f"{name}-frames")
    if faces is not None:  # grey is shown three times
        assert faces.parameters == entry.parameters


@pytest.mark.parametrize(("branches", "after"), sorted(vggm.PARAMETERS))
def test_pyramids_have_their_branches(branches: str, after: int) -> None:
    name = f"vggm-spp{branches}-after{after}"
    model = build(name)
    assert counted(model) == get(name).parameters == vggm.PARAMETERS[branches, after]
    side, width = (33, 96) if after == 1 else (13, 256)
    kernels = vggm.KERNELS[branches]
    assert model.get_layer("spp").output.shape == (None, side, side, width * (1 + len(kernels)))
    for kernel in kernels:
        assert model.get_layer(f"spp{kernel}_pool").pool_size == (kernel, kernel)


def test_layer_sizes_are_those_of_table_2() -> None:
    model = build("vggm")
    sizes = {f"{kind}{n}": model.get_layer(f"{kind}{n}").output.shape[1:] for kind, n in
             (("conv", 1), ("pool", 1), ("conv", 2), ("pool", 2), ("conv", 5), ("pool", 5))}  # fmt: skip
    assert sizes == {
        "conv1": (35, 35, 96), "pool1": (33, 33, 96), "conv2": (15, 15, 256), "pool2": (13, 13, 256),
        "conv5": (13, 13, 512), "pool5": (6, 6, 512),
    }  # fmt: skip
    assert (vggm.RECIPE.optimizer, vggm.RECIPE.learning_rate, vggm.RECIPE.batch) == ("adamax", 1e-4, 64)
    assert vggm.RECIPE.epochs == 120
    assert {learning_rate(vggm.RECIPE, step, 100) for step in (0, 50, 99)} == {1e-4}  # no warm-up, no cosine


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_each_learns_a_set_that_can_be_told_apart(name: str) -> None:
    """Trained on two people, tried on a third; blobs of motion in three places."""
    if name in LONG and not os.environ.get("MEREALTIME_LONG"):
        pytest.skip("takes long; MEREALTIME_LONG=1 runs it")
    import keras

    keras.backend.clear_session()
    data, entry = made_maps(3, 9, noise=0.1), get(name)
    held = (data.person == "made/s02")[None]
    changes = {"epochs": 20, "batch": 9, "learning_rate": 1e-3, "dropout": 0.0, "shift_px": 0, "mirror": False}
    recipe = msgspec.structs.replace(entry.recipe, **(changes | SMALL[name]))
    task = Task(_job(name, recipe), data, held, 0, None, lambda done: None)  # type: ignore[arg-type]

    def made(dropout: float) -> Any:
        return entry.trainer.build((28, 28, 3), classes=3, dropout=dropout, size=recipe.size)

    scores, losses, _ = sequential.train_folds(
        made, data.maps, data.label, held, recipe, 0, stepper_of=entry.trainer.stepper(task)
    )
    assert (scores[held[0]].argmax(1) == data.label[held[0]]).mean() > 0.75
    assert losses[-1] < 0.5 * losses[0]


def _job(name: str, recipe: NetworkRecipe) -> Any:
    from offline.training.fit import Job

    return Job(entry=get(name), recipe=recipe)


def test_the_margin_loss_is_none_where_capsules_agree_and_counts_each_clips_weight() -> None:
    targets = np.array([[1.0, 0, 0], [0, 2.0, 0]], np.float32)
    right = np.log(np.array([[0.99, 0.01, 0.01], [0.01, 0.99, 0.01]], np.float32))
    assert float(margin_loss(targets, right)) == pytest.approx(0, abs=1e-6)
    wrong = right[:, [1, 0, 2]]
    by_hand = (0.99 - 0.01) ** 2 + 0.5 * (0.99 - 0.01) ** 2
    assert float(margin_loss(targets, wrong)) == pytest.approx((by_hand + 2 * by_hand) / 2, rel=1e-4)


@pytest.mark.parametrize("kind", ["adam", "adamax", "sgdm"])
def test_the_optimiser_is_the_recipes(kind: str) -> None:
    made = sequential.optimizer_of(NetworkRecipe(optimizer=kind))  # type: ignore[arg-type]
    assert type(made).__name__.lower() == {"sgdm": "sgd"}.get(kind, kind)
    assert getattr(made, "momentum", 0.9) == 0.9
