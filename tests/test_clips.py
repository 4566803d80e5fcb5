"""Named clip sets of the bench, and the truth of the generated face on other portraits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from _synthesis import one_thread, recovered  # noqa: F401 (one_thread is a fixture)

from realtime.synthesis import ACTION_UNITS, render_pair

# --- clip sets of the bench -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips():
    """bench/clips.py, which is no package."""
    path = Path(__file__).resolve().parent.parent / "bench" / "clips.py"
    spec = importlib.util.spec_from_file_location("bench_clips", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_tuning_set_is_the_packaged_portrait_at_each_amplitude(clips):
    sets = clips.clip_set("tuning")
    assert {clip.portrait.name for clip in sets} == {"packaged"}
    assert len({clip.seed for clip in sets}) == len(sets)
    for amplitude in (0.7, 1.0, 1.5, 2.0, 3.0):
        events = [event for clip in clips.clip_set(f"tuning-{amplitude}px") for event in clip.truth()]
        assert len(events) >= 30
        assert all(event.amplitude_px == pytest.approx(amplitude, rel=0.01) for event in events)
        assert {event.au for event in events} == set(ACTION_UNITS)
    quiet = clips.clip_set("tuning-distractors")
    assert sum(clip.seconds for clip in quiet) == pytest.approx(300)
    assert all(clip.truth() == [] for clip in quiet)
    assert all(e.kind == "macro" for clip in clips.clip_set("tuning-macro") for e in clip.truth())


def test_unknown_clip_set_is_named(clips):
    for name in ("tuned", "tuning-9px", ""):
        with pytest.raises(ValueError, match="no clip set"):
            clips.clip_set(name)


def test_cached_clip_is_the_drawn_one(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "CACHE", tmp_path)
    clip = clips.clip_set("tuning-2.0px", seconds=0.05)[0]
    drawn = list(clip.frames())
    for _ in range(2):
        kept = list(clip.frames(cached=True))
        assert len(kept) == len(drawn) == clip.count == 10
        assert all(np.array_equal(a, b) for a, b in zip(kept, drawn, strict=True))


@pytest.mark.slow
def test_truth_holds_on_other_portraits(clips, tmp_path, monkeypatch):
    """Portraits that nothing was drawn for; those that are fetched stay out, so that no test needs a network."""
    monkeypatch.setattr(clips, "CACHE", tmp_path)
    portraits = clips.held_out_portraits(fetch=False)
    if not portraits:
        pytest.skip("../shared/media is not here")
    for _, portrait in portraits:
        for au in ACTION_UNITS:
            neutral, moved, field = render_pair(portrait, au, 2.0)
            flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(neutral, moved, None)
            share, _ = recovered(neutral, flow, field)
            assert 0.6 < share < 1.05, (portrait.name, au)
