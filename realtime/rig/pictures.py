"""What pictures alone tell: noise, flicker, sharpness, exposure."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
_BLOCK = 16
_QUIET_SHARE = 0.25
"""Of the blocks of a pair of frames, those that changed least: nothing moved there."""
_LEAST_GREY, _MOST_GREY = 12.0, 240.0
"""Blocks that are darker or brighter are clipped, and show less noise than there is."""
_CLEAR = 6.0
"""So many times the spectrum's median is a flicker, and no noise."""


def noise_grey(first: Gray, second: Gray) -> float | None:
    """Standard deviation of a pixel over time, grey levels, from two frames one after the other, (H, W) uint8.

    Of the difference's blocks of 16 px, each less its own mean (flicker), the quarter that changed least; None where
    all is clipped.
    """
    height, width = (side // _BLOCK * _BLOCK for side in first.shape)
    shape = height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
    before = first[:height, :width].astype(np.float32).reshape(shape)
    change = second[:height, :width].astype(np.float32).reshape(shape) - before
    level = before.mean(axis=(1, 3))
    variance = change.var(axis=(1, 3), ddof=1)[(level > _LEAST_GREY) & (level < _MOST_GREY)]
    if not len(variance):
        return None
    quiet = np.sort(variance)[: max(1, int(_QUIET_SHARE * len(variance)))]
    return float(np.sqrt(quiet.mean() / 2.0))


def flicker(brightness: npt.NDArray[np.float64], fps: float) -> tuple[float, float]:
    """(Hz, %) of the strongest ripple of the light as the camera sees it: half its peak-to-peak over the mean.

    brightness: (n,) mean grey level of each frame, in order, without holes. (0, 0) where there is none. What lies above
    half the frame rate shows as its alias. Slower than 2 Hz is no flicker but a movement, or clouds.
    """
    if len(brightness) < 32 or brightness.mean() <= 0:
        return 0.0, 0.0
    window = np.hanning(len(brightness))
    spectrum = np.abs(np.fft.rfft((brightness - brightness.mean()) * window)) / window.sum() * 2.0
    hertz = np.fft.rfftfreq(len(brightness), 1.0 / fps)
    spectrum[hertz < 2.0] = 0.0
    if hertz[-1] * 2.0 >= fps - 1e-9:
        spectrum[-1] /= 2.0  # the last one is counted twice above
    peak = int(spectrum.argmax())
    if spectrum[peak] < _CLEAR * np.median(spectrum[hertz >= 2.0]):
        return 0.0, 0.0
    return round(float(hertz[peak]), 2), round(100.0 * float(spectrum[peak]) / float(brightness.mean()), 3)


def blur(face: Gray) -> float:
    """0 sharp … 1 blurred: how little a further blur changes neighbouring differences (Crété et al. 2007, eqs. 1-5).

    face: (H, W) uint8.
    """
    picture = face.astype(np.float32)
    worst = 0.0
    for size, axis in (((1, 9), 0), ((9, 1), 1)):
        blurred = cv2.blur(picture, size, borderType=cv2.BORDER_REPLICATE)
        own, after = np.abs(np.diff(picture, axis=axis)), np.abs(np.diff(blurred, axis=axis))
        total = float(own.sum())
        kept = float(np.maximum(own - after, 0.0).sum())
        worst = max(worst, (total - kept) / total if total > 0 else 1.0)
    return worst


def clipped_percent(face: Gray) -> tuple[float, float]:
    """(dark, bright): % of the pixels at either end of the scale."""
    return float((face <= 3).mean() * 100.0), float((face >= 252).mean() * 100.0)
