"""Frame differences (Borza, Danescu, Itu, Darabant, "High-speed video system for micro-expression detection and
recognition", Sensors 17(12):2913, 2017). Causal: it runs while the camera does.

What the paper and its authors' chapter of 2018 say: two absolute differences of the frame, to one half a
micro-expression before it (movement) and to the one just before it (noise), in ten regions around the features of
the face, the eyes left out because they blink; their ratio says where something moves; a classifier that was
trained on CASME II tells the frames apart; frames that it picks are joined to intervals, short ones are dropped.

What is assumed here: the regions' places and size; half a micro-expression is 0.155 s (half the median of
CASME II); in place of the trained classifier a threshold on each region's own noise, because those recordings
can't be given out; times are seconds, so that it runs at any rate; the offset is where the difference ends less
the time between the two frames, since a face that is back at rest differs for so long from the one that moved.
The head's motion is not taken out: the paper does not either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from offline.rivals.found import Found, Gray, Mesh, MeshFinder

CENTRES = (70, 107, 336, 300, 129, 358, 61, 291, 0, 199)
"""Mesh points: right outer and inner brow, left inner and outer, wings of the nose, mouth corners, lip, chin."""
CHEEKS = (234, 454)
HALF_SIDE = 0.07
"""Of a region, in widths of the face."""
LAG_S = 0.155
SMOOTH_S = 0.025
LEARN_S, LEAST_LEARNT_S = 5.0, 0.5
"""Of rest, whose spread sets the threshold: at most, and before anything is decided."""
DEVIATIONS, LEAST_RATIO = 3.0, 1.5
"""Over the median: so many robust deviations (of 3, 4 and 6 what does it best on our tuning clips), and at least so
far over the ratio of mere noise, which is 1."""
LEAST_NOISE_GREY = 0.5
LEAST_S, MICRO_MAX_S, LONGEST_S = 0.04, 0.5, 4.0
RENEW_S = 1.0
"""The mesh is looked for again after so long."""


def spot_clip(frames: Iterable[Gray], fps: float, mesh_finder: MeshFinder) -> list[Found]:
    """Movements of a clip, frame by frame."""
    spotter = FrameDifference(fps, mesh_finder)
    found = [one for frame in frames for one in spotter.push(frame)]
    return found + spotter.flush()


class FrameDifference:
    """The spotter as it stands between two frames."""

    def __init__(self, fps: float, mesh_finder: MeshFinder) -> None:
        self.fps, self.find = fps, mesh_finder
        self.lag = max(1, round(LAG_S * fps))
        self.frames: deque[Gray] = deque(maxlen=self.lag + 1)
        self.boxes: NDArray[np.int64] | None = None
        self.noise: deque[NDArray[np.float64]] = deque(maxlen=self.lag)
        self.recent: deque[NDArray[np.float64]] = deque(maxlen=max(1, round(SMOOTH_S * fps)))
        self.rest: deque[NDArray[np.float64]] = deque(maxlen=round(LEARN_S * fps))
        self.threshold: NDArray[np.float64] | None = None
        self.number = -1
        self.run: list[tuple[int, float]] = []
        """Frames since the movement under way began, with how far each is over the threshold."""
        self.last = 0
        """The last of them that is."""

    def push(self, frame: Gray) -> list[Found]:
        """Take one frame; the movement that it shows to be over, if there is one."""
        self.number += 1
        if self.boxes is None or self.number % max(1, round(RENEW_S * self.fps)) == 0:
            mesh = self.find(frame)
            self.boxes = None if mesh is None else _boxes(mesh, frame.shape)
        if self.boxes is None or (self.frames and self.frames[-1].shape != frame.shape):
            done = self.flush()
            self.frames.clear()
            return done
        self.frames.append(frame.copy())
        if len(self.frames) <= self.lag:
            return []
        self.noise.append(_difference(frame, self.frames[-2], self.boxes))
        noise = np.maximum(np.mean(self.noise, axis=0), LEAST_NOISE_GREY)
        self.recent.append(_difference(frame, self.frames[0], self.boxes) / noise)
        return self._judge(np.mean(self.recent, axis=0))

    def _judge(self, ratio: NDArray[np.float64]) -> list[Found]:
        over = -np.inf if self.threshold is None else float((ratio - self.threshold).max())
        if over > 0:
            self.run.append((self.number, over))
            self.last = self.number
        elif self.run:
            self.run.append((self.number, over))
        else:
            self._learn(ratio)
        # rise and fall are two humps of the difference; between them it may pass through zero
        if self.run and self.number - self.last > self.lag:
            return self.flush()
        if self.run and self.number - self.run[0][0] > LONGEST_S * self.fps:
            self.rest.clear()  # it is not a movement: the light has changed, or the head has
            self.threshold, self.run = None, []
        return []

    def _learn(self, ratio: NDArray[np.float64]) -> None:
        self.rest.append(ratio)
        due = self.threshold is None or self.number % max(1, round(0.1 * self.fps)) == 0
        if due and len(self.rest) >= LEAST_LEARNT_S * self.fps:
            seen = np.array(self.rest)
            middle = np.median(seen, axis=0)
            deviation = 1.4826 * np.median(np.abs(seen - middle), axis=0)
            self.threshold = np.maximum(middle + DEVIATIONS * deviation, LEAST_RATIO)

    def flush(self) -> list[Found]:
        """End the movement under way, as at the end of the clip."""
        run, self.run = [one for one in self.run if one[0] <= self.last], []
        if not run:
            return []
        onset = run[0][0]
        rising = run[: max(1, len(run) // 2)]
        apex = max(rising, key=lambda one: one[1])[0]
        offset = max(self.last - self.lag, apex)
        length_s = (offset - onset) / self.fps
        if length_s < LEAST_S:
            return []
        return [Found(onset, offset, apex, "micro" if length_s <= MICRO_MAX_S else "macro")]


def _boxes(mesh: Mesh, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(10, 4) x0, y0, x1, y1 of the regions, px, inside the picture."""
    half = HALF_SIDE * float(np.hypot(*(mesh[CHEEKS[1]] - mesh[CHEEKS[0]])))
    centres = mesh[list(CENTRES)]
    corners = np.concatenate([centres - half, centres + half], axis=1).round()
    height, width = shape[:2]
    low = np.clip(corners[:, :2], 0, [width - 1, height - 1])
    high = np.clip(corners[:, 2:], low + 1, [width, height])
    return np.concatenate([low, high], axis=1).astype(np.int64)


def _difference(one: Gray, other: Gray, boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(10,) mean absolute difference of two frames in each region, grey levels."""
    parts = ((one[y0:y1, x0:x1].astype(np.int16), other[y0:y1, x0:x1]) for x0, y0, x1, y1 in boxes)
    return np.array([np.abs(a - b).mean() for a, b in parts])
