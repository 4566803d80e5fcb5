"""Motion: spotted event → feature map. Consumes ``Spotted`` (PULL), emits ``Coming`` and ``Mapped`` (PUSH).

TV-L1 between the onset's and the apex' crop, optical strain, eye mask, 28×28×3: one call of
``realtime.vision.features``, the same that made the training data. In dense mode the time between events goes to
flow and strain of the other frames (``dense.py``).
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import numpy as np
import zmq

from realtime.ipc import bus, messages
from realtime.stages.attempts import Attempts
from realtime.stages.runner import StageContext
from realtime.vision import flow
from realtime.vision.features import maps
from realtime.vision.jit import leave_blas_out

if TYPE_CHECKING:
    from realtime.stages.dense import DenseWorker

_POLL_MS = 250


def run(context: StageContext) -> None:
    """Warm the flow up, then turn crops into maps until the last event has passed."""
    leave_blas_out()
    backend, reason = flow.resolve_backend(context.settings.flow.backend)
    spec = maps.FeatureSpec()
    inbox = bus.Receiver(context.zmq, context.endpoint("motion"))
    context.progress(f"compiling the flow ({backend})")
    warm_up(spec, backend)
    dense = None
    if context.settings.flow.dense:
        from realtime.stages.dense import DenseWorker

        warm_up_dense(spec, backend)
        order = context.wait_ring()
        if order is None:
            return
        dense = DenseWorker(context, order.ring, backend)
    context.ready({"flow_backend": backend, "flow_reason": reason})
    Motion(context, inbox, spec, backend, dense).run()


class Motion:
    """State of a running motion stage."""

    def __init__(
        self,
        context: StageContext,
        inbox: bus.Receiver,
        spec: maps.FeatureSpec,
        backend: flow.Backend,
        dense: DenseWorker | None,
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._outbox = bus.Sender(context.zmq, context.endpoint("classify"))
        self._spec, self._backend, self._dense = spec, backend, dense
        self._attempts = Attempts(context)
        self._poller = zmq.Poller()
        self._poller.register(inbox.socket, zmq.POLLIN)
        if dense is not None:
            self._poller.register(dense.poses.socket, zmq.POLLIN)

    def run(self) -> None:
        """Events first: one waits for one dense frame at most."""
        row = self._context.row
        try:
            while not self._context.stopping.is_set():
                self._context.beat()
                if not self._poller.poll(_POLL_MS):
                    continue
                begun = time.monotonic_ns()
                message = self._inbox.take(messages.decode_work)
                if message is not None:
                    self._handle(message)
                elif self._dense is not None:
                    self._dense.step()
                row.put("busy_ns", row.get("busy_ns") + time.monotonic_ns() - begun)
        finally:
            self._inbox.close()
            self._outbox.close()
            if self._dense is not None:
                self._dense.close()

    def _handle(self, message: messages.Work) -> None:
        row = self._context.row
        if isinstance(message, messages.Ended):
            self._outbox.send(message)
            figures = self._dense.figures() if self._dense is not None else {}
            own = {"events": float(row.get("frames")), "refused": float(self._inbox.refused)}
            self._context.drained(own | figures)
        elif isinstance(message, messages.Spotted):
            self._outbox.send(messages.Coming(id=message.id))
            mapped = self._attempts.make(message.id, functools.partial(map_event, message, self._spec, self._backend))
            if mapped is not None:
                self._outbox.send(mapped)
            row.put("frames", row.get("frames") + 1)


def map_event(message: messages.Spotted, spec: maps.FeatureSpec, backend: flow.Backend) -> messages.Mapped:
    """The event with its feature map instead of its crops."""
    landmarks = np.frombuffer(message.landmarks, np.float32).reshape(68, 2)
    onset, apex = messages.unpack_picture(message.onset), messages.unpack_picture(message.apex)
    cells = maps.feature_map(onset, apex, landmarks, spec, backend)
    return messages.Mapped(
        id=message.id,
        event=message.event,
        features=cells.tobytes(),
        capture_ns=message.capture_ns,
        ring_ns=message.ring_ns,
        taken_ns=message.taken_ns,
        spotted_ns=message.sent_ns,
        sent_ns=time.monotonic_ns(),
    )


def warm_up(spec: maps.FeatureSpec, backend: flow.Backend) -> None:
    """Compile every kernel on a moved random texture."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (spec.crop_height, spec.crop_width), np.uint8)
    second = np.roll(first, 1, axis=0)
    landmarks = np.full((68, 2), 40, np.float32) + rng.uniform(0, 20, (68, 2)).astype(np.float32)
    for _ in range(2):
        maps.feature_map(first, second, landmarks, spec, backend)


def warm_up_dense(spec: maps.FeatureSpec, backend: flow.Backend) -> None:
    """Compile what dense mode uses."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (spec.crop_height, spec.crop_width), np.uint8)
    dense = flow.DenseFlow(first, backend=backend)
    for _ in range(2):
        flow.strain(dense.push(np.roll(first, 1, axis=0)), backend)
