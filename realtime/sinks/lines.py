"""Lines of the event log: what users and other programs rely on. Fields may be added; none may change
meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from realtime.ipc.messages import Classified
from realtime.types import GapCause, Kind

CAUSES: tuple[GapCause, ...] = ("camera", "ring", "spotter", "reconnect")
LATENCIES = ("decide", "flow", "classify", "total")


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=lambda name: name[:-4].lower()):
    """Base of all lines; ``type`` is the struct's name without ``Line``."""


class SessionLine(Line, frozen=True, kw_only=True):
    """First line."""

    version: str
    """Of merealtime."""
    started_at: str
    """ISO 8601, UTC."""
    source: str
    """As the user named it."""
    fps_requested: float | None
    """Asked of the source; null: its own choice."""
    fps_measured: float
    """By the frames' own times, over the first half second or so."""
    width: int
    """px"""
    height: int
    """px"""
    pixel_format: str
    """That of the source; analysed is grey."""
    model: str
    """Name of the bundle."""
    flow_backend: str
    """``cpu`` or ``cuda``."""
    config_digest: str
    """Of the settings that can change a result: equal digests, comparable sessions."""
    fps_granted: float
    """By the camera, or the true rate of a recording."""
    live: bool
    """Frames that can't be analysed in time are dropped; false: the source waits."""
    detector: str
    """``spot.detector`` of the settings."""
    faces: int = 1
    """So many are followed at most."""
    source_detail: str = ""
    """What the source granted, in words."""
    start_up_s: dict[str, float] = {}
    """Seconds from the command until a stage was ready, and until the first frame was analysed."""
    first_frame: int | None = None
    """Number of the first frame that came in; null where none had."""
    first_t_ns: int | None = None
    """Its exposure, on the clock of all ``t_ns``."""


class EventLine(Line, frozen=True, kw_only=True):
    """A movement with its label."""

    id: int
    """0, 1, …"""
    kind: Kind
    """``micro`` up to ``spot.micro_max_s`` from onset to offset (see ``spot.micro_rule``)."""
    onset: int
    """Frame number; ``apex`` and ``offset`` too."""
    apex: int
    """First frame of full amplitude."""
    offset: int
    """Where the movement stops, back at rest or not; inclusive."""
    onset_t_ns: int
    """Monotonic clock."""
    apex_t_ns: int
    """Monotonic clock."""
    offset_t_ns: int
    """Monotonic clock."""
    label: str
    """``negative``, ``positive``, ``surprise`` or ``uncertain``."""
    scores: dict[str, float]
    """Of the three classes; sum 1."""
    spot_score: float
    """Peak over noise of the strongest region."""
    rois: dict[str, float]
    """Largest difference of each region, in the detector's unit."""
    latency_ms: dict[str, float]
    """Of the decision, the flow, the model, and all together."""
    face: int = 0
    """Which face: 0, 1, …, the same while it stays in view; with one face always 0."""
    head: dict[str, float] = {}
    """Yaw, pitch, roll at the apex against the frame in which the face was found, degrees."""
    magnitude_px: float = 0.0
    """Largest displacement of a region, px on a face 152 px wide."""
    residual: float = 0.0
    """Share of the peak that is left at the offset."""
    during: list[str] = []
    """What else went on: ``speech``, ``head turn``, ``macro``, ``blink``."""
    decided: int
    """Frame that completed the event: apex → decided is the algorithm's own waiting."""


class GapLine(Line, frozen=True, kw_only=True):
    """``count`` frames between ``first`` and ``last``, inclusive, were not analysed."""

    first: int
    """Frame number."""
    last: int
    """Frame number."""
    count: int
    """Of those between, how many; other gaps may lie there too."""
    cause: GapCause
    """Lost in the camera, lapped in the ring, left out by a spotter that was behind, or while the source was gone."""


class NoticeLine(Line, frozen=True, kw_only=True):
    """Something that the session survived."""

    what: str
    """``face lost``, ``stage restarted``, ``camera gone`` …"""
    detail: str
    """In words; may be empty."""
    t_ns: int
    """Monotonic clock."""
    sensitivity_px: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    """With ``sensitivity``: per region the smallest movement that would be reported, px on a face 152 px wide."""


class MarkerLine(Line, frozen=True, kw_only=True):
    """Somebody marked this moment."""

    text: str
    """As it was given; may be empty."""
    t_ns: int
    """When the request came in, monotonic clock."""
    frame: int
    """Number of the frame of that moment."""
    origin: str
    """``page``, ``control`` or ``lsl:NAME``."""


class TickLine(Line, frozen=True, kw_only=True):
    """State, some 20 times a second; published and shown, not logged."""

    frame: int
    """Frame number."""
    t_ns: int
    """Its exposure, monotonic clock."""
    difference: dict[str, float]
    """Per region, of this frame, in the unit of the detector; empty without a face."""
    face: bool | int
    """Whether there is one; where ``--faces`` follows several, which it is: 0, 1, …, one tick for each in view."""
    found: bool
    """Whether there is one. Without any, one tick says so."""
    fps: float
    """Frames a second that came in, over the last second."""
    dropped: int
    """Frames so far that were not analysed."""
    peak: dict[str, float] = {}
    """Per region, the largest difference since the tick before."""
    # dense mode only, else left out:
    strain: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    """Mean per ROI of frame ``dense_frame``, px per px; empty without a face."""
    flow: dict[str, tuple[float, float]] | msgspec.UnsetType = msgspec.UNSET
    """Mean u, v per ROI of that frame, crop px (the crop is 140 px wide)."""
    dense_frame: int | msgspec.UnsetType = msgspec.UNSET
    """The frame that was measured last."""
    dense_fps: float | msgspec.UnsetType = msgspec.UNSET
    """Frames measured so a second, over the last second."""
    dense_dropped: int | msgspec.UnsetType = msgspec.UNSET
    """Frames with a face, so far, that were not."""


class SummaryLine(Line, frozen=True, kw_only=True):
    """Last line. captured = analysed + Σ dropped."""

    frames_captured: int
    """Up to the last frame's number, lost ones with it."""
    frames_analysed: int
    """Seen by the spotter."""
    frames_dropped: dict[str, int]
    """Per cause of a gap."""
    events: int
    """Lines of type ``event``."""
    fps_measured: float
    """By the frames' own times, over the whole session."""
    latency_ms: dict[str, dict[str, float]]
    """p50, p95, p99 and max of each part of an event's latency."""
    seconds: float
    """First frame to last, by the clock."""
    ended: str
    """Why: ``end of source``, ``--duration``, ``SIGINT`` …"""
    restarts: int = 0
    """Stages that were started again."""
    ticks_lost: int = 0
    """Ticks that the supervisor never got."""
    recording: dict[str, int | str] | None = None
    """Frames written and left out, those found readable on disk at the end, the folder; null without ``--record``."""
    sensitivity_px: dict[str, float] = {}
    """The last that was stated, see the notice; of whichever face."""
    connections: dict[str, int] = {}
    """To ``--publish``: how many came, were refused (no ZeroMQ, no key, too much, too many), left by themselves."""
    messages_refused: int = 0
    """What came to the session's own sockets and was no message of its stages."""
    stages: dict[str, dict[str, float]] = {}
    """Per stage: seconds at work, and what else it counted."""


AnyLine = SessionLine | EventLine | GapLine | NoticeLine | MarkerLine | TickLine | SummaryLine


def event_line(done: Classified, now_ns: int) -> EventLine:
    """The line of a classified event, written at ``now_ns`` (monotonic)."""
    event = done.event

    def ms(begin_ns: int, end_ns: int) -> float:
        return round(max(0, end_ns - begin_ns) / 1e6, 3)

    return EventLine(
        id=done.id,
        kind=event.kind,
        onset=event.onset,
        apex=event.apex,
        offset=event.offset,
        onset_t_ns=event.onset_t_ns,
        apex_t_ns=event.apex_t_ns,
        offset_t_ns=event.offset_t_ns,
        label=done.label,
        scores=done.scores,
        spot_score=event.score,
        rois=event.rois,
        decided=event.decided,
        face=event.face,
        head=event.head,
        magnitude_px=event.magnitude_px,
        residual=event.residual,
        during=event.during,
        latency_ms={
            "decide": ms(done.capture_ns, done.spotted_ns),
            "flow": ms(done.spotted_ns, done.mapped_ns),
            "classify": ms(done.mapped_ns, done.sent_ns),
            "total": ms(done.capture_ns, now_ns),
            "transfer": ms(done.capture_ns, done.ring_ns),
            "queue": ms(done.ring_ns, done.taken_ns),
            "spot": ms(done.taken_ns, done.spotted_ns),
        },
    )


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 (nearest rank) and max; empty without values."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    found = {f"p{p}": ordered[min(last, -(-p * len(ordered) // 100) - 1)] for p in (50, 95, 99)}
    return {**found, "max": ordered[last]}


class State(msgspec.Struct, kw_only=True):
    """What a view shows: gathered by the supervisor, read by sinks."""

    phase: Literal["starting", "running", "draining", "ended"] = "starting"
    session: SessionLine | None = None
    seconds: float = 0.0
    fps: float = 0.0
    """Frames a second that came in, over the last second."""
    captured: int = 0
    analysed: int = 0
    dropped: dict[str, int] = {}
    face: bool | None = None
    recording: bool | None = None
    """Whether frames are kept now; null where none are to be."""
    load: dict[str, float] = {}
    """Per stage: share of the last second at work, 0..1."""
    queue: dict[str, int] = {}
    alive: dict[str, str] = {}
    """Per stage: starting, running, restarting, ended."""
