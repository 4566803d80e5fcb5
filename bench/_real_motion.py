"""Published maps as movements of portraits on video, and what the live pipeline makes of them, stage by stage.

A scene is a portrait on which a few maps happen one after the other, with the times and residuals of coded
micro-expressions and the sizes that were measured in real clips. The head moves as the living generator moves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import _public_maps as public
import cv2
import living
import numpy as np
import numpy.typing as npt

from offline.datasets import MapSet
from realtime.config import SpotSettings
from realtime.synthesis import Portrait
from realtime.synthesis.living import LivingSettings, Swing
from realtime.synthesis.living.courses import Course, coded
from realtime.synthesis.living.renderer import LivingRenderer
from realtime.synthesis.living.story import tell
from realtime.types import SpotEvent
from realtime.vision.features import FeatureSpec, feature_map
from realtime.vision.features.crop import apply, crop, crop_transform, invert
from realtime.vision.features.maps import map_from_flow
from realtime.vision.spotting.face_meter import FaceMeter

Array = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

PX = (0.3, 1.6)
"""Peaks of real micro-expressions, px on a face 152 px wide."""
FPS = 200.0
EACH = 4
"""Maps to a scene."""
_FIRST_S, _GAP_S, _LAST_S = 2.0, 1.3, 0.8
_LATER_S = 0.1
"""So long after a true offset the crops by the true frames are taken: neighbours must have been seen."""
_BASE: dict[str, Any] = {
    "fps": FPS,
    "size": (400, 352),
    "face_width_px": 150.0,
    "micros": False,
    "blink_gap_s": None,
}
_LIVING: dict[str, Any] = {"swings": (Swing("yaw", 2.0, 6.0),), "posture": 1.0}
HEADS: dict[str, dict[str, Any]] = {
    "still": {},
    "living": _LIVING,
    "blinking": {**_LIVING, "blink_gap_s": (1.8, 5.8)},
}
_EXACT: dict[str, Any] = {
    "drift": 0.0,
    "relight": 0.0,
    "fold_shading": 0.0,
    "noise_grey": 0.0,
    "flicker_depth": 0.0,
    "pulse_percent": 0.0,
}


@dataclass
class Shown:
    """One map, where it happens, and what each stage made of it."""

    number: int
    """Position in the composite."""
    cells: Maps
    dataset: str
    px: float
    course: Course
    score: float = 0.0
    """Of the strongest event that was spotted there; 0: none was."""
    magnitude_px: float = 0.0
    """Of the same event."""
    stages: dict[str, Maps] = field(default_factory=dict)
    """Stage → (28, 28, 3)."""

    def frames(self) -> tuple[int, int, int]:
        """Onset, apex, offset."""
        course = self.course
        onset, apex, offset = (round(t * FPS) for t in (course.onset_s, course.apex_s, course.offset_s))
        return onset, apex, offset

    def meets(self, event: SpotEvent) -> bool:
        """The event is of this movement."""
        onset, _, offset = self.frames()
        return event.onset <= offset and onset <= event.apex


@dataclass(frozen=True)
class Scene:
    """Some maps on one portrait."""

    settings: LivingSettings
    seed: int
    portrait: Portrait
    shown: list[Shown]


def scenes(
    data: MapSet, split: str, head: str, each: int, most: int | None = None, px: tuple[float, float] = PX
) -> list[Scene]:
    """``each`` maps of every class of every set, at most ``most`` in all, on the split's portraits; px: their peaks."""
    chosen = public.balanced(data, split, each)[:most]
    portraits = living.portraits(split)
    names, found = sorted(portraits), []
    for number, first in enumerate(range(0, len(chosen), EACH)):
        seed = (0 if split == "tuning" else 70_000) + number
        rng, now, shown = np.random.default_rng([seed, 21]), _FIRST_S, []
        for k in chosen[first : first + EACH]:
            course = coded(rng, now, 0.95)
            shown.append(Shown(k, data.maps[k], data.dataset[k], float(rng.uniform(*px)), course))
            now = course.offset_s + _GAP_S + rng.uniform(0, 0.4)
        seconds = round((shown[-1].course.offset_s + _LAST_S) * FPS) / FPS
        settings = LivingSettings(**(_BASE | HEADS[head] | {"seconds": seconds}))
        found.append(Scene(settings, seed, portraits[names[number % len(names)]], shown))
    return found


class MapRenderer(LivingRenderer):
    """Draws a scene's maps as expressions."""

    def __init__(self, scene: Scene, settings: LivingSettings | None = None) -> None:
        self._shown = scene.shown
        settings = settings or scene.settings
        super().__init__(settings, scene.seed, scene.portrait, tell(settings, scene.seed), None)

    def _expressions(self, t_s: Array, px: float) -> tuple[list[Maps], list[Array]]:
        fields, amounts = super()._expressions(t_s, px)
        self.planes = [public.planes(one.cells, one.dataset, self.placed, self.grid) for one in self._shown]
        tracks = [px * one.px * self._share(k, t_s) for k, one in enumerate(self._shown)]
        return fields + self.planes, amounts + tracks

    def _share(self, k: int, t_s: Array) -> Array:
        return self._shown[k].course.shares(t_s)


class ExactRenderer(MapRenderer):
    """A frame at rest, then each map at its peak, without noise, light or motion of the head."""

    def __init__(self, scene: Scene) -> None:
        seconds = (len(scene.shown) + 1) / FPS
        super().__init__(scene, LivingSettings(**(_BASE | _EXACT | {"seconds": seconds})))

    def _share(self, k: int, t_s: Array) -> Array:
        return (np.round(t_s * FPS) == k + 1).astype(np.float64)

    def flow(self, k: int, spec: FeatureSpec) -> Maps:
        """(crop_height, crop_width, 2) float32: the true displacement of map k, px of the crop."""
        to_crop = crop_transform(self.placed.landmarks, spec)
        x, y = np.meshgrid(np.arange(spec.crop_width), np.arange(spec.crop_height))
        at = apply(invert(to_crop), np.stack([x.ravel(), y.ravel()], 1).astype(np.float64))
        node = ((at - [self.grid.x0, self.grid.y0]) / self.grid.step).astype(np.float32).reshape(*x.shape, 2)
        plane = self.planes[k][:2].reshape(2, *self.grid.shape)
        moved = np.stack([cv2.remap(one, node[..., 0], node[..., 1], cv2.INTER_LINEAR) for one in plane], -1)
        return (moved @ to_crop[:, :2].T).astype(np.float32)


def exact_stages(scene: Scene, specs: dict[str, FeatureSpec]) -> None:
    """Stages before the camera: the true field, and TV-L1 of exact frames, in each spec's crop."""
    renderer = ExactRenderer(scene)
    frames, points = list(renderer.frames()), renderer.placed.landmarks
    for name, spec in specs.items():
        to_crop = crop_transform(points, spec)
        inside = apply(to_crop, points)
        faces = [crop(frame, to_crop, spec) for frame in frames]
        for k, one in enumerate(scene.shown):
            one.stages[f"true field, {name}"] = map_from_flow(renderer.flow(k, spec), inside, spec)
            one.stages[f"exact frames, {name}"] = feature_map(faces[0], faces[k + 1], inside, spec)


def live_stages(scene: Scene, specs: dict[str, FeatureSpec], settings: SpotSettings | None = None) -> None:
    """The scene's video through the live pipeline: maps of what was spotted, and the last spec's by the true frames.

    settings: of the spotter, None: the default ones.
    """
    meter = FaceMeter(settings, fps=FPS)
    try:
        _run(scene, specs, meter)
    finally:
        meter.close()


def _run(scene: Scene, specs: dict[str, FeatureSpec], meter: FaceMeter) -> None:
    waiting = list(scene.shown)
    last = dict(list(specs.items())[-1:])
    for number, frame in enumerate(MapRenderer(scene).frames()):
        _, events = meter.process(frame, number, round(number * 1e9 / FPS))
        _keep(scene.shown, events, meter, specs)
        if waiting and number == waiting[0].frames()[2] + round(_LATER_S * FPS):
            one = waiting.pop(0)
            if meter.anchor is not None:
                _take(one, "true frames", _event(*one.frames()), meter, last)
    _keep(scene.shown, meter.flush(), meter, specs)


def _keep(shown: list[Shown], events: Iterable[SpotEvent], meter: FaceMeter, specs: dict[str, FeatureSpec]) -> None:
    for event in events:
        for one in shown:
            if one.meets(event) and event.score > one.score:
                one.score, one.magnitude_px = event.score, event.magnitude_px
                _take(one, "live", event, meter, specs)


def _take(one: Shown, stage: str, event: SpotEvent, meter: FaceMeter, specs: dict[str, FeatureSpec]) -> None:
    for name, spec in specs.items():
        one.stages[f"{stage}, {name}"] = feature_map(*meter.crops(event, spec), spec)


def _event(onset: int, apex: int, offset: int) -> SpotEvent:
    return SpotEvent(
        kind="micro", onset=onset, apex=apex, offset=offset, onset_t_ns=0, apex_t_ns=0, offset_t_ns=0,
        score=1.0, rois={}, decided=offset,
    )  # fmt: skip


def alike(first: Maps, second: Maps) -> list[float]:
    """Correlation of two maps: u, v, strain."""
    return [float(np.corrcoef(first[..., k].ravel(), second[..., k].ravel())[0, 1]) for k in range(3)]
