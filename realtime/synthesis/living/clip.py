"""A living clip: frames with time stamps, and what happened in it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from ..portrait import Portrait
from .renderer import LivingRenderer
from .settings import LivingSettings
from .speech import Trajectory
from .story import tell
from .truth import TruthMove, TruthSpan

Gray = npt.NDArray[np.uint8]


class LivingTruth(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a clip."""

    moves: list[TruthMove]
    spans: list[TruthSpan]


class LivingClip:
    """Iterate for (frame (H, W) uint8, t_ns); ``truth`` is there before the first frame."""

    def __init__(self, settings: LivingSettings, seed: int, portrait: Portrait, speech: Trajectory | None) -> None:
        self.settings = settings
        self.story = tell(settings, seed)
        self.truth = LivingTruth(moves=self.story.truth(settings.fps), spans=self.story.distractors(settings.fps))
        self._of = (seed, portrait, speech)

    @property
    def count(self) -> int:
        """Number of frames."""
        return round(self.settings.seconds * self.settings.fps)

    def renderer(self) -> LivingRenderer:
        """A fresh one at the first frame."""
        seed, portrait, speech = self._of
        return LivingRenderer(self.settings, seed, portrait, self.story, speech)

    def __iter__(self) -> Iterator[tuple[Gray, int]]:
        for number, frame in enumerate(self.renderer().frames()):
            yield frame, round(number * 1e9 / self.settings.fps)


def generate(
    settings: LivingSettings, seed: int, portrait: Portrait | None = None, speech: Trajectory | None = None
) -> LivingClip:
    """A clip of one (settings, seed, portrait): the same bytes each time.

    ``portrait``: the packaged one by default. ``speech``: a trajectory from video; without one, made-up speech.
    """
    return LivingClip(settings, seed, portrait or Portrait.packaged(), speech)
