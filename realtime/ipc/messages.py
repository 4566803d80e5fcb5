"""Messages between stages: frozen structs, tagged, packed with MessagePack.

Pixels of whole frames never come this way (they stay in the ring). A spotted event carries its two aligned
crops as bytes with their shape, so that nothing downstream is hurt when the ring laps.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from realtime.types import GapCause, SourceInfo, SpotEvent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Crops = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]


class Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, gc=False):
    """Base of everything that is sent; the tag is the struct's name in lower case."""


class Opened(Message, frozen=True, kw_only=True):
    """Capture has opened the source and waits for the ring."""

    info: SourceInfo


class Ready(Message, frozen=True, kw_only=True):
    """A stage is warm: kernels compiled, models loaded."""

    stage: str
    pid: int
    seconds: float
    detail: dict[str, str] = {}
    """What the user may want to know: flow backend, model, regions …"""
    refused: list[str] = []
    """Real-time habits that were asked for and that the system refused, one line each."""


class Progress(Message, frozen=True, kw_only=True):
    """What a stage is busy with during start-up."""

    stage: str
    text: str


class Gap(Message, frozen=True, kw_only=True):
    """Frames that were not analysed: ``count`` of those between ``first`` and ``last``, both inclusive."""

    first: int
    last: int
    count: int
    cause: GapCause


class Notice(Message, frozen=True, kw_only=True):
    """Something that the user should know, and that the session survives."""

    what: str
    detail: str
    t_ns: int
    sensitivity_px: dict[str, float] = {}
    """Per region the smallest movement that would be reported, px on a face 152 px wide: with ``sensitivity`` only."""


class Failed(Message, frozen=True, kw_only=True):
    """A stage gives up; one line for the user, the traceback for ``--debug``."""

    stage: str
    text: str
    exit_code: int
    traceback: str = ""


class Ended(Message, frozen=True, kw_only=True):
    """Travels down the pipeline behind the last event, so that each stage drains before it leaves."""

    stage: str
    detail: dict[str, float] = {}
    reason: str = ""
    """Capture: why it stopped, where it was not told to."""


class Tick(Message, frozen=True, kw_only=True):
    """State of the spotter, some 20 times a second. Lossy: ``seq`` shows what was lost.

    Where several faces are followed, one for each that is in view, or one of face 0 that is not found.
    """

    seq: int
    frame: int
    t_ns: int
    difference: dict[str, float]
    """Per ROI, of this frame, in the unit of the detector."""
    peak: dict[str, float]
    """Per ROI, largest since the tick before."""
    face: bool | int
    """Where one face is followed, whether there is one; else which it is, 0, 1, …"""
    found: bool
    """There is a face."""


class Curves(Message, frozen=True, kw_only=True):
    """Spotter → supervisor with ``--lsl``: the curves of every frame since the last tick. Lossy: ``seq``."""

    seq: int
    """Of its own, beside that of the ticks."""
    frames: list[int]
    """Frame numbers; a frame has a row for each face that is in view."""
    t_ns: list[int]
    faces: list[int]
    found: list[bool]
    values: bytes
    """(rows, ROIs) float32, in the unit of the detector; NaN without a face."""


class Pose(Message, frozen=True, kw_only=True):
    """Spotter → motion in dense mode, each frame with a face. Lossy: ``seq`` shows what was lost."""

    seq: int
    frame: int
    index: int
    """Ring index of the frame."""
    t_ns: int
    transform: bytes
    """(2, 3) float64: frame px → crop px."""
    mesh: bytes
    """(478, 2) float32, crop px."""
    anchor: int
    """Another number each time that the spotter's reference begins anew."""
    resting: bool
    """No movement is under way."""


class Dense(Message, frozen=True, kw_only=True):
    """Motion → supervisor in dense mode, some 20 times a second. Lossy: ``seq`` shows what was lost."""

    seq: int
    frame: int
    t_ns: int
    strain: dict[str, float]
    """Mean per ROI, px per px."""
    flow: dict[str, tuple[float, float]]
    """Mean u, v per ROI, crop px."""
    fps: float
    dropped: int
    """Frames with a face, so far, that were not measured."""


class Picture(msgspec.Struct, frozen=True, gc=False):
    """A gray picture: ``pixels`` are height × width bytes, row by row."""

    height: int
    width: int
    pixels: bytes


class Spotted(Message, frozen=True, kw_only=True):
    """Spotter → motion: a movement with its crops. Times are monotonic ns."""

    id: int
    event: SpotEvent
    onset: Picture
    apex: Picture
    landmarks: bytes
    """(68, 2) float32, px in the crop."""
    capture_ns: int
    """Exposure of the frame that completed the event (a recording's: when it came into the ring)."""
    ring_ns: int
    """That frame was in the ring."""
    taken_ns: int
    """The spotter took it."""
    sent_ns: int


class Coming(Message, frozen=True, kw_only=True):
    """Motion → classify: a map follows within milliseconds. Lost or late it costs nothing but time."""

    id: int


class Mapped(Message, frozen=True, kw_only=True):
    """Motion → classify: an event with its feature map instead of its crops."""

    id: int
    event: SpotEvent
    features: bytes
    """(28, 28, 3) float32, 0..255, [u, v, strain]."""
    capture_ns: int
    ring_ns: int
    taken_ns: int
    spotted_ns: int
    sent_ns: int


class Classified(Message, frozen=True, kw_only=True):
    """Classify → supervisor: what becomes a line of the event log."""

    id: int
    event: SpotEvent
    label: str
    scores: dict[str, float]
    capture_ns: int
    ring_ns: int
    taken_ns: int
    spotted_ns: int
    mapped_ns: int
    sent_ns: int


class Unclassified(Message, frozen=True, kw_only=True):
    """Motion or classify → supervisor: this event failed there and gets no line; do not wait for it."""

    id: int
    stage: str
    reason: str


class Outline(Message, frozen=True, kw_only=True):
    """Spotter → page, some 20 a second, one for each face: what is followed, where it is. Lossy: ``seq``."""

    seq: int
    frame: int
    index: int
    """Ring index of the frame."""
    t_ns: int
    face: int
    corners: bytes
    """(n, 2) float32, frame px: the regions' outlines, one after the other, in the order of ``threshold``."""
    counts: list[int]
    """How many corners each region has."""
    patches: bytes
    """(m, 4) float32, frame px: each patch's place at rest and how far it has moved, the rigid ones first."""
    rigid: int
    """How many of the patches hold the head, not the face's movement."""
    threshold: dict[str, float]
    """Per ROI the difference that would open an event now, in the unit of the detector; 0 while unknown."""


class Told(Message, frozen=True, kw_only=True):
    """Supervisor → page: a line of the log, a tick or the state, as JSON. Lossy: ``seq`` shows what was lost."""

    seq: int
    line: bytes
    again: bool = False
    """Told before under this ``seq``, maybe to a process that has died since."""


class Command(Message, frozen=True, kw_only=True):
    """What somebody asks of a running session, by the page or by ``--control``."""

    do: Literal["mark", "rest", "record", "stop"]
    text: str = ""
    """mark: what to call it."""
    on: bool = True
    """record: begin or pause."""
    t_ns: int = 0
    """When the request came in, monotonic ns."""
    frame: int | None = None
    """mark: number of the frame of that moment, where it is known already."""
    origin: str = "page"


class Rows(Message, frozen=True, kw_only=True):
    """Spotter → recorder, some ten times a second: every frame's curves."""

    rows: bytes
    """(n,) ``realtime.session.curves.ROW``."""


class Span(Message, frozen=True, kw_only=True):
    """Spotter → recorder: from when to when an event lasts, ns of exposure."""

    id: int
    onset_t_ns: int
    offset_t_ns: int


class Hello(Message, frozen=True, kw_only=True):
    """Handshake: sent until the sender hears itself."""

    token: str


Report = Opened | Ready | Progress | Gap | Notice | Failed | Ended | Classified | Unclassified | Command
"""What stages tell the supervisor, reliably."""

Work = Spotted | Coming | Mapped | Ended
"""What travels down the pipeline, reliably."""


class Control(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Supervisor → stage, answered by Reply."""

    order: Literal["ring", "start", "stop", "resend", "rest", "record"]
    ring: str = ""
    info: SourceInfo | None = None
    fps: float = 0.0
    first: int = 0
    """ring: index at which the source begins; above 0 where a recording has been begun again."""
    ids: list[int] = []
    """resend: the events that are missed, maybe none. The end mark, where it was given, follows them again."""
    on: bool = True
    """record: go on, or pause."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stage's answer to a Control."""

    ok: bool
    detail: str = ""


_encoder = msgspec.msgpack.Encoder()
_report: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_work: msgspec.msgpack.Decoder[Work] = msgspec.msgpack.Decoder(Work)
_broadcast: msgspec.msgpack.Decoder[Tick | Curves | Dense | Hello] = msgspec.msgpack.Decoder(
    Tick | Curves | Dense | Hello
)
_pose = msgspec.msgpack.Decoder(Pose)
_outline = msgspec.msgpack.Decoder(Outline)
_told = msgspec.msgpack.Decoder(Told)
_kept: msgspec.msgpack.Decoder[Rows | Span | Ended] = msgspec.msgpack.Decoder(Rows | Span | Ended)
_control = msgspec.msgpack.Decoder(Control)
_reply = msgspec.msgpack.Decoder(Reply)


T = TypeVar("T")


def _strictly(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    """Decode; msgspec.DecodeError for anything that is no such message, also text that is none, or nested endlessly."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        raise
    except (ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from error


def encode(message: Message | Control | Reply) -> bytes:
    """MessagePack of any message."""
    return _encoder.encode(message)


def decode_report(data: bytes) -> Report:
    """A message to the supervisor; msgspec.DecodeError if it is none."""
    return _strictly(_report, data)


def decode_work(data: bytes) -> Work:
    """A message of the pipeline; msgspec.DecodeError if it is none."""
    return _strictly(_work, data)


def decode_broadcast(data: bytes) -> Tick | Curves | Dense | Hello:
    """A tick of the spotter or of dense mode, or a handshake."""
    return _strictly(_broadcast, data)


def decode_pose(data: bytes) -> Pose:
    """Where the face is in a frame."""
    return _strictly(_pose, data)


def decode_outline(data: bytes) -> Outline:
    """Where what is followed is in a frame."""
    return _strictly(_outline, data)


def decode_told(data: bytes) -> Told:
    """A line for the page."""
    return _strictly(_told, data)


def decode_kept(data: bytes) -> Rows | Span | Ended:
    """What the recorder keeps beside frames."""
    return _strictly(_kept, data)


def decode_control(data: bytes) -> Control:
    """An order of the supervisor."""
    return _strictly(_control, data)


def decode_reply(data: bytes) -> Reply:
    """A stage's answer."""
    return _strictly(_reply, data)


def spotted(number: int, event: SpotEvent, crops: Crops, capture_ns: int, ring_ns: int, taken_ns: int) -> Spotted:
    """The message of an event that is sent now. crops: onset and apex (H, W) uint8, landmarks (68, 2) px in them."""
    onset, apex, landmarks = crops
    return Spotted(
        id=number,
        event=event,
        onset=pack_picture(onset),
        apex=pack_picture(apex),
        landmarks=landmarks.astype("float32").tobytes(),
        capture_ns=capture_ns,
        ring_ns=ring_ns,
        taken_ns=taken_ns,
        sent_ns=time.monotonic_ns(),
    )


def pack_picture(gray: npt.NDArray[np.uint8]) -> Picture:
    """(H, W) uint8 → Picture."""
    height, width = gray.shape
    return Picture(height, width, gray.tobytes())


def unpack_picture(picture: Picture) -> npt.NDArray[np.uint8]:
    """Picture → (H, W) uint8, read-only."""
    import numpy as np

    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.height, picture.width)
