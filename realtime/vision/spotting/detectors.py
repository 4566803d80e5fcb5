"""What is measured in each region, a class a detector: ``motion`` (ours) and ``lbp`` (the paper's).

A detector turns an anchored face into values for each group of regions and owns the groups' spotters. Groups live
their own lives: who talks or smiles may raise a brow.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.face.forecast import Forecast
from realtime.vision.face.regions import IMAGE_HEIGHT, IMAGE_WIDTH, ROI_NAMES
from realtime.vision.face.registration import Anchor
from realtime.vision.spotting import lbp
from realtime.vision.spotting.channels import Channels
from realtime.vision.spotting.spotter import Spotter
from realtime.vision.spotting.talk import WORD_PX

Values = NDArray[np.float64]

GROUPS: dict[str, tuple[str, ...]] = {
    "left_brow": ("left_eye_brow",),
    "right_brow": ("right_eye_brow",),
    "nose": ("nose",),
    "mouth": ("left_mouth", "right_mouth", "chin"),
}
_ROIS_OF = {group: np.array([ROI_NAMES.index(name) for name in names]) for group, names in GROUPS.items()}
_MEMORY_S = 12.0
_NOISE_PX = 0.1
"""Of a patch in one frame, for the regression: more than the sensor's, because neighbouring frames err alike."""
_LINEAR_PX, _SQUARE_PX = 30.0, 60.0
"""px that a radian, and a squared one, count for, so that features and displacements are alike in size."""
_HEIGHT_ERROR, _GROWTH_ERROR, _SQUARE_ERROR = 0.35, 0.15, 0.5
"""How wrong the forecast may be before anything is learnt: px per px of the feature."""
_FEATURE_NOISE = np.array([0.015, 0.015, 0.02, 0.02, 0.004, 0.004, 0.004])
_FAR_PX = 2.5
LBP_PX = 25.0
"""px that a change of LBP correlation by 1 is worth: their ratio at the apex of the tuning clips' movements."""


class Detector(Protocol):
    """What ``FaceMeter`` asks of a detector."""

    spotters: dict[str, Spotter]
    unit_px: float
    """px of the face image that one unit of the difference is worth."""
    word: tuple[float, float]
    """Rise of the mouth, in that unit, above which a short movement is a word: of the lips alone, and with the jaw."""
    difference: Values
    """(ROIs,) how far each region is from rest now, in the unit of the detector."""
    turn_rad: tuple[float, float]
    """(yaw, pitch) of the head since the face was found."""

    def begin(self, anchor: Anchor) -> None:
        """A face has been found: all starts anew."""

    def go_on(self, anchor: Anchor, old: Anchor) -> None:
        """The same face has a new template: go on from where the old one was."""

    def push(self, anchor: Anchor, number: int, t_ns: int, *, steady: bool = True) -> list[tuple[str, SpotEvent]]:
        """Measure one frame; (group, event) of each movement that it completes. Without ``steady`` none is: the head
        is turned away, and rest is where the face is when it comes back.
        """

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """The head has jerked from … to … and is still again."""


def make_detector(settings: SpotSettings, fps: float) -> Detector:
    """The detector that the settings name."""
    return LbpDetector(settings, fps) if settings.detector == "lbp" else MotionDetector(settings, fps)


class MotionDetector:
    """Displacement of each region's patches, the head's motion in three dimensions removed."""

    unit_px = 1.0
    word = (WORD_PX, WORD_PX)

    def __init__(self, settings: SpotSettings, fps: float) -> None:
        self._settings = settings
        self._fps = fps
        self.difference = np.zeros(len(ROI_NAMES))
        self.spotters: dict[str, Spotter] = {}
        self.turn_rad = 0.0, 0.0

    def begin(self, anchor: Anchor) -> None:
        layout = anchor.layout
        own = layout.centres[layout.rigid :]
        self._offset = np.zeros((len(own), 2))
        self._features = np.zeros(len(_FEATURE_NOISE))
        self._pose_offset = [-value for value in _pose(anchor)]
        self._patches: dict[str, NDArray[np.int64]] = {}
        self._channels: dict[str, slice] = {}
        self._renewed: set[str] = set()
        self.spotters = {}
        prior = _prior(own, layout.heights[layout.rigid :])
        for group, names in GROUPS.items():
            rois = _ROIS_OF[group]
            patches = np.flatnonzero(np.isin(layout.roi_of, rois))
            self._patches[group] = patches
            self._channels[group] = slice(2 * int(patches[0]), 2 * int(patches[-1]) + 2)  # ROIs follow each other
            channels = Channels.of_patches(
                names, np.searchsorted(rois, layout.roi_of[patches]), anchor.roi_weights[patches]
            )
            rows = np.stack([2 * patches, 2 * patches + 1], 1).ravel()
            errors = np.array([_HEIGHT_ERROR] * 2 + [_GROWTH_ERROR] * 2 + [_SQUARE_ERROR] * 3)
            forecast = Forecast(prior[rows], errors, _MEMORY_S, _NOISE_PX, _FEATURE_NOISE)
            self.spotters[group] = Spotter(self._settings, self._fps, channels=channels, forecast=forecast)

    def go_on(self, anchor: Anchor, old: Anchor) -> None:
        rigid = anchor.layout.rigid
        self._offset += old.displacement[rigid:]
        between = zip(self._pose_offset, _pose(old), _pose(anchor), strict=True)
        self._pose_offset = [offset + (then - now) for offset, then, now in between]
        self._renewed = {
            group for group, spotter in self.spotters.items() if spotter.is_displaced
        }  # by the new template
        for group, spotter in self.spotters.items():
            spotter.trust(np.repeat(anchor.roi_weights[self._patches[group]], 2))

    def jerked(self, span_ns: tuple[int, int]) -> None:
        for spotter in self.spotters.values():
            spotter.jerked(span_ns)

    def push(self, anchor: Anchor, number: int, t_ns: int, *, steady: bool = True) -> list[tuple[str, SpotEvent]]:
        self._feel(anchor)
        where = (anchor.displacement[anchor.layout.rigid :] + self._offset).ravel()
        trust = np.empty(len(where))
        anchor.trust_channels(steady, trust)
        found = []
        for group, spotter in self.spotters.items():
            own = self._channels[group]
            event = spotter.push(number, t_ns, where[own], self._features, trust[own])
            self.difference[_ROIS_OF[group]] = spotter.size
            if event is not None:
                found.append((group, event))
            self._retake(anchor, group)
        return found

    def _retake(self, anchor: Anchor, group: str) -> None:
        """Skin that goes far, or is held in another shape, is followed by that shape; back at rest, by the first."""
        spotter, patches, renewed = self.spotters[group], self._patches[group], group in self._renewed
        if spotter.active:
            if spotter.reach > _FAR_PX and anchor.is_folded(patches):
                anchor.renew(patches)
                self._renewed.add(group)
        elif spotter.is_displaced != renewed:
            if renewed:
                anchor.restore(patches)
                self._renewed.discard(group)
            else:
                anchor.renew(patches)
                self._renewed.add(group)
            spotter.let_settle()

    def _feel(self, anchor: Anchor) -> None:
        """The head's pose as the forecast takes it."""
        yaw, pitch, growth, roll = (a + b for a, b in zip(_pose(anchor), self._pose_offset, strict=True))
        self.turn_rad = yaw, pitch
        linear = yaw * _LINEAR_PX, pitch * _LINEAR_PX, growth * _SQUARE_PX, roll * _SQUARE_PX
        square = yaw * yaw * _SQUARE_PX, yaw * pitch * _SQUARE_PX, pitch * pitch * _SQUARE_PX
        self._features[:] = *linear, *square


def _pose(anchor: Anchor) -> tuple[float, float, float, float]:
    """(yaw, pitch, logarithm of the scale, roll) of an anchored face, rad."""
    (a, _, _), (b, _, _) = anchor.to_frame.tolist()
    return *anchor.turn, math.log(math.hypot(a, b)), math.atan2(b, a)


def _prior(centres: NDArray[np.int64], heights: Values) -> Values:
    """(2 · patches, features) what a head of the mesh's depth does, first and second order, similarity apart."""
    x, y = (centres - [IMAGE_WIDTH / 2, IMAGE_HEIGHT / 2]).T
    weights = np.zeros((len(centres), 2, len(_FEATURE_NOISE)))
    weights[:, 0, 0] = weights[:, 1, 1] = heights / _LINEAR_PX
    weights[:, 0, 4] = -0.5 * x / _SQUARE_PX
    weights[:, 1, 6] = -0.5 * y / _SQUARE_PX
    return weights.reshape(2 * len(centres), -1)


class LbpDetector:
    """1 − correlation of each region's LBP histogram with the one at rest (LAENet §2.2.1; Liong et al. 2015)."""

    unit_px = LBP_PX
    word = (math.inf, WORD_PX / LBP_PX)
    """The histograms of lips that went 3 px and of those that went 6 px differ little."""

    def __init__(self, settings: SpotSettings, fps: float) -> None:
        self._settings = settings
        self._fps = fps
        self.difference = np.zeros(len(ROI_NAMES))
        self.spotters: dict[str, Spotter] = {}
        self.turn_rad = 0.0, 0.0

    def begin(self, anchor: Anchor) -> None:
        self.spotters = {group: Spotter(self._settings, self._fps) for group in GROUPS}
        self._last_ns = 0
        self._take(anchor)

    def _take(self, anchor: Anchor) -> None:
        layout = anchor.layout
        self._counts = np.zeros((len(layout.block_roi), lbp.BINS), np.float32)
        self._reference = np.zeros_like(self._counts)
        self._seen = dict.fromkeys(GROUPS, 0)
        self._blocks = {
            group: np.isin(layout.block_roi, [ROI_NAMES.index(name) for name in names])
            for group, names in GROUPS.items()
        }

    def go_on(self, anchor: Anchor, old: Anchor) -> None:
        self._take(anchor)  # other blocks: their histograms can't be compared with the old ones
        for spotter in self.spotters.values():
            spotter.rebase()

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """It feels no pose, and so no jerk."""

    def push(self, anchor: Anchor, number: int, t_ns: int, *, steady: bool = True) -> list[tuple[str, SpotEvent]]:
        layout = anchor.layout
        lbp.histograms(anchor.image, layout.blocks, layout.spans, lbp.UNIFORM_BINS, self._counts)
        if not any(self._seen.values()):
            self._reference[:] = self._counts
        lbp.difference(self._counts, self._reference, layout.block_roi, self.difference)
        dt_s = (t_ns - self._last_ns) / 1e9 if self._last_ns else 0.0
        self._last_ns = t_ns
        found = []
        for group, names in GROUPS.items():
            spotter = self.spotters[group]
            values = {name: float(self.difference[ROI_NAMES.index(name)]) for name in names}
            event = spotter.push(number, t_ns, values, weights=np.full(len(names), float(steady)))
            if event is not None:
                found.append((group, event))
                self._seen[group] = 0  # the face rests elsewhere now
            if not spotter.active:
                self._seen[group] += 1
                gain = max(dt_s / self._settings.reference_window_s, 1.0 / self._seen[group])
                own = self._blocks[group]
                self._reference[own] += np.float32(min(gain, 1.0)) * (self._counts[own] - self._reference[own])
        return found
