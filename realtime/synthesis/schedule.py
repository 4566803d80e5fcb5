"""What happens when: movements and blinks, drawn lazily and endlessly from a seed.

Times are drawn in seconds and rounded to frames, so that one seed gives the same story at every rate. The
time course of a movement is minimum-jerk (Flash & Hogan 1985): s(τ) = 10τ³ − 15τ⁴ + 6τ⁵.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Literal, TypeVar

import msgspec
import numpy as np

from realtime.types import MICRO_MAX_S, Kind

from .settings import AU_LABELS, ONE_SIDED, ActionUnit, Side, Span, SynthesisSettings


class TruthEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """A movement as it was made. Frame numbers; offset inclusive."""

    kind: Kind
    onset: int
    """Last frame at rest."""
    apex: int
    """First frame at full amplitude."""
    offset: int
    """First frame at rest again."""
    hold_frames: int
    """Full amplitude lasts from apex to apex + hold_frames."""
    au: ActionUnit
    side: Side
    amplitude_px: float
    """Largest displacement on the face, px of the output."""
    label: Literal["negative", "positive", "surprise"]

    def amplitude_at(self, frame: int) -> float:
        """Displacement of the fastest point, px, at a frame number."""
        fall_from = self.apex + self.hold_frames
        if frame <= self.apex:
            share = minimum_jerk((frame - self.onset) / (self.apex - self.onset))
        elif frame <= fall_from:
            share = 1.0
        else:
            share = 1.0 - minimum_jerk((frame - fall_from) / (self.offset - fall_from))
        return self.amplitude_px * share


class TruthBlink(msgspec.Struct, frozen=True, kw_only=True, tag="blink"):
    """A blink: from the last open frame, over the first and last closed one, to open again."""

    onset: int
    closed: int
    opening: int
    offset: int

    def closure_at(self, frame: int) -> float:
        """How far the lid is shut, 0..1, at a frame number."""
        if frame <= self.closed:
            return minimum_jerk((frame - self.onset) / (self.closed - self.onset))
        return 1.0 - minimum_jerk((frame - self.opening) / (self.offset - self.opening))


Item = TypeVar("Item", TruthEvent, TruthBlink)


def minimum_jerk(progress: float) -> float:
    """Share of a movement done at ``progress`` (clamped to 0..1)."""
    t = min(max(progress, 0.0), 1.0)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


class Schedule:
    """All movements and blinks of one (settings, seed, fps); asking for a later frame draws more of them."""

    def __init__(
        self,
        settings: SynthesisSettings,
        seed: int,
        fps: float,
        px_scale: float = 1.0,
        end_frame: int | None = None,
    ) -> None:
        """``px_scale``: output px per px of the settings. ``end_frame``: no movement reaches past it."""
        self.settings = settings
        self.fps = fps
        self._px_scale = px_scale
        self._end_frame = end_frame
        self._event_rng = np.random.default_rng([seed, 1])
        self._blink_rng = np.random.default_rng([seed, 2])
        self._bag: list[ActionUnit] = []
        self._events: list[TruthEvent] = []
        self._blinks: list[TruthBlink] = []
        self._event_onsets: list[int] = []
        self._blink_onsets: list[int] = []
        self._next_event_s = settings.first_event_s + _draw(self._event_rng, (0.0, 1.0))
        self._next_blink_s = _draw(self._blink_rng, settings.blink_gap_s)

    def event_at(self, frame: int) -> TruthEvent | None:
        """The movement under way at a frame (onset and offset included), if any."""
        self._extend(frame)
        index = bisect_right(self._event_onsets, frame) - 1
        return self._events[index] if index >= 0 and frame <= self._events[index].offset else None

    def blink_at(self, frame: int) -> TruthBlink | None:
        """The blink under way at a frame, if any."""
        self._extend(frame)
        index = bisect_right(self._blink_onsets, frame) - 1
        return self._blinks[index] if index >= 0 and frame <= self._blinks[index].offset else None

    def events_until(self, frame: int) -> list[TruthEvent]:
        """Movements that are over by ``frame`` (offset ≤ frame), in order."""
        self._extend(frame)
        return [event for event in self._events if event.offset <= frame]

    def blinks_until(self, frame: int) -> list[TruthBlink]:
        """Blinks that are over by ``frame``, in order."""
        self._extend(frame)
        return [blink for blink in self._blinks if blink.offset <= frame]

    def event(self, index: int, over_by: int) -> TruthEvent | None:
        """The index-th movement if it is over by frame ``over_by``, else None."""
        self._extend(over_by)
        return _over(self._events, index, over_by)

    def blink(self, index: int, over_by: int) -> TruthBlink | None:
        """The index-th blink if it is over by frame ``over_by``, else None."""
        self._extend(over_by)
        return _over(self._blinks, index, over_by)

    def _extend(self, frame: int) -> None:
        """Draw until nothing that starts at or before ``frame`` is missing."""
        until_s = (frame + 1) / self.fps
        while self.settings.events and self._next_event_s <= until_s:
            self._add_event()
        while self.settings.blinks and self._next_blink_s <= until_s:
            self._add_blink()

    def _add_event(self) -> None:
        rng, settings = self._event_rng, self.settings
        if not self._bag:
            self._bag = [settings.action_units[i] for i in rng.permutation(len(settings.action_units))]
        au = self._bag.pop()
        one_sided: Side = "left" if rng.random() < 0.5 else "right"
        macro = bool(rng.random() < settings.macro_share)
        rise, hold, fall = self._durations(macro)
        amplitude = _draw(rng, settings.macro_amplitude_px if macro else settings.amplitude_px)
        onset = math.ceil(self._next_event_s * self.fps)
        # rounded down: a micro-expression may not grow beyond half a second
        apex = onset + max(1, math.floor(rise * self.fps))
        held = math.floor(hold * self.fps)
        offset = apex + held + max(1, math.floor(fall * self.fps))
        self._next_event_s += rise + hold + fall + _draw(rng, settings.event_gap_s)
        if self._end_frame is not None and offset > self._end_frame:
            return
        event = TruthEvent(
            kind="macro" if macro else "micro",
            onset=onset,
            apex=apex,
            offset=offset,
            hold_frames=held,
            au=au,
            side=one_sided if au in ONE_SIDED else "both",
            amplitude_px=amplitude * self._px_scale,
            label=AU_LABELS[au],
        )
        self._events.append(event)
        self._event_onsets.append(onset)

    def _durations(self, macro: bool) -> tuple[float, float, float]:
        """Rise, hold and fall, s; a micro-expression is drawn until it fits into half a second."""
        rng, settings = self._event_rng, self.settings
        if macro:
            return (
                _draw(rng, settings.macro_rise_s),
                _draw(rng, settings.macro_hold_s),
                _draw(rng, settings.macro_fall_s),
            )
        for _ in range(1000):
            rise, hold, fall = (_draw(rng, span) for span in (settings.rise_s, settings.hold_s, settings.fall_s))
            if rise + hold + fall <= MICRO_MAX_S:
                return rise, hold, fall
        raise ValueError("rise_s + hold_s + fall_s never fit into 0.5 s: shorten them, or set macro_share = 1")

    def _add_blink(self) -> None:
        rng, settings = self._blink_rng, self.settings
        duration = _draw(rng, settings.blink_duration_s)
        onset = math.ceil(self._next_blink_s * self.fps)
        closed = onset + max(1, round(0.35 * duration * self.fps))
        opening = closed + round(0.1 * duration * self.fps)
        offset = opening + max(1, round(0.55 * duration * self.fps))
        self._blinks.append(TruthBlink(onset=onset, closed=closed, opening=opening, offset=offset))
        self._blink_onsets.append(onset)
        self._next_blink_s += duration + _draw(rng, settings.blink_gap_s)


def _over(items: list[Item], index: int, frame: int) -> Item | None:
    return items[index] if index < len(items) and items[index].offset <= frame else None


def _draw(rng: np.random.Generator, span: Span) -> float:
    """Uniform between the two ends."""
    return span[0] + (span[1] - span[0]) * float(rng.random())
