"""Draws a living face frame by frame: expression, pose, light, eyes, what is in front, camera."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from ..portrait import Placed, Portrait
from ..settings import REFERENCE_FACE_PX, ActionUnit, Side
from . import _kernels
from .camera import Camera, Gray
from .depth import dense_depth, mesh_depth, with_error
from .eyes import Eyes, Glasses
from .fields import FaceFields, Motion, Planes, head_grid, still_planes
from .head import poses, rotation
from .occlude import Hand
from .settings import TRUTH_FACE_PX, LivingSettings
from .speech import MOVED, Trajectory, articulated
from .story import Story, blink_skin, closure_track, gaze_track

Array = npt.NDArray[np.float64]

_PAD = 32
_LIMIT = 24
_SMALL_PX, _LARGE_PACE = 3.0, 0.55
"""Fixed-point steps at most; two or three are usual, begun from the frame before."""
_EXPOSED_SHARE = 0.5
"""Below 80 fps the shutter is open for half of the frame, up to ``_LONGEST_S``: moving parts blur."""
_SLOW_FPS, _LONGEST_S = 80.0, 0.016


class LivingRenderer:
    """One clip's frames, in order."""

    def __init__(
        self, settings: LivingSettings, seed: int, portrait: Portrait, story: Story, speech: Trajectory | None
    ) -> None:
        self._settings = settings
        self._story = story
        self._count = round(settings.seconds * settings.fps)
        self.placed = portrait.place(settings.size, settings.face_width_px)
        self.grid = head_grid(self.placed)
        depth_rng = np.random.default_rng([seed, 10])
        depth = with_error(mesh_depth(portrait), portrait.mesh, settings.depth_error, depth_rng)
        x, y = self.grid.places()
        self.depth = dense_depth(self.placed, depth, x, y)
        self.still = still_planes(self.placed, self.grid, self.depth)
        self._pivot = _pivot(self.placed, depth)
        self._light = _light(settings.relight, depth_rng)
        padded = cv2.copyMakeBorder(self.placed.image, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        self._texture = np.asarray(padded, np.float32)
        self._eyes = Eyes(self.placed, self._texture, _PAD)
        self._glasses = Glasses(self.placed, self._texture, _PAD, depth_rng) if settings.glasses else None
        self._hand = Hand(self.placed, np.random.default_rng([seed, 11])) if story.hands else None
        self._camera = Camera(settings, seed)
        self._tracks(seed, speech)
        at_rest = [(x - self.grid.x0).ravel(), (y - self.grid.y0).ravel()]
        self._nodes = np.stack([*at_rest, *at_rest, np.ones(x.size)]).astype(np.float32)

    def _tracks(self, seed: int, speech: Trajectory | None) -> None:
        """Everything that moves, at the time of each (sub)frame."""
        settings, story = self._settings, self._story
        self._parts = 4 if settings.fps < _SLOW_FPS else 1
        opened = min(_EXPOSED_SHARE / settings.fps, _LONGEST_S) if self._parts > 1 else 0.0
        offsets = (np.arange(self._parts) - (self._parts - 1) / 2) * opened / self._parts
        t_s = (np.arange(self._count)[:, None] / settings.fps + offsets).ravel()
        self._t_s = t_s
        px = self.placed.face_width_px / TRUTH_FACE_PX
        rng = np.random.default_rng([seed, 12])
        px_drift = self.placed.face_width_px / REFERENCE_FACE_PX
        self.pose = poses(settings, t_s, story.jumps, px_drift, rng)
        self._gaze = gaze_track(story, t_s) * px
        self._closure = closure_track(story, t_s, self._gaze / px)
        fields, amounts = self._expressions(t_s, px)
        if settings.speech:
            trajectory = speech or articulated(np.random.default_rng([seed, 13]), settings.seconds)
            begin = float(rng.uniform(0, max(trajectory.seconds, 0.01)))
            fields += FaceFields(self.placed, self.grid).modes(MOVED, trajectory.modes)
            amounts += list((settings.speech * trajectory.at(t_s, begin)).T)
        self._fields = np.stack(fields) if fields else np.zeros((0, 3, self.still.shape[1]), np.float32)
        self._amounts = np.stack(amounts, 1).astype(np.float32) if amounts else np.zeros((len(t_s), 0), np.float32)

    def _expressions(self, t_s: Array, px: float) -> tuple[list[Planes], list[Array]]:
        """Fields and how far each goes, px of the output, at each time."""
        maker = FaceFields(self.placed, self.grid)
        tracks: dict[tuple[ActionUnit, Side, Side] | Motion, Array] = {}
        for move in self._story.moves:
            track = tracks.setdefault(move.key, np.zeros(len(t_s)))
            track += px * move.px * move.course.shares(t_s)
        for name, far, course in self._story.motions:
            track = tracks.setdefault(name, np.zeros(len(t_s)))
            near = slice(*np.searchsorted(t_s, (course.onset_s, course.offset_s + 0.05)))
            track[near] += px * far * course.shares(t_s[near])
        if self._story.blinks:
            tracks["blink-skin"] = px * blink_skin(self._story, t_s)
        made = [maker.motion(key) if isinstance(key, str) else maker.unit(*key) for key in tracks]
        return made, list(tracks.values())

    def frames(self) -> Iterator[Gray]:
        """(H, W) uint8 frames, each an array of its own."""
        for number in range(self._count):
            first = number * self._parts
            clean = self._clean(first)
            if self._parts > 1:
                total = clean.copy()
                for part in range(1, self._parts):
                    total += self._clean(first + part)
                clean = total / np.float32(self._parts)
            yield self._camera.expose(clean, number, number / self._settings.fps)

    def _clean(self, k: int) -> npt.NDArray[np.float32]:
        """The picture of (sub)frame k before the camera."""
        self._draw_eyes(k)
        moved = np.zeros((3, self.still.shape[1]), np.float32)
        for column in np.flatnonzero(np.abs(self._amounts[k]) > 1e-5):
            moved += self._amounts[k, column] * self._fields[column]
        turn = self._rotation(k)
        self._solve(k, turn, moved)
        out = self.placed.image.copy()
        grid = self.grid
        _kernels.resample(out, self._texture, _PAD, (grid.x0, grid.y0), self._nodes, grid.shape, grid.step)
        for hand in self._story.hands:
            place = hand.place(float(self._t_s[k]))
            if place is not None and self._hand is not None:
                self._hand.draw(out, place)
        return out

    def _rotation(self, k: int) -> Array:
        yaw, pitch, roll = self.pose[k, :3]
        return rotation(float(yaw), float(pitch), float(roll))

    def _solve(self, k: int, turn: Array, moved: Planes) -> None:
        """Bring the nodes to (sub)frame k."""
        ambient, side, direction = self._light
        far = self._settings.camera_distance * self.placed.face_width_px
        x, y, z = self._pivot
        pivot = (x - self.grid.x0, y - self.grid.y0, z)
        growth = 1 + self.pose[k, 5]
        pose = np.array([*turn.ravel(), *self.pose[k, 3:5], growth, *pivot, far], np.float32)
        light = np.array([ambient, side, *direction, *(turn.T @ direction)], np.float32)
        shading, pulse = np.float32(self._settings.fold_shading), np.float32(self._camera.pulse(self._t_s[k]))
        pace = np.float32(1.0 if np.abs(moved[:2]).max() < _SMALL_PX else _LARGE_PACE)
        _kernels.solve(
            self._nodes, self.still, moved, self.grid.shape, self.grid.step, pose, light, shading, pulse, pace, _LIMIT
        )

    def _draw_eyes(self, k: int) -> None:
        glasses = self._glasses
        if glasses is not None:
            glasses.lift()
        self._eyes.draw(float(self._closure[k]), *self._gaze[k])
        if glasses is not None:
            yaw, pitch = np.degrees(self.pose[k, :2])
            glasses.put_on(float(yaw), float(pitch))

    def forward(self, k: int, points: Array) -> Array:
        """Where points (n, 2) px of the face at rest lie in (sub)frame k, without expression."""
        x = ((points[:, 0] - self.grid.x0) / self.grid.step).astype(np.float32)
        y = ((points[:, 1] - self.grid.y0) / self.grid.step).astype(np.float32)
        rows, columns = self.grid.shape
        depth, mask = (
            cv2.remap(plane.reshape(rows, columns), x, y, cv2.INTER_LINEAR)[:, 0].astype(np.float64)
            for plane in self.still[:2]
        )
        far = self._settings.camera_distance * self.placed.face_width_px
        z = depth - self._pivot[2]
        flat = (points - self._pivot[:2]) * ((far - z) / far)[:, None]
        turned = np.column_stack([flat, z]) @ self._rotation(k).T
        near = (1 + self.pose[k, 5]) * far / (far - turned[:, 2:])
        moved = self._pivot[:2] + self.pose[k, 3:5] + turned[:, :2] * near
        placed: Array = points + mask[:, None] * (moved - points)
        return placed


def _pivot(placed: Placed, depth: Array) -> Array:
    """The neck's axis, (3,) px: below the chin's height, behind the ears."""
    mesh, width = placed.mesh, placed.face_width_px
    middle = mesh[[234, 454]].mean(0)
    chin = mesh[152]
    x, y = middle + 0.6 * (chin - middle)
    return np.array([x, y, (depth[[234, 454]].mean() - 0.12) * width])


def _light(share: float, rng: np.random.Generator) -> tuple[float, float, Array]:
    """(ambient share, side share, direction towards the light)."""
    direction = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.1), 1.0])
    return 1 - share, share, direction / np.linalg.norm(direction)
