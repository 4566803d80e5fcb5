"""Pictures with several generated faces, and a crowd's run over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np

from realtime.config import SpotSettings
from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings
from realtime.synthesis.portrait import FACE_OVAL
from realtime.types import SpotEvent
from realtime.vision.features import feature_map
from realtime.vision.spotting.crowd import Crowd

FPS = 200.0
FRAME_NS = 5_000_000
EVENTS = SynthesisSettings(amplitude_px=(2.0, 2.0), event_gap_s=(0.9, 1.3))
STILL = SynthesisSettings(events=False, blinks=False)
Notices = list[tuple[int, str, str]]


class Sitter:
    """One generated person, cut out of a frame with the face in the middle; ``mirrored`` makes another person of the
    same portrait.
    """

    def __init__(self, seed: int, settings: SynthesisSettings, *, scale: float = 1.0, mirrored: bool = False) -> None:
        """scale: of the face, which is 145 px wide at 1."""
        self._size = (round(640 * scale), round(480 * scale))
        self._renderer = FaceRenderer(Portrait.packaged(), settings, seed, self._size, FPS)
        self._mirrored = mirrored
        oval = self._renderer.placed.mesh[list(FACE_OVAL)]
        self._middle = np.round((oval.min(0) + oval.max(0)) / 2).astype(int)
        self.half = round(170 * scale)
        """Half the width of the cut-out, px."""
        self.schedule = self._renderer.schedule
        self._frame = np.empty(self._size[::-1], np.uint8)

    @property
    def mesh(self) -> np.ndarray:
        """(478, 2) float32, px in the cut-out: the landmarks at rest, of one that is not mirrored."""
        return self._renderer.placed.mesh - np.float32([self._middle[0] - self.half, 0])

    def draw(self, number: int) -> np.ndarray:
        """(480, 340) uint8, times the scale."""
        self._renderer.render(number, self._frame)
        x0 = self._middle[0] - self.half
        cut = self._frame[:, x0 : x0 + 2 * self.half]
        return np.ascontiguousarray(cut[:, ::-1] if self._mirrored else cut)

    def head(self) -> np.ndarray:
        """float32, 0..1: how much of each pixel of the cut-out is head, soft at its edge."""
        mask = np.zeros((self._size[1], 2 * self.half), np.float32)
        centre = (self.half, int(self._middle[1]) - self.half // 17)
        axes = (round(0.56 * self.half), round(0.76 * self.half))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, -1)
        return cv2.GaussianBlur(mask, (0, 0), 3.0)


def side_by_side(sitters: Sequence[Sitter], frames: int) -> Iterator[np.ndarray]:
    """uint8, as high as the largest: each in its own place."""
    for number in range(frames):
        faces = [sitter.draw(number) for sitter in sitters]
        height = max(len(face) for face in faces)
        yield np.hstack([np.pad(face, ((0, height - len(face)), (0, 0)), mode="edge") for face in faces])


def on_the_move(
    sitters: Sequence[Sitter], places: Sequence[Callable[[int], float | None]], frames: int, width: int = 900
) -> Iterator[np.ndarray]:
    """(480, width) uint8: heads before a plain wall, the last one in front; ``places`` give each one's x in a frame,
    px, or None where it is not there.
    """
    rng = np.random.default_rng(1)
    wall = np.clip(rng.normal(110, 2, (480, width)), 0, 255).astype(np.float32)
    heads = [sitter.head() for sitter in sitters]
    for number in range(frames):
        picture = wall.copy()
        for sitter, place, head in zip(sitters, places, heads, strict=True):
            x = place(number)
            if x is not None:
                left = round(x) - sitter.half
                inside = slice(max(-left, 0), width - left)
                part = picture[: len(head), max(left, 0) : max(left + 2 * sitter.half, 0)]
                part += head[:, inside] * (sitter.draw(number)[:, inside] - part)
        yield picture.astype(np.uint8)


def crowd_of(faces: int, mesh: object | None = None) -> Crowd:
    return Crowd(SpotSettings(faces=faces), FPS, mesh)  # type: ignore[arg-type]


def run(crowd: Crowd, frames: Iterable[np.ndarray]) -> tuple[list[SpotEvent], Notices, list[dict[int, float]]]:
    """Events, notices with their frames, and in each frame which face is where (x, px). Each event has its crops."""
    events: list[SpotEvent] = []
    notices: Notices = []
    places = []
    try:
        for number, frame in enumerate(frames):
            seen, told = crowd.process(frame, number, number * FRAME_NS)
            assert seen is not None
            for event in told:
                assert feature_map(*crowd.crops(event)).shape == (28, 28, 3)
            events += told
            notices += [(number, *notice) for notice in seen.notices]
            in_view = [k for k, meter in enumerate(crowd._meters) if meter.anchor is not None]
            assert {one.number for one in seen.each() if one.face} <= set(in_view)
            places.append({k: float(crowd._meters[k].anchor.mesh_in_frame()[:, 0].mean()) for k in in_view})
        return events + crowd.flush(), notices, places
    finally:
        crowd.close()
