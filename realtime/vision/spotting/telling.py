"""What a movement was: its onset, apex and offset, whether the head made it, the event that is told of it."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.types import Kind, SpotEvent
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.flanks import Course, fit_course
from realtime.vision.spotting.movement import Movement, Track
from realtime.vision.spotting.rest import Rest

Values = NDArray[np.float64]
Moment = tuple[int, int]
"""(frame number, ns)."""

_BEFORE_S = 0.60
_TURNED_PX = 0.35
_HEAD_SHARE = 0.35
"""A movement of which the head's pose leaves no more than this was the head's."""
_HEAD_NOISE_PX = 0.1


class Placed(Struct):
    """A movement's stored rows (T, C + P), its curve (T,), what was fitted to it."""

    rows: Values
    curve: Values
    times_s: Values
    first: int
    """Index of the first row in the track."""
    course: Course | None


class Telling:
    """Reads a group's buffers when something in them is over.

    Of the channels only what stays is read: their weights change with the template, and come with a movement.
    """

    def __init__(self, params: SpotSettings, fps: float, channels: Channels, track: Track, rest: Rest) -> None:
        self._params = params
        self._fps = fps
        self._channels = channels
        self._track = track
        self._rest = rest

    def place(self, movement: Movement, closed_ns: int, *, held: bool, residual_px: float = 0.0) -> Placed:
        """Fit the movement and what was before it, since the last one was closed. held: on an open macro-expression."""
        begin_ns = max(closed_ns + 1, movement.opened_ns - round(_BEFORE_S * 1e9))
        rows, times_s, first = self._track.since(begin_ns, self._track.now_ns)
        opened = int(np.searchsorted(self._track.stamps(first), movement.opened_ns))
        curve = self._rest.project(rows, movement.direction)
        if not self._channels.signed and not held:  # differences have a resting level above zero
            curve = np.maximum(curve - movement.direction @ self._rest.level[self._channels.roi_of], 0.0)
        course = fit_course(curve, times_s, min(opened, len(rows) - 1), residual_px)
        return Placed(rows, curve, times_s, first, course)

    def still_noise(self, movement: Movement, direction: Values) -> float:
        """How much the projected curve's short means differ from one to the next while nothing moves."""
        rows, times_s, _ = self._track.since(movement.opened_ns - 400_000_000, movement.opened_ns - 50_000_000)
        if len(rows) < 6:
            return 0.0
        count = max(1, round(movement.step_s / max(np.diff(times_s).mean(), 1e-6)))
        if len(rows) < 3 * count:
            return 0.0
        means = np.convolve(self._rest.project(rows, direction), np.full(count, 1.0 / count), "valid")
        change = means[count:] - means[:-count]
        return float(np.sqrt(np.mean(change * change))) if len(change) else 0.0

    def is_head(self, movement: Movement, placed: Placed, onset: int) -> bool:
        """Does the head's pose, with a bolder forecast than what was learnt so far, explain this movement?"""
        forecast = self._rest.forecast
        if forecast is None:
            return False
        begin = max(0, onset - 4)
        change = placed.rows[begin:, self._track.channels :] - placed.rows[begin, self._track.channels :]
        target = placed.curve[begin:] - placed.curve[begin]
        before = float(np.sqrt(np.mean(target * target)))
        if before <= 0 or np.ptp(change[:, :2], axis=0).max() < _TURNED_PX:
            return False
        boldness = np.maximum(2.0 * forecast.uncertainty(movement.direction), 1e-6)
        system = change.T @ change + np.diag((_HEAD_NOISE_PX / boldness) ** 2)
        more = np.clip(np.linalg.solve(system, change.T @ target), -boldness, boldness)
        left = target - change @ more
        if np.sqrt(np.mean(left * left)) > _HEAD_SHARE * before:
            return False
        self._rest.learn_rows(placed.rows, self._fps)
        return True

    def score(self, peak: Values) -> float:
        """Peak over noise of the strongest ROI; the noise is at least what the floor allows for."""
        threshold = self._rest.threshold()
        strongest = int(np.argmax(peak / threshold))
        least = max(self._rest.floor / self._params.threshold_sigmas, 1e-9)
        return float(peak[strongest] / max(float(np.sqrt(self._rest.variance[strongest])), least))

    def moved(self, movement: Movement) -> dict[str, tuple[float, float]]:
        return self._channels.moved(movement.furthest, movement.weights)

    def event(
        self, moments: list[Moment], peak: Values, moved: dict[str, tuple[float, float]], score: float, residual: float
    ) -> SpotEvent:
        """moments: onset, apex, offset."""
        onset, apex, offset = moments
        return SpotEvent(
            kind=self._kind(onset[1], apex[1], offset[1]),
            onset=onset[0],
            apex=apex[0],
            offset=offset[0],
            onset_t_ns=onset[1],
            apex_t_ns=apex[1],
            offset_t_ns=offset[1],
            score=score,
            rois={name: round(float(v), 4) for name, v in zip(self._channels.names, peak, strict=True)},
            moved=moved,
            residual=round(residual, 3),
            decided=self._track.identity(self._track.count - 1)[0],
        )

    def _kind(self, onset_ns: int, apex_ns: int, offset_ns: int) -> Kind:
        """micro or macro, by the total, or as CASME has it by the total or the rise (``spot.micro_rule``)."""
        total_s, rise_s = (offset_ns - onset_ns) / 1e9, (apex_ns - onset_ns) / 1e9
        short = total_s <= self._params.micro_max_s + 1e-6
        if self._params.micro_rule == "casme":
            short = short or rise_s <= 0.5 * self._params.micro_max_s + 1e-6
        return "micro" if short else "macro"
