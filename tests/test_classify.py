"""The label of an event: what its map says, where the movement stands out of the noise far enough to say anything."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from _lines import EVENT
from msgspec import structs

from realtime.config import RecognitionSettings, Settings
from realtime.ipc import bus, messages
from realtime.recognition import bundle
from realtime.recognition.naming import label_of
from realtime.stages import classify as classify_stage
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


class Context:
    """What a stage gets from the runner: real sockets, no supervisor."""

    def __init__(self, directory: Path) -> None:
        self.stage, self.settings = "classify", Settings()
        self.zmq: zmq.Context[Any] = zmq.Context()
        self.directory = directory
        self.reports: list[messages.Message] = []
        self.counters: dict[str, int] = {}
        self.row = SimpleNamespace(get=lambda name: self.counters.get(name, 0), put=self.counters.__setitem__)
        self.stopping, self.is_ready = threading.Event(), threading.Event()
        self.drains: list[dict[str, float]] = []

    def endpoint(self, name: str) -> str:
        return bus.address(self.directory, name)

    def report(self, message: messages.Message) -> None:
        self.reports.append(message)

    def progress(self, what: str) -> None:
        pass

    def ready(self, about: dict[str, str]) -> None:
        self.is_ready.set()

    def beat(self) -> None:
        pass

    def drained(self, detail: dict[str, float]) -> None:
        self.drains.append(detail)
        self.stopping.set()


def test_the_network_is_awake_when_the_map_comes(model: bundle.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on nothing once when a map is announced, and that is no event."""
    runs: list[float] = []
    predict = bundle.Bundle.predict

    def noted(self: bundle.Bundle, maps: np.ndarray) -> np.ndarray:
        runs.append(float(maps.std()))
        return predict(self, maps)

    monkeypatch.setattr(bundle.Bundle, "predict", noted)
    folder = bus.make_directory("merealtime-test-")
    context = Context(folder)
    thread = threading.Thread(target=classify_stage.run, args=(context,))
    thread.start()
    assert context.is_ready.wait(60)
    warmed = len(runs)
    sender = bus.Sender(context.zmq, context.endpoint("classify"))
    for message in (messages.Coming(id=4), mapped(20.0), messages.Ended(stage="motion")):
        sender.send(message)
    thread.join(20)
    assert not thread.is_alive()
    assert [spread == 0.0 for spread in runs[warmed:]] == [True, False]
    assert [message.id for message in context.reports if isinstance(message, messages.Classified)] == [4]
    assert context.counters["frames"] == 1
    assert context.drains == [{"events": 1.0, "refused": 0.0}]
    sender.close()
    context.zmq.destroy(linger=0)
    bus.remove_directory(folder)
