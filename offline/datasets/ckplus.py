"""CK+ (Lucey et al. 2010): posed macro-expressions for pre-training; first frame onset, last frame apex.

Many emotion folders are empty: those sequences carry no label and are skipped.
"""

from __future__ import annotations

from pathlib import Path

from offline.datasets import trees
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
    images, emotions = _subfolder(root, "cohn-kanade-images"), _subfolder(root, "Emotion")
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    people = trees.subjects(images, "ckplus", r"S\d+").values()
    for sequence in (folder for person in people for folder in trees.folders(person)):
        subject, number = sequence.parent.name, sequence.name
        emotion, why = _emotion(trees.inside(trees.inside(emotions, subject), number))
        if emotion is None:
            skipped.append(Skipped(f"{subject}/{number}", f"no label: {why}"))
            continue
        found = _complete(sequence, subject, emotion)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(found)
    if not clips:
        why = f" (first: {skipped[0].clip}: {skipped[0].why})" if skipped else ""
        raise DatasetError(f"{root}: no labelled sequence{why}; expected {LAYOUT}")
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


def _subfolder(root: Path, name: str) -> Path:
    """The archives unpack to Emotion_labels/Emotion and extended-cohn-kanade-images/cohn-kanade-images."""
    found = [d for d in trees.folders(root) if name.lower() in d.name.lower()]
    if not found:
        raise DatasetError(f"{root}: no folder {name}; expected {LAYOUT}")
    return next((inner for d in found if (inner := trees.inside(d, name)).is_dir()), found[0])


def _emotion(folder: Path) -> tuple[str | None, str]:
    """The emotion that a sequence's folder names, or None and why there is none."""
    if not folder.is_dir():
        return None, f"no folder {folder}"
    file = next((f for f in sorted(folder.glob("*_emotion.txt")) if not f.name.startswith(".")), None)
    if file is None:
        return None, "its Emotion folder is empty"
    try:
        number = float(file.read_text().strip())
    except (ValueError, OSError) as error:
        return None, f"{file} should hold one number, 1 to 7: {error}"
    emotion = next((word for code, word in EMOTIONS.items() if code == number), None)
    return emotion, "" if emotion else f"{file} holds {number:g}, which is none of 1 to 7"
