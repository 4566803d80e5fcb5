"""Draws any frame of a generated face: `FaceRenderer`, and the clips and pairs that tests and benches use."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from realtime.errors import InputError

from . import _kernels
from .blink import LEVELS, eye_patches
from .fields import Array, Field, UnitField, unit_field
from .portrait import FACE_OVAL, Gray, Placed, Points, Portrait
from .schedule import Schedule, TruthEvent
from .settings import DEFAULT_FPS, DEFAULT_SIZE, ONE_SIDED, REFERENCE_FACE_PX, ActionUnit, Side, SynthesisSettings
from .signals import HeadPose, Signals

_PAD = 32
_BANK = 1 << 20
_BANK_UNIT = 32.0
_RIGID_RADIUS, _STILL_RADIUS = 1.15, 1.6
"""The head is rigid within the first, the background rests beyond the second; unit: the face's ellipse."""
_MICRO_STEPS, _MACRO_STEPS = 4, 12
"""Fixed-point steps of the inversion: at most 0.02 px are left at 3 px (two left 0.13), 0.1 px at 8 px."""


class FaceRenderer:
    """Frame k of (portrait, settings, seed, size, fps): the same bytes whenever it is asked for."""

    def __init__(
        self,
        portrait: Portrait,
        settings: SynthesisSettings | None = None,
        seed: int = 0,
        size: tuple[int, int] = DEFAULT_SIZE,
        fps: float = DEFAULT_FPS,
        end_frame: int | None = None,
    ) -> None:
        """``size`` is (width, height), px. ``end_frame``: no movement reaches past it (a clip's end)."""
        self.settings = settings or SynthesisSettings()
        self.size = size
        self.fps = fps
        self.placed = portrait.place(size)
        self.px_scale = self.placed.face_width_px / REFERENCE_FACE_PX
        self.schedule = Schedule(self.settings, seed, fps, self.px_scale, end_frame)
        self.signals = Signals(self.settings, seed, fps, self.px_scale)
        self._canvas = _Canvas(self.placed)
        self._fields: dict[tuple[ActionUnit, Side], UnitField] = {}
        self._sensor(np.random.default_rng([seed, 4]))

    def render(self, frame_number: int, out: Gray) -> None:
        """Draw a frame into ``out`` (H, W) uint8, C-contiguous rows."""
        if out.shape != (self.size[1], self.size[0]) or out.dtype != np.uint8:
            raise InputError(f"frame buffer: {self.size[1], self.size[0]} uint8 wanted, got {out.shape} {out.dtype}")
        t_s = frame_number / self.fps
        event = self.schedule.event_at(frame_number)
        blink = self.schedule.blink_at(frame_number)
        self._canvas.set_blink(blink.closure_at(frame_number) if blink else 0.0)
        field = self._field(event.au, event.side) if event else self._no_field
        self._canvas.draw(
            out,
            self.signals.pose(t_s),
            field,
            event.amplitude_at(frame_number) if event else 0.0,
            _MACRO_STEPS if event and event.kind == "macro" else _MICRO_STEPS,
            self.settings.fold_shading,
            (self.signals.light(t_s), self.signals.pulse(t_s)),
            self._noise(frame_number),
        )

    def landmarks(self, frame_number: int) -> Points:
        """True places of the 68 landmarks (iBUG order) in a frame: (68, 2) float32, px; lids as when open."""
        points = self.placed.landmarks.astype(np.float64)
        event = self.schedule.event_at(frame_number)
        if event:
            dense = self._field(event.au, event.side).dense(self.size)
            xs, ys = points[:, 0].astype(np.float32), points[:, 1].astype(np.float32)
            moved = cv2.remap(dense, xs, ys, cv2.INTER_LINEAR)[:, 0]
            points += event.amplitude_at(frame_number) * moved
        return self._canvas.forward(self.signals.pose(frame_number / self.fps), points).astype(np.float32)

    def _field(self, au: ActionUnit, side: Side) -> UnitField:
        if (au, side) not in self._fields:
            self._fields[au, side] = unit_field(self.placed, au, side)
        return self._fields[au, side]

    def prepare(self) -> None:
        """Compute every field and compile the loop now, so that no frame of a live source waits for it."""
        for au in self.settings.action_units if self.settings.events else ():
            for side in ("left", "right") if au in ONE_SIDED else ("both",):
                self._field(au, side)
        self.render(0, np.empty((self.size[1], self.size[0]), np.uint8))

    def _sensor(self, rng: np.random.Generator) -> None:
        """Noise bank and fixed pattern. Rounding to 8 bits adds 1/12 to the variance, so the rest is less."""
        width, height = self.size
        settings = self.settings
        normal = rng.standard_normal(_BANK, dtype=np.float32)
        self._bank = np.clip(np.round(normal * _BANK_UNIT), -127, 127).astype(np.int8)
        self._key = int(rng.integers(0, 1 << 63))
        pattern = rng.standard_normal((height, width), dtype=np.float32)
        self._fixed = pattern * np.float32(settings.fixed_pattern_grey)
        variance = max(settings.noise_grey**2 - 1 / 12, 0.0) if settings.noise_grey else 0.0
        self._read_var = (1 - settings.shot_share) * variance / _BANK_UNIT**2
        self._shot_var = settings.shot_share * variance / 128 / _BANK_UNIT**2
        self._no_field = UnitField(0, 0, np.zeros((2, 2, 3), np.float32))

    def _noise(self, frame_number: int) -> _kernels.Noise:
        key = (self._key + frame_number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        return _noise(self._fixed, self._bank, key, self._read_var, self._shot_var)


def _noise(fixed: Field, bank: npt.NDArray[np.int8], key: int, read_var: float, shot_var: float) -> _kernels.Noise:
    return _kernels.Noise(fixed, bank, np.uint64(key), np.float32(read_var), np.float32(shot_var))


class _Canvas:
    """The placed portrait, its padded texture with the blink drawn in, and the part that the head moves."""

    def __init__(self, placed: Placed) -> None:
        padded = cv2.copyMakeBorder(placed.image, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        self._texture = np.ascontiguousarray(padded, np.float32)
        self._eyes = eye_patches(placed)
        self._blink_level = 0
        oval = placed.mesh[list(FACE_OVAL)].astype(np.float64)
        self._centre = (oval.min(0) + oval.max(0)) / 2
        self._half = np.ptp(oval, axis=0) / 2
        self._head_boxes(placed)

    def _head_boxes(self, placed: Placed) -> None:
        height, width = placed.image.shape
        reach = self._half * _STILL_RADIUS
        low = np.maximum(np.floor(self._centre - reach).astype(int), 0)
        high = np.minimum(np.ceil(self._centre + reach).astype(int) + 1, [width, height])
        xs, ys = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        radius = np.hypot((xs - self._centre[0]) / self._half[0], (ys - self._centre[1]) / self._half[1])
        head_mask = _fade(radius, _RIGID_RADIUS, _STILL_RADIUS)
        spans = np.zeros((len(radius), 2), np.int64)
        for row, inside in enumerate(head_mask > 0):
            columns = np.flatnonzero(inside)
            if len(columns):
                spans[row] = low[0] + columns[0], low[0] + columns[-1] + 1
        self._scene = _kernels.Scene(
            rest=placed.image,
            texture=self._texture.reshape(-1),  # a view: blinks are drawn into it
            stride=self._texture.shape[1],
            pad=_PAD,
            spans=spans,
            head_mask=head_mask,
            skin_mask=_fade(radius, 0.85, 1.05),
            x0=int(low[0]),
            y0=int(low[1]),
        )

    def set_blink(self, closure: float) -> None:
        """Draw both lids at ``closure`` 0..1 into the texture."""
        level = round(closure * LEVELS)
        if level == self._blink_level:
            return
        for eye in self._eyes:
            rows = slice(eye.y0 + _PAD, eye.y1 + _PAD)
            self._texture[rows, eye.x0 + _PAD : eye.x1 + _PAD] = eye.steps[level]
        self._blink_level = level

    def forward(self, pose: HeadPose, points: Array) -> Array:
        """Points of the neutral head, (n, 2) px, as the pose moves them."""
        cos, sin = math.cos(pose.roll) * pose.scale, math.sin(pose.roll) * pose.scale
        matrix = np.array([[cos, -sin], [sin, cos]])
        moved: Array = (points - self._centre) @ matrix.T + self._centre + [pose.shift_x, pose.shift_y]
        return moved

    def _affine(self, pose: HeadPose) -> npt.NDArray[np.float32]:
        """Source minus destination, (6,), of the inverse pose: x ↦ (A − I) x + b."""
        cos, sin = math.cos(pose.roll) / pose.scale, math.sin(pose.roll) / pose.scale
        cx, cy = self._centre
        sx, sy = cx + pose.shift_x, cy + pose.shift_y
        return np.array([cos - 1, sin, cx - cos * sx - sin * sy, -sin, cos - 1, cy + sin * sx - cos * sy], np.float32)

    def _reach(self, pose: HeadPose) -> int:
        """How far, px, a pose moves any point of the face, rounded up generously."""
        turn = (abs(pose.roll) + abs(pose.scale - 1)) * float(np.hypot(*self._half))
        return math.ceil(math.hypot(pose.shift_x, pose.shift_y) + turn) + 1

    def draw(
        self,
        out: Gray,
        pose: HeadPose,
        field: UnitField,
        amplitude: float,
        steps: int,
        shading: float,
        light: tuple[float, float],
        noise: _kernels.Noise,
    ) -> None:
        """One frame: ``light`` is (gain of everything, relative change of the skin)."""
        movement = _kernels.Movement(
            planes=field.planes,
            shape=field.shape,
            origin=(field.x0, field.y0),
            amplitude=np.float32(amplitude),
            reach=self._reach(pose) + math.ceil(amplitude),
            steps=steps,
            shading=np.float32(shading),
        )
        lights = np.float32(light[0]), np.float32(light[1])
        _kernels.draw(out, self._scene, self._affine(pose), movement, lights, noise)


def _fade(radius: Array, inner: float, outer: float) -> Field:
    """1 within ``inner``, smoothly to exactly 0 at ``outer``."""
    t = np.clip((outer - radius) / (outer - inner), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def generate_clip(
    portrait: Portrait,
    seed: int,
    seconds: float,
    fps: float = DEFAULT_FPS,
    settings: SynthesisSettings | None = None,
    size: tuple[int, int] = DEFAULT_SIZE,
) -> tuple[Iterator[Gray], list[TruthEvent]]:
    """A clip as (frames (H, W) uint8, each an array of its own; movements, all complete)."""
    count = round(seconds * fps)
    renderer = FaceRenderer(portrait, settings, seed, size, fps, end_frame=count - 1)
    return _frames(renderer, count), renderer.schedule.events_until(count - 1)


def _frames(renderer: FaceRenderer, count: int) -> Iterator[Gray]:
    for number in range(count):
        frame = np.empty((renderer.size[1], renderer.size[0]), np.uint8)
        renderer.render(number, frame)
        yield frame


def render_pair(
    portrait: Portrait,
    au: ActionUnit,
    amplitude_px: float,
    size: tuple[int, int] = DEFAULT_SIZE,
    side: Side = "both",
    shading: float = 0.0,
) -> tuple[Gray, Gray, npt.NDArray[np.float32]]:
    """(neutral, moved, field): two frames without noise or drift, and the exact displacement between them.

    Frames (H, W) uint8; field (H, W, 2) float32, px, first → second.
    """
    placed = portrait.place(size)
    canvas = _Canvas(placed)
    field = unit_field(placed, au, side)
    still = HeadPose(0.0, 0.0, 0.0, 1.0)
    quiet = _noise(np.zeros_like(placed.image), np.zeros(size[0] + 1, np.int8), 0, 0.0, 0.0)
    frames = []
    for amplitude in (0.0, amplitude_px):
        frame = np.empty(placed.image.shape, np.uint8)
        canvas.draw(frame, still, field, amplitude, _MACRO_STEPS, shading, (1.0, 0.0), quiet)
        frames.append(frame)
    return frames[0], frames[1], field.dense(size) * np.float32(amplitude_px)
