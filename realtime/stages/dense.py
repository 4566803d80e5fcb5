"""Dense mode, motion's half: flow and strain of each frame whose pose the spotter sent (``poses.py``).

Consumes ``Pose`` (SUB) and the ring, emits ``Dense`` (PUB), some 20 a second. Lossy throughout: a pose that motion did
not come to, or whose frame had left the ring, counts as dropped.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from realtime.ipc import bus, messages
from realtime.ipc.ring import RingReader
from realtime.stages.runner import StageContext
from realtime.vision.face.regions import ROI_NAMES
from realtime.vision.features import FeatureSpec
from realtime.vision.features.crop import crop
from realtime.vision.features.region_flow import DenseMeter, RegionFlow
from realtime.vision.flow import Backend

_RATE_NS = 1_000_000_000
_MOST_BEHIND = 32  # frames


class DenseWorker:
    """A pose, its frame from the ring, flow and strain; some 20 times a second a message."""

    def __init__(self, context: StageContext, ring: str, backend: Backend) -> None:
        self.poses = bus.Subscriber(context.zmq, context.endpoint("poses"), messages.decode_pose)
        self.frames = 0
        self.dropped = 0
        self._reader = RingReader.attach(ring)
        self._most_behind = max(1, min(_MOST_BEHIND, self._reader.slots // 2))
        self._ticks = bus.Broadcaster(context.zmq, context.endpoint("ticks"))
        self._tick_ns = int(1e9 / context.settings.output.tick_hz)
        self._next_tick_ns = 0
        self._meter = DenseMeter(context.settings.spot.reference_window_s, backend)
        self._spec = FeatureSpec()
        self._done: deque[int] = deque()
        self._seq = 0

    def step(self) -> None:
        """Measure one frame, if a pose has come."""
        pose = self._next_pose()
        if pose is None:
            return
        found = self._measure(pose)
        if found is None:
            self.dropped += 1
            return
        self.frames += 1
        now = time.monotonic_ns()
        self._done.append(now)
        while now - self._done[0] > _RATE_NS:
            self._done.popleft()
        if now >= self._next_tick_ns:
            self._next_tick_ns = now + self._tick_ns
            self._tick(pose, found)

    def _next_pose(self) -> messages.Pose | None:
        """Each in turn, so that a stutter costs nothing; the newest when the ring has run too far ahead."""
        pose = self.poses.receive()
        if pose is None or self._reader.count - pose.index <= self._most_behind:
            return pose
        while (newer := self.poses.receive()) is not None:
            self.dropped += 1
            pose = newer
        return pose

    def _measure(self, pose: messages.Pose) -> RegionFlow | None:
        """None where the frame has left the ring."""
        if pose.index >= self._reader.count:
            return None
        view = self._reader.view(pose.index)
        if view is None:
            return None
        transform = np.frombuffer(pose.transform, np.float64).reshape(2, 3)
        face = crop(view[0], transform, self._spec)
        if not self._reader.still_valid(pose.index):
            return None
        mesh: NDArray[np.float32] = np.frombuffer(pose.mesh, np.float32).reshape(-1, 2)
        return self._meter.push(face, pose.t_ns, pose.anchor, mesh, pose.resting)

    def _tick(self, pose: messages.Pose, found: RegionFlow) -> None:
        self._ticks.send(
            messages.Dense(
                seq=self._seq,
                frame=pose.frame,
                t_ns=pose.t_ns,
                strain=dict(zip(ROI_NAMES, found.strain.tolist(), strict=True)),
                flow=dict(zip(ROI_NAMES, map(tuple, found.flow.tolist()), strict=True)),
                fps=round(self.fps, 1),
                dropped=self.dropped + self.poses.lost,
            )
        )
        self._seq += 1

    @property
    def fps(self) -> float:
        """Frames a second, over the last second."""
        span_ns = self._done[-1] - self._done[0] if self._done else 0
        return (len(self._done) - 1) * 1e9 / span_ns if span_ns else 0.0

    def figures(self) -> dict[str, float]:
        """The account, for the summary."""
        return {"dense_frames": float(self.frames), "dense_dropped": float(self.dropped + self.poses.lost)}

    def close(self) -> None:
        self.poses.close()
        self._ticks.close()
        self._reader.close()
