"""Lines of a session and a sink that keeps them, for the tests."""

from __future__ import annotations

from realtime.ipc import messages
from realtime.sinks import lines
from realtime.types import SpotEvent

SESSION = lines.SessionLine(
    version="1", started_at="2026-01-01T00:00:00+00:00", source="demo", fps_requested=200.0, fps_measured=199.9,
    width=640, height=480, pixel_format="GREY", model="m", flow_backend="cpu", config_digest="d",
    fps_granted=200.0, live=True, detector="fused",
)  # fmt: skip
SUMMARY = lines.SummaryLine(
    frames_captured=10, frames_analysed=9, frames_dropped={"camera": 1}, events=1, fps_measured=200.0,
    latency_ms={"total": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}}, seconds=1.0, ended="SIGINT",
)  # fmt: skip
EVENT = SpotEvent(
    kind="micro", onset=10, apex=20, offset=60, onset_t_ns=0, apex_t_ns=50_000_000, offset_t_ns=250_000_000,
    score=9.0, rois={"mouth": 2.0}, decided=70,
)  # fmt: skip


def classified(number: int = 0) -> messages.Classified:
    return messages.Classified(
        id=number, event=EVENT, label="surprise", scores={"negative": 0.1, "positive": 0.2, "surprise": 0.7},
        capture_ns=0, ring_ns=1_000_000, taken_ns=2_000_000, spotted_ns=5_000_000, mapped_ns=15_000_000,
        sent_ns=16_000_000,
    )  # fmt: skip


def tick_line(frame: int, peak: dict[str, float], face: bool | int = True, found: bool = True) -> lines.TickLine:
    return lines.TickLine(frame=frame, t_ns=0, difference={}, face=face, found=found, fps=200, dropped=0, peak=peak)


class Keep:
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[lines.AnyLine] = []

    def line(self, line: lines.AnyLine) -> None:
        self.lines.append(line)

    def show(self, state: lines.State) -> None:
        pass

    def close(self) -> None:
        pass


class Full(Keep):
    """A sink whose disk is full until ``space``."""

    space = False

    def line(self, line: lines.AnyLine) -> None:
        if not self.space:
            raise OSError(28, "No space left on device")
        super().line(line)
