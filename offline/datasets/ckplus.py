"""CK+ (Lucey et al. 2010): posed macro-expressions for pre-training; first frame onset, last frame apex.

Many emotion folders are empty: those sequences carry no label and are skipped.
"""

from __future__ import annotations

from pathlib import Path

from offline.datasets.common import (
    NEGATIVE,
    POSITIVE,
    SURPRISE,
    Clip,
    Loaded,
    RawClip,
    Skipped,
    complete,
    numbered_images,
    require_folder,
)
from realtime.errors import DatasetError

LAYOUT = "cohn-kanade-images/S005/001/S005_001_00000011.png and Emotion/S005/001/S005_001_00000011_emotion.txt"
EMOTIONS = {1: "anger", 2: "contempt", 3: "disgust", 4: "fear", 5: "happy", 6: "sadness", 7: "surprise"}
CLASSES = dict.fromkeys(EMOTIONS.values(), NEGATIVE) | {"happy": POSITIVE, "surprise": SURPRISE}
FPS = 30.0


def load(root: Path) -> Loaded:
    """Labelled sequences as three classes. Raises DatasetError with the expected layout."""
    require_folder(root, LAYOUT)
    images, emotions = _subfolder(root, "cohn-kanade-images*"), _subfolder(root, "Emotion*")
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for sequence in sorted(d for d in images.glob("S*/*") if d.is_dir()):
        subject, number = sequence.parent.name, sequence.name
        emotion = _emotion(emotions / subject / number)
        if emotion is None:
            skipped.append(Skipped(f"{subject}/{number}", "no label: its Emotion folder is empty"))
            continue
        found = _complete(sequence, subject, emotion)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(found)
    if not clips:
        raise DatasetError(f"{root}: no labelled sequence; expected {LAYOUT}")
    return Loaded(tuple(clips), tuple(skipped))


def _complete(sequence: Path, subject: str, emotion: str) -> Clip | Skipped:
    frames = numbered_images(sequence)
    last = max(frames, default=None)
    raw = RawClip(
        dataset="ckplus",
        subject=subject,
        name=f"{subject}_{sequence.name}",
        emotion=emotion,
        onset=None,
        apex=last,
        offset=last,
        folder=sequence,
        fps=FPS,
    )
    return complete(raw, CLASSES[emotion])


def _subfolder(root: Path, pattern: str) -> Path:
    found = sorted(d for d in root.glob(pattern) if d.is_dir())
    if not found:
        raise DatasetError(f"{root}: no folder {pattern}; expected {LAYOUT}")
    # the archives unpack to Emotion_labels/Emotion
    inner = found[0] / pattern.rstrip("*")
    return inner if inner.is_dir() else found[0]


def _emotion(folder: Path) -> str | None:
    for file in sorted(folder.glob("*_emotion.txt")) if folder.is_dir() else []:
        try:
            return EMOTIONS.get(int(float(file.read_text().strip())))
        except ValueError as error:
            raise DatasetError(f"{file}: expected one number, 1 to 7: {error}") from error
    return None
