"""Glasses that mirror a window, and a hand that passes before the face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from bench.blind_bed.courses import drift, eased
from bench.blind_bed.eyes import IRIS
from bench.blind_bed.head import Head
from bench.blind_bed.render import Picture, Places, Renderer, backwards

_FINE = 8
"""OpenCV's lines are drawn to an eighth of a pixel."""
_LONGEST = 1 << 13
"""Frames for which the room's mirror image wanders."""


class Glasses:
    """Dark frames with clear lenses, drawn in the source picture's resolution and turned with the head."""

    def __init__(self, head: Head, rng: np.random.Generator) -> None:
        mesh, d = head.points[:, :2], head.eye_px
        size = (2 * head.size[1], 2 * head.size[0])
        frame, lens = np.zeros(size, np.float32), np.zeros(size, np.float32)

        def point(place: np.ndarray) -> Sequence[int]:
            return tuple(int(v) for v in (np.asarray(place) * 2 + 0.5) * _FINE)

        across = mesh[473] - mesh[468]
        angle = np.degrees(np.arctan2(across[1], across[0]))
        thick = int(2 * rng.uniform(2.2, 3.2) * d / 65)
        middles = []
        for i, out in ((0, -1), (1, 1)):
            middle = mesh[IRIS[i]] + np.array([out * 0.04 * d, 0.07 * d])
            middles.append(middle)
            axes = (int(2 * 0.36 * d * _FINE), int(2 * 0.27 * d * _FINE))
            cv2.ellipse(frame, point(middle), axes, angle, 0, 360, 1.0, thick, cv2.LINE_AA, 3)
            cv2.ellipse(lens, point(middle), axes, angle, 0, 360, 1.0, -1, cv2.LINE_AA, 3)
            hinge, ear = middle + np.array([out * 0.36 * d, -0.06 * d]), mesh[[127, 356][i]]
            cv2.line(frame, point(hinge), point(ear + np.array([out * 0.06 * d, 0])), 1.0, thick, cv2.LINE_AA, 3)
        bridge = middles[0] + np.array([0.33 * d, -0.08 * d]), middles[1] + np.array([-0.33 * d, -0.08 * d])
        cv2.line(frame, point(bridge[0]), point(bridge[1]), 1.0, thick, cv2.LINE_AA, 3)
        self._frame = cv2.GaussianBlur(frame.clip(0, 1), (0, 0), 1.0)
        self._lens = cv2.GaussianBlur(lens.clip(0, 1), (0, 0), 1.2) * (1 - self._frame)
        self._grey = float(rng.uniform(25, 50))
        # a plane before the eyes, bent back along the temples
        nose = head.depth[int(mesh[168, 1] / 2), int(mesh[168, 0] / 2)]
        aside = np.abs(head.grid.x - (mesh[468, 0] + mesh[473, 0]) / 2) / (0.9 * d) - 0.55
        self._depth = (nose - 4 + 0.30 * head.face_px * np.clip(aside, 0, 1)).astype(np.float32)
        self._mirrored = _windows(middles, d, size, rng)
        self._wander_x = drift(rng, _LONGEST, 2.0, 0.05, 1.0) * 4
        self._wander_y = drift(rng, _LONGEST, 2.0, 0.05, 1.0) * 3
        rows = [int(middle[1] * 2) for middle in middles]
        self._rows = max(min(rows) - int(1.2 * d), 0) // 2, min(max(rows) + int(1.2 * d), size[0]) // 2
        self._last: Places | None = None

    def draw(self, renderer: Renderer, image: Picture, pose: Mapping[str, float], number: int) -> Picture:
        """Put them on frame ``number``, in place."""
        field = renderer.displacement(None, pose, self._depth)
        places = backwards(field, renderer.head.grid, self._last, 3)
        self._last = places
        rows = slice(*self._rows)
        x, y = (renderer.full(one)[rows] * 2 + 0.5 for one in places)
        frame, lens = cv2.remap(self._frame, x, y, cv2.INTER_CUBIC), cv2.remap(self._lens, x, y, cv2.INTER_LINEAR)
        # the mirror image stands in the room: on the lens it runs against the head, by about twice the turn
        off_x = self._wander_x[number] - 2.2 * pose["yaw"]
        off_y = self._wander_y[number] + 2.2 * pose["pitch"]
        window = cv2.remap(
            self._mirrored, (x - off_x).astype(np.float32), (y - off_y).astype(np.float32), cv2.INTER_LINEAR
        )
        skin = image[rows]
        skin = skin * (1 - 0.03 * lens) + window * lens * (1 - skin / 300)
        image[rows] = skin * (1 - frame) + self._grey * frame
        return image


def _windows(middles: Sequence[np.ndarray], d: float, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """A soft window with bars on each lens, grey levels."""
    light = np.zeros(size, np.float32)
    w, h = 0.34 * d, 0.26 * d
    for middle in middles:
        for a, b in ((-1, -1), (0, -1), (-1, 0), (0, 0)):
            left, top, right, bottom = a * w + 3, b * h + 3, a * w + w - 3, b * h + h - 3
            pane = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
            pane = pane + middle * 2 + np.array([-0.2 * d, -0.15 * d])
            cv2.fillPoly(light, [np.int32(pane * _FINE)], 1.0, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(light, (0, 0), 1.6) * float(rng.uniform(28, 45)) * 2.2


class Hand:
    """Palm and four fingers with creases, as grey as the cheek; before the lower or the upper half of the face."""

    def __init__(self, head: Head, rng: np.random.Generator, lower: bool) -> None:
        self._n = n = int(1.5 * head.face_px)
        y, x = np.mgrid[0:n, 0:n].astype(np.float32)
        u, v = (x / n - 0.5) * 2, (y / n - 0.5) * 2
        shape = np.clip((1 - ((u / 0.62) ** 2 + ((v - 0.2) / 0.55) ** 2)) * 12, 0, 1)
        for k, at in enumerate((-0.42, -0.14, 0.14, 0.42)):
            long = 0.75 - 0.12 * abs(k - 1.4)
            finger = np.clip((0.132 - np.hypot(u - at, np.minimum(v + long - 0.13, 0))) * 25, 0, 1)
            shape = np.maximum(shape, finger * (v < 0.3))
        between, grain = np.abs(u) % 0.28, rng.standard_normal((n, n)).astype(np.float32)
        skin = 3.5 * cv2.GaussianBlur(grain, (0, 0), 1.2) / 0.23 + 9 * cv2.GaussianBlur(grain, (0, 0), 14) / 0.02
        skin = skin - 14 * np.exp(-((np.minimum(between, 0.28 - between) / 0.03) ** 2)) * (v < 0)
        skin = skin - 9 * np.exp(-(((v - 0.15 - 0.2 * u) / 0.03) ** 2))
        cheek = head.picture[int(2 * head.points[50, 1]), int(2 * head.points[50, 0])]
        skin = cv2.GaussianBlur(0.93 * cheek + np.clip(skin, -40, 40), (0, 0), 0.8)
        self._skin = np.clip(skin, 10, 240).astype(np.float32)
        self._shape = cv2.GaussianBlur(shape, (0, 0), 1.2)
        mesh, self._size = head.points[:, :2], head.size
        rng.choice([-1, 1])  # drawn and unused in the first clips, whose random numbers these are
        self._way = rng.choice([-1, 1])
        ends, up = ([152, 17], 0.14) if lower else ([10, 168], 0.02)
        self._x, self._y = mesh[1, 0], mesh[ends].mean(0)[1] - up * head.face_px
        self._tilt = rng.uniform(-25, 25)
        if not lower:
            rng.random()  # likewise

    def draw(self, image: Picture, share: float) -> Picture:
        """The frame with the hand at ``share`` (0 to 1) of its way: from one side to before the face, and away."""
        n, size = self._n, self._size
        way = -1 + eased(share / 0.45) if share < 0.5 else eased((share - 0.55) / 0.45)
        x = self._x + self._way * (size[0] * 0.5 + n * 0.55) * way
        y = self._y + 8 * np.sin(3 * share) + 0.25 * n * abs(way)
        place = cv2.getRotationMatrix2D((n / 2, n / 2), self._tilt + 20 * way * self._way, 1)
        place[:, 2] += [x - n / 2, y - n / 2]
        over = cv2.warpAffine(self._shape, place, size, flags=cv2.INTER_LINEAR)
        skin = cv2.warpAffine(self._skin, place, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return image * (1 - over) + skin * over
