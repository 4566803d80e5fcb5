"""What the mouth does in a row: speech or chewing, a word, or an expression.

Words follow each other; expressions have rest between them. What the jaw leads, or goes with, is held to a stricter
rule than what the lips do alone.
"""

from __future__ import annotations

import itertools
import math

import msgspec

from realtime.config import LONGEST_WAIT_S
from realtime.types import SpotEvent
from realtime.vision.spotting.spotter import Spotter

_ALONE_S = {False: 0.5, True: 1.5}
"""Mouth movements closer than this have to do with each other; by whether the jaw led."""
_BESIDE_JAW_S = 0.8
"""The same for what the lips do beside a movement that the jaw led."""
_AFTER_S = {False: 0.3, True: 0.8}
"""How long to wait for a next one; by whether the jaw goes with the lips."""
_SOON_S = 0.8
"""What was long (a macro-expression) and is followed so soon by another movement waits longer: is it a word?"""
_MOST_NEAR = {False: 1, True: 0}
"""So many movements near it may an expression of the mouth have; what the jaw led counts for two."""
_JAW, _WITH_JAW = 1.5, 0.7
"""The jaw leads where the chin moves so many times as far as the lips, and goes with them from here on."""
WORD_PX = 2.2
"""Further than real micro-expressions go (0.3 to 1.6 px): what the mouth does shortly, and is no smile, is a word."""
_WORD_S = {False: 0.6, True: 1.0}
"""How short that is; by whether the jaw goes with the lips. Smiles, however large, take the chin half as far along as
the lips at most."""
_UP, _STILL, _WITH_SMILE = 0.5, 0.1, 0.5
"""A smile that flashes up is no word: a corner goes up by such a share of its way at least, the other down by so
little of it at most, and takes the chin along by no more than that share. Of the large, short movements of a mouth that
talks none did.
"""
_CHIN_WITH, _LIPS_WITH = 0.5, 0.3
"""The jaw opens or closes where lips and chin go up or down together, the chin at least so many times as far as the
lips, these at least so many times as far as the chin: a chin that is raised (AU17) leaves the corners where they are.
"""
_SHIFT_PX = 0.45
"""Movements of the jaw are that large. In one of ten published micro-expressions the whole mouth shifts too, with what
is left there of the head's motion: by less, or beside the brows.
"""
_EVENLY = 0.5
"""The mouth goes to one side as a whole where no corner goes less far than this share of the other's way."""
_WINDOW_S, _MANY = 3.0, 3
"""Speech has begun with so many movements close to each other within the window, or one more where a smile begins and
ends among them."""
_QUIET_S = 1.5
"""Speech is over after so long without a movement of the mouth."""
_KEPT = 16


class _Mouthing(msgspec.Struct):
    """One movement of the mouth, event or not."""

    begin_ns: int
    end_ns: int
    jaw: bool
    hold: bool = False
    """It began or ended a movement that was held."""


class Talk:
    """The book of the mouth's movements. Not thread-safe."""

    def __init__(self, word: tuple[float, float]) -> None:
        """word: rise above which a short movement is a word, of lips alone and with the jaw (``Detector.word``)."""
        self._word = word
        self._past: list[_Mouthing] = []
        self._under_way: _Mouthing | None = None
        self._spoke_ns = 0
        """When speech was heard last."""
        self.speaking = False

    def listen(self, t_ns: int, mouth: Spotter | None) -> list[str]:
        """One frame; notices ("speech", "speech over")."""
        notices = self._follow(t_ns, mouth)
        if self.speaking:
            self._spoke_ns = t_ns
        return notices

    def _follow(self, t_ns: int, mouth: Spotter | None) -> list[str]:
        """Keep book; does speech begin or end?"""
        if mouth is not None and mouth.began_ns is not None:
            left, right, chin = (*mouth.peaks, 0.0, 0.0, 0.0)[:3]
            jaw = bool(chin > _JAW * max(left, right))
            if self._under_way is None or self._under_way.begin_ns != mouth.began_ns:
                self._end()
                self._under_way = _Mouthing(mouth.began_ns, t_ns, jaw)
            self._under_way.end_ns, self._under_way.jaw = t_ns, jaw
        elif self._under_way is not None:
            self._under_way.hold = mouth is not None and mouth.ended_hold
            self._end()
            if not self.speaking and self._is_speech(t_ns):
                self.speaking = True
                return ["speech"]
        last_ns = self._past[-1].end_ns if self._past else 0
        if self.speaking and self._under_way is None and t_ns - last_ns > _QUIET_S * 1e9:
            self.speaking = False
            return ["speech over"]
        return []

    def jerked(self, span_ns: tuple[int, int]) -> None:
        """What the mouth began while the head jerked was the head's."""
        if self._under_way is not None and span_ns[0] <= self._under_way.begin_ns <= span_ns[1]:
            self._under_way = None

    def has(self, event: SpotEvent) -> bool:
        """Whether this movement of the mouth is a word or a syllable, and no expression."""
        return self._is_word(event) or self._is_mouthed(event) or is_shifted(event)

    def covers(self, event: SpotEvent) -> bool:
        """Whether somebody speaks, or did when the movement began."""
        return self.speaking or event.onset_t_ns < self._spoke_ns

    def must_wait(self, event: SpotEvent, t_ns: int, *, of_mouth: bool) -> bool:
        """Whether what follows a movement of the lower face may still make it a word."""
        if self.speaking:
            return False
        jaw = of_mouth and _has_jaw(event)
        if t_ns - event.offset_t_ns < _AFTER_S[jaw] * 1e9 or self._may_be_word(event, t_ns):
            return True
        under_way = self._under_way  # it is not known yet what that becomes
        return under_way is not None and under_way.begin_ns - event.offset_t_ns < _ALONE_S[jaw] * 1e9

    def _end(self) -> None:
        if self._under_way is not None:
            self._past = [*self._past[1 - _KEPT :], self._under_way]
            self._under_way = None

    def _all(self) -> list[_Mouthing]:
        return [*self._past, *([self._under_way] if self._under_way else [])]

    def _is_speech(self, t_ns: int) -> bool:
        """Words follow each other; expressions have rest between them, however many there are."""
        moved = self._past
        near = [_gap_ns(a, b) < _ALONE_S[a.jaw or b.jaw] * 1e9 for a, b in itertools.pairwise(moved)]
        chained = [a or b for a, b in zip([False, *near], [*near, False], strict=True)] if moved else []
        recent = [m for m, word in zip(moved, chained, strict=True) if word and t_ns - m.end_ns < _WINDOW_S * 1e9]
        return len(recent) > _MANY or sum(not m.hold for m in recent) >= _MANY

    def _is_mouthed(self, event: SpotEvent) -> bool:
        """One of several movements of the mouth in a row."""
        jaw = is_jaw(event)
        own_ns = 0.5 * (event.offset_t_ns - event.onset_t_ns)
        near = 0
        for m in self._all():
            shared = min(m.end_ns, event.offset_t_ns) - max(m.begin_ns, event.onset_t_ns)
            if shared > min(own_ns, 0.5 * (m.end_ns - m.begin_ns)):
                continue  # this is it
            apart = max(event.onset_t_ns - m.end_ns, m.begin_ns - event.offset_t_ns)
            if apart < (_BESIDE_JAW_S if m.jaw and not jaw else _ALONE_S[jaw]) * 1e9:
                near += 2 if m.jaw else 1
        return near > _MOST_NEAR[jaw]

    def _is_word(self, event: SpotEvent) -> bool:
        """Somebody says "yes", or presses the lips: one short, large movement."""
        jaw = _has_jaw(event)
        short = event.offset_t_ns - event.onset_t_ns <= _WORD_S[jaw] * 1e9
        return short and max(event.rois.values()) > self._word[jaw] and not is_raised(event)

    def _may_be_word(self, event: SpotEvent, t_ns: int) -> bool:
        """The first long word of a sentence looks like an expression of the mouth, until others follow."""
        since_s = (t_ns - event.offset_t_ns) / 1e9
        if event.kind == "micro" or since_s > LONGEST_WAIT_S:
            return False
        return since_s < _SOON_S or any(0 <= m.begin_ns - event.offset_t_ns < _SOON_S * 1e9 for m in self._all())


def is_jaw(event: SpotEvent) -> bool:
    """Whether the chin moves much further than the lips."""
    return event.rois.get("chin", 0.0) > _JAW * _lips(event)


def is_shifted(event: SpotEvent) -> bool:
    """Whether the lower face goes as a whole, down, up or to a side: the jaw does that, muscles of expression don't."""
    if not {"left_mouth", "right_mouth"} <= event.moved.keys() or max(event.rois.values()) < _SHIFT_PX:
        return False
    (left, left_down), (right, right_down) = event.moved["left_mouth"], event.moved["right_mouth"]
    aside, down, apart = 0.5 * (left + right), 0.5 * (left_down + right_down), 0.5 * abs(left - right)
    evenly = left * right > 0 and min(abs(left), abs(right)) > _EVENLY * max(abs(left), abs(right))
    chin = event.moved.get("chin", (0.0, 0.0))[1]
    with_jaw = abs(chin) >= _CHIN_WITH * max(abs(down), apart) and abs(down) >= _LIPS_WITH * abs(chin)
    return (evenly and abs(aside) > abs(down)) or (with_jaw and chin * down > 0)


def is_raised(event: SpotEvent) -> bool:
    """Whether the corners of the mouth, or one of them, go up, and the jaw stays: smiled, smirked."""
    corners = [event.moved[name] for name in ("left_mouth", "right_mouth") if name in event.moved]
    if not corners or event.rois.get("chin", 0.0) > _WITH_SMILE * _lips(event):
        return False
    right, down = max(corners, key=lambda way: math.hypot(*way))
    length = math.hypot(right, down)
    return down < -_UP * length and all(way[1] < _STILL * length for way in corners)


def is_opened(event: SpotEvent) -> bool:
    """The jaw leads, and for long: swallowed, yawned, said."""
    return event.kind == "macro" and is_jaw(event)


def _has_jaw(event: SpotEvent) -> bool:
    """Whether the chin goes with the lips."""
    return event.rois.get("chin", 0.0) > _WITH_JAW * _lips(event)


def _lips(event: SpotEvent) -> float:
    return max(event.rois.get("left_mouth", 0.0), event.rois.get("right_mouth", 0.0))


def _gap_ns(before: _Mouthing, after: _Mouthing) -> int:
    return after.begin_ns - before.end_ns
