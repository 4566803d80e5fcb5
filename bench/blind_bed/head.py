"""A portrait as a head: its picture at twice the frame's resolution, its depth, and what of the frame moves with it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from bench.blind_bed.courses import eased
from bench.blind_bed.eyes import Eye
from bench.blind_bed.fields import Grid, fields
from bench.blind_bed.portraits import Face
from bench.planted.landmarks import OVAL

_SKIN = 468
"""Points of the mesh that are skin; the others are irises."""


class Head:
    """Everything about a clip's face that does not change."""

    def __init__(
        self, face: Face, rng: np.random.Generator, face_px: float = 150.0, size: tuple[int, int] = (384, 352)
    ) -> None:
        """``face_px``: its width in the frame, landmarks 234 to 454; ``size``: of the frame, width and height."""
        self.name, self.face_px, self.size = face.name, face_px, size
        scale = face_px / np.linalg.norm(face.points[234, :2] - face.points[454, :2])
        self._place(face, scale)
        self.grid = Grid.of(size)
        self.eye_px = float(np.linalg.norm(self.points[468, :2] - self.points[473, :2]))
        oval = self.points[OVAL]
        self._middle = oval[:, :2].mean(0)
        self.depth_factor = float(rng.uniform(0.8, 1.25))
        """By which the mesh's depth is multiplied: a landmark model's depth is a guess."""
        self.depth = self._depth(oval, rng)
        """(H / 2, W / 2) px, less is nearer."""
        self.pivot = np.array([self._middle[0], self.points[152, 1] - 0.15 * face_px, 0.45 * face_px])
        """(3,) px: the neck's joint, behind and below."""
        self.camera_px = 4.7 * face_px
        """How far away the camera is: about 65 cm."""
        mask = self._mask(oval)
        self.carried = self._carried(mask)
        """(H / 2, W / 2) share of the head's movement that a place takes part in."""
        self.face_mask = cv2.resize(mask, (size[0] // 2, size[1] // 2)) > 0
        self.fields = fields(self.points, self.eye_px, self.grid, self.face_mask)
        self.eyes = [Eye.of(i, self.points[:, :2], self.eye_px) for i in (0, 1)]

    def _place(self, face: Face, scale: np.float64) -> None:
        """Put the face into the middle of the frame: ``picture`` (2 H, 2 W) float32 and ``points`` (478, 3) px."""
        width, height = self.size
        mesh = face.points
        centre = np.array([(mesh[234, 0] + mesh[454, 0]) / 2, (mesh[10, 1] + mesh[152, 1]) / 2])
        goal = np.array([width / 2 - 0.5, height * 0.52 - 0.5])
        # twice the resolution and Lanczos: the later cubic look-up is then nearly the same at all sub-pixel shifts
        source = face.gray.astype(np.float32)
        if scale < 0.9:
            source = cv2.GaussianBlur(source, (0, 0), 0.45 * np.sqrt(1 / scale**2 - 1))
        shift = 2 * (goal - scale * centre) + 0.5
        place = np.array([[2 * scale, 0, shift[0]], [0, 2 * scale, shift[1]]], np.float64)
        source = cv2.warpAffine(
            source, place, (2 * width, 2 * height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
        )
        self.picture: npt.NDArray[np.float32] = cv2.GaussianBlur(source, (0, 0), 0.8).clip(4, 250)
        self.points = np.c_[(mesh[:, :2] - centre) * scale + goal, mesh[:, 2] * scale]

    def _depth(self, oval: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """The mesh's depth, carried on to ears and hair, with a smooth error of a fifth: nobody's head is the mesh."""
        px, grid = self.face_px, self.grid
        rings = []
        for reach, back in ((1.25, 0.20), (1.7, 0.35)):
            ring = oval.copy()
            ring[:, :2] = self._middle + (oval[:, :2] - self._middle) * reach
            ring[:, 2] += back * px
            rings.append(ring)
        known = np.vstack([self.points[:_SKIN:3], oval, rings[0][::2], rings[1][::3]])
        coarse = grid.x[::4, ::4], grid.y[::4, ::4]
        surface = RBFInterpolator(
            known[:, :2], known[:, 2] * self.depth_factor, kernel="thin_plate_spline", smoothing=20.0
        )
        z = surface(np.c_[coarse[0].ravel(), coarse[1].ravel()]).reshape(coarse[0].shape).astype(np.float32)
        z = cv2.resize(z, grid.x.shape[::-1], interpolation=cv2.INTER_CUBIC)
        z = cv2.GaussianBlur(z, (0, 0), 2.0 * px / 150)
        error = cv2.GaussianBlur(rng.standard_normal(z.shape).astype(np.float32), (0, 0), 0.14 * px / 2 * 1.4)
        error /= error.std()
        skin = self.points[:_SKIN, 2] * self.depth_factor
        usual = float(np.median(skin))
        z = usual + (z - usual) * (1 + 0.2 * np.clip(error, -2, 2))
        return np.clip(z, skin.min() * 1.3, 0.55 * px).astype(np.float32)

    def _mask(self, oval: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """(H, W) 255 on face and hair."""
        outline, middle = oval[:, :2].copy(), self._middle
        above = outline[:, 1] < middle[1]
        away = outline - middle
        away[above] *= np.array([1.18, 1.45])
        away[~above] *= np.array([1.12, 1.03])
        mask = np.zeros(self.size[::-1], np.uint8)
        cv2.fillPoly(mask, [np.int32(middle + away)], 255)
        return mask

    def _carried(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        away = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
        share = (1 - eased(away / (0.62 * self.face_px))).astype(np.float32)
        share = cv2.GaussianBlur(share, (0, 0), 0.05 * self.face_px)
        return cv2.resize(share, (self.size[0] // 2, self.size[1] // 2), interpolation=cv2.INTER_AREA)
