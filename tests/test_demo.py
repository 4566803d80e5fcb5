"""The demo source: paced by the clock, skipping what is late, truth as it was shown."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.sources import demo
from realtime.sources.demo import DemoSource, parse_seed
from realtime.synthesis import FaceRenderer, Portrait, Schedule, SynthesisSettings
from realtime.types import SourceRequest

SMALL = SourceRequest(size=(128, 96))


class Clock:
    """A monotonic clock that moves when the test or a sleep says so."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.slept_ns: list[int] = []

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_ns.append(round(seconds * 1e9))
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(demo, "time", fake)
    return fake


def buffer(request: SourceRequest = SMALL) -> np.ndarray:
    width, height = request.size or (640, 480)
    return np.empty((height, width), np.uint8)


def test_info_says_what_was_granted():
    info = DemoSource("demo:4", SMALL).info
    assert (info.kind, info.width, info.height, info.fps, info.live) == ("demo", 128, 96, 200.0, True)
    assert info.source == "demo:4"
    assert DemoSource("demo", SourceRequest(fps=500, size=(128, 96))).info.fps == 500
    full = DemoSource("demo", SourceRequest()).info
    assert (full.width, full.height) == (640, 480)


@pytest.mark.parametrize("spec", ["demo:abc", "demo:", "demo:-1", "demo:1.5", "demos", "demo:²"])
def test_bad_seed_is_one_clear_line(spec):
    with pytest.raises(SourceError, match="demo:SEED") as caught:
        DemoSource(spec, SMALL)
    assert "\n" not in str(caught.value)


def test_seeds():
    assert parse_seed("demo") == 0
    assert parse_seed("demo:12") == 12


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_bad_rate_is_refused(fps):
    with pytest.raises(SourceError, match="fps"):
        DemoSource("demo", SourceRequest(fps=fps, size=(128, 96)))


@pytest.mark.parametrize("size", [(0, 0), (640, 1), (99999, 480)])
def test_bad_size_is_refused(size):
    with pytest.raises(SourceError, match="size"):
        DemoSource("demo", SourceRequest(size=size))


def test_frames_come_at_absolute_deadlines(clock):
    source = DemoSource("demo", SMALL)
    out = buffer()
    stamps = []
    for _ in range(50):
        stamps.append(source.read(out))
        assert clock.now_ns >= stamps[-1].t_ns
        clock.now_ns += 3_000_000  # the reader's own work
    assert [stamp.number for stamp in stamps] == list(range(50))
    assert {b.t_ns - a.t_ns for a, b in itertools.pairwise(stamps)} == {5_000_000}
    assert clock.slept_ns[1:] == [2_000_000] * 49


def test_pacing_does_not_drift_at_a_rate_without_whole_nanoseconds(clock):
    source = DemoSource("demo", SourceRequest(fps=300, size=(128, 96)))
    out = buffer()
    stamps = [source.read(out) for _ in range(91)]
    assert stamps[90].t_ns - stamps[0].t_ns == 300_000_000


def test_a_short_delay_loses_nothing_a_long_one_leaves_a_hole(clock):
    source = DemoSource("demo", SMALL)
    out = buffer()
    start = source.read(out)
    clock.now_ns += 35_000_000
    caught_up = [source.read(out).number for _ in range(8)]
    assert caught_up == list(range(1, 9))
    clock.now_ns += 1_000_000_000
    late = source.read(out)
    assert late.number > 200
    assert late.t_ns == start.t_ns + late.number * 5_000_000
    assert 0 <= clock.now_ns - late.t_ns < 5_000_000
    assert source.read(out).number == late.number + 1


def test_frames_are_those_of_the_renderer(clock):
    source = DemoSource("demo:9", SMALL)
    settings = SynthesisSettings(macro_share=demo.MACRO_SHARE)
    renderer = FaceRenderer(Portrait.packaged(), settings, 9, (128, 96), 200.0)
    out, wanted = buffer(), buffer()
    for _ in range(3):
        clock.now_ns += 500_000_000
        stamp = source.read(out)
        renderer.render(stamp.number, wanted)
        assert np.array_equal(out, wanted)


def test_truth_file_holds_what_was_shown_to_its_end(clock, tmp_path):
    path = tmp_path / "truth.jsonl"
    source = DemoSource("demo:3", SourceRequest(size=(128, 96), truth=str(path)))
    out = buffer()
    last = 0
    for _ in range(12 * 200):
        last = source.read(out).number
    lines = [json.loads(line) for line in path.read_text().splitlines()]  # flushed before close
    source.close()
    source.close()
    settings = SynthesisSettings(macro_share=demo.MACRO_SHARE)
    schedule = Schedule(settings, 3, 200.0, source._renderer.px_scale)
    events = [line for line in lines if line["type"] == "event"]
    blinks = [line for line in lines if line["type"] == "blink"]
    wanted = schedule.events_until(last)
    assert len(wanted) >= 3
    assert [(e["onset"], e["apex"], e["offset"], e["au"], e["label"]) for e in events] == [
        (e.onset, e.apex, e.offset, e.au, e.label) for e in wanted
    ]
    assert [b["onset"] for b in blinks] == [b.onset for b in schedule.blinks_until(last)]
    assert set(events[0]) >= {"kind", "hold_frames", "side", "amplitude_px"}


def test_truth_file_that_cannot_be_written_is_one_clear_line(tmp_path):
    request = SourceRequest(size=(128, 96), truth=str(tmp_path / "none" / "truth.jsonl"))
    with pytest.raises(SourceError, match="truth file") as caught:
        DemoSource("demo", request)
    assert "\n" not in str(caught.value)


def test_a_real_clock_works_too():
    source = DemoSource("demo", SMALL)
    out = buffer()
    numbers = [source.read(out).number for _ in range(20)]
    assert numbers == sorted(set(numbers))
    source.close()
