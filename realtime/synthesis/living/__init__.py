"""A generated face that lives: it turns, nods, talks, chews, blinks and smiles, in front of cameras good and bad.

The test bed that judges the spotter; it shares no model with it. The head is a surface of unknown depth seen in
perspective, expressions have the time courses of coded micro-expressions.
"""

from .clip import LivingClip, LivingTruth, generate
from .settings import BROW_AUS, LivingSettings, Swing
from .speech import Trajectory, articulated, from_video
from .truth import TruthMove, TruthSpan

__all__ = [
    "BROW_AUS",
    "LivingClip",
    "LivingSettings",
    "LivingTruth",
    "Swing",
    "Trajectory",
    "TruthMove",
    "TruthSpan",
    "articulated",
    "from_video",
    "generate",
]
