"""One clip: its truth, its frames with the camera's noise, and both written to a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench._harness import write_json
from bench.blind_bed.conditions import CONDITIONS, MICRO_PX
from bench.blind_bed.courses import FPS
from bench.blind_bed.head import Head
from bench.blind_bed.portraits import FACES, Face
from bench.blind_bed.props import Glasses
from bench.blind_bed.render import Picture, Renderer
from bench.blind_bed.script import Script
from bench.blind_bed.speech import Track
from bench.planted.draw import write

SECONDS = 12.0
_FRAME = {"far": ((288, 240), 80.0)}
"""Size of the frame and width of the face, px, where they aren't 384 x 352 and 150."""


@dataclass(frozen=True)
class Spec:
    """Which clip."""

    condition: str
    number: int
    """From 1; four in a row show the four faces."""

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"{self.condition}-{self.number}"

    @property
    def face(self) -> str:
        """Of FACES."""
        return list(FACES)[(list(CONDITIONS).index(self.condition) + self.number - 1) % len(FACES)]

    @property
    def seed(self) -> int:
        """Its own."""
        return int(hashlib.sha256(self.name.encode()).hexdigest()[:12], 16)


class Clip:
    """A clip that is written down; iterating draws it."""

    def __init__(
        self, spec: Spec, face: Face, tracks: tuple[Track, Track] | None = None, seconds: float = SECONDS
    ) -> None:
        """``tracks``: for conditions that talk. Several conditions need the 12 s. ValueError: no room, or no talk."""
        self.spec = spec
        rng = np.random.default_rng(spec.seed)
        size, face_px = _FRAME.get(spec.condition, ((384, 352), 150.0))
        self.head = Head(face, rng, face_px, size)
        self.script = Script(self.head, rng, spec.number, seconds, MICRO_PX.get(spec.condition, 1.5), tracks)
        CONDITIONS[spec.condition](self.script)
        self.script.blinks()
        self.script.end()
        self.noise = float(rng.uniform(2, 3))
        """Standard deviation, grey levels."""
        self.truth = self._truth()
        self._glasses = None
        if spec.condition == "glasses":
            self._glasses = Glasses(self.head, rng)
            self.script.note("reflection", 0, seconds)
        self._noise_seed = rng.integers(1 << 60)

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.script.count

    def _truth(self) -> dict[str, Any]:
        head, script = self.head, self.script
        return {
            "fps": FPS,
            "condition": self.spec.condition,
            "n": self.spec.number,
            "portrait": head.name,
            "seed": self.spec.seed,
            "face_px": head.face_px,
            "eye_px": round(head.eye_px, 1),
            "width": head.size[0],
            "height": head.size[1],
            "frames": script.count,
            "noise_sd": round(self.noise, 2),
            "depth_factor": round(head.depth_factor, 3),
            "sides": "l and r are sides of the IMAGE",
            "events": script.events,
            "other": script.other,
            "head": {
                name: [round(float(course.min()), 2), round(float(course.max()), 2)]
                for name, course in script.pose.items()
            },
        }

    def clean(self) -> Iterator[Picture]:
        """(H, W) grey levels, without noise."""
        script, renderer = self.script, Renderer(self.head, self._glasses)
        for i in range(script.count):
            image = renderer.frame(
                {name: float(course[i]) for name, course in script.pose.items()},
                {name: float(px[i]) for name, px in script.acts.items()},
                float(script.jaw[i]),
                (script.closed[0, i], script.closed[1, i]),
                (script.gaze[0, i], script.gaze[1, i]),
                i,
            )
            for begin, hand in script.hands:
                share = script.t[i] - begin
                if 0 <= share <= 1:
                    image = hand.draw(image, share)
            yield image

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """(H, W) uint8 frames as the camera gives them."""
        rng, size = np.random.default_rng(self._noise_seed), np.float32(self.noise)
        for image in self.clean():
            noisy = image + size * rng.standard_normal(image.shape, dtype=np.float32)
            yield np.clip(noisy + 0.5, 0, 255).astype(np.uint8)

    def save(self, folder: Path) -> Path:
        """Write NAME.avi (FFV1) and NAME.json; both appear when they are whole. The truth's path."""
        folder.mkdir(parents=True, exist_ok=True)
        video = folder / f"{self.spec.name}.avi"
        part = folder / f"{self.spec.name}.{os.getpid()}.part.avi"
        try:
            write(part, self, FPS)
            part.rename(video)
        finally:
            part.unlink(missing_ok=True)
        return write_json(video.with_suffix(".json"), self.truth)
