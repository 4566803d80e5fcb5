"""The face of the last few seconds, as the sensor saw it: an event's onset and apex are cut from here.

The ring in shared memory holds a second or so; a movement may last longer. So each frame's face region is copied
(some 50 kB), with the pose that belongs to it.
"""

from __future__ import annotations

import contextlib
import mmap

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.errors import MerealtimeError
from realtime.vision.face.landmarks import to_68
from realtime.vision.face.registration import Anchor, on_grid
from realtime.vision.features import FeatureSpec
from realtime.vision.features.crop import apply, compose, crop_transform, invert, mean_crop
from realtime.vision.features.pose_rule import Pose, correction
from realtime.vision.features.relief import parallax

MAX_BYTES = 240 * 2**20
"""Faces too large to be kept within this are kept at half the size, a quarter …"""


class KeptFace(Struct, frozen=True):
    """One frame's face."""

    pixels: NDArray[np.uint8]
    """(h, w): valid until the history has gone once around."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of ``pixels`` in the frame."""
    mesh: NDArray[np.float32]
    """(478, 2) px in the face image."""
    to_first: NDArray[np.float64]
    """(2, 3): face image px -> px of the face image of the first template of this face."""
    to_frame: NDArray[np.float64]
    """(2, 3): face image px -> px of the frame."""
    turned: tuple[float, float]
    """(yaw, pitch) of the head since the first template of this face, rad."""
    heights: NDArray[np.float64]
    """(478,) of the mesh towards the camera, px of the face image."""

    @property
    def to_pixels(self) -> NDArray[np.float64]:
        """(2, 3): px of the face image -> px of ``pixels``."""
        x0, y0, x1, y1 = self.box
        height, width = self.pixels.shape
        scale = np.array([width / (x1 - x0), height / (y1 - y0)])
        matrix: NDArray[np.float64] = self.to_frame * scale[:, None]
        matrix[:, 2] += scale * (0.5 - np.array([x0, y0])) - 0.5  # pixel centres
        return matrix


class FaceHistory:
    """Fixed memory, allocated when the first face comes, and again when a much larger one does."""

    def __init__(self, frames: int) -> None:
        self._frames = max(2, frames)
        self._pixels = np.zeros((0, 0, 0), np.uint8)
        self._shrink = 1
        self._entries: list[tuple[int, KeptFace] | None] = [None] * self._frames
        self._next = 0
        self._where: dict[int, int] = {}

    def keep(self, number: int, gray: NDArray[np.uint8], anchor: Anchor) -> None:
        """Copy the face of frame ``number`` (H, W) uint8 at the anchor's pose."""
        box = anchor.region(gray.shape)
        x0, y0, x1, y1 = on_grid(box, self._shrink)
        height, width = max(1, (y1 - y0) // self._shrink), max(1, (x1 - x0) // self._shrink)
        if height > self._pixels.shape[1] or width > self._pixels.shape[2]:
            self._allocate(box[3] - box[1], box[2] - box[0], anchor.grain)
            x0, y0, x1, y1 = on_grid(box, self._shrink)
            height, width = max(1, (y1 - y0) // self._shrink), max(1, (x1 - x0) // self._shrink)
        slot, self._next = self._next, (self._next + 1) % self._frames
        face = gray[y0:y1, x0:x1]
        target = self._pixels[slot, :height, :width]
        if self._shrink == 1:
            target[...] = face
        else:
            target[...] = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA)
        old = self._entries[slot]
        if old is not None:
            self._where.pop(old[0], None)
        layout = anchor.layout
        kept = anchor.to_first, anchor.to_frame, anchor.turned, layout.mesh_heights
        self._entries[slot] = (number, KeptFace(target, (x0, y0, x1, y1), layout.mesh, *kept))
        self._where[number] = slot

    def _allocate(self, height: int, width: int, grain: float) -> None:
        """Room for faces a quarter larger than this one; what was kept stays where it is until its slot's turn.

        grain: px of the frame per px of the face image. Crops are as fine as the face image, so more is not kept.
        """
        self._shrink = max(1, int(grain))
        while 1.6 * height * width / self._shrink**2 * self._frames > MAX_BYTES:
            self._shrink *= 2
        rows, columns = (int(1.25 * side / self._shrink) + 2 for side in (height, width))
        # NumPy would ask for huge pages, and to clear one of them stops a frame for up to 6 ms
        memory = mmap.mmap(-1, self._frames * rows * columns, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError, AttributeError):  # a system without any
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._pixels = np.frombuffer(memory, np.uint8).reshape(self._frames, rows, columns)

    def drop(self, number: int) -> None:
        """Forget a frame: it was torn."""
        slot = self._where.pop(number, None)
        if slot is not None:
            self._entries[slot] = None

    def find(self, number: int) -> KeptFace | None:
        """The face of a frame, or None when it was not kept or has been overwritten."""
        slot = self._where.get(number)
        entry = None if slot is None else self._entries[slot]
        return None if entry is None else entry[1]

    def crops(
        self, moments: tuple[int, int, int], spec: FeatureSpec, near: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Onset and apex crop (crop_height, crop_width) uint8, and landmarks (68, 2) px in them.

        moments: frame numbers of onset, apex and offset. The head's motion is removed by the spec's rule; each crop may
        be the mean of the frames up to ``near`` around it. Both are cut by the onset's landmarks: a template that was
        renewed between them is tied to the one before by registration. MerealtimeError where a frame is gone.
        """
        onset, apex, offset = moments
        first, last = (self._around(number, near) for number in (onset, apex))
        points = to_68(first[0].mesh)
        to_crop = crop_transform(points, spec)
        whole = compose(to_crop, invert(first[0].to_first))
        landmarks = apply(to_crop, points).astype(np.float32)
        ends = [first[0], last[0], self.find(offset) or last[0]]
        poses = [Pose(compose(compose(whole, face.to_first), invert(face.to_frame)), face.turned) for face in ends]
        ruled = correction(poses, (apex - onset) / max(offset - onset, 1), spec)
        heights = first[0].heights * float(np.hypot(*to_crop[0, :2]))
        carried = parallax(ruled.turn, apply(to_crop, first[0].mesh), heights, spec)
        return _mean(first, whole, spec), _mean(last, compose(ruled.left_in, whole), spec, carried), landmarks

    def _around(self, number: int, near: int) -> list[KeptFace]:
        """The face of frame ``number``, then those of its neighbours that were seen."""
        middle = self.find(number)
        if middle is None:
            raise MerealtimeError(f"frame {number} has left the spotter's history")
        others = [self.find(number + k) for k in range(-near, near + 1) if k]
        return [middle, *(face for face in others if face is not None)]


def _mean(
    faces: list[KeptFace], to_crop: NDArray[np.float64], spec: FeatureSpec, carried: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """to_crop: px of the face image of the first template -> px of the crop."""
    return mean_crop(
        ((f.pixels, compose(compose(to_crop, f.to_first), invert(f.to_pixels))) for f in faces), spec, carried
    )
