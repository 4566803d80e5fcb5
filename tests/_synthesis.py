"""What the tests of the generated face share."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from realtime.synthesis import FaceRenderer, Portrait, SynthesisSettings

SIZE = (640, 480)
PORTRAIT = Portrait.packaged()
CLEAN = SynthesisSettings.clean


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The machine is shared; OpenCV takes every core it finds."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def draw(renderer: FaceRenderer, number: int) -> np.ndarray:
    """One frame (H, W) uint8."""
    frame = np.empty((renderer.size[1], renderer.size[0]), np.uint8)
    renderer.render(number, frame)
    return frame


def recovered(first: np.ndarray, flow: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(share of the true movement found where it is large and the picture has texture along it;
    99th percentile of the flow, px, where nothing moves)."""
    size = np.hypot(truth[..., 0], truth[..., 1])
    smooth = cv2.GaussianBlur(first.astype(np.float32), (0, 0), 1.0)
    slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) * truth[..., 0] + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) * truth[..., 1]
    texture = np.abs(slope) / np.maximum(size, 1e-6)
    large = size > 0.5 * size.max()
    chosen = large & (texture > np.quantile(texture[large], 0.75))
    along = (flow * truth).sum(-1) / np.maximum(size, 1e-6)
    still = np.hypot(flow[..., 0], flow[..., 1])[size < 0.01]
    return float(along[chosen].sum() / size[chosen].sum()), float(np.quantile(still, 0.99))
