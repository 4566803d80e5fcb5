"""Metrics and paired tests: against scikit-learn, against the paper's tables, against what must be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from offline.evaluation.compare import by_person, paired_test
from offline.evaluation.metrics import confusion, metrics
from offline.evaluation.published import BY_ACCURACY, ROWS
from offline.zoo import ZOO
from realtime.errors import UserError


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    label, called = random.integers(0, 3, 200), random.integers(0, 3, 200)
    ours = metrics(confusion(label, called))
    assert ours["acc"] == pytest.approx(accuracy_score(label, called))
    assert ours["uf1"] == pytest.approx(f1_score(label, called, average="macro"))
    assert ours["uar"] == pytest.approx(recall_score(label, called, average="macro"))
    precision = precision_score(label, called, average="macro")
    assert ours["f1"] == pytest.approx(2 * precision * ours["uar"] / (precision + ours["uar"]))


TABLE_6 = {
    # rows negative, positive, surprise: recognition rates of LAENet, per cent, and how many clips there are
    "full": ([[89.60, 7.2, 3.2], [31.19, 61.47, 7.34], [22.89, 6.02, 71.08]], [250, 109, 83]),
    "smic": ([[77.14, 15.71, 7.14], [29.41, 62.75, 7.84], [34.88, 9.30, 55.81]], [70, 51, 43]),
    "casme2": ([[95.45, 4.55, 0], [15.63, 78.13, 6.25], [0, 0, 100]], [88, 32, 25]),
    "samm": ([[93.48, 3.26, 3.26], [53.85, 38.46, 7.69], [26.67, 6.67, 66.67]], [92, 26, 15]),
}


def counts_of(part: str) -> np.ndarray:
    rates, clips = TABLE_6[part]
    return np.rint(np.array(rates) / 100 * np.array(clips)[:, None]).astype(int)


@pytest.mark.parametrize("part", TABLE_6)
def test_the_papers_table_6_gives_its_table_4(part: str) -> None:
    published = next(row for row in ROWS if row.method == "LAENet")
    uf1, uar = getattr(published, part)
    ours = metrics(counts_of(part))
    assert ours["uf1"] == pytest.approx(uf1, abs=6e-5)
    assert ours["uar"] == pytest.approx(uar, abs=6e-5)


def test_the_papers_accuracy_and_f1_follow_too() -> None:
    ours = metrics(counts_of("full"))
    assert ours["acc"] == pytest.approx(0.7919, abs=6e-5)
    assert ours["f1"] == pytest.approx(0.7597, abs=6e-5)


def test_a_class_without_clips_does_not_count() -> None:
    ours = metrics([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert ours["uar"] == pytest.approx((0.8 + 0.9) / 2)


# LAENet paper, table 4, as in the project's reference; the last two rows are from their own papers
PRINTED = """
LBP-TOP         .5882 .5785  .2000 .5280  .7026 .7429  .3954 .4102
Bi-WOOF         .6296 .6227  .5727 .5829  .7805 .8026  .5211 .5139
OFF-ApexNet     .7196 .7096  .6817 .6695  .8764 .8681  .5409 .5392
AlexNet         .6933 .7154  .6201 .6373  .7994 .8312  .6104 .6642
SqueezeNet      .5930 .6166  .5381 .5603  .6894 .7278  .5039 .5362
GoogLeNet       .5573 .6049  .5123 .5511  .5989 .6414  .5124 .5992
VGG16           .6425 .6516  .5800 .5964  .8166 .8202  .4870 .4793
NMER            .7885 .7824  .7461 .7530  .8293 .8209  .7754 .7152
CapsuleNet      .6520 .6506  .5820 .5877  .7068 .7018  .6209 .5989
Dual-Inception  .7322 .7278  .6645 .6726  .8621 .8560  .5868 .5663
STSTNet         .7353 .7605  .6801 .7013  .8382 .8686  .6588 .6810
LAENet          .7568 .7405  .6620 .6523  .9101 .9119  .6814 .6620
HTNet           .8603 .8475  .8049 .7905  .9532 .9516  .8131 .8124
CausalNet       .8976 .9020  .8390 .8452  .9811 .9858  .8780 .8582
"""


def test_published_rows_are_as_printed() -> None:
    printed = {line.split()[0]: [float(cell) for cell in line.split()[1:]] for line in PRINTED.strip().splitlines()}
    ours = {}
    for row in ROWS:
        pairs = (row.full, row.smic, row.casme2, row.samm)
        ours[row.method.split()[0]] = [value for pair in pairs if pair is not None for value in pair]
    assert ours == printed
    assert {row.method.split()[0] for row in ROWS if row.leaky} == {"NMER", "HTNet", "CausalNet"}


def test_models_name_rows_that_are_published() -> None:
    named = {entry.published for entry in ZOO.values() if entry.published}
    later = {"HTNet", "CausalNet"}  # papers after the three that are implemented here
    assert named == {row.method for row in ROWS} - later
    assert {n for n, e in ZOO.items() if not e.published and not e.accuracy} == {
        "pooled-flow", "fusion", "resnet50", "mobilenet-v2", "efficientnet-b0",
    }  # fmt: skip
    assert {entry.accuracy for entry in ZOO.values() if entry.accuracy} == set(BY_ACCURACY)


def make(random: np.random.Generator, right: float, people: np.ndarray, label: np.ndarray) -> np.ndarray:
    called = np.where(random.random(len(label)) < right, label, random.integers(0, 3, len(label)))
    return by_person(people, label, called[None])


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return np.repeat([f"p{i}" for i in range(40)], 8), random.integers(0, 3, 320)


def test_a_clear_difference_is_found(world: tuple[np.ndarray, np.ndarray]) -> None:
    random = np.random.default_rng(1)
    test = paired_test(make(random, 0.8, *world), make(random, 0.4, *world), rounds=2000)
    assert test.difference > 0.2
    assert test.p_value < 0.01
    assert test.low > 0
    assert test.low <= test.difference <= test.high


def test_equal_models_are_not_told_apart(world: tuple[np.ndarray, np.ndarray]) -> None:
    """Under no difference p-values are uniform: a twentieth of them lies below 0.05."""
    random = np.random.default_rng(2)
    values = [
        paired_test(make(random, 0.6, *world), make(random, 0.6, *world), rounds=200, seed=i).p_value for i in range(60)
    ]
    assert np.mean(np.array(values) < 0.05) < 0.15
    assert np.mean(values) == pytest.approx(0.5, abs=0.15)


def test_a_model_against_itself_is_a_draw(world: tuple[np.ndarray, np.ndarray]) -> None:
    one = make(np.random.default_rng(3), 0.6, *world)
    test = paired_test(one, np.concatenate([one, one]), rounds=200)
    assert test.difference == pytest.approx(0)
    assert test.p_value == 1


def test_other_subjects_can_not_be_paired(world: tuple[np.ndarray, np.ndarray]) -> None:
    one = make(np.random.default_rng(3), 0.6, *world)
    with pytest.raises(UserError, match="paired"):
        paired_test(one, one[:, 1:])
