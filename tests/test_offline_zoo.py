"""A model is one file, also with a trainer of its own: this test is such a file, from training to bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from _offline_data import made_maps
from _offline_runs import run

from offline.commands import cli, evaluate, models
from offline.evaluation.published import BY_ACCURACY, BY_METHOD
from offline.evaluation.results import read_predictions, read_results
from offline.evaluation.splits import loso
from offline.export import litert
from offline.files import write_npz
from offline.inputs import Made, flow_map
from offline.training.protocol import Entry, Fitted, Job, Task, Trainer
from offline.zoo import ZOO, register
from realtime.errors import ConfigError
from realtime.recognition import bundle
from realtime.vision.features import FeatureSpec

# --- what a new file in offline/zoo/ would hold -------------------------------------------------------------


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sharply the distances count."""

    sharpness: float = 1.0


class NearestMean(Trainer):
    """Each class is the mean of its maps; the nearest one wins."""

    name = "nearest mean"
    seeded = False

    def parameters(self, recipe: Any, chosen: str | None = None) -> int:
        return 3 * 28 * 28 * 3

    def fit(self, task: Task) -> Fitted:
        maps, label = task.data.maps / 255, task.data.label
        scores = np.full((len(maps), 3), np.nan, np.float32)
        for number, held in enumerate(task.held_out, 1):
            means = np.stack([maps[~held & (label == c)].mean(0) for c in range(3)])
            if held.any():
                far = ((maps[held, None] - means) ** 2).sum((2, 3, 4))
                powers = np.exp(-task.job.recipe.sharpness * (far - far.min(1, keepdims=True)))
                scores[held] = powers / powers.sum(1, keepdims=True)
            task.progress(number)
        write_npz(task.state / f"means-{task.seed}.npz", means=means.astype(np.float32))
        return Fitted(scores)

    def serve(self, job: Job, state: Path, seed: int, factor: float) -> bytes:
        import tensorflow as tf

        with np.load(state / f"means-{seed}.npz") as saved:
            means = saved["means"]

        def logits(maps: Any) -> Any:
            far = tf.reduce_sum((maps[:, None] / 255 - means) ** 2, axis=(2, 3, 4))
            return -job.recipe.sharpness * far

        return litert.to_litert(logits, factor)


MODEL = Entry(name="nearest-mean", source="this test", trainer=NearestMean(), recipe=Recipe())

# ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def registered() -> Iterator[None]:
    register(MODEL)
    yield
    del ZOO[MODEL.name]


@pytest.mark.usefixtures("registered")
def test_a_model_with_a_new_trainer_goes_from_training_to_bundle(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--dataset", "flowmaps", "--data", maps, "--model", "nearest-mean", "--seeds", 3,
                 "--set", "sharpness=0.5", "--out", tmp_path / "run"]  # fmt: skip
    assert run(*arguments) == 0
    results = read_results(tmp_path / "run")
    assert (results.model, results.parameters, results.selection) == ("nearest-mean", 7056, "none")
    assert results.config["recipe"] == {"sharpness": 0.5}
    assert results.seeds == [0]  # nothing random: one seed says it all
    assert results.metrics["full"]["uf1"]["mean"] > 0.8

    data = made_maps(6, 9)  # one fold by hand
    (fold,) = [fold for fold in loso(data.person) if fold.name == "made/s02"]
    train = data.maps[fold.train] / 255
    means = np.stack([train[data.label[fold.train] == c].mean(0) for c in range(3)])
    expected = ((data.maps[fold.test, None] / 255 - means) ** 2).sum((2, 3, 4)).argmin(1)
    read = read_predictions(tmp_path / "run")
    own = read.person == "made/s02"
    order = np.argsort([data.clip[i] for i in fold.test])
    np.testing.assert_array_equal(read.predicted[0][own], expected[order])

    served = bundle.load(tmp_path / "run" / "bundle")
    assert (served.predict(data.maps).argmax(1) == data.label).mean() > 0.8
    assert "one seed" not in served.card.protocol
    assert "seed" not in served.card.protocol

    def again(*_: object) -> Fitted:
        raise AssertionError("trained again")

    monkeypatch.setattr(NearestMean, "fit", again)
    assert run(*arguments) == 0


@pytest.mark.usefixtures("registered")
def test_a_new_trainers_settings_are_checked_like_the_others(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--dataset", "flowmaps", "--data", maps, "--model", "nearest-mean", "--out", tmp_path / "run"]
    refused = {
        "keys are sharpness": ["--set", "epochs=3"],
        "sharpness": ["--set", "sharpness=much"],
        "has no variants": ["--variant", "nested"],
        "leave out --pretrain": ["--pretrain", "flowmaps", "--pretrain-data", maps],
    }
    for message, words in refused.items():
        assert run(*given, *words) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("registered")
def test_a_registered_model_is_listed_and_stands_in_the_table_of_runs(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(models.main, []) == 0
    assert "nearest mean" in capsys.readouterr().out
    for model, name in (("nearest-mean", "a"), ("pooled-flow", "b")):
        arguments = ["--dataset", "flowmaps", "--data", maps, "--model", model, "--out", tmp_path / name]
        assert run(*arguments, *(["--variant", "mean-abs-w7"] if name == "b" else [])) == 0
    assert cli.run(evaluate.main, [str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "pooled-flow (b) − nearest-mean (a)" in " ".join(capsys.readouterr().out.split())


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="laenet"):
        register(msgspec.structs.replace(MODEL, name="laenet"))
    assert ZOO["laenet"].source == "Lien and Chiang 2020"
    assert register(ZOO["laenet"]) is ZOO["laenet"]


def test_each_file_of_the_zoo_with_a_model_is_in_it() -> None:
    folder = Path(models.__file__).parents[1] / "zoo"
    files = {file.stem for file in folder.glob("*.py") if "\nMODEL = " in file.read_text()}
    assert files <= {name.replace("-", "_") for name in ZOO}
    several = {file.stem for file in folder.glob("*.py") if "\nMODELS = " in file.read_text()}
    assert several == {"alexnet", "squeezenet", "googlenet", "applications", "vggm"}
    assert len(ZOO) == len(files) + 3 + 2 + 2 + 7 + 11
    assert all(entry.published is None or entry.published in BY_METHOD for entry in ZOO.values())
    assert all(entry.accuracy is None or entry.accuracy in BY_ACCURACY for entry in ZOO.values())


def test_the_flow_map_is_an_input_like_any_other() -> None:
    shown = flow_map.FlowMap(FeatureSpec(map_size=14))
    assert (shown.shape, shown.title) == ((14, 14, 3), "14×14×3 u, v, strain")
    assert flow_map.INPUT.digest() == FeatureSpec().digest() != shown.digest()


def test_an_input_of_one_file_is_prepared_like_the_flow_map(tmp_path: Path) -> None:
    """The apex's face: made, cached under its own digest, and told apart from the flow maps."""
    from offline.commands import prepare
    from offline.datasets import synthetic
    from offline.datasets.common import Clip
    from offline.datasets.mapping import FollowedClip
    from offline.inputs import each_frame

    class ApexFace(msgspec.Struct, frozen=True):
        spec: FeatureSpec = FeatureSpec()
        name: str = "apex-face"
        title: str = "170×140 gray"
        shape: tuple[int, ...] = (170, 140)

        def digest(self) -> str:
            return f"{self.name}-{self.spec.digest()}"

        def make(self, clip: Clip, detect: Callable[[Any], Any], frames: int = 1) -> Made:
            followed = FollowedClip(clip, detect, self.spec)
            return each_frame(followed, frames, lambda number: followed.pair(number).apex.astype(np.float32))

    loaded = synthetic.load(tmp_path / "faces", subjects=1, clips_each=1)
    (clip,) = loaded.clips
    faces = prepare.prepare(loaded, tmp_path / "cache", ApexFace(), workers=1)
    assert faces.maps.shape == (1, 170, 140)
    assert faces.maps.std() > 20  # a face, not a grey plane
    assert faces.feature_digest.startswith("apex-face")
    assert prepare.clip_key(clip, ApexFace()) != prepare.clip_key(clip, flow_map.INPUT)
