"""Published feature maps turned back into movements of a face.

A public map has each channel stretched to 0..255 by itself. Where its border rests is taken for zero; how u and v
stand to each other is the ratio whose strain looks most like the map's own. How far the movement goes is lost: the
caller says it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from offline.datasets import MapSet, flowmaps
from offline.datasets.frames import FRAMES
from realtime.synthesis.living.fields import Grid
from realtime.synthesis.portrait import Placed
from realtime.vision.flow import strain

COMPOSITE = Path(__file__).resolve().parents[2] / "shared" / "data" / "composite.npz"
SPLITS = ("tuning", "heldout")
_CROP = np.array([140.0, 170.0])
_BORDER = 2
_SMOOTH = 0.8
"""Cells: single cells carry the flow's noise."""
_RATIOS = np.geomspace(0.25, 4.0, 25)
_FADE = 0.35
"""Distances of the eyes over which a movement fades out beyond the map."""

Array = npt.NDArray[np.float64]
Planes = npt.NDArray[np.float32]


def load(path: Path = COMPOSITE) -> MapSet:
    """The composite's maps."""
    if not path.is_file():
        raise SystemExit(f"{path}: the public maps are not there; --maps FILE.npz says where they are")
    return flowmaps.load(path)


def tuning_people(data: MapSet) -> set[str]:
    """Half of each data set's people: settings are chosen on them, and figures stand for the others."""
    rng, found = np.random.default_rng(11), set()
    sets = np.array(data.dataset)
    for name in np.unique(sets):
        people = np.unique(data.person[sets == name])
        found |= set(rng.permutation(people)[: len(people) // 2].tolist())
    return found


def balanced(data: MapSet, split: str, each: int) -> list[int]:
    """Positions of ``each`` maps of every class of every set, of the split's people, as many people as can be."""
    tuning, sets = tuning_people(data), np.array(data.dataset)
    own = np.array([(person in tuning) == (split == "tuning") for person in data.person])
    rng, chosen = np.random.default_rng(12), []
    for name in np.unique(sets):
        for label in range(3):
            of = rng.permutation(np.flatnonzero(own & (sets == name) & (data.label == label)))
            turn = {k: int(np.sum(data.person[of[:n]] == data.person[k])) for n, k in enumerate(of)}
            chosen.append(sorted(of.tolist(), key=lambda k: turn[k])[:each])
    return [k for row in zip_longest(chosen) for k in row]


def zip_longest(rows: list[list[int]]) -> list[list[int]]:
    """Columns of rows that differ in length, so that the first few are balanced too."""
    return [[row[k] for row in rows if k < len(row)] for k in range(max(map(len, rows)))]


def movement(cells: Planes) -> Array:
    """(28, 28, 3) 0..255 → (28, 28, 2) flow in crop px, rest 0, its longest vector 1."""
    flow = cells[..., :2].astype(np.float64)
    rim = np.ones(flow.shape[:2], bool)
    rim[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    flow -= np.median(flow[rim], axis=0)
    flow[..., 1] *= _ratio(flow, cells[..., 2])
    smooth = np.stack([cv2.GaussianBlur(flow[..., k], (0, 0), _SMOOTH) for k in range(2)], -1)
    found: Array = smooth / np.hypot(smooth[..., 0], smooth[..., 1]).max()
    return found


def _ratio(flow: Array, strained: Planes) -> float:
    """What v is to be multiplied by, for the strain of the flow to look like the map's."""
    like = [
        np.corrcoef(strain((flow * [1.0, ratio]).astype(np.float32)).ravel(), strained.ravel())[0, 1]
        for ratio in _RATIOS
    ]
    return float(_RATIOS[int(np.argmax(like))])


def planes(cells: Planes, dataset: str, placed: Placed, grid: Grid) -> Planes:
    """(3, nodes) float32 on the renderer's grid: dx, dy, compression; the longest displacement is 1 px."""
    width, height, down = FRAMES[dataset]
    eyes = placed.landmarks.astype(np.float64)
    right, left = eyes[36:42].mean(0), eyes[42:48].mean(0)
    apart = float(np.hypot(*(left - right)))
    along = (left - right) / apart
    axes = np.array([along, [-along[1], along[0]]])
    x, y = grid.places()
    place = (np.stack([x, y], -1) - (left + right) / 2) @ axes.T / apart + [width / 2, down]
    cell = place / [width, height] * 28 - 0.5
    flow = movement(cells) * [width, height] / _CROP
    at = cell.astype(np.float32)
    sampled = cv2.remap(flow, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    beyond = np.maximum(np.maximum(-place, place - [width, height]), 0).max(-1) / _FADE
    t = np.clip(1 - beyond, 0, 1)
    moved = (sampled * (t * t * (3 - 2 * t))[..., None]) @ axes
    moved /= np.hypot(moved[..., 0], moved[..., 1]).max()
    fold = -(np.gradient(moved[..., 0], axis=1) + np.gradient(moved[..., 1], axis=0)) / grid.step
    fold = cv2.GaussianBlur(fold, (0, 0), apart / 15 / grid.step)
    return np.ascontiguousarray(np.stack([moved[..., 0], moved[..., 1], fold]), np.float32).reshape(3, -1)
