"""Bundles: what loads, what is refused, and that TensorFlow stays out until one is loaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from realtime.errors import BundleError, InputError
from realtime.recognition import bundle
from realtime.vision.features import FeatureSpec


@pytest.fixture(scope="module")
def built_in() -> bundle.Bundle:
    return bundle.load("laenet-composite")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.find("laenet-composite"), tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    file = folder / bundle.CARD_FILE
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | changes))


def test_built_in_bundle_answers_with_probabilities(built_in: bundle.Bundle) -> None:
    maps = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)
    scores = built_in.predict(maps)
    assert scores.shape == (5, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(scores[3], built_in.predict(maps[3:4].astype(np.float64))[0], atol=1e-6)
    assert built_in.predict(np.zeros((0, 28, 28, 3))).shape == (0, 3)


def test_every_built_in_bundle_serves_the_cameras_features() -> None:
    names = bundle.builtin_names()
    assert "laenet-composite" in names
    for name in names:
        loaded = bundle.load(name)
        bundle.check_spec(loaded, FeatureSpec())
        assert loaded.card.metrics["full"]["uf1"]["mean"] > 0.6
        assert 0 < loaded.threshold < 1


def test_the_cards_figures_are_the_tables() -> None:
    """What a built-in card says of its model is what the table of docs/benchmarks.md is drawn from."""
    file = Path(__file__).resolve().parents[1] / "bench" / "results" / "recognition.json"
    rows = {row["model"]: row for row in msgspec.json.decode(file.read_bytes())["rows"]}
    for name in bundle.builtin_names():
        card = bundle.load(name).card
        anew = ", re-cut" if any("cut anew" in note for note in card.notes) else ""
        row = rows[name.removesuffix("-composite") + anew]
        assert card.parameters == row["parameters"]
        for part, measured in row["metrics"].items():
            for metric, value in measured.items():
                assert card.metrics[part][metric]["mean"] == pytest.approx(value["mean"], abs=1e-6)


def test_the_cards_say_how_far_the_training_maps_agree_with_the_cameras() -> None:
    """The figures are those of docs/benchmarks.md, the frame is the spec's."""
    file = Path(__file__).resolve().parents[1] / "bench" / "results" / "labels_real_motion.json"
    heads = msgspec.json.decode(file.read_bytes())["heads"]
    for name in bundle.builtin_names():
        card = bundle.load(name).card
        (note,) = [note for note in card.notes if "published by others" in note]
        assert f"{card.feature_spec['eyes_width']:g} of their distances wide" in note
        for head, found in heads.items():
            stage = "live, as shipped" + ("" if "cut anew" in note else "; SAMM's maps as published")
            (row,) = [row for row in found["rows"] if row["stage"] == stage]
            for channel, value in row["correlation"].items():
                (said,) = re.findall(rf"{head} head.*?{channel} (0\.\d\d)", note)
                assert float(said) == pytest.approx(value, abs=0.0051), (head, channel)


def test_a_weak_score_is_uncertain(built_in: bundle.Bundle) -> None:
    low = np.array([0.34, 0.33, 0.33], np.float32)
    sure = np.array([0.0, 0.0, 1.0], np.float32)
    assert built_in.label(low) == "uncertain"
    assert built_in.label(sure) == "surprise"
    assert built_in.label(low, threshold=0.0) == built_in.labels[0]
    assert built_in.label(sure, threshold=1.01) == "uncertain"


@pytest.mark.parametrize("shape", [(28, 28, 3), (1, 3, 28, 28), (1, 28, 28, 2)])
def test_wrong_shapes_are_refused(built_in: bundle.Bundle, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \(n, 28, 28, 3\)"):
        built_in.predict(np.zeros(shape))


def test_other_features_are_refused_by_field(built_in: bundle.Bundle) -> None:
    other = FeatureSpec(eye_mask=True, crop_width=150)
    with pytest.raises(BundleError) as caught:
        bundle.check_spec(built_in, other)
    message = str(caught.value)
    assert "crop_width (bundle 140, here 150)" in message
    assert "eye_mask (bundle False, here True)" in message
    assert "margin" not in message
    assert "\n" not in message


def test_a_damaged_network_is_refused(copy: Path) -> None:
    file = copy / "network.tflite"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256"):
        bundle.load(copy)


def test_a_missing_network_is_refused(copy: Path) -> None:
    (copy / "network.tflite").unlink()
    with pytest.raises(BundleError, match="missing"):
        bundle.load(copy)


def test_an_edited_feature_spec_is_refused(copy: Path) -> None:
    spec = msgspec.json.decode((copy / bundle.CARD_FILE).read_bytes())["feature_spec"]
    edit(copy, feature_spec=spec | {"margin_top_px": 20.0})
    with pytest.raises(BundleError, match="digest"):
        bundle.load(copy)


def test_a_bundle_of_the_old_frame_is_refused_in_one_line(copy: Path) -> None:
    """As 0.2.0 had it: cropped by the landmarks' box, with all of the head's motion taken out."""
    card = msgspec.json.decode((copy / bundle.CARD_FILE).read_bytes())
    new = {"frame", "eyes_width", "eyes_height", "eyes_down", "registration", "least_turn_deg", "least_growth", "turn"}
    old = {name: value for name, value in card["feature_spec"].items() if name not in new}
    digest = bundle.sha256(msgspec.json.encode(old, order="deterministic"))
    edit(copy, feature_spec=old, feature_digest=digest)
    with pytest.raises(BundleError, match=r"older version.* lacks eyes_down.*registration.*train it again") as caught:
        bundle.load(copy)
    assert "\n" not in str(caught.value)


def test_a_feature_spec_of_another_version_is_refused(copy: Path) -> None:
    spec = msgspec.json.decode((copy / bundle.CARD_FILE).read_bytes())["feature_spec"]
    edit(copy, feature_spec=spec | {"colour": True})
    with pytest.raises(BundleError, match="colour"):
        bundle.load(copy)


def test_cards_with_unknown_keys_or_other_inputs_are_refused(copy: Path) -> None:
    edit(copy, author="me")
    with pytest.raises(BundleError, match="author"):
        bundle.load(copy)


def test_a_network_outside_the_folder_is_refused(copy: Path) -> None:
    network = msgspec.json.decode((copy / bundle.CARD_FILE).read_bytes())["network"]
    edit(copy, network=network | {"file": "../other.tflite"})
    with pytest.raises(BundleError, match="missing"):
        bundle.load(copy)


def test_the_folder_of_a_run_will_do(copy: Path) -> None:
    copy.rename(copy.parent / "bundle")
    assert bundle.find(copy.parent) == copy.parent / "bundle"


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(BundleError, match="laenet-composite"):
        bundle.load("nothing-like-this")


def test_importing_costs_no_tensorflow() -> None:
    code = "import sys, realtime.recognition.bundle; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_noise_in_the_labels_makes_every_score_less_sure(copy: Path) -> None:
    maps = np.random.default_rng(0).uniform(0, 255, (5, 28, 28, 3))

    def scores(noise: float) -> np.ndarray:
        edit(copy, noise=noise)
        return bundle.load(copy).predict(maps)

    np.testing.assert_allclose(scores(0.3), 0.7 * scores(0.0) + 0.1, atol=1e-6)
    with pytest.raises(BundleError, match="noise"):
        scores(1.0)
