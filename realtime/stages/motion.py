"""Motion: spotted event → feature map. Consumes ``Spotted`` (PULL), emits ``Moved`` (PUSH).

TV-L1 between the onset's and the apex' crop, optical strain, eye mask, 28×28×3: one call of
``realtime.vision.features``, the same that made the training data.
"""

from __future__ import annotations

import time

import numpy as np

from realtime.ipc import bus, codec
from realtime.stages.runner import StageContext
from realtime.vision import features, flow

_POLL_S = 0.25


def run(context: StageContext) -> None:
    """Warm the flow up, then turn crops into maps until the last event has passed."""
    backend, reason = flow.resolve_backend(context.settings.flow.backend)
    spec = features.FeatureSpec()
    inbox = bus.Receiver(context.zmq, context.endpoint("motion"))
    outbox = bus.Sender(context.zmq, context.endpoint("classify"))
    context.progress(f"compiling the flow ({backend})")
    warm_up(spec, backend)
    context.ready({"flow_backend": backend, "flow_reason": reason})
    try:
        while not context.stopping.is_set():
            context.beat()
            data = inbox.receive(_POLL_S)
            if data is None:
                continue
            message = codec.decode_work(data)
            if isinstance(message, codec.Ended):
                outbox.send(message)
                context.drained({"events": float(context.row.get("frames"))})
            elif isinstance(message, codec.Spotted):
                begun = time.monotonic_ns()
                outbox.send(move(message, spec, backend))
                context.row.put("busy_ns", context.row.get("busy_ns") + time.monotonic_ns() - begun)
                context.row.put("frames", context.row.get("frames") + 1)
    finally:
        inbox.close()
        outbox.close()


def move(message: codec.Spotted, spec: features.FeatureSpec, backend: flow.Backend) -> codec.Moved:
    """The event with its feature map instead of its crops."""
    landmarks = np.frombuffer(message.landmarks, np.float32).reshape(68, 2)
    onset, apex = codec.unpack_picture(message.onset), codec.unpack_picture(message.apex)
    cells = features.feature_map(onset, apex, landmarks, spec, backend)
    return codec.Moved(
        id=message.id,
        event=message.event,
        features=cells.tobytes(),
        capture_ns=message.capture_ns,
        ring_ns=message.ring_ns,
        taken_ns=message.taken_ns,
        spotted_ns=message.sent_ns,
        sent_ns=time.monotonic_ns(),
    )


def warm_up(spec: features.FeatureSpec, backend: flow.Backend) -> None:
    """Compile every kernel on a moved random texture."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (spec.crop_height, spec.crop_width), np.uint8)
    second = np.roll(first, 1, axis=0)
    landmarks = np.full((68, 2), 40, np.float32) + rng.uniform(0, 20, (68, 2)).astype(np.float32)
    for _ in range(2):
        features.feature_map(first, second, landmarks, spec, backend)
