"""Classify: feature map → label. Consumes ``Coming`` and ``Mapped`` (PULL), emits ``Classified`` to the supervisor."""

from __future__ import annotations

import functools
import time

import numpy as np

from realtime.config import RecognitionSettings
from realtime.ipc import bus, messages
from realtime.recognition import bundle as bundles
from realtime.recognition.naming import label_of
from realtime.stages.attempts import Attempts
from realtime.stages.runner import StageContext
from realtime.vision.features import FeatureSpec

_POLL_S = 0.25


def run(context: StageContext) -> None:
    """Load and warm the model, then name events until the last has passed."""
    settings = context.settings.recognition
    inbox = bus.Receiver(context.zmq, context.endpoint("classify"))
    context.progress("loading the model")
    bundle = bundles.load(settings.bundle)
    bundles.check_spec(bundle, FeatureSpec())
    for _ in range(3):
        _exercise(bundle)
    card = bundle.card
    context.ready(
        {
            "model": card.name,
            "labels": ", ".join(bundle.labels),
            "digest": card.network.sha256,
            "feature_digest": card.feature_digest,
        }
    )
    attempts = Attempts(context)
    try:
        while not context.stopping.is_set():
            context.beat()
            message = inbox.take(messages.decode_work, _POLL_S)
            if isinstance(message, messages.Ended):
                done_so_far = float(context.row.get("frames"))
                context.drained({"events": done_so_far, "refused": float(inbox.refused)})
            elif isinstance(message, messages.Coming):
                _exercise(bundle)
            elif isinstance(message, messages.Mapped):
                begun = time.monotonic_ns()
                done = attempts.make(message.id, functools.partial(classify, message, bundle, settings))
                if done is not None:
                    context.report(done)
                context.row.put("busy_ns", context.row.get("busy_ns") + time.monotonic_ns() - begun)
                context.row.put("frames", context.row.get("frames") + 1)
    finally:
        inbox.close()


def _exercise(bundle: bundles.Bundle) -> None:
    """Run the network on nothing: events are rare, and after seconds of sleep its first run takes six times as long."""
    bundle.predict(np.full((1, *bundles.MAP_SHAPE), 127.5, np.float32))


def classify(message: messages.Mapped, bundle: bundles.Bundle, settings: RecognitionSettings) -> messages.Classified:
    """The event with its label; the map of a movement that hardly stands out of the noise is not labelled at all."""
    cells = np.frombuffer(message.features, np.float32).reshape(1, *bundles.MAP_SHAPE)
    scores = bundle.predict(cells)[0]
    return messages.Classified(
        id=message.id,
        event=message.event,
        label=label_of(message.event.score, scores, bundle, settings),
        scores={name: float(score) for name, score in zip(bundle.labels, scores, strict=True)},
        capture_ns=message.capture_ns,
        ring_ns=message.ring_ns,
        taken_ns=message.taken_ns,
        spotted_ns=message.spotted_ns,
        mapped_ns=message.sent_ns,
        sent_ns=time.monotonic_ns(),
    )
