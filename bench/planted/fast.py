"""Clips of 200 fps, which no recording here has: a still frame moved as a face in a video moves, without its noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from bench.planted import recipes, sources, takes, truth
from bench.planted.courses import Movement, ease, share
from bench.planted.landmarks import STABLE
from bench.planted.moves import SIZE_PX, UNITS, largest, unit_field
from bench.planted.props import smooth_noise
from bench.planted.schedule import Spacing
from bench.planted.splines import FaceSpline
from bench.planted.takes import NonEvent, Take, note
from bench.planted.tracks import Floats, Frame
from bench.planted.trajectories import CHOSEN, SKIN, trajectory

FPS = 200.0
_BOX = (512, 440)
_NOISE = 1.4
"""Grey levels, at a brightness of 110; photon noise grows with its root."""
_FIXED_NOISE = 0.4
_SHAKE_PX, _SHAKE_FRAMES = 0.8, 14
_LAMP_S = 3.0
_SPACING = Spacing(2.0, 0.8)


@dataclass(frozen=True)
class Still:
    """``picture``: (H, W) float32 gray; ``mesh``: (478, 2) px; ``width``: of the face, px."""

    picture: Floats
    mesh: Floats
    width: float


def clip(recipe: recipes.FastRecipe, rng: np.random.Generator) -> tuple[Iterator[Frame], float, dict[str, Any]]:
    """(H, W) uint8 frames, their rate, and the truth file but for their count."""
    still = _still(recipe)
    take = sources.cut(*recipe.trajectory)
    moved = trajectory(take, still.mesh, still.width, recipe.head, recipe.mouth)
    count = int(recipe.seconds * FPS)
    times = np.arange(len(take)) / take.fps
    course = CubicSpline(times, np.concatenate([moved.head, moved.amounts], 1))
    amounts = course(np.minimum(np.arange(count) / FPS, times[-1]))
    if recipe.shaken:
        for column in (2, 3):
            amounts[:, column] += _SHAKE_PX * smooth_noise(rng, count, _SHAKE_FRAMES)
    moves = [
        move for move in recipes.placed(take, rng, recipe.plants, _SPACING) if move.offset_s < recipe.seconds - 0.3
    ]
    facts = {
        "fps": FPS,
        "source": f"still: {recipe.still[0]} frame {recipe.still[1]}; trajectory: {take.source} "
        f"(head x{recipe.head}, mouth x{recipe.mouth}), cubic splines to 200 fps",
        "what": recipe.what,
        "face_width_px": round(still.width, 1),
        "head_range_px": [round(float(np.ptp(moved.head[:, column])), 1) for column in (2, 3)],
        "events": [_event(move, take, recipe.mouth) for move in moves],
        "not_placed": len(recipe.plants) - len(moves),
        "non_events": _non_events(recipe, take, count),
    }
    return _frames(recipe, still, (amounts, moved.modes), moves, rng), FPS, facts


def _still(recipe: recipes.FastRecipe) -> Still:
    name, number = recipe.still
    take = takes.cut(name, max(0, number - 3), number + 4)
    at = min(3, number)
    again = Take(take.frames, take.fps, take.points(), take.signs, "")
    large = takes.enlarged(again, recipe.face_px / take.width[at] * take.face_px, _BOX)
    gray = cv2.cvtColor(large.frames[at], cv2.COLOR_BGR2GRAY).astype(np.float32)
    picture: Any = cv2.GaussianBlur(gray, (0, 0), 0.5)
    return Still(picture, large.mesh[at].astype(np.float64), float(large.width[at]))


def _frames(
    recipe: recipes.FastRecipe,
    still: Still,
    driven: tuple[Floats, Floats],
    moves: Sequence[Movement],
    rng: np.random.Generator,
) -> Iterator[Frame]:
    """``driven``: (N, 4 + K) head and amounts a frame, (K, 2 S) modes."""
    amounts, modes = driven
    spline = FaceSpline(still.mesh, still.width, still.picture.shape[:2])
    fields = [_field(still, move) for move in moves]
    noise = _Noise(rng, still.picture.shape[:2])
    own, points = still.mesh[:SKIN], still.mesh[CHOSEN]
    centre = own[STABLE].mean(0)
    for number, now in enumerate(amounts):
        along, across, right, down = now[:4]
        bent = points + (now[4:] @ modes).reshape(-1, 2) - centre
        x = (1 + along) * bent[:, 0] - across * bent[:, 1] + right
        y = across * bent[:, 0] + (1 + along) * bent[:, 1] + down
        pull = spline.pull(centre + np.stack([x, y], 1), points)
        map_x, map_y = spline.x + pull[..., 0], spline.y + pull[..., 1]
        t_s = number / FPS
        active = [f * np.float32(share(m, t_s)) for m, f in zip(moves, fields, strict=True) if share(m, t_s) > 0]
        if active:
            total: Any = sum(active)
            shift: Any = cv2.remap(total, map_x, map_y, cv2.INTER_LINEAR)
            for _ in range(2):
                shift = cv2.remap(total, map_x - shift[..., 0], map_y - shift[..., 1], cv2.INTER_LINEAR)
            map_x, map_y = map_x - shift[..., 0], map_y - shift[..., 1]
        seen = cv2.remap(still.picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        yield noise.added(seen * _light(recipe, number, spline.x))


def _field(still: Still, move: Movement) -> Floats:
    """(H, W, 2) float32: the movement's displacement at the apex, px of the still."""
    (left, top, right, bottom), field = unit_field(still.mesh, still.width, still.picture.shape, move.unit, move.side)
    whole = np.zeros((*still.picture.shape, 2), np.float32)
    whole[top:bottom, left:right] = field
    return whole * np.float32(move.px * still.width / SIZE_PX / largest(field))


def _light(recipe: recipes.FastRecipe, number: int, x: Floats) -> Any:
    """Gain of a frame: flicker, a slow drift, the lamp."""
    t_s = number / FPS
    gain: Any = 1 + recipe.flicker * (1 if number % 2 else -1) + 0.004 * np.sin(2 * np.pi * t_s * 0.31)
    if recipe.lamp:
        start, size = recipe.lamp
        on = ease((t_s - start) / 0.08) * (1 - ease((t_s - start - _LAMP_S) / 0.08))
        gain = gain * (1 + size * on * (1.2 - x / x.shape[1]))
    return gain


class _Noise:
    """A sensor's: eight sheets, shifted and turned over at random, and a pattern that stays."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        self._rng, self._shape = rng, shape
        sheet: Any = rng.standard_normal((shape[0] + 64, shape[1] + 64)).astype(np.float32)
        sheet = cv2.GaussianBlur(sheet, (0, 0), 0.45)
        sheet /= sheet.std()
        self._sheets = [sheet] + [rng.permutation(sheet.ravel()).reshape(sheet.shape) for _ in range(7)]
        self._fixed = rng.standard_normal(shape).astype(np.float32) * _FIXED_NOISE

    def added(self, picture: Any) -> Frame:
        height, width = self._shape
        top, left = self._rng.integers(0, 64, 2)
        sheet = self._sheets[self._rng.integers(8)][top : top + height, left : left + width]
        strength = _NOISE * np.sqrt(np.clip(picture, 4, 255) / 110)
        noisy = picture + sheet * strength * self._rng.choice([-1, 1]) + self._fixed
        result: Frame = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
        return result


def _event(move: Movement, take: Take, mouth: float) -> dict[str, Any]:
    """As in the trajectory's video, but in frames of the clip; real movement below the brows is scaled as there."""
    found = truth.event(move, take)
    found["onset"], found["offset"] = round(move.onset_s * FPS), round(move.offset_s * FPS)
    found["apex"] = round(move.apex_s * FPS)
    if UNITS[move.unit].where != "brow":
        found["real_motion_there_px_at_152"] = round(found.get("real_motion_there_px_at_152", 0) * mouth, 2)
    return found


def _non_events(recipe: recipes.FastRecipe, take: Take, count: int) -> list[NonEvent]:
    found = []
    for one in take.happenings():
        first, last = one["frames"]
        if first / take.fps < recipe.seconds:
            what = one["what"].replace("not planted", "in the trajectory (warp of a still)")
            end = min(count - 1, int((last + 1) / take.fps * FPS))
            found.append(note(what, int(first / take.fps * FPS), end))
    if recipe.flicker:
        found.append(note(f"100 Hz flicker +-{recipe.flicker * 100:.1f} % from frame to frame", 0, count - 1))
    if recipe.lamp:
        on = recipe.lamp[0]
        found.append(note("side lamp on in 0.08 s", int(on * FPS), int((on + 0.1) * FPS)))
        found.append(note("lamp off", int((on + _LAMP_S) * FPS), int((on + (_LAMP_S + 0.1)) * FPS)))
    if recipe.shaken:
        found.append(note("camera shake, about 0.8 px", 0, count - 1))
    return found
