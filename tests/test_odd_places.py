"""Odd surroundings, too little of something, odd pictures: it works, or says why in one line. Real processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from _recordings import write_video
from _session import ROOT, Run, assert_balanced, left_behind

QUICK = ("--camera", "demo:5", "--fps", "60", "--size", "320x240")


def test_odd_names_a_small_home_and_no_standard_input_are_no_hindrance(tmp_path: Path) -> None:
    odd, bare = tmp_path / "a folder, größer ☃", tmp_path / "bare"
    odd.mkdir()
    bare.mkdir()
    bare.chmod(0o555)
    log = odd / "Sitzung 1 é.jsonl"
    command = [sys.executable, "-m", "realtime", *QUICK, "--events", str(log), "--record", str(odd), "--frames", "40"]
    environment = {**os.environ, "TMPDIR": str(odd), "HOME": str(bare), "XDG_CACHE_HOME": str(bare / "no")}
    child = subprocess.Popen(
        [*command, "--view", "plain"],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: (os.close(0), os.close(1)),
    )  # fmt: skip
    _, errors = child.communicate(timeout=180)
    assert (child.returncode, errors.count("\n")) == (0, 1), errors  # the reminder to ask the person
    summary = assert_balanced([json.loads(line) for line in log.read_text().splitlines()])
    assert summary["frames_captured"] - summary["frames_dropped"]["camera"] == 40
    assert str(odd) in summary["recording"]["folder"]
    assert left_behind(child.pid) == []


@pytest.mark.parametrize(
    ("words", "options", "descriptors"),
    [
        ("MB free, a session takes ", ("--set", "ring.min_slots=100000", "--set", "ring.max_mib=1000000"), 1024),
        ("24 files may be open at a time", (), 24),
    ],
)
def test_too_little_of_something_is_refused_in_one_line(
    words: str, options: tuple[str, ...], descriptors: int, tmp_path: Path
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "realtime", *QUICK, "--view", "none", "--frames", "40", "--size", "1920x1080", *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),
    )  # fmt: skip
    _, errors = child.communicate(timeout=180)
    assert child.returncode in (1, 2)
    assert words in errors
    assert errors.count("\n") == 1
    assert left_behind(child.pid) == []


def frames_of(clip: str) -> np.ndarray:
    video, frames = cv2.VideoCapture(clip), []
    while (read := video.read())[0]:
        frames.append(read[1][..., 0])
    return np.array(frames)


def test_a_black_picture_a_face_at_the_border_and_nobody_are_told_and_nothing_is_invented(
    clip: str, tmp_path: Path
) -> None:
    face = frames_of(clip)
    height, width = face.shape[1:]
    black = np.zeros((160, height, width), np.uint8)
    nobody = np.full((160, height, width), 90, np.uint8)
    cut = face[:160].copy()
    cut[:, :, : width // 2] = cut[:, :, width // 2 :]  # half of it is out of the picture
    cut[:, :, width // 2 :] = 90
    video = write_video(tmp_path / "odd.mkv", np.concatenate([face[:200], black, face[:160], nobody, cut]), "Y800")
    run = Run(tmp_path, "--camera", str(video))
    code, errors = run.end()
    assert (code, errors) == (0, "")
    summary = assert_balanced(run.lines())
    assert summary["frames_analysed"] == 840
    told = [line["what"] for line in run.of_type("notice") if line["what"] in ("face found", "face lost")]
    assert told[:4] == ["face found", "face lost", "face found", "face lost"]

    def within(event: dict[str, Any], first: int, last: int) -> bool:
        return bool(first <= event["apex"] < last)

    assert not [e for e in run.of_type("event") if within(e, 205, 360) or within(e, 525, 680)]
