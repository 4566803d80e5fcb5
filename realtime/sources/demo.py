"""The built-in live source: an endless generated face with known movements, paced like a camera.

``demo`` or ``demo:SEED``. Frame k is exposed at start + k / fps on the monotonic clock, an absolute deadline,
so that pacing never drifts. A reader that falls behind by more than a camera's buffers would hold misses
frames: their numbers are skipped, and the hole shows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

import msgspec

from realtime.errors import SourceError
from realtime.synthesis import FaceRenderer, Portrait, Schedule, SynthesisSettings
from realtime.synthesis.portrait import Gray
from realtime.synthesis.settings import DEFAULT_FPS, DEFAULT_SIZE
from realtime.types import MAX_FPS, SourceInfo, SourceRequest, Stamp

BUFFERED_S = 0.04
"""How late a frame may be fetched before it is lost: eight buffers at 200 fps, as of a camera."""
MIN_SIDE_PX, MAX_SIDE_PX = 96, 4096
MACRO_SHARE = 0.15
"""Of the demo's movements, how many are macro-expressions, so that a first run shows both kinds."""


class DemoSource:
    """A `Source` that draws its frames when they are due."""

    def __init__(
        self,
        spec: str,
        request: SourceRequest,
        settings: SynthesisSettings | None = None,
        portrait: Portrait | None = None,
    ) -> None:
        """Open ``demo`` or ``demo:SEED``; SourceError for a bad seed, rate, size or truth file."""
        seed = parse_seed(spec)
        fps = DEFAULT_FPS if request.fps is None else request.fps
        width, height = request.size or DEFAULT_SIZE
        _check_mode(spec, fps, width, height)
        self._renderer = FaceRenderer(
            portrait or Portrait.packaged(),
            settings or SynthesisSettings(macro_share=MACRO_SHARE),
            seed,
            (width, height),
            fps,
        )
        self._renderer.prepare()
        self._truth = TruthWriter(request.truth, self._renderer.schedule) if request.truth else None
        self._period_ns = 1e9 / fps
        self._start_ns: int | None = None
        self._next = 0
        self.info = SourceInfo(
            source=spec,
            kind="demo",
            width=width,
            height=height,
            fps=fps,
            fps_requested=request.fps,
            detail=f"generated face, seed {seed}, {width}×{height} at {fps:g} fps",
        )

    def read(self, out: Gray) -> Stamp:
        """Draw the next frame into ``out`` (H, W) uint8 and return when it is due; the source never ends."""
        now = time.monotonic_ns()
        if self._start_ns is None:
            self._start_ns = now + int(self._period_ns)
        number = self._next
        late_ns = now - self._due_ns(number)
        if late_ns > max(BUFFERED_S * 1e9, 2 * self._period_ns):
            number += int(late_ns / self._period_ns)
        self._renderer.render(number, out)
        t_ns = self._due_ns(number)
        wait_ns = t_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        self._next = number + 1
        if self._truth:
            self._truth.advance(number)
        return Stamp(number, t_ns)

    def close(self) -> None:
        """Close the truth file; twice is fine."""
        if self._truth:
            self._truth.close()

    def _due_ns(self, number: int) -> int:
        assert self._start_ns is not None
        return self._start_ns + round(number * self._period_ns)


class TruthWriter:
    """Writes each movement and blink as one JSON line once its last frame was delivered."""

    def __init__(self, path: str, schedule: Schedule) -> None:
        """Create the file; SourceError where that fails."""
        try:
            self._file: TextIO = Path(path).open("w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise SourceError(
                f"truth file {path}: {error.strerror}; name a file in a folder that can be written"
            ) from error
        self._schedule = schedule
        self._encoder = msgspec.json.Encoder()
        self._events = 0
        self._blinks = 0

    def advance(self, frame: int) -> None:
        """Write what is over by ``frame``."""
        schedule = self._schedule
        while (event := schedule.event(self._events, frame)) is not None:
            self._write(event)
            self._events += 1
        while (blink := schedule.blink(self._blinks, frame)) is not None:
            self._write(blink)
            self._blinks += 1

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._file.close()

    def _write(self, item: msgspec.Struct) -> None:
        self._file.write(self._encoder.encode(item).decode() + "\n")
        self._file.flush()


def parse_seed(spec: str) -> int:
    """Seed of ``demo`` (0) or ``demo:SEED``; SourceError for anything else."""
    name, colon, text = spec.partition(":")
    if name != "demo" or (colon and not (text.isascii() and text.isdigit())):
        raise SourceError(f"source {spec!r}: write demo, or demo:SEED with a whole number, as in demo:7")
    return int(text) if colon else 0


def _check_mode(spec: str, fps: float, width: int, height: int) -> None:
    if not 0 < fps <= MAX_FPS:
        raise SourceError(f"source {spec}: {fps:g} fps can't be made; ask for more than 0, at most {MAX_FPS:g}")
    if not (MIN_SIDE_PX <= width <= MAX_SIDE_PX and MIN_SIDE_PX <= height <= MAX_SIDE_PX):
        raise SourceError(
            f"source {spec}: size {width}x{height} can't be made; each side from {MIN_SIDE_PX} to {MAX_SIDE_PX} px"
        )
