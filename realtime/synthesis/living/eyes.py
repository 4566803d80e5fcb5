"""The picture of the eyes: lids that shut, eyeballs that turn behind them, glasses in front with their reflections.

All of it is drawn into the texture of the head at rest, so that it turns with the head.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..blink import LEVELS, EyePatch, eye_patches
from ..fields import LEFT_LOWER_LID, LEFT_UPPER_LID, RIGHT_LOWER_LID, RIGHT_UPPER_LID, face_axes
from ..portrait import Placed, eye_centres

Picture = npt.NDArray[np.float32]

_RIM_GREY, _RIM_OPAQUE = 35.0, 0.85
_GLARE_GREY, _GLARE_OPAQUE = 240.0, 0.35
_GLARE_PX_PER_DEG = 2.5
"""How far a reflection runs over a lens, at a face of 145 px, for each degree that the head turns."""


class Eyes:
    """Both eyes of a placed portrait in a padded texture."""

    def __init__(self, placed: Placed, texture: Picture, pad: int) -> None:
        self._texture = texture
        self._pad = pad
        outlines = (RIGHT_UPPER_LID + RIGHT_LOWER_LID[::-1], LEFT_UPPER_LID + LEFT_LOWER_LID[::-1])
        self._eyes = [
            (patch, _Ball(placed, patch, outline)) for patch, outline in zip(eye_patches(placed), outlines, strict=True)
        ]
        self._drawn = (-1, 0.0, 0.0)

    def draw(self, closure: float, gaze_x: float, gaze_y: float) -> bool:
        """Lids ``closure`` 0..1 shut, eyeballs turned by so many px of the output; False if nothing changed."""
        level = round(min(max(closure, 0.0), 1.0) * LEVELS)
        wanted = (level, round(gaze_x, 2), round(gaze_y, 2))
        if wanted == self._drawn:
            return False
        self._drawn = wanted
        for patch, ball in self._eyes:
            picture = patch.steps[level]
            if wanted[1] or wanted[2]:
                picture = picture + (1 - patch.covers[level]) * ball.turned(wanted[1], wanted[2])
            rows = slice(patch.y0 + self._pad, patch.y1 + self._pad)
            self._texture[rows, patch.x0 + self._pad : patch.x1 + self._pad] = picture
        return True


class _Ball:
    """What changes between the lids when the eyeball turns."""

    def __init__(self, placed: Placed, patch: EyePatch, outline: tuple[int, ...]) -> None:
        self._still = patch.steps[0]
        points = placed.mesh[list(outline)] - [patch.x0, patch.y0]
        mask = np.zeros(self._still.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
        soft = max(1.0, 0.012 * placed.face_width_px)
        self._open = np.clip(inside / soft, 0, 1).astype(np.float32)
        # the white stretches towards the corners, the iris moves as a whole
        iris = placed.mesh[468:478] - [patch.x0, patch.y0]
        own = iris[np.hypot(*(iris - points.mean(0)).T) < 0.5 * np.ptp(points[:, 0])]
        centre = own.mean(0) if len(own) else points.mean(0)
        half = np.ptp(points[:, 0]) / 2
        rows, columns = self._still.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        away = np.abs(x - float(centre[0])) / half
        self._share = np.clip(1.6 * (1 - away), 0, 1).astype(np.float32)
        self._x, self._y = x, y

    def turned(self, dx: float, dy: float) -> Picture:
        """Difference to the still picture."""
        picture = cv2.remap(
            self._still,
            self._x - np.float32(dx) * self._share,
            self._y - np.float32(dy) * self._share,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(self._open * (picture - self._still), np.float32)


class Glasses:
    """Dark rims around both eyes, and a bright reflection in each lens that runs as the head turns."""

    def __init__(self, placed: Placed, texture: Picture, pad: int, rng: np.random.Generator) -> None:
        axes = face_axes(placed.mesh)
        width = placed.face_width_px
        self._px = width / 145
        right, left = eye_centres(placed.mesh)
        low = np.minimum(right, left) - 0.27 * width
        high = np.maximum(right, left) + 0.27 * width
        self._x0, self._y0 = (int(v) for v in np.floor(low))
        shape = tuple(np.ceil(high - low).astype(int)[::-1])
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
        self._rim = np.zeros(shape, np.float32)
        self._lens = np.zeros(shape, np.float32)
        self._places = []
        for centre in (right, left):
            dx, dy = x + self._x0 - centre[0], y + self._y0 - centre[1] - 0.02 * width
            along, down = dx * axes[0, 0] + dy * axes[0, 1], dx * axes[1, 0] + dy * axes[1, 1]
            radius = ((np.abs(along) / (0.2 * width)) ** 3 + (np.abs(down) / (0.145 * width)) ** 3) ** (1 / 3)
            edge = (radius - 1) * 0.16 * width
            self._rim = np.maximum(self._rim, np.clip(1.6 * self._px + 0.5 - np.abs(edge), 0, 1).astype(np.float32))
            self._lens = np.maximum(self._lens, np.clip(-edge, 0, 1).astype(np.float32))
            self._places.append((along, down))
        bridge = (np.abs(self._places[0][1] + 0.03 * width) < 1.5 * self._px) & (self._lens + self._rim == 0)
        between = (self._places[0][0] > 0) & (self._places[1][0] < 0)
        self._rim = np.maximum(self._rim, (bridge & between).astype(np.float32)) * _RIM_OPAQUE
        self._start = rng.uniform(-0.1, 0.1, 2) * width
        rows = slice(self._y0 + pad, self._y0 + pad + shape[0])
        self._box = (rows, slice(self._x0 + pad, self._x0 + pad + shape[1]))
        self._texture = texture
        self._bare = texture[self._box].copy()

    def lift(self) -> None:
        """Take the glasses off the texture, so that the eyes can be drawn."""
        self._texture[self._box] = self._bare

    def put_on(self, yaw_deg: float, pitch_deg: float) -> None:
        """Draw them over what is in the texture."""
        self._bare = self._texture[self._box].copy()
        shift = self._start + _GLARE_PX_PER_DEG * self._px * np.array([yaw_deg, pitch_deg])
        glare = np.zeros(self._lens.shape, np.float32)
        for along, down in self._places:
            a, d = along - shift[0], down - shift[1]
            streak = np.exp(-(((a + 0.6 * d) / (9 * self._px)) ** 2) - ((d - 0.3 * a) / (14 * self._px)) ** 2)
            glare = np.maximum(glare, streak.astype(np.float32))
        glare *= self._lens * np.float32(_GLARE_OPAQUE)
        picture = self._bare + glare * (np.float32(_GLARE_GREY) - self._bare)
        self._texture[self._box] = picture + self._rim * (np.float32(_RIM_GREY) - picture)
