"""A camera's clock against ours: drift, late arrivals, a clock that is read, one that is set anew."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.sources.device_clock import DeviceClock, FrameCounter, Latch

PERIOD_NS = 5_000_000
ORIGIN_NS = 7_000_000_000_000
CAMERA_NS = 500_123_456_789


class Rig:
    """A camera at 200 fps whose clock runs ``ppm`` slow; frames arrive after a fixed delay and some noise."""

    def __init__(self, ppm: float, delay_ns: int, noise_ns: float, *, stalls: bool = False) -> None:
        self._ppm, self._delay_ns, self._noise_ns, self._stalls = ppm, delay_ns, noise_ns, stalls
        self._random = np.random.default_rng(11)

    def device(self, t_ns: int) -> int:
        return CAMERA_NS + round((t_ns - ORIGIN_NS) * (1 - self._ppm * 1e-6))

    def frames(self, seconds: float, begin_s: float = 0.0):
        """(device time, arrival, true exposure) of each frame."""
        for k in range(round(seconds * 200)):
            t_ns = ORIGIN_NS + round(begin_s * 1e9) + k * PERIOD_NS
            late_ns = int(self._random.exponential(self._noise_ns))
            if self._stalls and self._random.random() < 0.05:
                late_ns += int(self._random.integers(5_000_000, 80_000_000))
            yield self.device(t_ns), t_ns + self._delay_ns + late_ns, t_ns


@pytest.mark.parametrize("ppm", [0.0, 42.0, -80.0])
def test_times_follow_a_drifting_clock_through_late_arrivals(ppm: float) -> None:
    rig = Rig(ppm, delay_ns=4_000_000, noise_ns=300_000, stalls=True)
    notices: list[tuple[str, str]] = []
    clock = DeviceClock(notices)
    errors = [clock.host_ns(d, a) - t - 4_000_000 for d, a, t in rig.frames(60)]
    after = np.array(errors[3000:])
    assert np.abs(after).max() < 150_000, "ns off, where arrivals are up to 80 ms late"
    assert clock.drift_ppm == pytest.approx(ppm, abs=3)
    assert clock.residual_ns < 100_000
    assert notices == []


def test_a_clock_that_can_be_read_gives_the_time_of_exposure() -> None:
    rig = Rig(30.0, delay_ns=9_000_000, noise_ns=200_000)
    read_at = ORIGIN_NS - 50_000_000
    clock = DeviceClock([], Latch(rig.device(read_at), read_at + 30_000, 100_000))
    errors = np.array([clock.host_ns(d, a) - t for d, a, t in rig.frames(40)])
    assert np.abs(errors).max() < 400_000, "exposure, read-out and transfer (9 ms) are taken off, from the first frame"
    assert clock.delay_ns == pytest.approx(9_000_000, abs=200_000)
    assert "the clock was read within 0.10 ms" in clock.describe()


def test_a_clock_that_is_not_that_of_the_frames_is_not_used() -> None:
    rig = Rig(0.0, delay_ns=2_000_000, noise_ns=100_000)
    notices: list[tuple[str, str]] = []
    clock = DeviceClock(notices, Latch(rig.device(ORIGIN_NS) + 5_000_000_000, ORIGIN_NS, 100_000))
    errors = np.array([clock.host_ns(d, a) - t for d, a, t in rig.frames(5)])
    assert [what for what, _ in notices] == ["camera time"]
    assert abs(np.median(errors) - 2_000_000) < 200_000


def test_a_camera_that_sets_its_clock_anew_is_followed() -> None:
    rig = Rig(0.0, delay_ns=3_000_000, noise_ns=100_000)
    notices: list[tuple[str, str]] = []
    clock = DeviceClock(notices)
    errors = [clock.host_ns(d, a) - t for d, a, t in rig.frames(10)]
    errors += [clock.host_ns(d - 100_000_000_000, a) - t for d, a, t in rig.frames(10, begin_s=10)]
    assert np.abs(np.array(errors) - 3_000_000).max() < 2_000_000
    assert [detail for _, detail in notices] == ["the camera's clock was set by -100.000 s: followed anew"]


def test_one_wild_stamp_changes_nothing() -> None:
    rig = Rig(0.0, delay_ns=3_000_000, noise_ns=100_000)
    notices: list[tuple[str, str]] = []
    clock = DeviceClock(notices)
    for number, (device_ns, arrival_ns, t_ns) in enumerate(rig.frames(10)):
        device_ns += 3_000_000_000 * (number == 1000)
        assert abs(clock.host_ns(device_ns, arrival_ns) - t_ns - 3_000_000) < 2_000_000
    assert notices == []


@pytest.mark.parametrize("stamp", [0, 777])
def test_a_camera_without_times_gives_those_of_arrival(stamp: int) -> None:
    notices: list[tuple[str, str]] = []
    clock = DeviceClock(notices)
    times = [clock.host_ns(stamp, ORIGIN_NS + k * PERIOD_NS) for k in range(5)]
    assert times[1:] == [ORIGIN_NS + k * PERIOD_NS for k in range(1, 5)]
    assert [what for what, _ in notices] == ["camera time"]


def test_frame_ids_of_16_bits_go_on_without_zero() -> None:
    counter = FrameCounter()
    counts = [counter.count(raw) for raw in (65533, 65534, 65535, 1, 2, 5)]
    assert counts == [0, 1, 2, 3, 4, 7]


def test_frame_ids_of_64_bits_may_begin_at_zero() -> None:
    counter = FrameCounter()
    counts = [counter.count(raw) for raw in (0, 1, 4, 1 << 20, (1 << 20) + 1)]
    assert counts == [0, 1, 4, 1 << 20, (1 << 20) + 1]
