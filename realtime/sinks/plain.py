"""``--view plain``: one line an event on standard output, for logs and pipes."""

from __future__ import annotations

import os
import sys

from realtime.config import OutputSettings
from realtime.sinks.lines import AnyLine, EventLine, GapLine, NoticeLine, SessionLine, State, SummaryLine


def open_sink(settings: OutputSettings) -> PlainView | None:
    return PlainView() if chosen_view(settings) == "plain" else None


def chosen_view(settings: OutputSettings) -> str:
    """``live``, ``plain`` or ``none``; ``auto`` is live on a terminal."""
    if settings.view != "auto":
        return settings.view
    return "live" if sys.stdout.isatty() else "plain"


class PlainView:
    """Prints lines; draws nothing."""

    path = "standard output"

    @property
    def lossy(self) -> bool:
        """On a terminal that is paused lines may be left out; what is piped into a program or a file is all there."""
        return sys.stdout.isatty()

    def __init__(self) -> None:
        self._closed = False
        self._faces = 1

    def line(self, line: AnyLine) -> None:
        if isinstance(line, SessionLine):
            self._faces = line.faces
        text = describe(line, self._faces)
        if text and not self._closed:
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except BrokenPipeError:  # `| head` has left: so do we, and Python's own flush at exit with us
                self._closed = True
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)

    def show(self, state: State) -> None:
        """A plain view draws nothing between lines."""

    def close(self) -> None:
        """Nothing is held."""


def describe(line: AnyLine, faces: int = 1) -> str:
    """One line for people; empty for ticks. faces: so many are followed at most."""
    if isinstance(line, EventLine):
        return describe_event(line, faces)
    if isinstance(line, GapLine):
        return f"gap    {line.count} frames between {line.first} and {line.last} not analysed ({line.cause})"
    if isinstance(line, NoticeLine):
        return f"notice {line.what}: {line.detail}" if line.detail else f"notice {line.what}"
    if isinstance(line, SessionLine):
        asked = f", asked {line.fps_requested:g}" if line.fps_requested else ""
        picture = f"{line.width}x{line.height} {line.pixel_format}, {line.fps_granted:g} fps"
        return (
            f"source {line.source}: {line.source_detail or picture}; measured {line.fps_measured:g} fps{asked}; "
            f"model {line.model}, flow {line.flow_backend}"
        )
    if isinstance(line, SummaryLine):
        return describe_summary(line)
    return ""


def describe_event(line: EventLine, faces: int = 1) -> str:
    """``event 3 micro surprise 0.91 onset 812 apex 830 offset 861 (245 ms), total 41 ms``; of several faces, whose."""
    whose = f"face {line.face} " if faces > 1 else ""
    score = max(line.scores.values())
    length_ms = (line.offset_t_ns - line.onset_t_ns) / 1e6
    return (
        f"event  {line.id} {whose}{line.kind} {line.label} {score:.2f}  onset {line.onset} apex {line.apex} "
        f"offset {line.offset} ({length_ms:.0f} ms), latency {line.latency_ms['total']:.1f} ms"
    )


def describe_summary(line: SummaryLine) -> str:
    """Frames, drops, events and latency of the whole session."""
    dropped = ", ".join(f"{count} {cause}" for cause, count in line.frames_dropped.items() if count) or "none"
    total = line.latency_ms.get("total", {})
    latency = f", latency p50 {total['p50']:.1f} p99 {total['p99']:.1f} ms" if total else ""
    return (
        f"done   {line.ended}: {line.frames_captured} frames in {line.seconds:.1f} s, "
        f"{line.frames_analysed} analysed, dropped: {dropped}; {line.events} events{latency}"
    )
