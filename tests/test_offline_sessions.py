"""``--dataset sessions``: a lab's reviewed recordings are a data set like any other, or one line says what lacks."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from _offline_runs import run

from offline.datasets import load_clips
from offline.datasets.common import video_of
from offline.datasets.mapping import read_gray
from realtime.errors import DatasetError
from realtime.session import review
from realtime.session.review import Verdict
from realtime.session.write import Recorder
from realtime.sinks.lines import SessionLine
from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings
from realtime.types import SourceInfo

SIZE, FPS = (320, 240), 100.0
INFO = SourceInfo(source="demo", kind="demo", width=SIZE[0], height=SIZE[1], fps=FPS)
LINE = SessionLine(
    version="1", started_at="2026-01-02T03:04:05Z", source="demo", fps_requested=FPS, fps_measured=FPS, width=SIZE[0],
    height=SIZE[1], pixel_format="GREY", model="laenet-composite", flow_backend="cpu", config_digest="x",
    fps_granted=FPS, live=True, detector="motion",
)  # fmt: skip


def said(
    event: int | None, span: tuple[int, int, int], label: str | None, by: str = "ann", word: str = "true"
) -> Verdict:
    places = dict(zip(("onset", "apex", "offset"), span, strict=True))
    fields = {"event": event, "verdict": word, "label": label, "reviewer": by, "at": "2026"}
    return msgspec.convert(fields | places, Verdict)


def record(folder: Path, subject: str | None, seed: int, seconds: float = 5.0) -> list:
    """A session folder of a generated face; its movements."""
    settings = SynthesisSettings(first_event_s=0.3, event_gap_s=(0.3, 0.5), blinks=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, seed=seed, fps=FPS, size=SIZE)
    recorder = Recorder(str(folder.parent), folder.name, INFO, FPS, "raw")
    frame = np.empty((SIZE[1], SIZE[0]), np.uint8)
    count = round(seconds * FPS)
    for number in range(count):
        renderer.render(number, frame)
        recorder.write(frame, number, 10**12 + number * 10_000_000, 0)
    recorder.close()
    (folder / "events.jsonl").write_bytes(msgspec.json.encode(LINE) + b"\n")
    (folder / "session.json").write_text(json.dumps({"subject": subject}))
    return renderer.schedule.events_until(count - 1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, one session each, reviewed by truth."""
    root = tmp_path_factory.mktemp("lab")
    for seed in range(3):
        folder = root / f"2026010{seed}T000000Z-1"
        for number, event in enumerate(record(folder, f"S{seed:02d}", seed)):
            span = event.onset, event.apex, event.offset
            review.append(folder, said(number if number else None, span, event.label))
    return root


def test_reviewed_events_are_clips_with_the_frames_of_the_recording(lab: Path) -> None:
    loaded = load_clips("sessions", lab)
    assert {clip.subject for clip in loaded.clips} == {"S00", "S01", "S02"}
    assert loaded.skipped == ()
    assert any("missed" in clip.name for clip in loaded.clips), "what the machine missed counts too"
    clip = loaded.clips[0]
    assert clip.numbers == tuple(range(clip.onset, clip.offset + 1))
    assert clip.margin_numbers[0] == clip.onset - 10
    settings = SynthesisSettings(first_event_s=0.3, event_gap_s=(0.3, 0.5), blinks=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, seed=0, fps=FPS, size=SIZE)
    expected = np.empty((SIZE[1], SIZE[0]), np.uint8)
    for number, file in list(zip(clip.numbers, clip.files, strict=True))[::7]:
        assert video_of(file) == (str(lab / "20260100T000000Z-1" / "frames.mkv"), number)
        renderer.render(number, expected)
        np.testing.assert_array_equal(read_gray(file), expected)


def test_what_can_not_be_used_is_said(lab: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    events = record(odd, None, 5, seconds=2.0)
    span = events[0].onset, events[0].apex, events[0].offset
    review.append(odd, said(0, span, "surprise"))
    for seed in range(3):
        (tmp_path / f"s{seed}").symlink_to(lab / f"2026010{seed}T000000Z-1")
    copy = tmp_path / "also"
    record(copy, "S00", 6, seconds=1.0)
    for verdict in (
        said(0, span, "surprise"), said(0, span, "surprise", "bob", "false"),
        said(1, span, "surprise"), said(1, span, "negative", "bob"),
        said(2, span, "contempt"), said(3, (900, 920, 940), "surprise"), said(4, span, "surprise", "ann", "unsure"),
    ):  # fmt: skip
        review.append(copy, verdict)
    with pytest.raises(DatasetError, match="too little to train on: 0 subjects") as error:
        load_clips("sessions", copy)
    assert str(error.value).count("\n") == 0
    for folder in list(lab.iterdir()):
        (tmp_path / folder.name).mkdir()
        for file in folder.iterdir():
            (tmp_path / folder.name / file.name).hardlink_to(file)
    whys = {skipped.clip.split("/", 1)[1]: skipped.why for skipped in load_clips("sessions", tmp_path).skipped}
    assert "names no subject" in whys["odd/event-0"]
    assert "disagree whether" in whys["also/event-0"]
    assert "disagree: negative or surprise" in whys["also/event-1"]
    assert "'contempt' is none of" in whys["also/event-2"]
    assert "missing frames: onset 900 is not in" in whys["also/event-3"]
    assert "also/event-4" not in whys, "what is unsure is no clip, and no fault"


def test_too_little_is_refused_before_anything_is_trained(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = sorted(lab.iterdir())[0]
    assert run("--dataset", "sessions", "--data", one, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert "too little to train on: 1 subjects" in error
    assert "record and review more" in error
    assert run("--dataset", "sessions", "--data", tmp_path, "--out", tmp_path / "run") == 2
    assert "no reviewed session" in capsys.readouterr().err


@pytest.mark.slow
def test_a_bundle_is_trained_on_them(lab: Path, tmp_path: Path) -> None:
    """Through the same trainer, leave-one-subject-out, to a bundle that loads."""
    from realtime.recognition import bundle

    out = tmp_path / "run"
    assert run("--dataset", "sessions", "--data", lab, "--epochs", 2, "--out", out) == 0
    results = json.loads((out / "results.json").read_text())
    assert (results["dataset"], results["selection"]) == ("sessions", "none")
    rows = (out / "predictions.csv").read_text().splitlines()[1:]
    assert len(rows) == len(load_clips("sessions", lab).clips)
    assert bundle.load(out / "bundle").card.protocol
