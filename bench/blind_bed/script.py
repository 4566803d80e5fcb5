"""What happens in a clip, frame by frame, and the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.blind_bed.courses import FPS, Course, course, drawn_residual, drawn_times, drift, eased
from bench.blind_bed.head import Head
from bench.blind_bed.props import Hand
from bench.blind_bed.render import CHANNELS
from bench.blind_bed.speech import CHANNELS as TALK
from bench.blind_bed.speech import Talk, Track, talk

BROWS = ("1+2", "1", "1+2l", "1+2r", "4", "4", "2l", "2r", "1l", "1r")
ALL = (*("1+2", "1+2", "1", "1+2l", "1+2r", "4", "4", "1l", "2r", "4+9", "9"),
       *("12", "12", "12l", "12r", "14l", "14r", "15", "15", "17"))  # fmt: skip
"""Fields a micro-expression is drawn from; one that stands twice comes twice as often."""
_REGIONS = {
    "1": ("brow_l", "brow_r"),
    "2": ("brow_l", "brow_r"),
    "4": ("brow_l", "brow_r", "glabella"),
    "9": ("nose", "upper_lip"),
    "12": ("mouth_l", "mouth_r", "cheek_l", "cheek_r"),
    "14": ("mouth_l", "mouth_r"),
    "15": ("mouth_l", "mouth_r"),
    "17": ("chin", "lower_lip"),
    "1+2": ("brow_l", "brow_r", "forehead"),
    "4+9": ("brow_l", "brow_r", "glabella", "nose"),
}
_WHOLE = ("17", "4+9", "1+2")
"""Fields that are not made of two sides."""
_TRIES = 20000


class Script:
    """A clip of N frames as it is being written. px are of the frame, angles degrees, times s."""

    def __init__(
        self,
        head: Head,
        rng: np.random.Generator,
        number: int,
        seconds: float,
        micro_px: float,
        tracks: tuple[Track, Track] | None,
    ) -> None:
        """``number``: the clip's, of its condition; ``tracks``: who talks, None where nobody is to."""
        self.head, self.rng, self.number, self.seconds, self.micro_px = head, rng, number, seconds, micro_px
        self._tracks = tracks
        self.count = int(seconds * FPS)
        self.t = np.arange(self.count) / FPS
        self.scale = head.face_px / 150
        self.acts: dict[str, npt.NDArray[Any]] = {}
        """Field → (N,) px."""
        self.pose = {name: np.zeros(self.count) for name in CHANNELS}
        self.jaw = np.zeros(self.count)
        self.closed = np.zeros((2, self.count))
        """Share, left and right of the image."""
        self.gaze = np.zeros((2, self.count))
        """px, across and down."""
        self.squint = np.zeros(self.count)
        self.hands: list[tuple[float, Hand]] = []
        """When each begins to pass, which takes 1 s."""
        self.events: list[dict[str, Any]] = []
        self.other: list[dict[str, Any]] = []
        self._sway()

    def _sway(self) -> None:
        """A head is never still, and breath moves it."""
        for name, size in (("tx", 0.3), ("ty", 0.3)):
            self.pose[name] += drift(self.rng, self.count) * size * self.scale
        for name in ("yaw", "pitch", "roll"):
            self.pose[name] += drift(self.rng, self.count) * 0.15
        self.pose["tz"] += drift(self.rng, self.count) * 0.3 * self.scale * 3
        breaths = np.cumsum(0.24 * (1 + 0.15 * drift(self.rng, self.count, 2, 0.05, 0.5))) / FPS
        breath = np.sin(2 * np.pi * (breaths + self.rng.random()))
        self.pose["ty"] += 0.22 * self.scale * breath
        self.pose["pitch"] += 0.06 * breath

    def act(self, name: str, px: Any) -> None:
        """Add (N,) px to a field."""
        self.acts[name] = self.acts.get(name, 0) + px

    def note(self, what: str, begin: float, end: float, **more: Any) -> None:
        """What happens from ``begin`` to ``end`` and is no expression."""
        first, last = int(max(begin * FPS, 0)), int(min(end * FPS, self.count - 1))
        self.other.append({"what": what, "from_frame": first, "to_frame": last, **more})

    def places(
        self, count: int, blocked: Sequence[tuple[float, float]] = (), gap: float = 1.5, clear: float = 0.6
    ) -> list[float]:
        """Onsets from 3 s on, ``gap`` apart, none within ``clear`` of what is blocked; ValueError: no room."""
        for _ in range(_TRIES):
            t = np.sort(self.rng.uniform(3.0, self.seconds - 0.7 - 0.5, count))
            apart = np.all(np.diff(t) >= gap + 0.5)
            if apart and all(x + 0.5 + clear < a or x - clear > b for x in t for a, b in blocked):
                return list(t)
        raise ValueError(f"no room for {count} movements in {self.seconds:g} s")

    def micros(self, times: Sequence[float], pool: Sequence[str] = ALL) -> None:
        """A micro-expression at each of the times."""
        for t in times:
            self.micro(t, pool)

    def micro(self, t: float, pool: Sequence[str]) -> None:
        """One of the fields; of those with two sides, one side a little later and weaker."""
        rng, px, fields = self.rng, self.micro_px, self.head.fields.moves
        name = str(rng.choice(pool))
        rise, fall, corpus = drawn_times(rng)
        residual = drawn_residual(rng)
        one = course(rng, self.t, t, rise, fall, residual)
        if name[-1] not in "lr" and name not in _WHOLE and name + "l" in fields:
            weaker = rng.uniform(0.65, 1.0)
            left, right = (1, weaker) if rng.random() < 0.5 else (weaker, 1)
            lag = int(rng.integers(0, 4))
            both = left * fields[name + "l"] + right * fields[name + "r"]
            largest = float(np.sqrt((both**2).sum(2)).max())
            late = np.r_[np.zeros(lag, np.float32), one.share[: self.count - lag]]
            self.act(name + "l", one.share * px * left / largest)
            self.act(name + "r", late * px * right / largest)
        else:
            self.act(name, one.share * px)
        more = {"amplitude_px": px, "residual": round(residual, 3), "field": name, "drawn_from": corpus}
        self._event("micro", name, one, one.offset, more)

    def macro(
        self,
        t: float,
        name: str,
        px: float,
        times: tuple[float, float, float],
        residual: float = 0.0,
        tremble: float = 0.0,
    ) -> Course:
        """A large movement; ``times``: rise, hold, fall."""
        rise, hold, fall = times
        one = course(self.rng, self.t, t, rise, fall, residual, hold, 2.0, tremble)
        self.act(name, one.share * px)
        more = {"amplitude_px": round(float(px), 2), "residual": round(float(residual), 3), "field": name}
        held = {"hold_to_frame": int((t + rise + hold) * FPS)}
        self._event("macro", name, one, min(one.offset, self.count - 1), held | more)
        return one

    def _event(self, kind: str, name: str, one: Course, offset: int, more: dict[str, Any]) -> None:
        frames = {"onset_frame": one.onset, "apex_frame": one.apex, "offset_frame": offset}
        what = {"regions": _regions(name), "aus": _units(name)}
        self.events.append({"kind": kind, **frames, **what, **more})

    def jerks(self, times: Sequence[float]) -> None:
        """The head is thrown aside within 0.15 s, overshoots, and comes back slowly or not at all."""
        rng, t, whither = self.rng, self.t, self.rng.uniform(0, 2 * np.pi)
        for j, at in enumerate(times):
            px = rng.uniform(6, 10) * self.scale
            way = whither + np.pi * j + rng.uniform(-0.5, 0.5)
            d = rng.uniform(0.11, 0.15)
            s = eased((t - at) / d) + 0.12 * eased((t - at - d * 0.7) / 0.1)
            s = s - 0.12 * eased((t - at - d * 0.7 - 0.1) / 0.25)
            back = 1 - eased((t - at - d - 0.3) / rng.uniform(1.0, 2.0)) * rng.uniform(0.3, 1.0)
            self.pose["tx"] += px * np.cos(way) * s * back
            self.pose["ty"] += px * np.sin(way) * 0.7 * s * back
            axis = str(rng.choice(["yaw", "roll", "pitch"]))
            self.pose[axis] += rng.choice([-1, 1]) * 3 * s * back
            self.note("jerk", at, at + d + 0.3, px=round(px, 1), deg_axis=axis)

    def talk(self) -> Talk:
        """Talk as long as the clip; it moves nothing yet. ValueError where nobody talks."""
        if self._tracks is None:
            raise ValueError("this condition needs a video of somebody who talks")
        return talk(self.rng, self.count, self.head.eye_px, self._tracks)

    def speak(self, words: Talk, share: Any = None) -> None:
        """Let mouth and jaw do it; ``share``: (N,) how much of it."""
        self.jaw += words.jaw if share is None else words.jaw * share
        for name in TALK:
            px = words.fields[name] if share is None else words.fields[name] * share
            self.act(name, px.astype(np.float32))

    def blinks(self) -> None:
        """Every three to five seconds, now and then twice; the brows take part a little."""
        rng, t = self.rng, self.t
        at = rng.uniform(0.4, 3.0)
        while at < self.seconds - 0.5:
            down, shut, up = rng.uniform(0.07, 0.1), rng.uniform(0.01, 0.05), rng.uniform(0.13, 0.22)
            opens = ((t - at - down - shut) / up).clip(0, 1) ** 0.75
            lid = rng.uniform(0.9, 1.0) * eased((t - at) / down) * (1 - eased(opens))
            lag = int(rng.integers(0, 2))
            self.closed[0] = np.maximum(self.closed[0], lid)
            self.closed[1] = np.maximum(self.closed[1], np.r_[np.zeros(lag), lid[: self.count - lag]])
            for name, px in (("4l", 0.25), ("4r", 0.25), ("7l", 0.5), ("7r", 0.5)):
                self.act(name, px * self.scale * lid)
            self.note("blink", at, at + down + shut + up)
            at += down + shut + up + (rng.uniform(2.7, 4.7) if rng.random() < 0.92 else 0.15)

    def end(self) -> None:
        """Lids as they are in the end: blinks over squints, lower where the eyes look down. All in order of time."""
        closed = np.maximum(self.closed, self.squint)
        self.closed = np.clip(closed + np.maximum(self.gaze[1], 0) * 0.06, 0, 1)
        self.events.sort(key=lambda event: event["onset_frame"])
        self.other.sort(key=lambda event: event["from_frame"])


def _regions(name: str) -> list[str]:
    if name[-1] in "lr":
        return [region for region in _REGIONS[name[:-1]] if region.endswith("_" + name[-1]) or "_" not in region]
    return list(_REGIONS[name])


def _units(name: str) -> list[str]:
    side = {"l": " (image left)", "r": " (image right)"}.get(name[-1], "")
    return [f"AU{unit}{side}" for unit in name.rstrip("lr").split("+")]
