"""Plain data that crosses module borders. Imports nothing of ours.

Arrays are named by shape, dtype, range and unit wherever they appear:
``gray: (H, W) uint8``, ``landmarks: (N, 2) float32, px``, ``flow: (H, W, 2) float32, px``.
Frame numbers count the source's own frames from 0; times are monotonic nanoseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

LABELS = ("negative", "positive", "surprise")
"""Class order of every score vector in the project (MEGC 2019: 0, 1, 2)."""

Kind = Literal["micro", "macro"]
MICRO_MAX_S = 0.5
"""The field's bound: a movement longer than this (offset − onset) is a macro-expression."""

GapCause = Literal["camera", "ring", "spotter", "reconnect"]


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a source granted when it was opened."""

    source: str
    """As the user named it: ``0``, ``clip.mp4``, ``demo:3`` …"""
    kind: Literal["camera", "recording", "stream", "demo"]
    width: int
    height: int
    fps: float
    """Granted (camera) or true capture rate (recording), frames per second."""
    fps_requested: float | None = None
    pixel_format: str = "GREY"
    live: bool = True
    """A live source never waits; a recording does, unless ``--live``."""
    silence_s: float = 0.0
    """How long opening it again, or a read that fails, may take."""
    frame_count: int | None = None
    """Number of frames where it is known beforehand."""
    detail: str = ""
    """One line for the user: driver, card, codec, what was granted instead of what was asked."""


MAX_FPS = 10_000.0
"""The one ceiling of frame rates: no camera of this field is faster, and a file that says more gives a time base."""
Rate = Annotated[float, msgspec.Meta(gt=0, le=MAX_FPS)]
"""Frames a second."""
SidePx = Annotated[int, msgspec.Meta(ge=10, le=99_999)]


PixelFormat = Literal["auto", "GREY", "YUYV", "MJPG", "Mono8", "Mono10", "Mono12", "Mono16"]


class SourceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asks of a source; `config.SourceSettings` adds which one, and when to stop."""

    fps: Rate | None = None
    size: tuple[SidePx, SidePx] | None = None
    """(width, height), px; ``"640x480"`` in a settings file and on the command line."""
    pixel_format: PixelFormat = "auto"
    live: bool = False
    """Play a recording in real time, dropping what is late."""
    exposure_us: Annotated[float, msgspec.Meta(gt=0, le=1e8)] | None = None
    """GenICam and GenTL cameras; automatic exposure goes off."""
    gain: Annotated[float, msgspec.Meta(ge=-100, le=100_000)] | None = None
    """GenICam and GenTL cameras, in the camera's own unit: dB mostly; automatic gain goes off."""
    trigger: str | None = None
    """GenICam and GenTL cameras: the source of the trigger that starts each frame, as ``Line1``."""
    features: dict[str, bool | int | float | str] = {}
    """GenICam and GenTL cameras: any feature by its name, set first and in this order."""
    truth: str | None = None
    """Demo only: file to write the ground truth to (JSON lines)."""


class Stamp(msgspec.Struct, frozen=True):
    """Identity of one frame."""

    number: int
    """Frame number of the source; a hole means lost frames."""
    t_ns: int
    """Exposure time, monotonic ns (driver's time stamp where there is one)."""


class SpotEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A spotted movement: frame numbers, offset inclusive."""

    kind: Kind
    onset: int
    apex: int
    offset: int
    onset_t_ns: int
    apex_t_ns: int
    offset_t_ns: int
    score: float
    """Peak signal over noise of the strongest ROI."""
    rois: dict[str, float]
    """Peak difference per ROI, in the unit of the detector."""
    moved: dict[str, tuple[float, float]] = {}
    """(right, down) of each ROI that took part, in that unit, where the movement was furthest; none: not measured."""
    decided: int
    """Frame number whose arrival completed the event."""
    residual: float = 0.0
    """Share of the peak that is left where the movement stops."""
    face: int = 0
    head: dict[str, float] = {}
    """Yaw, pitch, roll at the apex against the frame in which the face was found, degrees."""
    magnitude_px: float = 0.0
    """Largest displacement of a region, px on a face 152 px wide."""
    during: list[str] = []
    """What else went on: ``speech``, ``head turn``, ``macro``, ``blink``."""
