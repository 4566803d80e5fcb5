"""What happens when in a living clip: movements with their truth, and all that is no expression.

Times are drawn in seconds from streams of their own, so that one seed tells the same story at every rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..settings import ONE_SIDED, ActionUnit, Side, Span
from . import courses
from .courses import Course
from .fields import Motion
from .head import Jump, jerks, resettlings, turn_and_back
from .occlude import Pass, passes
from .settings import BROW_AUS, LivingSettings
from .truth import REGION_OF, Distractor, TruthMove, TruthSpan

Times = npt.NDArray[np.float64]

_LAST_S = 0.8
"""No movement ends later than this before the clip's end."""
_MACRO_AU: dict[str, ActionUnit] = {"smile": "AU12", "brows": "AU1+2"}
_ON_SMILE: tuple[ActionUnit, ...] = BROW_AUS
_ON_BROWS: tuple[ActionUnit, ...] = ("AU12", "AU15", "U12")
_BLINK_SKIN_PX = 0.3
"""The skin around the eye moves a little in every blink."""
_SWALLOW_PX = 4.0


@dataclass(frozen=True, slots=True)
class Move:
    """One expression: which field, how far, when."""

    course: Course
    au: ActionUnit
    side: Side
    stronger: Side
    px: float
    kind: Literal["micro", "macro"]

    @property
    def key(self) -> tuple[ActionUnit, Side, Side]:
        """Its field."""
        return self.au, self.side, self.stronger

    def truth(self, fps: float) -> TruthMove:
        """In frames."""
        onset, apex, offset = (round(t * fps) for t in (self.course.onset_s, self.course.apex_s, self.course.offset_s))
        apex = max(apex, onset + 1)
        return TruthMove(
            kind=self.kind, onset=onset, apex=apex, offset=max(offset, apex + 1), au=self.au,
            side=self.side if self.stronger == "both" else self.stronger, region=REGION_OF[self.au], px=self.px,
            residual=self.course.residual,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blink:
    """When the lid begins to fall, and how long it takes to be open again."""

    begin_s: float
    length_s: float

    def closures(self, t_s: Times) -> Times:
        """How far the lid is shut, 0..1."""
        t = (t_s - self.begin_s) / self.length_s
        return courses.minimum_jerk(t / 0.35) - courses.minimum_jerk((t - 0.45) / 0.55)


@dataclass
class Story:
    """All of one clip."""

    moves: list[Move] = field(default_factory=list)
    blinks: list[Blink] = field(default_factory=list)
    jumps: list[Jump] = field(default_factory=list)
    hands: list[Pass] = field(default_factory=list)
    motions: list[tuple[Motion, float, Course]] = field(default_factory=list)
    """Movements that are no expression: field, px, course."""
    gazes: list[tuple[float, float, float]] = field(default_factory=list)
    """s, then where the eyes look from then on, px on a 152-px face."""
    spans: list[tuple[Distractor, float, float]] = field(default_factory=list)

    def truth(self, fps: float) -> list[TruthMove]:
        """Movements in order of their onsets."""
        return sorted((move.truth(fps) for move in self.moves), key=lambda move: move.onset)

    def distractors(self, fps: float) -> list[TruthSpan]:
        """What else happened, in order."""
        spans = [*self.spans, *(("blink", b.begin_s, b.begin_s + b.length_s) for b in self.blinks)]
        found = [TruthSpan(kind=kind, first=round(a * fps), last=round(b * fps)) for kind, a, b in spans]
        return sorted(found, key=lambda span: span.first)


def tell(settings: LivingSettings, seed: int) -> Story:
    """Draw a story."""
    story = Story()
    if settings.macro != "none":
        _add_macros(story, settings, np.random.default_rng([seed, 1]))
    elif settings.micros:
        _add_micros(story, settings, np.random.default_rng([seed, 1]))
    _add_head(story, settings, np.random.default_rng([seed, 2]))
    _add_blinks(story, settings, np.random.default_rng([seed, 3]))
    _add_gazes(story, settings, np.random.default_rng([seed, 4]))
    _add_chewing(story, settings, np.random.default_rng([seed, 5]))
    _add_swallows(story, settings, np.random.default_rng([seed, 6]))
    _add_squints(story, settings, np.random.default_rng([seed, 7]))
    if settings.hand_gap_s:
        story.hands = passes(np.random.default_rng([seed, 8]), settings.seconds, settings.hand_gap_s)
        story.spans += [("hand", p.begin_s, p.begin_s + p.length_s) for p in story.hands]
    if settings.speech:
        story.spans.append(("speech", 0.0, settings.seconds))
    if settings.posture:
        story.spans.append(("posture", 0.0, settings.seconds))
    if settings.swings:
        story.spans.append(("turn", 0.0, settings.seconds))
    return story


class _Bag:
    """Action units in random order, each as often as the others."""

    def __init__(self, units: tuple[ActionUnit, ...], rng: np.random.Generator) -> None:
        self._units, self._rng = units, rng
        self._left: list[ActionUnit] = []

    def draw(self) -> ActionUnit:
        if not self._left:
            self._left = [self._units[i] for i in self._rng.permutation(len(self._units))]
        return self._left.pop()


def _micro(settings: LivingSettings, rng: np.random.Generator, au: ActionUnit, onset_s: float) -> Move:
    """One micro-expression."""
    real = settings.course == "real"
    course = courses.coded(rng, onset_s, settings.residual_max) if real else courses.returning(rng, onset_s)
    one: Side = "left" if rng.random() < 0.5 else "right"
    stronger = one if rng.random() < settings.one_sided and au not in ONE_SIDED else "both"
    return Move(course, au, one if au in ONE_SIDED else "both", stronger, float(rng.uniform(*settings.px)), "micro")


def _add_micros(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    bag = _Bag(settings.action_units, rng)
    now = settings.first_s + rng.uniform(0, 1)
    while True:
        group = [_micro(settings, rng, bag.draw(), now)]
        if rng.random() < settings.overlapping:
            other = [au for au in settings.action_units if REGION_OF[au] != REGION_OF[group[0].au]]
            later = now + rng.uniform(0.3, 0.8) * group[0].course.total_s
            group.append(_micro(settings, rng, other[int(rng.integers(len(other)))], later))
        end = max(move.course.offset_s for move in group)
        if end > settings.seconds - _LAST_S:
            return
        story.moves += group
        _add_company(story, settings, rng, group[0].course, end)
        now = end + rng.uniform(*settings.gap_s)


def _add_company(story: Story, settings: LivingSettings, rng: np.random.Generator, course: Course, end: float) -> None:
    """A blink within a movement; a blink or a head turn right after it."""
    during, blink_after, turn_after, place, later = rng.random(5)
    if during < settings.blink_during:
        begin = course.onset_s + place * 0.7 * course.total_s
        story.blinks.append(Blink(begin, rng.uniform(*settings.blink_s)))
    elif blink_after < settings.blink_after:
        story.blinks.append(Blink(end + 0.03 + 0.4 * later, rng.uniform(*settings.blink_s)))
    if turn_after < settings.turn_after:
        turns = turn_and_back(rng, end + 0.05 + 0.4 * later)
        story.jumps += turns
        story.spans.append(("turn", turns[0].begin_s, turns[-1].begin_s + turns[-1].length_s))


def _add_macros(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    """Long expressions; in the hold of each a micro-expression of another region, or two."""
    au = _MACRO_AU[settings.macro]
    bag = _Bag(_ON_SMILE if settings.macro == "smile" else _ON_BROWS, rng)
    now = settings.first_s + rng.uniform(0, 1)
    while True:
        course = courses.long_one(rng, now, settings.macro_hold_s)
        if course.offset_s > settings.seconds - _LAST_S:
            return
        story.moves.append(Move(course, au, "both", "both", float(rng.uniform(*settings.macro_px)), "macro"))
        begin, end = course.apex_s + rng.uniform(0.35, 0.6), course.apex_s + course.hold_s
        while settings.micros:
            micro = _micro(settings, rng, bag.draw(), begin)
            if micro.course.offset_s > end - 0.2:
                break
            story.moves.append(micro)
            begin = micro.course.offset_s + rng.uniform(0.6, 1.2)
        now = course.offset_s + rng.uniform(*settings.gap_s)


def _add_head(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    if settings.posture:
        story.jumps += resettlings(rng, settings.seconds, settings.posture)
    if settings.jerk_gap_s:
        sudden = jerks(rng, settings.seconds, settings.jerk_gap_s)
        story.jumps += sudden
        story.spans += [("jerk", jump.begin_s, jump.begin_s + jump.length_s) for jump in sudden]


def _add_blinks(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    """Blinks by themselves, single and double, none on top of one that is there already."""
    if settings.blink_gap_s is None:
        return
    own: list[Blink] = []
    now = rng.uniform(*settings.blink_gap_s)
    while now < settings.seconds - 0.5:
        own.append(Blink(now, rng.uniform(*settings.blink_s)))
        if rng.random() < settings.double_blinks:
            own.append(
                Blink(own[-1].begin_s + own[-1].length_s + rng.uniform(0.05, 0.3), rng.uniform(*settings.blink_s))
            )
        now = own[-1].begin_s + own[-1].length_s + rng.uniform(*settings.blink_gap_s)
    placed = story.blinks
    clear = [b for b in own if all(abs(b.begin_s - other.begin_s) > 0.5 for other in placed)]
    story.blinks = sorted([*placed, *clear], key=lambda b: b.begin_s)


def _add_gazes(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    """The eyes jump to another place and come back to the middle now and then."""
    if settings.gaze_gap_s is None:
        return
    now = rng.uniform(*settings.gaze_gap_s)
    while now < settings.seconds - 0.3:
        away = rng.random() < 0.65
        story.gazes.append((now, rng.uniform(-3.2, 3.2) * away, rng.uniform(-1.2, 1.2) * away))
        story.spans.append(("gaze", now, now + 0.06))
        now += rng.uniform(*settings.gaze_gap_s)


def _add_chewing(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    """Bouts of one to two bites a second; the jaw also goes sideways."""
    if not settings.chewing:
        return
    now = rng.uniform(0.5, 1.5)
    while now < settings.seconds - 2:
        begin, bout_end = now, now + rng.uniform(4, 9)
        side = rng.choice([-0.4, 0.4])
        while now < min(bout_end, settings.seconds - 1):
            cycle = 1 / rng.uniform(1.0, 2.0)
            bite = Course(now, 0.45 * cycle, 0.0, 0.5 * cycle, 0.0)
            px = settings.chewing * rng.uniform(0.6, 1.0)
            story.motions.append(("chew", px, bite))
            story.motions.append(("chew-side", side * px, bite))
            now += cycle
        story.spans.append(("chewing", begin, now))
        now += rng.uniform(1.0, 3.0)


def _add_swallows(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    for begin in _moments(settings.swallow_gap_s, settings.seconds - 1.5, rng):
        course = Course(begin, rng.uniform(0.2, 0.35), rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.5), 0.0)
        story.motions.append(("swallow", _SWALLOW_PX * rng.uniform(0.7, 1.2), course))
        story.spans.append(("swallow", begin, course.offset_s))


def _add_squints(story: Story, settings: LivingSettings, rng: np.random.Generator) -> None:
    for begin in _moments(settings.squint_gap_s, settings.seconds - 2.5, rng):
        course = Course(begin, rng.uniform(0.12, 0.3), rng.uniform(0.2, 1.2), rng.uniform(0.2, 0.5), 0.0)
        story.motions.append(("squint", rng.uniform(1.0, 2.2), course))
        story.spans.append(("squint", begin, course.offset_s))


def _moments(gap_s: Span | None, end_s: float, rng: np.random.Generator) -> list[float]:
    """Times with random gaps between."""
    found: list[float] = []
    now = rng.uniform(*gap_s) if gap_s else end_s
    while gap_s and now < end_s:
        found.append(now)
        now += rng.uniform(*gap_s)
    return found


def gaze_track(story: Story, t_s: Times) -> Times:
    """(n, 2) where the eyes look, px on a 152-px face."""
    track = np.zeros((len(t_s), 2))
    place = np.zeros(2)
    for begin, x, y in story.gazes:
        target = np.array([x, y])
        length = 0.025 + 0.008 * float(np.hypot(*(target - place)))
        track += courses.minimum_jerk((t_s - begin) / length)[:, None] * (target - place)
        place = target
    return track


def closure_track(story: Story, t_s: Times, gaze: Times) -> Times:
    """(n,) how far the lids are shut: blinks, and the lid that follows the eye down."""
    closure = np.clip(0.09 * gaze[:, 1], 0, 0.15)
    for blink in story.blinks:
        near = slice(*np.searchsorted(t_s, (blink.begin_s, blink.begin_s + blink.length_s)))
        closure[near] = np.maximum(closure[near], blink.closures(t_s[near]))
    return closure


def blink_skin(story: Story, t_s: Times) -> Times:
    """(n,) px that the skin around the eyes moves in blinks."""
    moved = np.zeros(len(t_s))
    for blink in story.blinks:
        near = slice(*np.searchsorted(t_s, (blink.begin_s, blink.begin_s + blink.length_s)))
        moved[near] = np.maximum(moved[near], _BLINK_SKIN_PX * blink.closures(t_s[near]))
    return moved
