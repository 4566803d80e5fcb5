"""Clips of the generated face, made on the spot: to try every tool without a licence, and in the tests.

A subject is a seed (its own head motion, light and noise on the packaged portrait), a clip one movement.
Labels are the action unit's. Nothing learnt on them says anything about people.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from offline.datasets.common import Clip, Loaded
from realtime.types import LABELS

SUBJECTS = 6
CLIPS_EACH = 9
FPS = 200.0


def load(root: Path, subjects: int = SUBJECTS, clips_each: int = CLIPS_EACH) -> Loaded:
    """Write the frames below `root` where they are not there yet; the clips."""
    clips: list[Clip] = []
    for seed in range(subjects):
        clips.extend(_subject(root, seed, clips_each))
    return Loaded(tuple(clips), ())


def _subject(root: Path, seed: int, count: int) -> list[Clip]:
    listing = root / f"p{seed:02d}" / f"clips-{count}.json"
    if listing.exists():
        found = msgspec.json.decode(listing.read_bytes(), type=list[Clip])
        if all(Path(file).exists() for clip in found for file in clip.files):
            return found
    clips = _render(listing.parent, seed, count)
    listing.write_bytes(msgspec.json.encode(clips))
    return clips


def _render(folder: Path, seed: int, count: int) -> list[Clip]:
    import cv2
    import numpy as np

    from realtime.sources.synthesis import FaceRenderer, Portrait, SynthesisSettings

    settings = SynthesisSettings(first_event_s=0.1, event_gap_s=(0.1, 0.3), blinks=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, seed=seed, fps=FPS)
    seconds = 1
    while len(renderer.schedule.events_until(round(seconds * FPS))) < count:
        seconds += 1
    clips = []
    for number, event in enumerate(renderer.schedule.events_until(round(seconds * FPS))[:count]):
        name = f"p{seed:02d}_{number:02d}_{event.au}"
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        files = []
        for frame in range(event.onset, event.offset + 1):
            image = np.empty((renderer.size[1], renderer.size[0]), np.uint8)
            renderer.render(frame, image)
            files.append(str(target / f"{frame:06d}.png"))
            cv2.imwrite(files[-1], image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        clips.append(
            Clip(
                dataset="synthetic",
                subject=f"p{seed:02d}",
                name=name,
                label=LABELS.index(event.label),
                emotion=event.label,
                onset=event.onset,
                apex=event.apex,
                offset=event.offset,
                numbers=tuple(range(event.onset, event.offset + 1)),
                files=tuple(files),
                fps=FPS,
            )
        )
    return clips
