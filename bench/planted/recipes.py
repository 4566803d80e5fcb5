"""The 23 clips, as data. A clip's place in ``RECIPES`` is part of its seed: add new ones at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.planted import courses, scenes, sources
from bench.planted.courses import Movement
from bench.planted.lamp import lamp
from bench.planted.schedule import Condition, Spacing, scheduled
from bench.planted.sources import HANDS, SMILE, TALK
from bench.planted.takes import Take, note


@dataclass(frozen=True)
class Plant:
    """One movement to be planted: action unit, side, px at 152, and what must be so where it is placed."""

    unit: str
    side: str
    px: float
    when: Condition | Callable[[Take], float] = "any"
    kind: str = "micro"
    residual: float | None = None
    """None: drawn."""


@dataclass(frozen=True)
class Recipe:
    """A clip at the recording's own rate."""

    name: str
    what: str
    take: Callable[[], Take]
    plants: tuple[Plant, ...] = ()
    scene: scenes.Maker = scenes.plain
    spacing: Spacing = field(default_factory=Spacing)
    arrange: Callable[[Take, np.random.Generator, Sequence[Plant], Spacing], list[Movement]] | None = None
    """Places the movements; None: ``placed``."""
    mirrored: bool = False
    gray: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More for the truth file."""


@dataclass(frozen=True)
class FastRecipe:
    """A clip of 200 fps: a still frame, moved as the face in another piece of video (its trajectory) moves."""

    name: str
    what: str
    still: tuple[str, int]
    """Recording and frame."""
    trajectory: tuple[str, int, int]
    """Recording, first frame, the frame after the last."""
    seconds: float
    plants: tuple[Plant, ...] = ()
    head: float = 1.0
    """Share of the head's movement that is taken over."""
    mouth: float = 1.0
    """Share of the mouth's."""
    flicker: float = 0.0
    """Of 100 Hz light: brightness goes up and down by this share from frame to frame."""
    lamp: tuple[float, float] | None = None
    """s and share: a lamp from the side for 3 s."""
    shaken: bool = False
    face_px: float = 152


def drawn(plants: Sequence[Plant], rng: np.random.Generator) -> list[Movement]:
    return [courses.drawn(rng, one.unit, one.side, one.px, one.kind, one.residual) for one in plants]


def placed(take: Take, rng: np.random.Generator, plants: Sequence[Plant], spacing: Spacing) -> list[Movement]:
    """The plants as movements with times, in order."""
    when = [one.when(take) if callable(one.when) else one.when for one in plants]
    return scheduled(take, rng, drawn(plants, rng), when, spacing)


def overlapping(take: Take, rng: np.random.Generator, plants: Sequence[Plant], spacing: Spacing) -> list[Movement]:
    """Plants 3 and 4 at the same time in two regions, 6 on top of the macro smile, the rest by themselves."""
    moves = drawn(plants, rng)
    alone = scheduled(take, rng, [*moves[:3], moves[5]], ["any", "rest", "any", "rest"], spacing)
    together: list[Movement] = []
    for _ in range(3000):
        start = rng.uniform(3, len(take) / take.fps - 1.5)
        then = start + rng.uniform(0.08, 0.14)
        free = all(start > one.offset_s + 1.0 or start + 0.8 < one.onset_s - 0.8 for one in alone)
        if free and not take.turn[int(start * take.fps) : int((start + 0.7) * take.fps)].any():
            together = [moves[3].at(start), moves[4].at(then)]
            break
    on_top = [moves[6].at(one.top_s + 0.02) for one in alone if one.unit == "AU12"]
    return sorted(alone + together + on_top, key=lambda one: one.onset_s)


def after_return(delay_s: float) -> Callable[[Take], float]:
    """So long after the face has come back."""
    return lambda take: sources.back_s(take) + delay_s


def _take_joined(take: Take, rng: np.random.Generator) -> scenes.Scene:
    at = take.joined or 0
    return scenes.Scene(notes=[note("cut between two takes", at, at)])


BOTH_WAYS = {"forward_backward": True}

RECIPES: tuple[Recipe | FastRecipe, ...] = (
    Recipe("c01_cap_micro_mix", "six micros of 1.4-1.8 px in talking video", sources.talk_a, (
        Plant("AU1", "both", 1.6, "speech"), Plant("AU4", "both", 1.4, "rest"), Plant("AU12", "R", 1.8, "rest"),
        Plant("AU2", "L", 1.5), Plant("AU15", "both", 1.5, "rest"), Plant("AU17", "both", 1.4),
    )),
    Recipe(
        "c02_cap_micro_small", "six micros of 0.8-1.0 px with large residuals that decay slowly", sources.talk_b, (
            Plant("AU1", "both", 0.9, "rest", residual=0.6), Plant("AU2", "both", 0.8, "rest", residual=0.8),
            Plant("AU4", "both", 1.0, "afterblink", residual=0.5), Plant("AU12", "both", 0.9, residual=0.35),
            Plant("AU9", "both", 0.8, residual=0.25), Plant("AU14", "L", 1.0, residual=0.6),
        ),
    ),
    Recipe(
        "c06_wolf_after_blink", "micros that start 1-4 frames after the end of a real blink or lid drop",
        sources.face_free, (
            Plant("AU1", "both", 1.4, "afterblink"), Plant("AU4", "both", 1.4, "afterblink"),
            Plant("AU2", "L", 1.6, "afterblink"), Plant("AU12", "R", 1.5, "afterblink"),
            Plant("AU1", "L", 1.5, "afterblink"), Plant("AU9", "both", 1.3, "afterblink"),
        ), spacing=Spacing(1.5, 0.7), facts=BOTH_WAYS,
    ),
    Recipe(
        "c04_cap_control_A",
        "nothing planted: same frames as c01, c03 (paired control: what a spotter reports here is not due to plants)",
        sources.talk_a,
    ),
    Recipe(
        "c10_wolf_lamp",
        "nothing planted but light: flicker, side lamp on and off with exposure steps, passing shadows, "
        "local darkening/brightening with a micro's time course",
        sources.hands, scene=lamp,
    ),
    Recipe(
        "c09_wolf_micro_macro", "micros and macros among real head turns and large expressions, 24 fps",
        sources.face_free, (
            Plant("AU12", "R", 1.6), Plant("AU1", "both", 1.4), Plant("AU4", "both", 1.3), Plant("AU24", "both", 1.4),
            Plant("AU2", "both", 2.2, kind="macro"), Plant("AU12", "both", 2.6, kind="macro"),
        ), spacing=Spacing(2.5, 0.9), facts=BOTH_WAYS,
    ),
    FastRecipe(
        "hs1_cap_full",
        "200 fps, still frame moved by its own real talking trajectory at full size; micros and a macro",
        (TALK, 150), (TALK, 100, 402), 12, (
            Plant("AU1", "both", 1.2), Plant("AU12", "L", 1.2), Plant("AU4", "both", 1.0), Plant("AU2", "R", 1.2),
            Plant("AU12", "both", 3.0, kind="macro"),
        ),
    ),
    Recipe(
        "c11_cap_shake_zoom", "nothing planted: jerks of the whole picture, hand-held shake, zoom breathing",
        sources.talk_a, scene=scenes.shaken,
    ),
    Recipe(
        "c12_cap_codec_drops",
        "nothing planted: coarse block codec with key frames each second, 26 freezes of 1-3 frames followed by a jump",
        sources.talk_b, scene=scenes.coded_with_freezes,
    ),
    Recipe(
        "c17_single_smile",
        "a real smile over and over (forward-backward), micros in the held smile and at rest, 30 fps",
        sources.smiles, (
            Plant("AU1", "both", 1.3, "smile"), Plant("AU4", "both", 1.3, "smile"), Plant("AU12", "L", 1.3, "smile"),
            Plant("AU2", "R", 1.5), Plant("AU6", "R", 1.4),
        ), spacing=Spacing(2.5, 1.0), facts=BOTH_WAYS,
    ),
    Recipe(
        "c03_cap_macro_overlap",
        "macros of 0.85-2.4 s, two micros overlapping in time in different regions, "
        "a brow micro on top of a macro smile",
        sources.talk_a, (
            Plant("AU12", "both", 3.0, kind="macro"), Plant("AU1", "both", 2.2, kind="macro"),
            Plant("AU4", "both", 1.8, kind="macro"), Plant("AU2", "R", 1.5), Plant("AU12", "L", 1.6),
            Plant("AU15", "both", 1.6), Plant("AU1", "both", 1.2),
        ), arrange=overlapping,
    ),
    FastRecipe(
        "hs2_single_third",
        "200 fps, another man's still moved by the talking trajectory at third size; small micros, a macro; "
        "100 Hz flicker 0.6 %",
        (SMILE, 2), (TALK, 700, 1002), 12, (
            Plant("AU1", "both", 0.9), Plant("AU12", "R", 0.8), Plant("AU15", "both", 0.9), Plant("AU2", "both", 0.7),
            Plant("AU9", "both", 0.8), Plant("AU4", "both", 2.0, kind="macro"),
        ), head=0.5, mouth=0.33, flicker=0.006,
    ),
    Recipe(
        "c08_wolf_face400", "face enlarged to about 380 px: 1.0-1.4 px at 152 are 2.5-3.5 px here", sources.face_400, (
            Plant("AU1", "both", 1.2), Plant("AU12", "L", 1.2), Plant("AU4", "both", 1.0), Plant("AU2", "R", 1.4),
            Plant("AU14", "R", 1.2),
        ), spacing=Spacing(2.5, 1.0), facts=BOTH_WAYS,
    ),
    Recipe("c07_cap_face70", "a face 70 px wide", sources.talk_a, (
        Plant("AU1", "both", 1.8), Plant("AU4", "both", 2.0), Plant("AU12", "both", 2.2), Plant("AU2", "R", 2.2),
        Plant("AU12", "L", 2.5), Plant("AU1", "both", 2.2, kind="macro"),
    ), scene=scenes.small_face),
    Recipe(
        "c14_cap_hand_mug_turn",
        "nothing planted: a hand passes, a mug is drunk from, a hand touches the brow, "
        "tiny head turns and glances with a micro's time course",
        sources.talk_b, scene=scenes.hand_mug_turns,
    ),
    Recipe(
        "c13_cap_codec_micro", "micros of 1.8-2 px, then a moderate block codec (key frame each 2 s)", sources.talk_a, (
            Plant("AU1", "both", 1.8, "rest"), Plant("AU4", "both", 1.8, "rest"), Plant("AU12", "both", 2.0),
            Plant("AU2", "L", 1.8), Plant("AU15", "both", 1.8), Plant("AU12", "R", 2.5, kind="macro"),
        ), scene=scenes.coded(14, 9, 50, "key frame"),
    ),
    Recipe(
        "c15_cap_glasses_micro",
        "dark glasses frames drawn on (they do not move with the brows), micros under them; "
        "lamp from the side at 12.5 s stays on",
        sources.talk_a, (
            Plant("AU1", "both", 1.8), Plant("AU2", "R", 1.8), Plant("AU4", "both", 1.8), Plant("AU12", "L", 1.6),
            Plant("AU9", "both", 1.5), Plant("AU1", "both", 2.5, kind="macro"),
        ), scene=scenes.glasses,
    ),
    Recipe(
        "c16_face_leaves_returns",
        "face leaves and comes back (two takes joined: a cut); micros before, two soon after the face is back",
        sources.leaves_and_returns, (
            Plant("AU1", "both", 1.5), Plant("AU12", "R", 1.6), Plant("AU4", "both", 1.5, after_return(0.3)),
            Plant("AU2", "both", 1.5, after_return(2.0)), Plant("AU1", "L", 1.6),
        ), scene=_take_joined, spacing=Spacing(2.0, 0.7), facts={
            **BOTH_WAYS,
            "note": "one micro 0.3 s and one 2 s after the face is back: the first may be unfair",
        },
    ),
    Recipe(
        "c18_cap_gray_noise_dups",
        "gray, dark, low contrast, noise of 2.6 grey levels, 30 repeated frames, mirrored; six micros",
        sources.talk_b, (
            Plant("AU1", "both", 1.6), Plant("AU4", "both", 1.6), Plant("AU12", "both", 1.7),
            Plant("AU15", "both", 1.8), Plant("AU2", "R", 1.7), Plant("AU17", "both", 1.6),
        ), scene=scenes.dark_gray_repeats, mirrored=True, gray=True,
    ),
    FastRecipe(
        "hs3_wolf_third_light",
        "200 fps, a woman's still, third size, lamp on 4-7 s, camera shake, flicker; micros",
        (HANDS, 245), (TALK, 400, 702), 12, (
            Plant("AU1", "both", 1.1), Plant("AU12", "L", 1.1), Plant("AU14", "R", 1.0), Plant("AU4", "both", 0.9),
        ), head=0.6, mouth=0.33, flicker=0.008, lamp=(4.0, 0.25), shaken=True,
    ),
    Recipe(
        "c05_cap_control_B_mirror_gray",
        "nothing planted: mirrored, gray, contrast jumps up at 6.0-6.4 s and falls slowly at 15-17 s",
        sources.talk_b, scene=scenes.contrast_gray, mirrored=True, gray=True,
    ),
    Recipe(
        "c19_wolf_control_mirror",
        "nothing planted, mirrored; hands on the face, crying, laughing "
        "(control of c09, which uses 232..439 of it)",
        sources.hands, mirrored=True,
    ),
    FastRecipe(
        "hs4_cap_none", "200 fps, nothing planted: full-size talking trajectory, lamp, shake, flicker",
        (TALK, 150), (TALK, 1000, 1252), 10, flicker=0.01, lamp=(5.0, 0.3), shaken=True,
    ),
)  # fmt: skip


def seeded(recipe: Recipe | FastRecipe, seed: int) -> np.random.Generator:
    """The clip's own generator: leaving clips out changes no other."""
    return np.random.default_rng([seed, RECIPES.index(recipe)])


def chosen(words: Sequence[str] = ()) -> list[Recipe | FastRecipe]:
    """The clips whose names begin with one of ``words``, in order of name; all without words. ValueError: none does."""
    for word in words:
        if not any(recipe.name.startswith(word) for recipe in RECIPES):
            raise ValueError(f"no clip begins with {word}; there are {', '.join(sorted(r.name for r in RECIPES))}")
    return sorted((r for r in RECIPES if not words or r.name.startswith(tuple(words))), key=lambda r: r.name)
