"""The 18 kinds of clips. The order in which each draws its random numbers is part of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.blind_bed.courses import FPS, drift, eased, steps
from bench.blind_bed.props import Hand
from bench.blind_bed.script import ALL, BROWS, Script

TALKING = ("talk", "talkonly", "mixed")
MICRO_PX = {"faint": 0.7, "far": 1.0}
"""Size of the micro-expressions where it isn't 1.5 px."""


def _base(s: Script) -> None:
    s.micros(s.places(3))


def _yaw2(s: Script) -> None:
    rng, t = s.rng, s.t
    rng.choice([-1, 1])  # drawn and unused in the first clips, whose random numbers these are
    turns = np.cumsum(1 / (FPS * np.interp(t, np.linspace(0, s.seconds, 6), rng.uniform(3, 7, 6))))
    size = np.interp(t, np.linspace(0, s.seconds, 7), rng.uniform(0.75, 1.1, 7))
    s.pose["yaw"] += 2 * size * np.sin(2 * np.pi * (turns + rng.random()))
    s.note("turn", 0, s.seconds, deg=2)
    s.micros(s.places(3))


def _yaw8(s: Script) -> None:
    """Looks aside and back; the eyes run ahead of the head."""
    rng, t, at, now = s.rng, s.t, s.rng.uniform(0.8, 1.6), 0.0
    times, values, durations = [], [], []
    while at < s.seconds - 1:
        if abs(now) > 2 and rng.random() < 0.55:
            goal = 0.0
        else:
            goal = rng.uniform(5, 8) * (rng.choice([-1, 1]) if abs(now) < 2 else -np.sign(now))
        d = 0.35 + 0.035 * abs(goal - now) + rng.uniform(0, 0.25)
        times.append(at)
        values.append(goal)
        durations.append(d)
        s.note("turn", at, at + d, from_deg=round(now, 1), to_deg=round(goal, 1))
        glance = 2.0 * np.sign(goal - now) * (eased((t - at + 0.06) / 0.05) - eased((t - at - 0.1) / (d * 0.8)))
        s.gaze[0] += glance * s.scale
        now = goal
        at += d + rng.uniform(0.7, 2.2)
    yaw = steps(t, times, values, durations)
    s.pose["yaw"] += yaw
    s.pose["roll"] += 0.12 * yaw
    s.pose["pitch"] += steps(t, times, list(rng.uniform(-1.2, 1.2, len(times))), durations)
    s.pose["tx"] += 0.12 * yaw * s.scale
    s.micros(s.places(3))


def _nod5(s: Script) -> None:
    rng, at = s.rng, s.rng.uniform(1, 2)
    while at < s.seconds - 1.6:
        nods, d = int(rng.integers(2, 4)), 1.5
        u = np.clip((s.t - at) / d, 0, 1)
        swing = np.sin(2 * np.pi * nods * u)
        s.pose["pitch"] += rng.uniform(4.2, 5.3) * np.sin(np.pi * u) ** 0.6 * swing * np.where(swing > 0, 1, 0.7)
        s.note("nod", at, at + d, nods=nods)
        at += d + rng.uniform(1.2, 2.6)
    s.micros(s.places(3))


def _talkonly(s: Script) -> None:
    words = s.talk()
    s.speak(words)
    for name, size in (("yaw", 0.7), ("pitch", 0.8), ("roll", 0.5)):
        s.pose[name] += drift(s.rng, s.count, 2.0, 0.15, 1.5) * size
    s.note("speech", 0, s.seconds, source=words.source)


def _talk(s: Script) -> None:
    _talkonly(s)
    s.micros(s.places(3), BROWS)


def _smilehold(s: Script) -> None:
    rng = s.rng
    for t in (rng.uniform(2.3, 2.7), rng.uniform(7.2, 7.4)):
        rise, hold, fall = rng.uniform(0.35, 0.55), rng.uniform(2.3, 2.6), rng.uniform(0.6, 0.8)
        px = rng.uniform(4, 6)
        smile = s.macro(t, "12", px, (rise, hold, fall), float(rng.uniform(0, 0.15)), tremble=0.025)
        s.act("6", smile.share * px * 0.25)
        s.micro(t + rise + rng.uniform(0.6, hold - 0.9), BROWS)


def _raise(s: Script) -> None:
    rng = s.rng
    for t in (rng.uniform(2.5, 3.2), rng.uniform(5.6, 6.4), rng.uniform(8.8, 9.4)):
        whole, rise, fall = rng.uniform(1, 2), rng.uniform(0.25, 0.4), rng.uniform(0.3, 0.5)
        s.macro(t, "1+2", 4.0, (rise, max(whole - rise - fall, 0.1), fall), float(rng.uniform(0, 0.25)))


def _jerk(s: Script) -> None:
    rng = s.rng
    times = [rng.uniform(1.0, 2.2), rng.uniform(4.8, 6.2), rng.uniform(8.6, 9.8)]
    s.jerks(times)
    s.micros(s.places(3, [(t, t + 0.5) for t in times]))


def _squint(s: Script) -> None:
    rng = s.rng
    for t in (rng.uniform(1.5, 2.5), rng.uniform(5, 6), rng.uniform(8.3, 9)):
        rise, fall = rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.8)
        hold = rng.uniform(0.6, 1.6)
        share = eased((s.t - t) / rise) * (1 - eased((s.t - t - rise - hold) / fall))
        closure = rng.uniform(0.22, 0.4)
        s.squint += closure * share
        s.act("6", 1.0 * share)
        s.act("7l", 0.9 * share)
        s.act("7r", 0.9 * share)
        s.note("squint", t, t + rise + hold + fall, closure=round(closure, 2))
    _glances(s)


def _idle(s: Script) -> None:
    """Shifts in the seat, again and again, and looks about."""
    rng, at = s.rng, s.rng.uniform(1, 2)
    while at < s.seconds - 1.5:
        d = rng.uniform(0.7, 1.5)
        px = rng.uniform(2.5, 6) * s.scale
        way = rng.uniform(0, 2 * np.pi)
        share = eased((s.t - at) / d)
        s.pose["tx"] += px * np.cos(way) * share
        s.pose["ty"] += px * np.sin(way) * 0.6 * share
        s.pose["tz"] += rng.uniform(-6, 6) * share
        for name in ("yaw", "pitch", "roll"):
            s.pose[name] += rng.uniform(-2.5, 2.5) * share
        s.note("posture", at, at + d, px=round(px, 1))
        at += d + rng.uniform(1.3, 3)
    _glances(s)


def _glances(s: Script) -> None:
    rng, at, now = s.rng, s.rng.uniform(0.5, 1.5), np.zeros(2)
    while at < s.seconds - 0.3:
        if np.hypot(*now) < 1.5 or rng.random() < 0.4:
            goal = np.array([rng.uniform(-3, 3), rng.uniform(-0.8, 0.8)]) * s.scale
        else:
            goal = np.zeros(2)
        d = rng.uniform(0.035, 0.06)
        s.gaze += (goal - now)[:, None] * eased((s.t - at) / d)
        s.note("gaze", at, at + d, px=[round(float(v), 2) for v in goal - now])
        now = goal
        at += rng.uniform(0.7, 2.0)


def _lean(s: Script) -> None:
    """8 % nearer, and back."""
    rng = s.rng
    at, hold = rng.uniform(1.5, 3.5), rng.uniform(1.5, 3.5)
    share = eased((s.t - at) / 2.0) * (1 - eased((s.t - at - 2 - hold) / 2.0))
    s.pose["tz"] -= 0.08 / 1.08 * s.head.camera_px * share
    s.pose["ty"] += 4 * share
    s.pose["pitch"] -= 1.5 * share
    s.note("lean", at, at + 2)
    s.note("lean back", at + 2 + hold, at + 4 + hold)
    s.micros(s.places(3))


def _swallow(s: Script) -> None:
    rng = s.rng
    for t in (rng.uniform(2, 3), rng.uniform(5, 6.4), rng.uniform(8.6, 9.8)):
        rise, fall = rng.uniform(0.25, 0.4), rng.uniform(0.35, 0.6)
        hold, now = rng.uniform(0.05, 0.25), s.t - t
        throat = eased(now / rise) * (1 - eased((now - rise - hold) / fall))
        lips = eased((now + 0.1) / rise) * (1 - eased((now - rise - hold - 0.1) / (fall + 0.1)))
        s.act("larynx", rng.uniform(3, 5) * throat)
        s.act("floor", rng.uniform(1.2, 2.0) * throat)
        s.act("17", rng.uniform(0.6, 1.2) * lips)
        s.act("24u", rng.uniform(0.5, 0.9) * lips)
        s.act("24l", rng.uniform(0.5, 0.9) * lips)
        s.pose["pitch"] -= 0.4 * throat
        s.note("swallow", t - 0.1, t + rise + hold + fall + 0.1)


def _hand(s: Script) -> None:
    rng = s.rng
    times = [rng.uniform(1.2, 2.0), rng.uniform(6.2, 7.2)]
    for j, t in enumerate(times):
        lower = bool((j + s.number) % 2)
        s.hands.append((t, Hand(s.head, rng, lower)))
        s.note("hand", t, t + 1, half="lower" if lower else "upper")
    for _ in range(20000):
        onsets = np.sort(rng.uniform(3, s.seconds - 1.2, 3))
        apart = np.all(np.diff(onsets) >= 2.0)
        if apart and all(x >= t + 2.0 or x + 0.5 <= t - 0.3 for x in onsets for t in times):
            s.micros(onsets)
            return
    raise ValueError(f"no room for three movements in {s.seconds:g} s")


def _mixed(s: Script) -> None:
    """All of it: a jerk, a while of talk, turns, a nod, a squint, glances."""
    rng, t = s.rng, s.t
    jerk, says, long = rng.uniform(1, 10.5), rng.uniform(0.5, 8.5), rng.uniform(2, 3)
    words = s.talk()
    s.speak(words, eased((t - says) / 0.25) * (1 - eased((t - says - long) / 0.25)))
    s.note("speech", says, says + long + 0.25, source=words.source)
    s.jerks([jerk])
    at, now = rng.uniform(0.8, 2.0), 0.0
    times, values, durations = [], [], []
    while at < s.seconds - 1:
        back = abs(now) > 2 and rng.random() < 0.6
        goal = 0.0 if back else rng.uniform(3, 7) * rng.choice([-1, 1])
        d = 0.4 + 0.035 * abs(goal - now) + rng.uniform(0, 0.3)
        times.append(at)
        values.append(goal)
        durations.append(d)
        s.note("turn", at, at + d, from_deg=round(now, 1), to_deg=round(goal, 1))
        now = goal
        at += d + rng.uniform(1.5, 4)
    yaw = steps(t, times, values, durations)
    s.pose["yaw"] += yaw
    s.pose["roll"] += 0.1 * yaw
    nods = rng.uniform(1, 9.5)
    u = np.clip((t - nods) / 1.2, 0, 1)
    s.pose["pitch"] += rng.uniform(2, 4) * np.sin(np.pi * u) ** 0.6 * np.sin(4 * np.pi * u)
    s.note("nod", nods, nods + 1.2, nods=2)
    squints = rng.uniform(1, 9)
    share = eased((t - squints) / 0.5) * (1 - eased((t - squints - 1.5) / 0.6))
    s.squint += 0.25 * share
    s.act("6", 0.8 * share)
    s.note("squint", squints, squints + 2.1, closure=0.25)
    for _ in range(4):
        at, px = rng.uniform(0.5, 11), rng.uniform(-3, 3)
        s.gaze[0] += px * (eased((t - at) / 0.045) - eased((t - at - rng.uniform(0.4, 1.2)) / 0.05))
        s.note("gaze", at, at + 0.045, px=[round(px, 2), 0])
    for onset in s.places(3, [(jerk, jerk + 0.5)], clear=0.3):
        if says - 0.3 < onset < says + long + 0.5:
            s.micro(onset, BROWS)
        else:
            s.micro(onset, ALL)


CONDITIONS: dict[str, Callable[[Script], None]] = {
    "base": _base,
    "yaw2": _yaw2,
    "yaw8": _yaw8,
    "nod5": _nod5,
    "talk": _talk,
    "talkonly": _talkonly,
    "smilehold": _smilehold,
    "raise": _raise,
    "jerk": _jerk,
    "squint": _squint,
    "lean": _lean,
    "swallow": _swallow,
    "hand": _hand,
    "faint": _base,
    "far": _base,
    "idle": _idle,
    "mixed": _mixed,
    "glasses": _base,
}
"""Names, in the order in which they take the faces."""
