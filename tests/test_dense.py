"""Dense mode: strain and flow of each region in every frame, from poses and the ring to the ticks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq

from realtime.config import load
from realtime.errors import BackendError, InputError
from realtime.ipc import bus, messages
from realtime.ipc.ring import FrameHeader, RingWriter
from realtime.stages import motion as motion_stage
from realtime.stages.attempts import Attempts
from realtime.stages.dense import DenseWorker
from realtime.stages.poses import PoseSender
from realtime.supervisor import cleanup
from realtime.synthesis import Portrait, SynthesisSettings, TruthEvent, generate_clip
from realtime.types import SpotEvent
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.face.regions import ROI_NAMES, ROI_OUTLINE, region_masks
from realtime.vision.features import FeatureSpec
from realtime.vision.features.region_flow import DenseMeter
from realtime.vision.spotting.face_meter import FaceMeter

H, W, FPS = 360, 480, 200.0
ONE_MOVEMENT = SynthesisSettings(amplitude_px=(2.0, 2.0), event_gap_s=(0.9, 1.3))


class Context:
    """What a stage gets from the runner: real sockets, no supervisor."""

    def __init__(self, directory: Path, stage: str = "motion") -> None:
        self.zmq: zmq.Context[Any] = zmq.Context()
        self.directory, self.stage = directory, stage
        self.settings = load(overrides={"flow.dense": True, "flow.backend": "cpu", "output.tick_hz": 1000.0})
        self.reports: list[messages.Message] = []
        self.counters: dict[str, int] = {}
        self.row = SimpleNamespace(get=lambda name: self.counters.get(name, 0), put=self.counters.__setitem__)
        self.stopping = threading.Event()
        self.drains: deque[dict[str, float]] = deque()

    def endpoint(self, name: str) -> str:
        return bus.address(self.directory, name)

    def report(self, message: messages.Message) -> None:
        self.reports.append(message)

    def beat(self) -> None:
        pass

    def drained(self, detail: dict[str, float]) -> None:
        self.drains.append(detail)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    folder = bus.make_directory("merealtime-test-")
    made = Context(folder)
    yield made
    made.zmq.destroy(linger=0)
    bus.remove_directory(folder)


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    with RingWriter.create(f"{cleanup.session_prefix()}dense-ring", 8, H, W) as made:
        yield made


def pose(index: int, seq: int | None = None) -> messages.Pose:
    """The face in the middle, as large as the crop."""
    transform = np.array([[1.0, 0.0, -170.0], [0.0, 1.0, -95.0]])
    mesh = np.random.default_rng(0).uniform(0, 140, (478, 2)).astype(np.float32)
    return messages.Pose(
        seq=index if seq is None else seq, frame=index, index=index, t_ns=index * 5_000_000,
        transform=transform.tobytes(), mesh=mesh.tobytes(), anchor=1, resting=True,
    )  # fmt: skip


def give(worker: DenseWorker, sender: bus.Broadcaster, message: messages.Pose) -> None:
    sender.send(message)
    assert worker.poses.socket.poll(5000)
    worker.step()


def connect(worker: DenseWorker, sender: bus.Broadcaster) -> None:
    """Send until something comes: PUB/SUB loses what is sent before it is connected."""
    while not worker.poses.socket.poll(50):
        sender.send(pose(0))
    while worker.poses.socket.poll(100):
        worker.poses.receive()


def put(ring: RingWriter, frame: np.ndarray, number: int) -> int:
    ring.reserve()[:] = frame
    return ring.commit(number, number * 5_000_000, time.monotonic_ns())


def test_strain_rises_with_a_known_movement(context: Context, ring: RingWriter) -> None:
    """Spotter's end → sockets and ring → motion's end → ticks, frame by frame."""
    frames, truth = generate_clip(Portrait.packaged(), 5, 3, FPS, ONE_MOVEMENT, (W, H))
    ticks = bus.Listener(context.zmq, context.endpoint("ticks"))
    worker = DenseWorker(context, ring.name, "cpu")  # type: ignore[arg-type]
    meter = FaceMeter(context.settings.spot, FPS, FaceMesh())
    sender = PoseSender(context, meter)  # type: ignore[arg-type]
    measured: dict[int, messages.Dense] = {}
    try:
        for number, frame in enumerate(frames):
            index = put(ring, frame, number)
            meter.process(frame, number, number * 5_000_000)
            header = FrameHeader(index, number, number * 5_000_000, 0)
            sender.send(header)
            while number == 0 and not worker.poses.socket.poll(100):  # until it is connected
                sender.send(header)
            assert worker.poses.socket.poll(5000)
            worker.step()
            while number == 0 and worker.poses.socket.poll(100):
                worker.poses.receive()
            while isinstance(tick := ticks.receive(), messages.Dense):
                measured[tick.frame] = tick
    finally:
        meter.close()
        worker.close()
        sender.close()
        ticks.close()
    assert (worker.frames, worker.dropped) == (600, 0)
    _check_rise(measured, truth)


def _check_rise(measured: dict[int, messages.Dense], truth: list[TruthEvent]) -> None:
    assert truth
    still = [m for n, m in measured.items() if n > 30 and all(not e.onset - 20 < n < e.offset + 20 for e in truth)]
    assert len(still) > 50
    for event in truth:
        side = {"AU4": "eye_brow", "AU1+2": "eye_brow", "AU9": "nose"}.get(event.au, "mouth")
        regions = [name for name in ROI_NAMES if name.endswith(side)]
        near = [m for n, m in measured.items() if abs(n - event.apex) <= 5]
        assert near
        for value in (lambda m, r: m.strain[r], lambda m, r: float(np.hypot(*m.flow[r]))):
            rest = np.median([max(value(m, r) for r in regions) for m in still])
            assert np.median([max(value(m, r) for r in regions) for m in near]) > 2 * rest


def test_the_reference_follows_a_face_at_rest_and_stands_still_in_a_movement() -> None:
    rng = np.random.default_rng(1)
    texture = np.kron(rng.integers(0, 256, (45, 35)), np.ones((4, 4))).astype(np.uint8)
    first, moved = texture[:170, :138], texture[:170, 2:140]  # 2 px to the left
    mesh = rng.uniform(0, 138, (478, 2)).astype(np.float32)
    meter = DenseMeter(0.1)
    assert np.abs(meter.push(first, 0, 1, mesh, True).flow).max() < 0.05
    moving = [meter.push(moved, n * 5_000_000, 1, mesh, False).flow[:, 0].copy() for n in range(1, 80)]
    assert np.median(moving[-1]) < -1.5
    for n in range(80, 240):
        rest = meter.push(moved, n * 5_000_000, 1, mesh, True)
    assert np.abs(rest.flow).max() < 0.2
    assert np.abs(meter.push(first, 240 * 5_000_000, 2, mesh, False).flow).max() < 0.05, "a new anchor, a new reference"


def test_regions_lie_within_their_outlines_and_apart() -> None:
    mesh = np.random.default_rng(3).uniform(10, 130, (478, 2)).astype(np.float32)
    masks = region_masks(mesh, 170, 140)
    assert masks.shape == (len(ROI_NAMES), 170, 140)
    assert masks.sum(0).max() == 1
    for mask, name in zip(masks, ROI_NAMES, strict=True):
        if not mask.any():
            continue
        low, high = mesh[list(ROI_OUTLINE[name])].min(0), mesh[list(ROI_OUTLINE[name])].max(0)
        y, x = np.nonzero(mask)
        pixels = np.stack([x, y], 1)
        assert (pixels >= low - 1).all()
        assert (pixels <= high + 1).all()


def test_poses_that_never_came_and_frames_that_left_the_ring_are_dropped(context: Context, ring: RingWriter) -> None:
    worker = DenseWorker(context, ring.name, "cpu")  # type: ignore[arg-type]
    sender = bus.Broadcaster(context.zmq, context.endpoint("poses"))
    frame = np.random.default_rng(2).integers(0, 256, (H, W), np.uint8)
    put(ring, frame, 0)
    connect(worker, sender)
    give(worker, sender, pose(0))
    assert (worker.frames, worker.dropped, worker.poses.lost) == (1, 0, 0)
    for number in range(1, 13):
        put(ring, frame, number)
    give(worker, sender, pose(2))  # 1 never came; the ring holds 8 frames and is at 13
    assert (worker.frames, worker.dropped, worker.poses.lost) == (1, 1, 1)
    give(worker, sender, pose(100))  # a pose of a frame that is not there yet cannot be
    assert (worker.frames, worker.dropped) == (1, 2)
    give(worker, sender, pose(12, seq=0))  # a spotter that was started again counts anew
    assert (worker.frames, worker.dropped) == (2, 2)
    assert worker.figures() == {"dense_frames": 2.0, "dense_dropped": float(2 + 1 + 97)}
    for number in (8, 9, 10, 12):  # behind by 5, more than half of the ring: on to the newest
        sender.send(pose(number, seq={8: 1, 9: 2, 10: 3, 12: 4}[number]))
    time.sleep(0.2)
    worker.step()
    assert (worker.frames, worker.dropped) == (3, 5)
    worker.close()
    sender.close()


def spotted(number: int) -> messages.Spotted:
    event = SpotEvent(
        kind="micro", onset=1, apex=2, offset=3, onset_t_ns=1, apex_t_ns=2, offset_t_ns=3, score=5.0, rois={},
        decided=3,
    )  # fmt: skip
    rng = np.random.default_rng(number)
    picture = messages.pack_picture(rng.integers(0, 256, (170, 140), np.uint8))
    landmarks = rng.uniform(20, 120, (68, 2)).astype(np.float32).tobytes()
    return messages.Spotted(
        id=number, event=event, onset=picture, apex=picture, landmarks=landmarks, capture_ns=1, ring_ns=1, taken_ns=1,
        sent_ns=1,
    )  # fmt: skip


def test_an_event_goes_before_the_dense_frames_that_wait(context: Context) -> None:
    class Dense:
        """Always a frame to measure."""

        def __init__(self) -> None:
            self.poses = SimpleNamespace(socket=context.zmq.socket(zmq.PULL))
            self.poses.socket.bind("inproc://poses")
            self.feed = context.zmq.socket(zmq.PUSH)
            self.feed.connect("inproc://poses")
            self.feed.send(b"")  # never taken: the socket stays ready
            self.done: list[str] = []

        def step(self) -> None:
            if not self.done:
                for number in range(3):
                    sender.send(spotted(number))
                sender.send(messages.Ended(stage="spot"))
                inbox.socket.poll(5000)
            self.done.append("frame")
            if len(self.done) > 50 and context.drains:
                context.stopping.set()

        def figures(self) -> dict[str, float]:
            self.done.append("end")
            return {"dense_frames": 7.0}

        def close(self) -> None:
            self.poses.socket.close()
            self.feed.close()

    inbox = bus.Receiver(context.zmq, context.endpoint("motion"))
    outbox = bus.Receiver(context.zmq, context.endpoint("classify"))
    sender = bus.Sender(context.zmq, context.endpoint("motion"))
    dense = Dense()
    motion_stage.Motion(context, inbox, FeatureSpec(), "cpu", dense).run()  # type: ignore[arg-type]
    got = [messages.decode_work(outbox.receive(5.0) or b"") for _ in range(7)]
    kinds = [(type(message).__name__, getattr(message, "id", None)) for message in got]
    assert kinds == [(kind, n) for n in range(3) for kind in ("Coming", "Mapped")] + [("Ended", None)]
    assert context.drains[0] == {"events": 3.0, "refused": 0.0, "dense_frames": 7.0}
    sender.close()
    outbox.close()


def test_an_event_that_fails_costs_itself_alone(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage goes on with the next, and says which event nobody need wait for."""
    whole = motion_stage.maps.feature_map
    calls: list[int] = []

    def feature_map(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise InputError("flow needs finite grey levels")
        return whole(*given)

    monkeypatch.setattr(motion_stage.maps, "feature_map", feature_map)
    inbox = bus.Receiver(context.zmq, context.endpoint("motion"))
    outbox = bus.Receiver(context.zmq, context.endpoint("classify"))
    sender = bus.Sender(context.zmq, context.endpoint("motion"))
    for number in range(3):
        sender.send(spotted(number))
    sender.send(messages.Ended(stage="spot"))
    stage = motion_stage.Motion(context, inbox, FeatureSpec(), "cpu", None)  # type: ignore[arg-type]
    thread = threading.Thread(target=stage.run)
    thread.start()
    got = [messages.decode_work(outbox.receive(20.0) or b"") for _ in range(6)]
    context.stopping.set()
    thread.join()
    kinds = [(type(message).__name__, getattr(message, "id", None)) for message in got]
    first, last = ([("Coming", n), ("Mapped", n)] for n in (0, 2))
    assert kinds == [*first, ("Coming", 1), *last, ("Ended", None)]
    failed = messages.Unclassified(id=1, stage="motion", reason="InputError: flow needs finite grey levels")
    assert context.reports == [failed]
    assert context.counters["frames"] == 3
    sender.close()
    outbox.close()


def test_many_failures_in_a_row_are_the_stages_own(context: Context) -> None:
    attempts = Attempts(context)  # type: ignore[arg-type]

    def fail() -> int:
        raise ValueError("two\nlines")

    assert attempts.make(0, fail) is None
    assert attempts.make(1, fail) is None
    assert attempts.make(2, lambda: 7) == 7
    assert attempts.make(3, fail) is None
    assert attempts.make(4, fail) is None
    with pytest.raises(ValueError, match="two"):
        attempts.make(5, fail)
    assert [message.id for message in context.reports if isinstance(message, messages.Unclassified)] == [0, 1, 3, 4, 5]
    assert context.reports[0] == messages.Unclassified(id=0, stage="motion", reason="ValueError: two lines")


def test_a_backend_that_fails_is_the_stages_failure(context: Context) -> None:
    def fail() -> int:
        raise BackendError("the GPU has gone")

    with pytest.raises(BackendError):
        Attempts(context).make(0, fail)  # type: ignore[arg-type]
    assert context.reports == []
