"""Clip → aligned faces, with the very code that the camera uses: landmarks, registration, crop.

The face is anchored in the onset frame and followed to the apex by registration, which takes the head's
motion out, as the live spotter does; where it loses hold, the apex frame's own landmarks are used. A clip
without an apex is spotted by divide and conquer over the LBP differences from its first frame
(`realtime.vision.spotting.dc_rois`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.datasets.common import Clip, video_of
from realtime.errors import DatasetError, MerealtimeError
from realtime.session.pictures import Pictures
from realtime.vision.features import FeatureSpec

Gray = NDArray[np.uint8]
_KEPT_FRAMES = 16


class UnusableClip(DatasetError):
    """No map can be made; the clip is skipped with this reason."""


class FaceLost(UnusableClip):
    """No face where one is needed."""


class UnreadableFrame(UnusableClip):
    """A frame's file is broken, empty or not there."""


def read_gray(file: str) -> Gray:
    """(H, W) uint8. Raises UnreadableFrame."""
    place = video_of(file)
    if place is not None:
        return _read_frame(file, *place)
    image = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UnreadableFrame(f"{file}: not a readable image")
    return np.ascontiguousarray(image, np.uint8)


@functools.lru_cache(4)
def _video(path: str) -> Pictures:
    return Pictures(Path(path))


def _read_frame(file: str, video: str, number: int) -> Gray:
    try:
        picture = _video(video).picture(number)
    except MerealtimeError as error:
        raise UnreadableFrame(f"{file}: {error}") from error
    if picture is None:
        raise UnreadableFrame(f"{file}: no such frame")
    return np.ascontiguousarray(picture, np.uint8)


class Pair(msgspec.Struct, frozen=True):
    """The face at the onset and in a later frame, cropped alike."""

    onset: Gray
    """(crop_height, crop_width) uint8."""
    apex: Gray
    landmarks: NDArray[np.float32]
    """(68, 2) px in the crop."""


class FollowedClip:
    """The onset's face, followed through the clip. Raises UnusableClip."""

    def __init__(self, clip: Clip, detect: Callable[[Gray], Any], spec: FeatureSpec) -> None:
        """detect: gray (H, W) uint8 → (478, 2) float32 mesh, px, or None; spec: of the crop."""
        from realtime.vision.face.registration import Anchor

        self.clip, self.detect, self.spec, self.note = clip, detect, spec, ""
        self.near = spec.neighbours(clip.fps)
        self.read = functools.lru_cache(_KEPT_FRAMES)(read_gray)  # followed, then averaged: each is read once
        self.files = dict(zip(clip.numbers, clip.files, strict=True)) | self._margin()
        self.forward = sorted(number for number in self.files if number >= clip.onset)
        self.onset = self.read(self.files[clip.onset])
        mesh = detect(self.onset)
        if mesh is None:
            raise FaceLost(f"no face in the onset frame {self.files[clip.onset]}")
        self.mesh = mesh
        self.anchor = Anchor(self.onset, mesh)
        self.poses = {clip.onset: self.anchor.to_frame.copy()}
        self.turned = {clip.onset: self.anchor.turned}
        self.slipped = {clip.onset: False}
        self.differences = [self._difference(None)]
        self._at = 0

    def _margin(self) -> dict[int, str]:
        """Files by number of the frames at most `near` outside the clip; an unreadable one is as if not there."""
        clip, found = self.clip, {}
        for number, file in zip(clip.margin_numbers, clip.margin_files, strict=True):
            if clip.onset - self.near <= number <= clip.offset + self.near:
                with contextlib.suppress(UnreadableFrame):
                    self.read(file)
                    found[number] = file
        return found

    def _difference(self, reference: NDArray[np.float32] | None) -> NDArray[np.float64]:
        from realtime.vision.face.regions import ROI_NAMES
        from realtime.vision.spotting import lbp

        layout = self.anchor.layout
        counts = np.zeros((len(layout.block_roi), lbp.BINS), np.float32)
        lbp.histograms(self.anchor.image, layout.blocks, layout.spans, lbp.UNIFORM_BINS, counts)
        out = np.zeros(len(ROI_NAMES))
        if reference is None:
            self.reference = counts
        else:
            lbp.difference(counts, reference, layout.block_roi, out)
        return out

    def _follow_to(self, number: int, compare: bool = False) -> None:
        """Follow the face on, to the last frame that is there and not after `number`."""
        while self._at + 1 < len(self.forward) and self.forward[self._at + 1] <= number:
            self._at += 1
            frame = self.forward[self._at]
            self.anchor.update(self.read(self.files[frame]), 1.0 / self.clip.fps)
            self.poses[frame] = self.anchor.to_frame.copy()
            self.turned[frame] = self.anchor.turned
            self.slipped[frame] = self.anchor.slipped
            if compare:
                self.differences.append(self._difference(self.reference))

    def _follow_back(self) -> None:
        """Poses of the frames before the onset, by an anchor of its own: the other one only goes forward."""
        from realtime.vision.face.registration import Anchor

        anchor = None
        for frame in sorted((n for n in self.files if n < self.clip.onset), reverse=True):
            if frame in self.poses:
                continue
            anchor = anchor or Anchor(self.onset, self.mesh)
            anchor.update(self.read(self.files[frame]), 1.0 / self.clip.fps)
            self.poses[frame] = anchor.to_frame.copy()
            self.slipped[frame] = anchor.slipped

    def spotted_apex(self) -> int:
        """Frame number by D&C-RoIs over the whole clip; never the onset itself."""
        from realtime.vision.spotting import dc_rois

        self._follow_to(self.clip.numbers[-1], compare=True)
        return self.clip.numbers[max(1, dc_rois(np.stack(self.differences)))]

    def pair(self, number: int) -> Pair:
        """The onset's face and that of frame `number`."""
        from realtime.vision.face.landmarks import to_68
        from realtime.vision.features.crop import apply, crop, crop_transform

        self._follow_back()
        spec = self.spec
        self._follow_to(max(number + self.near, self.clip.offset if spec.registration == "between" else number))
        points = to_68(self.anchor.layout.mesh)
        to_crop = crop_transform(points, spec)
        landmarks = apply(to_crop, points).astype(np.float32)
        first = self._mean(self.clip.onset, to_crop)
        if not self.slipped[number]:
            second = self._at_apex(number, to_crop)
        else:
            image = self.read(self.files[number])
            mesh = self.detect(image)
            if mesh is None:
                raise FaceLost(f"no face in frame {self.files[number]}")
            second = crop(image, crop_transform(to_68(mesh), spec), spec)
            self.note = "registration lost hold: the later frame's own landmarks were used"
        return Pair(first, second, landmarks)

    def _at_apex(self, number: int, to_crop: NDArray[np.float64]) -> Gray:
        """Crop of a later frame, the head's motion taken out by the spec's rule, as the camera does."""
        from realtime.vision.features.crop import apply, compose, invert
        from realtime.vision.features.pose_rule import Pose, correction
        from realtime.vision.features.relief import parallax

        onset, offset, layout = self.clip.onset, self.clip.offset, self.anchor.layout
        end = offset if not self.slipped.get(offset, True) else number
        poses = [Pose(compose(to_crop, invert(self.poses[k])), self.turned[k]) for k in (onset, number, end)]
        ruled = correction(poses, (number - onset) / max(offset - onset, 1), self.spec)
        heights = layout.mesh_heights * float(np.hypot(*to_crop[0, :2]))
        carried = parallax(ruled.turn, apply(to_crop, layout.mesh), heights, self.spec)
        return self._mean(number, compose(ruled.left_in, to_crop), carried)

    def _mean(self, number: int, to_crop: NDArray[np.float64], carried: NDArray[np.float32] | None = None) -> Gray:
        """Crop of a frame, averaged with its neighbours as the camera's are (`FaceMeter.crops`), before and after,
        in the clip or just outside it.
        """
        from realtime.vision.features.crop import compose, invert, mean_crop

        usable = [k for k in self.poses if abs(k - number) <= self.near and (k == number or not self.slipped[k])]
        return mean_crop(
            ((self.read(self.files[k]), compose(to_crop, invert(self.poses[k]))) for k in usable), self.spec, carried
        )
