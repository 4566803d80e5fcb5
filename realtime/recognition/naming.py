"""The name of a movement, by its scores and by how far it stands out of the noise: live, and looked at again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from realtime.config import RecognitionSettings
from realtime.recognition.bundle import Bundle


def label_of(spot_score: float, scores: npt.NDArray[np.float32], bundle: Bundle, settings: RecognitionSettings) -> str:
    """Label of one event: scores (3,) of its map.

    ``uncertain`` where the movement stands out of the noise by less than ``least_spot_score``, whatever the scores are:
    each channel of a map is stretched, so that the map of noise looks as strong as any other.
    """
    if spot_score < settings.least_spot_score:
        return "uncertain"
    return bundle.label(scores, settings.threshold)
