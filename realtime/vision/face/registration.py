"""One anchored face: its template, the head's pose in each frame, the skin's displacement apart from the head's.

``Anchor`` is made from one frame and its mesh. Each later frame is blurred by 1 px, brought into the face image by the
pose so far (with the pose's own speed), and its patches are followed; the rigid ones correct the pose, what is left
of the others is movement of the face. Landmarks are needed only to make an anchor, so their jitter never shows.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.vision.face import residue
from realtime.vision.face.face_image import FaceImage, warm_up
from realtime.vision.face.head import fit_head
from realtime.vision.face.regions import IMAGE_HEIGHT, IMAGE_WIDTH, ROI_NAMES, Layout, lay_out
from realtime.vision.face.skull import Skull
from realtime.vision.face.tracking import (
    PATCH_RADIUS_PX,
    TEMPLATE_SIZE,
    build_template,
    change_in,
    follow,
    moved,
)
from realtime.vision.features.crop import apply, compose, invert

BLUR_PX = 1.0
ITERATIONS = 3
_CENTRE = np.array([IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2])
_NOISE_FLOOR_PX = 0.03
"""What sensor noise does to a patch's displacement: closer residuals are all as good."""
_LIKE = 0.6
"""Correlation with the template under which a patch no longer counts."""
_NOISE_GREY = 1.5
_ALIEN = 0.3
"""Correlation at which a region's patch shows something else altogether."""
_SLID = 6.0
"""A patch so many times as far from its region as skin stretches has slid along an edge."""
_FOLDED = 0.04
"""1 − correlation at which a patch is trusted half as much as one that looks just like its template."""
_MISFIT_PX = 0.1
_RETURN_S = 3.0
"""A patch that did not go with the head counts again, fully, after so long."""
_CLEARLY = 0.5
"""While a strong expression is held another set of patches is taken where its misfit is so many times less."""
_LEARN_PX = 0.6
"""Where no motion of a head fits as well as that, nothing is learnt of its shape."""
_CHANGED = 0.88
_SLIPPED = 0.45
_SMALL_PX = 640 * 480
"""In pictures up to this size every face is blurred at full size."""


class Anchor:
    """Template and pose of one face; ``update`` once a frame. Not thread-safe."""

    def __init__(
        self, gray: NDArray[np.uint8], mesh: NDArray[np.float32], depth: NDArray[np.float32] | None = None
    ) -> None:
        """gray: (H, W) uint8; mesh: (478, 2) float32, px in it; depth: (478,) px, larger is further away."""
        self.layout: Layout = lay_out(mesh, depth)
        self.to_frame = invert(self.layout.from_frame)
        """(2, 3): face image px -> px of the frame just seen."""
        self._start = self.to_frame
        self.to_first = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        """(2, 3): px of this anchor's face image -> px of the first anchor's of the same face."""
        self._turned = (0.0, 0.0)
        """(yaw, pitch), rad, from the first anchor of the same face to this one."""
        self.misfit_px = 0.0
        """Median residual of the rigid patches after the head's motion, px."""
        # px of the frame per px of the face image, to blur what a larger face would alias
        self.grain = math.sqrt(abs(np.linalg.det(self.to_frame[:, :2])))
        self.shrink = max(1, int(self.grain)) if gray.size > _SMALL_PX else 1
        """Pixels that are taken together before the blur: a large face holds more of them than its image shows."""
        n = len(self.layout.centres)
        self._descent = np.empty((n, 2, TEMPLATE_SIZE), np.float32)
        self._norm = np.empty((n, TEMPLATE_SIZE), np.float32)
        self._inverse = np.empty((n, 3), np.float32)
        self.displacement = np.zeros((n, 2), np.float32)
        """(n, 2) px of the face image: of each patch, the head's motion removed."""
        self.likeness = np.ones(n, np.float32)
        self._centres = self.layout.centres.copy()
        self._carried = np.zeros((n, 2), np.float32)
        """(n, 2) px: how far a patch whose template was renewed was from its first place then."""
        self._some_carried = False
        self._places = self.layout.centres.astype(np.float64) - _CENTRE
        self._step = np.zeros(4)
        self._speed = np.zeros(4)
        self._pose = np.zeros(6)
        self._robust = np.ones(self.layout.rigid)
        self._weights = np.empty(self.layout.rigid)
        self.skull = Skull(self._places[: self.layout.rigid], self.layout.heights[: self.layout.rigid])
        self._drawing = FaceImage(IMAGE_HEIGHT, IMAGE_WIDTH)
        self.image = self._face_image(gray)
        """(IMAGE_HEIGHT, IMAGE_WIDTH) float32: the face in the frame just seen, blurred; renewed in place."""
        self._template = self.image.copy()
        self._eyes = np.zeros(2)
        build_template(self.image, self.layout.centres, self._descent, self._norm, self._inverse)
        self._contrast = np.array([self._contrast_at(x, y) for x, y in self._centres[self.layout.rigid :]])
        self._trust()

    def _contrast_at(self, x: int, y: int) -> float:
        """Variance of the grey levels of a patch of the template."""
        r = PATCH_RADIUS_PX
        return float(self._template[y - r : y + r + 1, x - r : x + r + 1].var())

    def _trust(self) -> None:
        """Weights from the texture: the smaller a displacement's error, the more it counts, up to the median."""
        error = self._inverse[:, 0] + self._inverse[:, 2]
        usable = error > 0
        information = np.where(usable, 1.0 / np.maximum(error, 1e-9), 0.0)
        rigid = self.layout.rigid
        cap = np.median(information[:rigid][usable[:rigid]]) if usable[:rigid].any() else 1.0
        self._rigid_weights = np.minimum(information[:rigid], cap)
        self.roi_weights = np.zeros(len(usable) - rigid)
        for k in range(len(ROI_NAMES)):
            own = self.layout.roi_of == k
            info = information[rigid:][own]
            top = np.median(info[info > 0]) if (info > 0).any() else 1.0
            self.roi_weights[own] = np.minimum(info, top)

    def _face_image(self, gray: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(IMAGE_HEIGHT, IMAGE_WIDTH) float32: the blurred face at the present pose, valid until the next call."""
        sigma, step = BLUR_PX * max(1.0, self.grain), self.shrink
        box = x0, y0, x1, y1 = on_grid(self.region(gray.shape), step)
        matrix = self.to_frame.copy()
        matrix[:, 2] -= (x0, y0)
        if step == 1:
            return self._drawing.draw(gray, matrix, sigma, box)
        size = max(1, (x1 - x0) // step), max(1, (y1 - y0) // step)
        face = cv2.resize(gray[y0:y1, x0:x1].astype(np.float32), size, interpolation=cv2.INTER_AREA)
        sigma = math.sqrt(sigma**2 - (step**2 - 1) / 12) / step  # a mean over a square blurs too
        matrix /= step
        matrix[:, 2] += 0.5 / step - 0.5  # pixel centres
        return self._drawing.draw(face, matrix, sigma)  # type: ignore[arg-type]

    def region(self, shape: tuple[int, ...], margin_px: int = 4) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the face in a frame of ``shape`` at the present pose, at least 8 px wide and high."""
        # in plain numbers: four corners are too few for arrays
        low, high = [], []
        for across, down, shift in self.to_frame.tolist():
            ends = 0.0, across * IMAGE_WIDTH, down * IMAGE_HEIGHT, across * IMAGE_WIDTH + down * IMAGE_HEIGHT
            low.append(min(ends) + shift)
            high.append(max(ends) + shift)
        height, width = shape[:2]
        x0 = min(max(int(low[0]) - margin_px, 0), width - 8)
        y0 = min(max(int(low[1]) - margin_px, 0), height - 8)
        x1 = max(min(int(high[0]) + 1 + margin_px, width), x0 + 8)
        y1 = max(min(int(high[1]) + 1 + margin_px, height), y0 + 8)
        return x0, y0, x1, y1

    def update(
        self, gray: NDArray[np.uint8], frame_s: float = math.inf, held: bool = False, resting: bool = False
    ) -> None:
        """Follow the face into the next frame (H, W) uint8: pose, image, displacement and likeness are renewed.

        frame_s: since the last frame. held: a strong expression is held. Then two sets of patches may fit the head's
        motion about as well; a pose that goes from one to the other and back would be a movement of the whole face.
        """
        self._move(self._speed)
        self.image = self._face_image(gray)
        if self._some_carried:
            self.displacement -= self._carried
        follow(
            self.image,
            self._centres,
            self._descent,
            self._norm,
            self._inverse,
            ITERATIONS,
            self.displacement,
            self.likeness,
        )
        if self._some_carried:
            self.displacement += self._carried
        rigid, weights = self.layout.rigid, self._weights
        shape = self.skull.foretold(self.turned)
        residue.begin(self.displacement, self.likeness, _LIKE, self._rigid_weights, shape, weights)
        self._fit(weights, min(1.0, frame_s / _RETURN_S), held)
        residue.put_back(self.displacement, shape)
        if resting and self.misfit_px < _LEARN_PX:
            self.skull.learn(self.turned, self.displacement[:rigid], self._pose, weights, frame_s)
        self._step[:] = self._pose[:4]
        own = self.likeness, self._inverse, self._contrast, self.layout.roi_of, len(ROI_NAMES)
        limits = _NOISE_GREY, _ALIEN, _SLID
        residue.take_head_out(self.displacement, *own, *limits, self.layout.heights, self._places, self._pose)
        self._move(self._step)
        # half the correction becomes speed: a steady drift is foreseen, noise is not
        self._speed = 0.9 * self._speed + 0.5 * self._step

    def warm_up(self) -> None:
        """Compile, or load from the cache, what only a face at rest or of another size would call; spoils the skull."""
        warm_up()
        for _ in range(20):
            rigid = self.displacement[: self.layout.rigid]
            self.skull.learn((0.0, 0.0), rigid, self._pose, self._weights, 0.05)

    def _fit(self, weights: NDArray[np.float64], rise: float, held: bool) -> None:
        """The head's motion: from the last frame's inliers, so that skin that an expression has begun to carry away
        stays left out; from all patches where that fits badly and these fit better.
        """
        rigid = self.layout.rigid
        known = self._places[:rigid], self.layout.heights[:rigid], self.displacement[:rigid], weights
        self.misfit_px = fit_head(*known, 4, _NOISE_FLOOR_PX, self._robust, rise, self._pose)
        if self.misfit_px > _MISFIT_PX:
            robust, pose = np.ones(rigid), np.zeros(6)
            misfit_px = fit_head(*known, 4, _NOISE_FLOOR_PX, robust, 1.0, pose)
            if misfit_px < self.misfit_px * (_CLEARLY if held else 1.0):
                self.misfit_px, self._robust, self._pose = misfit_px, robust, pose

    def _move(self, step: NDArray[np.float64]) -> None:
        """Move the pose by a similarity of the face image (tx, ty, a, b about its centre)."""
        self.to_frame = moved(self.to_frame, step, _CENTRE)

    def is_folded(self, patches: NDArray[np.int64]) -> bool:
        """Half of these region patches still show their skin, but changed so much that they may soon be lost."""
        middle = float(np.median(self.likeness[patches + self.layout.rigid]))
        return _LIKE < middle < _CHANGED

    def renew(self, patches: NDArray[np.int64]) -> None:
        """Take these region patches as they look now for their template: the skin is held in another shape.

        patches: indices among the region patches. What they show further on counts from where they are.
        """
        rows = patches + self.layout.rigid
        margin = PATCH_RADIUS_PX + 2
        limit = np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) - 1 - margin
        here = np.clip(np.rint(self.layout.centres[rows] + self.displacement[rows]), margin, limit).astype(np.int64)
        self._templates(rows, here, self.image)
        self._carried[rows] = self.displacement[rows]
        self._some_carried = True

    def restore(self, patches: NDArray[np.int64]) -> None:
        """Follow these region patches by their first template again."""
        rows = patches + self.layout.rigid
        self._templates(rows, self.layout.centres[rows], self._template)
        self._carried[rows] = 0.0
        self._some_carried = bool(self._carried.any())

    def _templates(self, rows: NDArray[np.int64], centres: NDArray[np.int64], image: NDArray[np.float32]) -> None:
        descent, norm, inverse = self._descent[rows], self._norm[rows], self._inverse[rows]
        build_template(image, centres, descent, norm, inverse)
        self._descent[rows], self._norm[rows], self._inverse[rows] = descent, norm, inverse
        self._centres[rows] = centres

    def follow_on(self, old: Anchor) -> None:
        """This is the face that ``old`` has followed into the same frame: tie the two face images together."""
        self.to_first = compose(old.to_first, compose(invert(old.to_frame), self.to_frame))
        self._turned = old.turned
        self.skull.go_on(old.skull, old.turned)

    @property
    def roll_rad(self) -> float:
        """Angle of the face in the frame, rad, clockwise."""
        return math.atan2(self.to_frame[1, 0], self.to_frame[0, 0])

    def rigid_shift(self) -> NDArray[np.float64]:
        """(rigid, 2) px: what the head's turn since the anchor has moved the rigid patches by in the face image."""
        heights = self.layout.heights[: self.layout.rigid]
        return heights[:, None] * self._pose[4:6] + self.skull.foretold(self.turned)

    def trust_channels(self, steady: bool, trust: NDArray[np.float64]) -> None:
        """Fill trust (2 (n − rigid),), two channels a region patch: 0 where it shows something else, and where the
        head is not steady.

        Skin that is raised by many px is stretched and folded, and looks less like itself; a hand looks like nothing.
        """
        residue.trust_in(self.likeness[self.layout.rigid :], self.roi_weights, _ALIEN, _FOLDED, float(steady), trust)

    @property
    def turn(self) -> tuple[float, float]:
        """(yaw, pitch) of the head since the anchor, rad: what the rigid patches' parallax shows."""
        return float(self._pose[4]), float(self._pose[5])

    @property
    def turned(self) -> tuple[float, float]:
        """(yaw, pitch) of the head since the first anchor of the same face, rad."""
        return self._turned[0] + self.turn[0], self._turned[1] + self.turn[1]

    def state(self) -> tuple[NDArray[Any], ...]:
        """What the next ``update`` goes on from, to go back to if the frame turns out to be torn."""
        kept = self._speed, self._pose, self._robust, self.displacement, self.likeness
        return (self.to_frame, *(array.copy() for array in kept))

    def go_back(self, state: tuple[NDArray[Any], ...]) -> None:
        """Undo the last ``update``."""
        self.to_frame, self._speed, self._pose, self._robust, self.displacement, self.likeness = state

    def stand_still(self) -> None:
        """Frames are missing: where the head was heading says nothing any more."""
        self._speed[:] = 0.0

    def lids(self) -> float:
        """How much both eyes' openings differ from the template, 0..2: high while they blink."""
        change_in(self.image, self._template, self.layout.eyes, self._eyes)
        return min(self._eyes.tolist())

    @property
    def slipped(self) -> bool:
        """The template no longer fits: most of the rigid patches show something else."""
        rigid = self.layout.rigid
        return 2 * int(np.count_nonzero(self.likeness[:rigid] > _SLIPPED)) < rigid

    @property
    def uncovered(self) -> float:
        """Share of the rigid patches that show something else than the template: what was before the face has gone."""
        rigid = self.layout.rigid
        return float(np.count_nonzero(self.likeness[:rigid] < _LIKE)) / rigid

    def travelled(self) -> tuple[float, float]:
        """Head motion since the anchor: (px of the face image at its centre, relative turn and growth)."""
        now = compose(self.layout.from_frame, self.to_frame)
        shift = apply(now, _CENTRE[None])[0] - _CENTRE
        return float(np.hypot(*shift)), float(np.abs(now[:, :2] - np.eye(2)).max())

    def mesh_in_frame(self) -> NDArray[np.float32]:
        """(478, 2) px: the anchor's mesh carried into the frame just seen."""
        return apply(self.to_frame, self.layout.mesh).astype(np.float32)


def on_grid(box: tuple[int, int, int, int], step: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a box of the frame on a grid of ``step`` px: up and left outwards, down and right inwards.

    So the means over ``step`` px a side are of the same pixels in every frame, and quick to take.
    """
    x0, y0 = box[0] - box[0] % step, box[1] - box[1] % step
    width, height = box[2] - x0, box[3] - y0
    return x0, y0, x0 + (width - width % step or width), y0 + (height - height % step or height)


def register(
    first: NDArray[np.uint8], second: NDArray[np.uint8], mesh: NDArray[np.float32], rounds: int = 4
) -> NDArray[np.float64]:
    """(2, 3) affine, px of ``first`` -> px of ``second``: the head's motion between two frames of a recording.

    first, second: (H, W) uint8; mesh: (478, 2) px in ``first``. The same registration that the camera's frames get.
    """
    anchor = Anchor(first, mesh)
    for _ in range(rounds):
        anchor.update(second)
        anchor._speed[:] = 0.0
    return compose(anchor.to_frame, anchor.layout.from_frame)
