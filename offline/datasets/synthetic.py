"""Clips of the generated face, made on the spot: to try every tool without a licence, and in the tests.

A subject is a seed (its own head motion, light and noise on the packaged portrait), a clip one movement.
Labels are the action unit's. Nothing learnt on them says anything about people.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from offline.datasets.common import Clip, Loaded
from realtime.errors import DatasetError
from realtime.types import LABELS

if TYPE_CHECKING:
    from realtime.synthesis import FaceRenderer, TruthEvent

SUBJECTS = 6
CLIPS_EACH = 9
FPS = 200.0
MARGIN = 6
"""Frames that are made before the onset and after the offset, for the means around them."""


def load(root: Path, subjects: int = SUBJECTS, clips_each: int = CLIPS_EACH) -> Loaded:
    """Write the frames below `root` where they are not there yet; the clips. Raises DatasetError if it can't."""
    clips: list[Clip] = []
    try:
        for seed in range(subjects):
            clips.extend(_subject(root, seed, clips_each))
    except OSError as error:
        raise DatasetError(f"{root}: generated clips can't be kept there: {error.strerror or error}") from error
    return Loaded(tuple(clips), ())


def _subject(root: Path, seed: int, count: int) -> list[Clip]:
    listing = root / f"p{seed:02d}" / f"clips-{count}-{MARGIN}.json"
    if listing.exists():
        with contextlib.suppress(msgspec.MsgspecError):  # a broken listing is made again
            found = msgspec.json.decode(listing.read_bytes(), type=list[Clip])
            if all(Path(file).exists() for clip in found for file in (*clip.files, *clip.margin_files)):
                return found
    clips = _render(listing.parent, seed, count)
    listing.write_bytes(msgspec.json.encode(clips))
    return clips


def _render(folder: Path, seed: int, count: int) -> list[Clip]:
    from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

    settings = SynthesisSettings(first_event_s=0.1, event_gap_s=(0.1, 0.3), blinks=False)
    renderer = FaceRenderer(Portrait.packaged(), settings, seed=seed, fps=FPS)
    seconds = 1
    while len(renderer.schedule.events_until(round(seconds * FPS))) < count:
        seconds += 1
    events = renderer.schedule.events_until(round(seconds * FPS))[:count]
    return [_clip(renderer, event, folder, f"p{seed:02d}", number) for number, event in enumerate(events)]


def _clip(renderer: FaceRenderer, event: TruthEvent, folder: Path, subject: str, number: int) -> Clip:
    """Draw one movement and a few frames around it."""
    name = f"{subject}_{number:02d}_{event.au}"
    files = _draw(renderer, folder / name, range(event.onset - MARGIN, event.offset + MARGIN + 1))
    numbers = tuple(range(event.onset, event.offset + 1))
    margin = tuple(frame for frame in files if frame not in numbers)
    return Clip(
        dataset="synthetic",
        subject=subject,
        name=name,
        label=LABELS.index(event.label),
        emotion=event.label,
        onset=event.onset,
        apex=event.apex,
        offset=event.offset,
        numbers=numbers,
        files=tuple(files[frame] for frame in numbers),
        margin_numbers=margin,
        margin_files=tuple(files[frame] for frame in margin),
        fps=FPS,
    )


def _draw(renderer: FaceRenderer, folder: Path, frames: range) -> dict[int, str]:
    """Write frames as files, by number. Raises DatasetError where one can't be written."""
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for frame in frames:
        image = np.empty((renderer.size[1], renderer.size[0]), np.uint8)
        renderer.render(frame, image)
        files[frame] = str(folder / f"{frame:06d}.png")
        if not cv2.imwrite(files[frame], image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise DatasetError(f"{files[frame]}: can't be written")
    return files
