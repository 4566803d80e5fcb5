"""Feature maps that are there already: an ``.npz``, or a folder tree in leave-one-subject-out form.

``.npz``: maps (n, 28, 28, 3) [u, v, strain] 0..255, label (n,) 0..2, subject, dataset, clip (n,).
`offline.prepare` writes the same, and with ``--input NAME`` the arrays of another input, whose name is in the file, as
are the names of the classes where they are others. Tree, as published with STSTNet's code:
``<subject>/u_test/<label>/<name>.png`` holds the subject's own maps; ``u_train`` repeats everybody else's,
and is only checked for lacking the subject.
"""

from __future__ import annotations

import lzma
import re
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.common import IMAGE_SUFFIXES, Note, Skipped
from offline.datasets.people import dataset_named, person_of
from realtime.errors import DatasetError
from realtime.types import LABELS

LAYOUT = (
    "an .npz with maps (n, 28, 28, 3), label, subject, dataset, clip; "
    "or folders <subject>/u_test/<0|1|2>/<clip>.png of 28×28 colour images"
)
_TORN = (
    OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError, OverflowError, MemoryError,
    SystemError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError,
)  # fmt: skip
"""What NumPy raises from the midst of a torn file."""
_MOST_BYTES = 2 << 30  # 200 000 maps
FIELDS = ("maps", "label", "subject", "dataset", "clip")
CLASSES = ("0", "1", "2")


class MapSet(msgspec.Struct, frozen=True, kw_only=True):
    """Feature maps ready for training."""

    maps: NDArray[Any]
    """(n, 28, 28, 3), 0..255, [u, v, strain]; or (n, *shape) of another input."""
    label: NDArray[np.int64]
    """(n,) position in `labels`."""
    subject: tuple[str, ...]
    dataset: tuple[str, ...]
    clip: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    """What was left out, for the caller to print."""
    notes: tuple[Note, ...] = ()
    """What to know about clips that are in."""
    feature_digest: str = ""
    """Digest of the input that made the maps; empty: made by others."""
    shown: str = "flow-map"
    """Name of the input that made them."""
    labels: tuple[str, ...] = LABELS
    """Names of the classes."""
    recut: tuple[str, ...] = ()
    """Data sets whose maps were cut anew (``offline.datasets.frames``)."""
    frame: tuple[int, ...] = ()
    """Number of the frame that each shows; empty: not known."""

    @property
    def person(self) -> NDArray[np.str_]:
        """(n,) one name a person, however spelt: who must not be on both sides of a split."""
        return np.array([person_of(d, s) for d, s in zip(self.dataset, self.subject, strict=True)])

    def __len__(self) -> int:
        return len(self.maps)


def load(path: Path) -> MapSet:
    """Read either form. Raises DatasetError with the expected layout."""
    if path.is_file():
        return _load_npz(path)
    if path.is_dir():
        files = sorted(f for f in path.glob("*.npz") if not f.name.startswith("."))
        if len(files) > 1:
            raise DatasetError(f"{path}: holds {', '.join(f.name for f in files)}; give one of them")
        return _load_npz(files[0]) if files else _load_tree(path)
    raise DatasetError(f"{path}: no such file or folder; expected {LAYOUT}")


def checked(file: Path, arrays: dict[str, Any], skipped: tuple[Skipped, ...] = ()) -> MapSet:
    """A MapSet from arrays, or a DatasetError that says what is wrong with them."""
    maps, label = np.asarray(arrays["maps"]), np.asarray(arrays["label"])
    if maps.ndim != 4 or maps.shape[1:] != (28, 28, 3) or len(maps) < 2 or maps.dtype.kind not in "fiu":
        raise DatasetError(f"{file}: maps have shape {maps.shape}, {maps.dtype}; expected {LAYOUT}")
    for name in FIELDS[1:]:
        shape = np.shape(arrays[name])
        if len(shape) != 1:
            raise DatasetError(f"{file}: {name} has shape {shape}; expected one for each map, ({len(maps)},)")
        if len(arrays[name]) != len(maps):
            raise DatasetError(f"{file}: {', '.join(FIELDS)} differ in length; expected {LAYOUT}")
    if label.dtype.kind not in "fiu" or not np.isin(label, (0, 1, 2)).all():
        raise DatasetError(f"{file}: labels {sorted(set(label.tolist()))[:9]}; expected 0, 1 and 2")
    if not (np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 255):
        raise DatasetError(f"{file}: map values outside 0..255; expected each channel stretched to 0..255")
    if maps.max() <= 1:
        raise DatasetError(f"{file}: no map value is above 1; expected 0..255: multiply maps of 0..1 by 255")
    subject, dataset, clip = (tuple(str(v) for v in np.asarray(arrays[n]).astype(str)) for n in FIELDS[2:])
    dataset = tuple(dataset_named(name) or name for name in dataset)
    return MapSet(
        maps=maps.astype(np.float32),
        label=label.astype(np.int64),
        subject=subject,
        dataset=dataset,
        clip=clip,
        skipped=skipped,
    )


def checked_other(file: Path, arrays: dict[str, Any], shown: str, labels: tuple[str, ...]) -> MapSet:
    """The same of another input than the flow map, or of other classes."""
    maps, label = np.asarray(arrays["maps"]), np.asarray(arrays["label"])
    if shown == "flow-map":
        checked(file, arrays | {"label": np.zeros_like(label)})
    if len(maps) < 2 or maps.ndim < 2 or maps.dtype.kind not in "fiu" or not np.isfinite(maps).all():
        raise DatasetError(f"{file}: maps {maps.shape}, {maps.dtype}: not the numbers of an input; prepare it again")
    if any(np.shape(arrays[name]) != (len(maps),) for name in FIELDS[1:]):
        raise DatasetError(f"{file}: {', '.join(FIELDS)} differ in length; prepare it again")
    if label.dtype.kind not in "iu" or not ((label >= 0) & (label < len(labels))).all():
        raise DatasetError(
            f"{file}: labels {sorted(set(label.tolist()))[:9]} of {len(labels)} classes; prepare it again"
        )
    subject, dataset, clip = (tuple(str(v) for v in np.asarray(arrays[n]).astype(str)) for n in FIELDS[2:])
    return MapSet(
        maps=maps, label=label.astype(np.int64), subject=subject, dataset=dataset, clip=clip, shown=shown, labels=labels
    )


def _load_npz(file: Path) -> MapSet:
    if not zipfile.is_zipfile(file):
        raise DatasetError(f"{file}: not an .npz; expected {LAYOUT}")
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MOST_BYTES:
            raise ValueError(f"{unpacked >> 20} MiB unpacked; split it")
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in FIELDS if name in stored}
            digest = str(stored["feature_digest"]) if "feature_digest" in stored else ""
            shown = str(stored["input"]) if "input" in stored else "flow-map"
            labels = tuple(str(v) for v in stored["labels"].ravel()) if "labels" in stored else LABELS
            frame = tuple(stored["frame"].ravel().tolist()) if "frame" in stored else ()
    except _TORN as error:
        raise DatasetError(f"{file}: not a readable .npz: {error}; expected {LAYOUT}") from error
    missing = [name for name in FIELDS if name not in arrays]
    broken = [name for name, stored in arrays.items() if not isinstance(stored, np.ndarray)]
    if broken:
        raise DatasetError(f"{file}: {', '.join(broken)} can't be read as an array; expected {LAYOUT}")
    if missing:
        raise DatasetError(f"{file}: lacks {', '.join(missing)}; expected {LAYOUT}")
    own = shown == "flow-map" and labels == LABELS
    data = checked(file, arrays) if own else checked_other(file, arrays, shown, labels)
    return msgspec.structs.replace(data, feature_digest=digest, frame=frame if len(frame) == len(data) else ())


def _load_tree(root: Path) -> MapSet:
    rows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    for folder in sorted(d for d in root.iterdir() if (d / "u_test").is_dir()):
        own = _maps_below(folder / "u_test")
        others = sorted(d for d in (folder / "u_test").iterdir() if d.is_dir() and d.name not in CLASSES)
        skipped += [Skipped(f"{folder.name}/{d.name}", f"not a folder of a class, 0, 1 or 2: {d}") for d in others]
        names = {name for name, _, _ in own}
        leaked = names & {name for name, _, _ in _maps_below(folder / "u_train")}
        if leaked:
            raise DatasetError(f"{folder}: {sorted(leaked)[0]} is in u_train and u_test of one subject")
        for name, label, file in own:
            image = _read(file)
            if image is None:
                skipped.append(Skipped(f"{folder.name}/{name}", f"not a readable 28×28 colour image: {file}"))
                continue
            subject, dataset = folder.name, dataset_of(folder.name)
            rows.append({"maps": image, "label": label, "subject": subject, "dataset": dataset, "clip": name})
    if not rows:
        raise DatasetError(f"{root}: no folder <subject>/u_test/<0|1|2> with images; expected {LAYOUT}")
    return checked(root, {name: np.array([r[name] for r in rows]) for name in FIELDS}, tuple(skipped))


def _maps_below(folder: Path) -> list[tuple[str, int, Path]]:
    classes = [d for d in sorted(folder.glob("*")) if d.is_dir() and d.name in CLASSES]
    return [
        (file.stem, int(d.name), file)
        for d in classes
        for file in sorted(d.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]


def _read(file: Path) -> NDArray[np.uint8] | None:
    """Stored as RGB = [u, v, strain]; OpenCV reads BGR, so the order is turned back."""
    import cv2

    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    return None if image is None or image.shape != (28, 28, 3) else np.ascontiguousarray(image[..., ::-1])


def dataset_of(subject: str) -> str:
    """By the subject's name, as the composite's trees have it: sub05 CASME II, s5 SMIC, 006 SAMM; S005 is CK+."""
    names = ((r"sub\d+", "casme2"), (r"s\d{1,2}", "smic"), (r"s\d{3}", "ckplus"), (r"\d{3}", "samm"))
    return next((ours for pattern, ours in names if re.fullmatch(pattern, subject, re.IGNORECASE)), "other")
