"""A piece of a recording with its face mesh, and what really happens in it: blinks, talk, smiles, turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from bench.planted.landmarks import LEFT_CHEEK, NOSE, RIGHT_CHEEK
from bench.planted.tracks import Floats, Frame, frames_of, smoothed, track

NonEvent = dict[str, Any]
"""{"what": text, "frames": [first, last]}: what happens there and was not planted as a movement."""

_LIDS = ((159, 145), (386, 374))
_BROWS = (([105, 66], [33, 133]), ([334, 296], [263, 362]))


class Take:
    """T frames of one face. What is in ``blink`` to ``turn`` is (T,) bool, found by landmarks, for the truth file."""

    def __init__(self, frames: list[Frame], fps: float, points: Floats, signs: Floats, source: str) -> None:
        """``points``: (T, 478, 3) px, NaN without a face; ``signs``: (T, 3) as in Track; ``source``: in words."""
        self.frames, self.fps, self.source, self.signs = frames, float(fps), source, signs
        self.turns: list[int] = []
        """Frames where a take that is played forward and backward turns round."""
        self.joined: int | None = None
        """First frame of the second of two recordings."""
        self.raw = points[:, :, :2]
        self.mesh = smoothed(self.raw, 1.0)
        """(T, 478, 2) px: what movements and props are pinned to."""
        self.depth = smoothed(points[:, :, 2], 1.5)
        across = np.linalg.norm(points[:, RIGHT_CHEEK, :2] - points[:, LEFT_CHEEK, :2], axis=1)
        self.width = smoothed(across, fps * 0.7)
        """(T,) px: the face's width."""
        self.seen = np.isfinite(self.width)
        self._look()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def face_px(self) -> Any:
        """Median width of the face, px."""
        return np.nanmedian(self.width)

    def points(self) -> Floats:
        """(T, 478, 3) float32: mesh as tracked and its smoothed depth, to make another take of."""
        both: Floats = np.concatenate([self.raw, self.depth[:, :, None]], 2).astype(np.float32)
        return both

    def _look(self) -> None:
        """Fill blink, smile, speech, brow, turn; thresholds are shares of the face's width."""
        mesh, fps, count = smoothed(self.raw, 0.5), self.fps, len(self)

        def apart(one: int, other: int) -> Floats:
            distance: Floats = np.linalg.norm(mesh[:, one] - mesh[:, other], axis=1) / self.width
            return distance

        half = max(3, int(0.5 * fps))
        gap, wide, mouth = apart(13, 14), apart(61, 291), np.full(count, np.nan)
        eye, usual = (apart(*_LIDS[0]) + apart(*_LIDS[1])) / 2, np.full(count, np.nan)
        for i in range(count):
            near, long = slice(max(0, i - half), i + half), slice(max(0, i - 40), i + 40)
            if self.seen[near].any():
                mouth[i] = np.nanstd(gap[near]) + 0.5 * np.nanstd(wide[near])
            if self.seen[long].any():
                usual[i] = np.nanmedian(eye[long])
        self.speech = np.nan_to_num(mouth) > 0.018
        self.blink = (eye < 0.66 * usual) | ((eye < 0.8 * usual) & (self.signs[:, 0] > 0.6))
        self.smile = np.nan_to_num(self.signs[:, 1]) > 0.45

        height: Floats = np.zeros(count)
        for brow, corners in _BROWS:
            apart_now = np.linalg.norm(mesh[:, brow].mean(1) - mesh[:, corners].mean(1), axis=1)
            height += apart_now / self.width / 2
        height = smoothed(height, 0.8)
        step, change = max(1, round(0.12 * fps)), np.zeros(count)
        change[step:-step] = np.abs(height[2 * step :] - height[: -2 * step])
        self.brow = np.nan_to_num(change) > 0.010

        speed = np.zeros(count)
        speed[1:] = np.linalg.norm(np.diff(smoothed(self.raw[:, NOSE], 1), axis=0), axis=1) * fps / self.face_px
        self.turn = np.nan_to_num(speed) > 0.45

    def happenings(self) -> list[NonEvent]:
        """What really happens, in runs of frames: a run ends where three frames in a row are without it."""
        kinds = (
            ("blink", self.blink, 1),
            ("speech or mouth movement", self.speech, 8),
            ("smile", self.smile, 6),
            ("fast head movement", self.turn, 2),
            ("brow (or nod) moves by more than 1.5 px at 152 in 0.25 s", self.brow, 2),
            ("no face", ~self.seen, 1),
        )
        found = []
        for name, marks, least in kinds:
            i = 0
            while i < len(self):
                if not marks[i]:
                    i += 1
                    continue
                last = i
                while last + 1 < len(self) and marks[last + 1 : last + 4].any():
                    last += 1
                if last - i + 1 >= least:
                    found.append(note("real, not planted: " + name, i, last))
                i = last + 1
        return found

    def during(self, first: int, last: int) -> str:
        """What the person does in these frames: blink, smile, speech or rest."""
        if self.blink[max(0, first - int(0.35 * self.fps)) : last + 1].any():
            return "blink"
        if self.smile[first : last + 1].mean() > 0.5:
            return "smile"
        return "speech" if self.speech[first : last + 1].mean() > 0.5 else "rest"


def note(what: str, first: int, last: int) -> NonEvent:
    return {"what": what, "frames": [int(first), int(last)]}


def cut(name: str, first: int = 0, end: int | None = None, height: int | None = None) -> Take:
    """Frames ``first`` to before ``end`` of a recording, shrunk to ``height`` px."""
    tracked = track(name)
    scale, size, words = 1.0, None, ""
    if height:
        scale = height / tracked.size[1]
        size = (round(tracked.size[0] * scale / 2) * 2, height)
        words = f" resized to {size[0]}x{size[1]}"
    frames, fps = frames_of(name, first, end, size)
    part = slice(first, first + len(frames))
    source = f"{name} frames {first}..{first + len(frames) - 1}{words}"
    return Take(frames, fps, tracked.points[part] * scale, tracked.signs[part], source)


def replayed(take: Take, order: Sequence[int], words: str) -> Take:
    """Its frames in another order."""
    again = [take.frames[i] for i in order]
    made = Take(again, take.fps, take.points()[order], take.signs[order], take.source + words)
    made.turns = turning(order)
    return made


def turning(order: Sequence[int]) -> list[int]:
    """Where a sequence of frame numbers changes its direction."""
    step = np.sign(np.diff(order))
    return [i + 1 for i in range(len(step) - 1) if step[i] != step[i + 1]]


def enlarged(take: Take, face_px: float, box: tuple[int, int] = (640, 480)) -> Take:
    """Scaled until the face is ``face_px`` wide, then a fixed box (width, height) cut around its median place."""
    scale = face_px / take.face_px
    nose = np.nanmedian(take.raw[:, NOSE], axis=0) * scale
    height, width = take.frames[0].shape[:2]
    wide, high = min(box[0], int(width * scale)), min(box[1], int(height * scale))
    left = int(np.clip(nose[0] - wide / 2, 0, width * scale - wide))
    top = int(np.clip(nose[1] - high * 0.52, 0, height * scale - high))
    # the half pixels: centres, not corners, are scaled
    move = np.array([[scale, 0, -left + 0.5 * scale - 0.5], [0, scale, -top + 0.5 * scale - 0.5]], np.float32)
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    frames = [cv2.warpAffine(f, move, (wide, high), flags=how, borderMode=cv2.BORDER_REPLICATE) for f in take.frames]
    points = np.concatenate([take.raw * scale - [left, top], take.depth[:, :, None] * scale], 2).astype(np.float32)
    words = f", enlarged x{scale:.2f} and cropped to {wide}x{high}"
    made = Take(frames, take.fps, points, take.signs, take.source + words)  # type: ignore[arg-type]
    made.turns = take.turns
    return made
