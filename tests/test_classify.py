"""The label of an event: what its map says, where the movement stands out of the noise far enough to say anything."""

from __future__ import annotations

import time

import numpy as np
import pytest
from _lines import EVENT
from msgspec import structs

from realtime.config import RecognitionSettings
from realtime.ipc import messages
from realtime.recognition import bundle
from realtime.recognition.naming import label_of
from realtime.stages.classify import classify

SURE = np.array([0.02, 0.03, 0.95], np.float32)
LEAST = RecognitionSettings().least_spot_score


@pytest.fixture(scope="module")
def model() -> bundle.Bundle:
    return bundle.load("laenet-composite")


@pytest.mark.parametrize(
    ("score", "settings", "label"),
    [
        (LEAST - 0.01, RecognitionSettings(), "uncertain"),
        (LEAST, RecognitionSettings(), "surprise"),
        (40.0, RecognitionSettings(least_spot_score=41.0), "uncertain"),
        (0.5, RecognitionSettings(least_spot_score=0.0), "surprise"),
        (40.0, RecognitionSettings(threshold=0.96), "uncertain"),
    ],
)
def test_a_faint_movement_is_not_labelled_however_sure_the_model_is(
    score: float, settings: RecognitionSettings, label: str, model: bundle.Bundle
) -> None:
    assert label_of(score, SURE, model, settings) == label


def mapped(score: float) -> messages.Mapped:
    cells = np.random.default_rng(3).uniform(0, 255, (28, 28, 3)).astype(np.float32)
    return messages.Mapped(
        id=4, event=structs.replace(EVENT, score=score), features=cells.tobytes(),
        capture_ns=0, ring_ns=0, taken_ns=0, spotted_ns=0, sent_ns=0,
    )  # fmt: skip


def test_the_scores_are_told_all_the_same(model: bundle.Bundle) -> None:
    settings = RecognitionSettings(threshold=0.0)
    faint, clear = (classify(mapped(score), model, settings) for score in (LEAST - 0.01, LEAST + 0.01))
    assert faint.label == "uncertain"
    assert clear.label in model.labels
    assert faint.scores == clear.scores
    assert sum(faint.scores.values()) == pytest.approx(1.0, abs=1e-6)


def test_an_event_is_named_within_a_millisecond(model: bundle.Bundle) -> None:
    message, settings, taken = mapped(20.0), RecognitionSettings(), []
    for _ in range(200):
        begun = time.perf_counter()
        classify(message, model, settings)
        taken.append(time.perf_counter() - begun)
    assert np.median(taken) < 1e-3  # p99 is bench/latency.py's, on a machine with nothing else to do
