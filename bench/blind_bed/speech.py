"""How a real mouth moves in talk: lips and jaw of a video, tracked once and kept, put on the clip's time axis."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from bench import _clip_store
from bench.blind_bed.courses import FPS
from bench.blind_bed.portraits import Landmarker

_STILL = [33, 133, 362, 263, 168, 6, 197, 468, 473]
"""Eyes and bridge of the nose: what talk does not move."""
_FOLLOWED = [13, 14, 0, 17, 152, 61, 291]
_UPPER_LIP, _LEFT_CORNER, _RIGHT_CORNER = 0, 5, 6  # of those
_MOST_FRAMES = 4800
_TRIES = 20
_WIDEST, _WIDEST_ALONE = 0.2, 0.4
"""Eye distances that the lips part at most; where there is one track only, whose person may gape."""
CHANNELS = ("ul", "cxl", "cyl", "cxr", "cyr")
"""Upper lip up and down, left corner across and up and down, right corner likewise: names of the fields they move."""


@dataclass(frozen=True)
class Track:
    """What a mouth did, in eye distances; NaN where no face was seen."""

    name: str
    places: npt.NDArray[np.float64]
    """(T, 7, 2) of _FOLLOWED in the frame of eyes and nose, from where they usually are."""
    gap: npt.NDArray[np.float64]
    """(T,) between the lips."""
    fps: float


def track(video: Path) -> Track:
    """Its track: from the user's cache folder, else tracked now (a minute). OSError if it cannot be read."""
    key = hashlib.sha256(video.read_bytes()).hexdigest()[:12]
    kept = _clip_store.folder().parent / "blind" / f"{video.stem}-{key}.npz"
    if not kept.is_file():
        found = _tracked(video)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part.npz")
        np.savez_compressed(part, places=found.places, gap=found.gap, fps=found.fps)
        part.rename(kept)
    with np.load(kept) as data:
        return Track(video.stem, data["places"], data["gap"], float(data["fps"]))


def _tracked(video: Path) -> Track:
    """Follow the face through the video, magnified: it is often small."""
    reader, meshes = cv2.VideoCapture(str(video)), []
    fps, model = reader.get(cv2.CAP_PROP_FPS), Landmarker(video=True)
    try:
        while len(meshes) < _MOST_FRAMES:
            read, frame = reader.read()
            if not read:
                break
            frame = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            mesh = model(np.asarray(frame, np.uint8), int(len(meshes) * 1000 / fps))
            meshes.append(None if mesh is None else mesh[:, :2])
    finally:
        reader.release()
        model.close()
    seen = [mesh for mesh in meshes if mesh is not None]
    if not seen:
        raise OSError(f"{video} shows no face, or cannot be read")
    usual = np.median(seen, 0)
    apart = np.linalg.norm(usual[468] - usual[473])
    places, gap = np.full((len(meshes), len(_FOLLOWED), 2), np.nan), np.full(len(meshes), np.nan)
    for number, mesh in enumerate(meshes):
        if mesh is None:
            continue
        still, goal = mesh[_STILL].astype(np.float32), usual[_STILL].astype(np.float32)
        back, _ = cv2.estimateAffinePartial2D(still, goal, method=cv2.LMEDS)
        places[number] = (mesh[_FOLLOWED] @ back[:, :2].T + back[:, 2] - usual[_FOLLOWED]) / apart
        gap[number] = (mesh[14] - mesh[13])[1] / np.linalg.norm(mesh[468] - mesh[473])
    return Track(video.stem, places, gap, fps)


@dataclass(frozen=True)
class Talk:
    """Talk for a clip, px, (N,) each."""

    jaw: npt.NDArray[np.float64]
    fields: dict[str, npt.NDArray[np.float64]]
    """Of CHANNELS."""
    source: str


def talk(rng: np.random.Generator, count: int, eye_px: float, tracks: tuple[Track, Track]) -> Talk:
    """A stretch of ``count`` frames of the first track (four times in five) or of the second.

    Both the same: all clips talk as that one person does. ValueError where neither holds a stretch of that length.
    """
    widest = _WIDEST_ALONE if tracks[0] is tracks[1] else _WIDEST
    for _ in range(_TRIES):
        chosen = tracks[int(rng.choice(2, p=[0.8, 0.2]))]
        places, gap, seen = _filled(chosen)
        length = int(count / FPS * chosen.fps) + 8
        begin = _stretch(rng, places, gap, seen, length, chosen.fps, widest)
        if begin is not None:
            return _courses(places, gap, begin, length, count, eye_px, chosen)
    raise ValueError(f"no {count / FPS:g} s of lively talk in {tracks[0].name} or {tracks[1].name}")


def _filled(track: Track) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Places and gap without holes, and where there were none."""
    seen, numbers = np.isfinite(track.places).all((1, 2)), np.arange(len(track.places))
    places = track.places.copy()
    for point in range(len(_FOLLOWED)):
        for axis in range(2):
            places[:, point, axis] = np.interp(numbers, numbers[seen], places[seen, point, axis])
    return places, np.interp(numbers, numbers[seen], track.gap[seen]), seen


def _stretch(
    rng: np.random.Generator,
    places: npt.NDArray[np.float64],
    gap: npt.NDArray[np.float64],
    seen: npt.NDArray[np.bool_],
    length: int,
    fps: float,
    widest: float,
) -> int | None:
    """First frame of a stretch with lively lips, no gaping and a quiet head: corners that jump are turns, not talk."""
    lips = places[:, [_UPPER_LIP, _LEFT_CORNER, _RIGHT_CORNER]].reshape(len(places), -1)
    fast = lips - gaussian_filter1d(lips, 0.5 * fps, axis=0)
    rated = []
    for begin in range(0, len(places) - length, 5):
        here = gap[begin : begin + length]
        low = np.percentile(here, 8)
        talks = here.max() - low < widest and np.percentile(here, 92) - low > 0.05
        if talks and seen[begin : begin + length].all():
            jumps = np.ptp(fast[begin : begin + length], 0).max()
            rated.append((begin, np.abs(np.diff(here)).mean(), jumps))
    if len(rated) < 6:
        return None
    some = np.array(rated)
    some = some[some[:, 2] <= np.percentile(some[:, 2], 35)]
    some = some[some[:, 1] >= np.percentile(some[:, 1], 30)]
    return int(rng.choice(some[:, 0]))


def _courses(
    places: npt.NDArray[np.float64],
    gap: npt.NDArray[np.float64],
    begin: int,
    length: int,
    count: int,
    eye_px: float,
    track: Track,
) -> Talk:
    fps = track.fps
    then, now = np.arange(length) / fps, np.arange(count) / FPS

    def course(x: npt.NDArray[np.float64], closed: float | None = None) -> npt.NDArray[np.float64]:
        """px on the clip's time axis, from its percentile ``closed``; None: from the middle, slow changes taken out."""
        if closed is None:
            x = x - 0.75 * gaussian_filter1d(x, 0.5 * fps)
        x = x[begin : begin + length]
        x = x - (np.median(x) if closed is None else np.percentile(x, closed))
        return CubicSpline(then, gaussian_filter1d(x, 0.6))(now + 2 / fps) * eye_px

    jaw = np.maximum(course(gap, 8), -0.3)
    fields = {"ul": course(places[:, _UPPER_LIP, 1])}
    for side, corner in (("l", _LEFT_CORNER), ("r", _RIGHT_CORNER)):
        fields["cx" + side] = course(places[:, corner, 0])
        # corners carry what is left of the head's movement, most of it up and down: little of that is kept
        fields["cy" + side] = course(places[:, corner, 1]) * 0.6
    return Talk(jaw, fields, f"{track.name} from frame {begin}")
