"""MDMD, main directional maximal difference analysis (Wang, Wu, Qian, Li, Fu, Neurocomputing 230:382–389, 2017), the
baseline of the MEGC spotting challenges (He, Wang, Li, Yap 2020). Whole clips: a frame is judged by those after it.

With k half a movement and a bit more: flow of the face from frame i−k to i and to i+k; in each of 6×6 blocks
the quadrant that most pixels of the first flow point to; there, how much longer the first flow is than the
second, mean of the largest third of the pixels; r is the mean of the largest third of the blocks. A movement that
comes and goes within 2k makes r large at its apex. Relative to its surroundings it is
c = r_i − (r_{i−k+1} + r_{i+k−1})/2; frames above mean + p (max − mean) make intervals, and those of a fitting
length are kept. k is 0.4 s for micro- and 1.3 s for macro-expressions, lengths are 7 to 16 frames and 17 or more
at 30 fps, as in the baseline.

What is assumed here: DIS flow in place of robust local optical flow, on our own crop at the first face that is
found; at most 50 frames a second are looked at (CAS(ME)² has 30); p = 0.01, the least that the baseline tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from offline.rivals.found import Found, Gray, MeshFinder, runs_of
from realtime.types import Kind

HALF_S: dict[Kind, float] = {"micro": 0.4, "macro": 1.3}
"""k."""
LENGTH_S: dict[Kind, tuple[float, float]] = {"micro": (6.5 / 30, 16.5 / 30), "macro": (16.5 / 30, np.inf)}
BLOCKS = 6
SHARE = 1 / 3
LEVEL = 0.01
"""p."""
MOST_FPS = 50.0
Flow = NDArray[np.float32]


def spot_clip(frames: Iterable[Gray], fps: float, mesh_finder: MeshFinder) -> list[Found]:
    """Movements of a clip, in order of their onsets; a movement may be found as both kinds."""
    stride = max(1, int(fps / MOST_FPS))
    faces, first = _faces(frames, stride, mesh_finder)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def flow(one: Gray, other: Gray) -> Flow:
        return np.asarray(dis.calc(one, other, None), np.float32)  # type: ignore[call-overload]

    found = [
        Found(first + stride * onset, first + stride * offset, first + stride * apex, kind)
        for kind in HALF_S
        for onset, offset, apex in spot_faces(faces, fps / stride, kind, flow)
    ]
    return sorted(found)


def _faces(frames: Iterable[Gray], stride: int, mesh_finder: MeshFinder) -> tuple[list[Gray], int]:
    """Every stride-th frame's crop from the first one with a face on, and that one's number."""
    from realtime.vision.face.landmarks import to_68
    from realtime.vision.features import FeatureSpec
    from realtime.vision.features.crop import crop, crop_transform

    spec, transform, first = FeatureSpec(frame="landmarks"), None, 0
    faces: list[Gray] = []
    for number, frame in enumerate(frames):
        if transform is None:
            mesh = mesh_finder(frame)
            if mesh is None:
                continue
            transform, first = crop_transform(to_68(mesh), spec), number
        if (number - first) % stride == 0:
            faces.append(crop(frame, transform, spec))
    return faces, first


def spot_faces(
    faces: list[Gray], fps: float, kind: Kind, flow: Callable[[Gray, Gray], Flow]
) -> list[tuple[int, int, int]]:
    """(onset, offset, apex) of one kind; faces: aligned, (H, W) uint8; flow: (H, W, 2) px from one to another."""
    half = max(2, round(HALF_S[kind] * fps))
    while len(faces) < 6 * half and half > 2:  # as the baseline does with a short clip
        half = max(2, round(half / 2))
    if len(faces) <= 4 * half:
        return []
    raw = np.array(
        [
            movement(flow(faces[i - half], faces[i]), flow(faces[i - half], faces[i + half]))
            for i in range(half, len(faces) - half)
        ]
    )
    side = half - 1
    relative = raw[side:-side] - (raw[: -2 * side] + raw[2 * side :]) / 2
    threshold = relative.mean() + LEVEL * (relative.max() - relative.mean())
    shortest, longest = LENGTH_S[kind]
    begin = half + side
    return [
        (begin + a, begin + b, begin + a + int(relative[a : b + 1].argmax()))
        for a, b in runs_of(relative > threshold)
        if shortest <= (b - a + 1) / fps <= longest
    ]


def movement(there: Flow, beyond: Flow) -> float:
    """r of one frame: flows (H, W, 2), px, from k before it to it, and to k after it."""
    long, later = (_by_block(np.hypot(one[..., 0], one[..., 1])) for one in (there, beyond))
    quadrant = _by_block((there[..., 0] < 0) + 2 * (there[..., 1] < 0).astype(np.int8))
    counts = np.stack([(quadrant == q).sum(1) for q in range(4)], axis=1)  # (36, 4)
    main = counts.argmax(1)
    excess = np.where(quadrant == main[:, None], long - later, -np.inf)
    taken = np.maximum(1, np.rint(counts.max(1) * SHARE)).astype(int)
    ranked = -np.sort(-excess, axis=1)
    blocks = np.array([row[:n].mean() for row, n in zip(ranked, taken, strict=True)])
    return float(-np.sort(-blocks)[: round(len(blocks) * SHARE)].mean())


def _by_block(plane: NDArray) -> NDArray:
    """(H, W) → (36, pixels of a block); what does not fit into equal blocks is cut off."""
    height, width = (size // BLOCKS for size in plane.shape)
    cut = plane[: BLOCKS * height, : BLOCKS * width]
    return cut.reshape(BLOCKS, height, BLOCKS, width).swapaxes(1, 2).reshape(BLOCKS**2, -1)
