"""A camera's own clock against ours: a running robust line through the frames that came with the least delay.

Camera and host drift apart by some 10⁻⁵; a frame arrives late by exposure, read-out and transfer, a constant, and by
whatever the network and this machine add, never less. So the least delayed frame of each quarter of a second is
kept, for half a minute, and Theil and Sen's line through them says what our clock showed when the camera's showed
that. Where the camera lets its clock be read, the constant is known too, and a time is that of the exposure.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np

_BIN_NS = 250_000_000
_BINS = 120
_ENOUGH = 20  # bins from which on the drift is believed
_MOST_DRIFT = 500e-6
_LATE_NS, _EARLY_NS = 1_000_000_000, 100_000_000  # a frame that came so much off the line has another clock's stamp
_PATIENCE = 10  # frames: so many off in a row, and the camera's clock has been set anew
_SETTLED = 40  # bins after which the constant is fixed


class Latch(msgspec.Struct, frozen=True):
    """The camera's clock, read by us."""

    device_ns: int
    host_ns: int
    """Monotonic, half-way between question and answer."""
    error_ns: int
    """Half the time that it took."""


class DeviceClock:
    """Maps the camera's stamps to monotonic ns. ``notices``: (what, detail) pairs for the user."""

    def __init__(self, notices: list[tuple[str, str]], latch: Latch | None = None) -> None:
        self.drift_ppm = 0.0
        """Of the camera's clock against ours: positive where it is slow."""
        self.residual_ns = 0
        """Median distance of the least delayed frames from the line, × 1.48."""
        self.latch = latch
        self.delay_ns = 0
        """From the camera's stamp to the arrival at best; known only with a latch."""
        self._notices = notices
        self._points: deque[tuple[int, int]] = deque(maxlen=_BINS)
        self._bins = 0
        self._bin_end_ns = 0
        self._least: tuple[int, int] | None = None
        self._origin_ns, self._offset_ns, self._slope = 0, 0.0, 0.0
        self._last_ns: int | None = None
        self._strange = 0
        self._mute = False

    @property
    def bins(self) -> int:
        """Quarters of a second that the line has seen, since it began."""
        return self._bins

    def host_ns(self, device_ns: int, arrival_ns: int) -> int:
        """What our clock showed at ``device_ns`` of the camera's, of a frame that arrived at ``arrival_ns``."""
        if device_ns <= 0 or device_ns == self._last_ns:
            if not self._mute:
                self._mute = True
                self._notices.append(("camera time", "the camera gives no times: those of arrival are used"))
            return arrival_ns
        self._last_ns = device_ns
        offset_ns = arrival_ns - device_ns
        if self._least is None and not self._points:
            self._begin(device_ns, offset_ns)
        elif not -_EARLY_NS <= offset_ns - self._line(device_ns) <= _LATE_NS:
            return self._on_strange(device_ns, arrival_ns)
        self._strange = 0
        self._collect(device_ns, offset_ns)
        return device_ns + round(self._line(device_ns)) - self.delay_ns

    def describe(self) -> str:
        """``drift +3.1 ppm, residual 0.02 ms`` and what is known of the constant."""
        text = f"drift {self.drift_ppm:+.1f} ppm, residual {self.residual_ns / 1e6:.3f} ms"
        if self.latch is None:
            return f"{text}; exposure, read-out and transfer are in the times (the camera's clock can't be read)"
        delay = f"{self.delay_ns / 1e6:.2f} ms after the camera's stamp"
        return f"{text}; the clock was read within {self.latch.error_ns / 1e6:.2f} ms, a frame arrives {delay}"

    def _begin(self, device_ns: int, offset_ns: int) -> None:
        self._origin_ns, self._offset_ns, self._slope = device_ns, float(offset_ns), 0.0
        self._points.clear()
        self._least, self._bins = None, 0
        self._bin_end_ns = device_ns + _BIN_NS
        self.delay_ns = 0
        self._use_latch()

    def _line(self, device_ns: int) -> float:
        return self._offset_ns + self._slope * (device_ns - self._origin_ns)

    def _collect(self, device_ns: int, offset_ns: int) -> None:
        if self._least is None or offset_ns < self._least[1]:
            self._least = device_ns, offset_ns
            if self._bins < 2:  # no bin is full yet: the least of all so far
                self._offset_ns = min(self._offset_ns, float(offset_ns))
                self._use_latch()
        if device_ns >= self._bin_end_ns:
            self._points.append(self._least)
            self._least, self._bins = None, self._bins + 1
            self._bin_end_ns = device_ns + _BIN_NS
            if self._bins >= 2:
                self._fit()

    def _fit(self) -> None:
        """Theil and Sen's line: the median of all slopes, then the median of what is left."""
        points = np.array(self._points, np.int64)
        self._origin_ns = int(points[-1, 0])
        x = (points[:, 0] - self._origin_ns).astype(np.float64)
        base = int(points[-1, 1])
        y = (points[:, 1] - base).astype(np.float64)
        slope = 0.0
        if len(x) >= _ENOUGH:
            first, second = np.triu_indices(len(x), 1)
            slopes = (y[second] - y[first]) / (x[second] - x[first])
            slope = float(np.clip(np.median(slopes), -_MOST_DRIFT, _MOST_DRIFT))
        rest = y - slope * x
        middle = float(np.median(rest))
        self._slope, self._offset_ns = slope, base + middle
        self.drift_ppm = slope * 1e6
        self.residual_ns = round(1.4826 * float(np.median(np.abs(rest - middle))))
        if self._bins <= _SETTLED:
            self._use_latch()

    def _use_latch(self) -> None:
        """The constant delay, from where the line ran when the camera's clock was read."""
        if self.latch is None:
            return
        delay_ns = self._line(self.latch.device_ns) - (self.latch.host_ns - self.latch.device_ns)
        if not -2 * self.latch.error_ns - 1_000_000 <= delay_ns <= _LATE_NS:
            self.latch, self.delay_ns = None, 0
            self._notices.append(("camera time", "the clock that the camera lets read is not that of its frames"))
            return
        self.delay_ns = max(0, round(delay_ns))

    def _on_strange(self, device_ns: int, arrival_ns: int) -> int:
        """A stamp of another clock: the arrival tells, until it is known that the camera's clock was set anew."""
        self._strange += 1
        if self._strange >= _PATIENCE:
            moved_s = (arrival_ns - device_ns - self._line(device_ns)) / 1e9
            self._notices.append(("camera time", f"the camera's clock was set by {-moved_s:+.3f} s: followed anew"))
            self._strange, self.latch = 0, None
            self._begin(device_ns, arrival_ns - device_ns)
        return arrival_ns - self.delay_ns


class FrameCounter:
    """A camera's frame ids → a count that goes on where 16-bit ids begin anew (65535 → 1: 0 is not used)."""

    def __init__(self) -> None:
        self._raw: int | None = None
        self._count = 0

    def count(self, raw: int) -> int:
        """``raw``: the id as it came; the count wraps at 2^32 (see CameraClock)."""
        if self._raw is not None:
            step = raw - self._raw
            if step < 0 and self._raw <= 0xFFFF:
                step += 0xFFFF
            self._count += step
        self._raw = raw
        return self._count & 0xFFFF_FFFF
