"""What happens in a clip besides the movements: light, shake, codec, hands. Each is a function of the take.

A scene is made after the movements have been drawn, and frames go through it in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np

from bench.planted import props
from bench.planted.codec import BlockCodec
from bench.planted.courses import ease, pulse
from bench.planted.moves import Extra
from bench.planted.takes import NonEvent, Take, note
from bench.planted.tracks import Floats, Frame, smoothed
from bench.planted.warps import gaze_field, turn_field


@dataclass
class Scene:
    """``after``: frame number and frame → frame, after the warp; ``held``: frames that repeat the one before."""

    after: Callable[[int, Frame], Frame] | None = None
    held: frozenset[int] = frozenset()
    extra: Sequence[Extra] = ()
    notes: Sequence[NonEvent] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More for the truth file."""


Maker = Callable[[Take, np.random.Generator], Scene]


def plain(take: Take, rng: np.random.Generator) -> Scene:
    """Nothing else."""
    return Scene()


def spell(take: Take, what: str, start_s: float, end_s: float) -> NonEvent:
    """A note by time."""
    return note(what, int(start_s * take.fps), int(end_s * take.fps))


def seconds(take: Take) -> Floats:
    times: Floats = np.arange(len(take)) / take.fps
    return times


def contrast_gray(take: Take, rng: np.random.Generator) -> Scene:
    """Gray; contrast goes up at 6 s, slowly down at 15 s."""
    t = seconds(take)
    contrast = 0.75 + 0.35 * (ease((t - 6) / 0.4) - ease((t - 15) / 2.0))

    def after(i: int, frame: Frame) -> Frame:
        gray: Any = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
        return np.clip((gray - 110) * contrast[i] + 110 + 0.5, 0, 255).astype(np.uint8)

    return Scene(
        after,
        notes=[note("contrast .75 -> 1.1 in 0.4 s", 150, 160), note("contrast 1.1 -> .75 in 2 s", 375, 425)],
    )


def small_face(take: Take, rng: np.random.Generator) -> Scene:
    """Shrunk by area so that the face is 70 px wide, put in the middle of 320×240."""
    scale = 70 / take.face_px
    width, height = (round(side * scale / 2) * 2 for side in take.frames[0].shape[1::-1])
    top, left = (240 - height) // 2, (320 - width) // 2

    def after(i: int, frame: Frame) -> Frame:
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        right, bottom = 320 - width - left, 240 - height - top
        return cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_REPLICATE)  # type: ignore[return-value]

    what = "planted at native size, then shrunk by area so that the face is 70 px wide"
    what += f" ({width}x{height}, put in the middle of 320x240)"
    return Scene(after, facts={"what": what, "face_width_out": 70})


def shaken(take: Take, rng: np.random.Generator) -> Scene:
    """Jerks of the whole picture, hand-held shake, zoom."""
    t, count = seconds(take), len(take)
    height, width = take.frames[0].shape[:2]
    right, down, turn_deg, zoom = (np.zeros(count) for _ in range(4))
    notes = []
    for start, dx, dy, deg in (
        (3.0, 1.6, 0, 0),
        (5.0, 0, -1.5, 0),
        (7.0, 0, 0, 0.8),
        (9.0, 2.5, 2.0, 0.5),
        (19.5, -2, 1.2, 0),
    ):
        course = pulse(t, start, 0.16, 0.2)
        right += dx * course
        down += dy * course
        turn_deg += deg * course
        what = f"whole picture jerks ({dx},{dy}) px {deg} deg with a micro's time course"
        notes.append(spell(take, what, start, start + 0.4))
    held = (t > 11) & (t < 14)
    for signal, size, sigma in ((right, 0.9, 1.2), (down, 0.9, 1.2), (turn_deg, 0.2, 1.5)):
        signal[held] += size * props.smooth_noise(rng, count, sigma)[held]
    zoom += 0.012 * np.sin(2 * np.pi * 0.7 * (t - 15)) * ((t > 15) & (t < 19))
    zoom += 0.02 * ease((t - 21) / 0.2) * (1 - ease((t - 21.2) / 0.25))

    def after(i: int, frame: Frame) -> Frame:
        if not (right[i] or down[i] or turn_deg[i] or zoom[i]):
            return frame
        move = cv2.getRotationMatrix2D((width / 2, height / 2), turn_deg[i], 1 + zoom[i])
        move[:, 2] += right[i], down[i]
        how = cv2.INTER_LANCZOS4
        return cv2.warpAffine(frame, move, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT)  # type: ignore[return-value]

    notes += [
        spell(take, "hand-held shake", 11, 14),
        spell(take, "zoom breathing 1.2 %", 15, 19),
        spell(take, "zoom pulse 2 %", 21, 21.5),
    ]
    return Scene(after, notes=notes)


def coded(key_step: float, step: float, gop: int, words: str) -> Maker:
    """Through a block codec with these quantiser steps and a key frame every ``gop`` frames."""

    def make(take: Take, rng: np.random.Generator) -> Scene:
        codec = BlockCodec(key_step, step, gop)
        return Scene(lambda i, frame: codec(frame), notes=[note(words, i, i) for i in range(gop, len(take), gop)])

    return make


def coded_with_freezes(take: Take, rng: np.random.Generator) -> Scene:
    """A coarse codec, and 26 freezes of 1 to 3 frames, each followed by a jump."""
    scene = coded(30, 22, 25, "key frame: whole face is redrawn")(take, rng)
    held: set[int] = set()
    for start in rng.choice(np.arange(60, len(take) - 10), 26, replace=False):
        held.update(range(int(start), int(start) + int(rng.choice([1, 1, 2, 3]))))
    return Scene(scene.after, frozenset(held), notes=[*scene.notes, *_repeats(held)])


def _repeats(held: set[int]) -> list[NonEvent]:
    return [note("frame repeats the one before", i, i) for i in sorted(held)]


def dark_gray_repeats(take: Take, rng: np.random.Generator) -> Scene:
    """Gray, dark, of low contrast, with noise of 2.6 grey levels and 30 repeated frames."""
    held = {int(i) for i in rng.choice(np.arange(30, len(take) - 5), 30, replace=False)}
    height, width = take.frames[0].shape[:2]
    sheet: Any = cv2.GaussianBlur(rng.standard_normal((height + 40, width + 40)).astype(np.float32), (0, 0), 0.6)
    sheet /= sheet.std()
    shifts = np.random.default_rng(7)

    def after(i: int, frame: Frame) -> Frame:
        gray: Any = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32) * 0.62 + 14
        top, left = shifts.integers(0, 40, 2)
        noise = sheet[top : top + height, left : left + width] * 2.6 * shifts.choice([-1, 1])
        return np.clip(gray + noise + 0.5, 0, 255).astype(np.uint8)

    return Scene(after, frozenset(held), notes=_repeats(held))


def glasses(take: Take, rng: np.random.Generator) -> Scene:
    """Dark frames drawn on the face, which do not move with the brows; a lamp from the side at 12.5 s, which stays."""
    gain = 1 + 0.3 * ease((seconds(take) - 12.5) / 0.1)
    ramp = np.linspace(1, 0.2, take.frames[0].shape[1])[None, :].astype(np.float32)
    nose = smoothed(take.raw, 2.0)  # they sit on the nose and do not jitter with the landmarks

    def after(i: int, frame: Frame) -> Frame:
        if np.isfinite(take.width[i]):
            frame = props.with_glasses(frame, nose[i], take.width[i])
        return props.lit(frame, (1 + (gain[i] - 1) * ramp) * np.ones((frame.shape[0], 1), np.float32))

    return Scene(after, notes=[note("side lamp on (stays)", 312, 316)])


def hand_mug_turns(take: Take, rng: np.random.Generator) -> Scene:
    """A hand passes, a mug is drunk from, a hand brushes a brow; tiny turns of the head and glances in between."""
    t, width = seconds(take), float(take.face_px)
    texture: Any = cv2.GaussianBlur(rng.standard_normal(take.frames[0].shape[:2]).astype(np.float32), (0, 0), 9)
    texture /= texture.std()
    places = take.mesh[5][[50, 280, 205, 425, 151]]
    skin = np.median([take.frames[5][int(y), int(x)] for x, y in places], axis=0).astype(np.float32)

    def after(i: int, frame: Frame) -> Frame:
        mesh, now = take.mesh[i], t[i]
        if not np.isfinite(take.width[i]):
            return frame
        if 3.0 < now < 4.2:  # passes over the lower face, right to left
            across = 1.7 - 3.4 * ((now - 3.0) / 1.2)
            x, y = mesh[0][0] + across * width, mesh[0][1] + 0.2 * width
            frame = props.Prop(frame, x, y, width).hand(skin, texture)
        if 5.5 < now < 8.3:  # goes up to the mouth, stays, goes down
            up = ease((now - 5.5) / 0.6) - ease((now - 7.6) / 0.7)
            x, y = mesh[14][0] + 0.05 * width, mesh[14][1] + (1.9 - 1.65 * up) * width
            frame = props.Prop(frame, x, y, width).mug(texture)
        if 9.3 < now < 10.3:
            near = ease((now - 9.3) / 0.4) - ease((now - 9.8) / 0.5)
            x, y = mesh[300][0] + (1.7 - 1.5 * near) * take.width[i], mesh[300][1] + 0.35 * width
            frame = props.Prop(frame, x, y, width).hand(skin, texture)
        return frame

    drawn = (("drawn hand passes lower face", 3, 4.2), ("drawn mug to the mouth", 5.5, 8.3))
    notes = [spell(take, *one) for one in (*drawn, ("drawn hand brushes brow", 9.3, 10.3))]
    extra, more = _turns_and_glances(take)
    return Scene(after, extra=extra, notes=notes + more)


def _turns_and_glances(take: Take) -> tuple[list[Extra], list[NonEvent]]:
    extra, notes = [], []

    def turned(i: int, yaw: float, pitch: float) -> Any:
        return turn_field(take.mesh[i], take.depth[i], take.width[i], take.frames[i].shape, yaw, pitch)

    def glanced(i: int, shift: float) -> Any:
        return gaze_field(take.mesh[i], take.width[i], take.frames[i].shape, shift * take.width[i])

    for start, yaw, pitch in ((11.5, 1.5, 0), (13.0, 0, 1.5), (14.5, -1.2, 0.8), (21.0, 2.0, 0)):
        course = partial(pulse, start_s=start, rise_s=0.16, fall_s=0.22)
        extra.append(Extra(course, partial(turned, yaw=yaw, pitch=pitch)))
        what = f"head turns by {yaw} deg yaw, {pitch} deg pitch and back, with a micro's time course (mesh depth)"
        notes.append(spell(take, what, start, start + 0.4))
    for start, shift in ((16.0, 0.03), (17.5, -0.035), (19.0, 0.025)):
        extra.append(Extra(partial(pulse, start_s=start, rise_s=0.06, fall_s=0.3), partial(glanced, shift=shift)))
        notes.append(spell(take, "eyes glance aside (irises only)", start, start + 0.4))
    return extra, notes
