"""What was measured of a rig, what it is good for, and what to change first."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["good", "usable", "not for micro-expressions"]
GOOD_FPS, LEAST_FPS = 100.0, 60.0
"""Micro-expressions last 40 to 500 ms: ten frames of a short one, and six."""
GOOD_PX, MOST_PX = 0.4, 0.8
"""Of a face 152 px wide. The movements of coded micro-expressions reach 0.5 to 3 px there."""
LONG_MS = 10.0
"""A frame at 100 fps; the rise of a short micro-expression takes 40."""
GOOD_LOSS, MOST_LOSS = 0.1, 2.0
"""%"""


class Figures(msgspec.Struct, kw_only=True):
    """One rig; ``--json`` writes it as it is."""

    source: str
    detail: str
    width: int
    height: int
    seconds: float
    frames: int
    fps_requested: float | None
    fps_granted: float
    fps_measured: float
    """By the frames' time stamps and numbers."""
    jitter_ms: float
    """Standard deviation of the time between two frames."""
    jitter_p99_ms: float
    """Largest deviation from the period, but for one in a hundred."""
    lost: int
    """Frames whose numbers never came."""
    lost_percent: float
    left_out: int
    """Frames that this machine had no time to analyse."""
    left_out_percent: float
    exposure_ms: float | None = None
    """When the measuring ended; null: the camera does not say."""
    exposure_auto: bool | None = None
    """The camera chooses it; null: it does not say."""
    brightness: float
    """Mean grey level of the face, or of the picture where there is none."""
    dark_percent: float
    bright_percent: float
    noise_grey: float | None
    flicker_hz: float
    flicker_percent: float
    blur: float | None
    """0 sharp … 1 blurred; null without a face."""
    face_width_px: float | None
    """Null: there was none."""
    face_percent: float
    """Of the frames that were analysed."""
    sensitivity_px: dict[str, float]
    """Per region the smallest movement that would be reported, px on a face 152 px wide; empty while unknown."""
    verdict: Verdict = "not for micro-expressions"
    advice: list[str] = []
    """What to change, first things first."""


def judge(figures: Figures) -> None:
    """Set verdict and advice."""
    severe, slight = _complaints(figures)
    figures.verdict = "not for micro-expressions" if severe else "usable" if slight else "good"
    figures.advice = [*severe, *slight]


def _complaints(f: Figures) -> tuple[list[str], list[str]]:
    """What makes a rig useless, and what makes it worse than it could be."""
    severe: list[str] = []
    slight: list[str] = []

    def hold(value: float, good: float, most: float, advice: str) -> None:
        """Larger is worse."""
        if value > most:
            severe.append(advice)
        elif value > good:
            slight.append(advice)

    fps, wide_px = f.fps_measured, f.face_width_px
    if wide_px is None:
        severe.append("no face was found: sit before the camera, facing it, and run the check again")
    slow = f"{fps:.0f} frames a second: a faster mode (--list-cameras), a smaller picture, a shorter exposure"
    hold(-fps, -GOOD_FPS, -LEAST_FPS, slow)
    if f.fps_requested and fps < 0.97 * f.fps_requested and -fps <= -GOOD_FPS:
        slight.append(f"{fps:.0f} of {f.fps_requested:.0f} frames a second come: more light, a fixed short exposure")
    lost = f"{f.lost_percent:.2g} % of the frames are lost: a USB port and a cable of the camera's own"
    hold(f.lost_percent, GOOD_LOSS, MOST_LOSS, lost)
    late = f"{f.left_out_percent:.2g} % of the frames could not be analysed: a faster machine, fewer frames a second"
    hold(f.left_out_percent, GOOD_LOSS, MOST_LOSS, late)
    white = f"{f.bright_percent:.0f} % of the face is white: less light, or a shorter exposure"
    hold(f.bright_percent, 1.0, 10.0, white)
    if f.exposure_ms is not None and f.exposure_ms > LONG_MS:
        slight.append(f"the exposure is {f.exposure_ms:.1f} ms, which blurs what is quick: more light, {LONG_MS:g} ms")
    if f.brightness < 40 or f.dark_percent > 5:
        slight.append(f"the face is dark (grey level {f.brightness:.0f} of 255): more light on it")
    if wide_px is not None:
        hold(-wide_px, -120.0, -60.0, f"the face is {wide_px:.0f} px wide: closer, or a longer lens")
    if f.flicker_percent > 3.0:
        what = f"{f.flicker_percent:.1f} % at {f.flicker_hz:.1f} Hz"
        slight.append(f"the light flickers ({what}): use LEDs on direct current")
    if f.blur is not None:
        hold(f.blur, 0.55, 0.75, "the face is blurred: set the focus by hand, shorten the exposure")
    if f.sensitivity_px:
        worst = max(f.sensitivity_px, key=lambda name: f.sensitivity_px[name])
        px = f.sensitivity_px[worst]
        unseen = f"movements below {px:.2f} px go unseen ({worst}): more light, a larger face, a steady head"
        hold(px, GOOD_PX, MOST_PX, unseen)
    elif wide_px is not None:
        severe.append("the face was not at rest for long enough to learn its noise: hold still, check for longer")
    return severe, slight
