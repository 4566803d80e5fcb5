"""The spotting stage on a real ring, with a meter that does as told: for its tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from _stages import LIVE, FakeContext

from realtime.config import Settings
from realtime.errors import MerealtimeError
from realtime.ipc import messages
from realtime.ipc.board import Board
from realtime.ipc.ring import RingReader, RingWriter
from realtime.stages import spot as spot_stage
from realtime.types import SourceInfo, SpotEvent
from realtime.vision.spotting.face_meter import Measurement


class Sent:
    """A socket that keeps what it is given."""

    def __init__(self, *_: object) -> None:
        self.messages: list = []

    def send(self, message: messages.Message) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


class FakeMeter:
    """Sees a movement every ``every`` frames, and can be slow."""

    roi_names = ("brow", "mouth")
    open_ns: int | None = None

    def __init__(self, every: int = 5, pause_s: float = 0.0) -> None:
        self.seen: list[int] = []
        self.resets = 0
        self._every, self._pause_s = every, pause_s

    def process(
        self, gray: np.ndarray, number: int, t_ns: int, is_whole: Callable[[], bool] | None = None
    ) -> tuple[object, list[SpotEvent]]:
        if is_whole is not None and not is_whole():
            return None, []
        self.seen.append(number)
        assert (gray == number % 256).all()
        if self._pause_s:
            time.sleep(self._pause_s)
        notices = [("face found", "frame")] if len(self.seen) == 1 else []
        measurement = Measurement(True, np.array([0.5, 1.0]), notices)
        return measurement, [self.event(number, t_ns)] if len(self.seen) % self._every == 0 else []

    def event(self, number: int, t_ns: int) -> SpotEvent:
        return SpotEvent(
            kind="micro", onset=number - 4, apex=number - 2, offset=number, onset_t_ns=t_ns - 4, apex_t_ns=t_ns - 2,
            offset_t_ns=t_ns, score=5.0, rois={"brow": 0.5, "mouth": 1.0}, decided=number,
        )  # fmt: skip

    def crops(self, event: SpotEvent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if event.onset < 0:
            raise MerealtimeError("frame has left the history")
        return np.full((170, 140), 1, np.uint8), np.full((170, 140), 2, np.uint8), np.zeros((68, 2), np.float32)

    def flush(self) -> list[SpotEvent]:
        return [self.event(self.seen[-1], 0)] if self.seen else []

    @property
    def open_since_ns(self) -> int | None:
        return self.open_ns

    def sensitivities(self) -> dict[str, dict[str, float]]:
        return {"": {}}

    def reset(self) -> None:
        self.resets += 1

    def timings(self) -> dict[str, int]:
        return {"track": 1_000_000, "frames": len(self.seen)}


def make_spot(
    board: Board,
    reader: RingReader,
    meter: FakeMeter,
    info: SourceInfo = LIVE,
    settings: Settings | None = None,
    **order: float,
) -> tuple[spot_stage.Spot, FakeContext]:
    context = FakeContext(board, "spot", settings)
    kept = order.pop("kept", None)
    ring = messages.Control(order="ring", ring=reader.name, info=info, **{"fps": 100.0, **order})  # type: ignore[arg-type]
    return spot_stage.Spot(context, reader, meter, ring, kept), context  # type: ignore[arg-type]


def put(ring: RingWriter, *numbers: int, step_ns: int = 10_000_000) -> None:
    for number in numbers:
        ring.reserve()[:] = number % 256
        ring.commit(number, number * step_ns, time.monotonic_ns())
