"""A coarse video codec, to plant what compression does to a face: blocks stick, jump, and pulse at each key frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from bench.planted.tracks import Floats, Frame

_SIZE = 8


class BlockCodec:
    """8×8 DCT, a key frame every ``gop`` frames, between them coarse residuals of the frame before."""

    def __init__(self, key_step: float, step: float, gop: int) -> None:
        """Steps of the quantiser in key frames and between them, grey levels."""
        row, column = np.arange(_SIZE)[:, None], np.arange(_SIZE)[None]
        wave = np.cos(np.pi * (2 * column + 1) * row / 16) * np.sqrt(np.where(row == 0, 1, 2) / 8.0)
        self._dct: Any = wave.astype(np.float32)
        self._weights: Any = (1 + 0.35 * (row + column)).astype(np.float32)
        self._key_step, self._step, self._gop = key_step, step, gop
        self._seen = 0
        self._before: list[Floats] = []

    def __call__(self, frame: Frame) -> Frame:
        """(H, W, 3) BGR as it comes out of the decoder; frames must come in order."""
        height, width = frame.shape[:2]
        full = cv2.copyMakeBorder(frame, 0, -height % 16, 0, -width % 16, cv2.BORDER_REPLICATE)
        colours: Any = cv2.cvtColor(full, cv2.COLOR_BGR2YCrCb).astype(np.float32)
        half = [cv2.resize(colours[..., i], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for i in (1, 2)]
        planes: list[Any] = [colours[..., 0], *half]
        key = not self._before or self._seen % self._gop == 0
        decoded: list[Any] = []
        for i, plane in enumerate(planes):
            base = np.full_like(plane, 128) if key else self._before[i]
            step = (self._key_step if key else self._step) * (1.5 if i else 1)
            decoded.append(np.clip(base + self._coarse(plane - base, step, 0.5 if key else 0.33), 0, 255))
        self._before = decoded
        self._seen += 1
        luma, size = decoded[0], decoded[0].shape[1::-1]
        chroma = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in decoded[1:]]
        whole = np.round(np.stack([luma, *chroma], 2)).astype(np.uint8)
        return cv2.cvtColor(whole, cv2.COLOR_YCrCb2BGR)[:height, :width]  # type: ignore[return-value]

    def _coarse(self, plane: Any, step: float, rounding: float) -> Floats:
        """(h, w) through the quantiser; ``rounding`` below 0.5 lets small residuals vanish."""
        height, width = plane.shape
        blocks = plane.reshape(height // _SIZE, _SIZE, width // _SIZE, _SIZE).transpose(0, 2, 1, 3)
        steps = step * self._weights
        levels = (self._dct @ blocks @ self._dct.T) / steps
        levels = np.sign(levels) * np.floor(np.abs(levels) + rounding)
        back: Floats = (self._dct.T @ (levels * steps) @ self._dct).transpose(0, 2, 1, 3).reshape(height, width)
        return back
