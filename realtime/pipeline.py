"""The pipeline, declared once: which stages there are, what each consumes and emits, and in what order they start.

    source ─► capture ─► ring ─► spot ─► motion ─► classify ─► supervisor ─► sinks
                          └────► record, web

A stage is the module ``realtime.stages.NAME`` and a process of its own. The supervisor starts what stands here, the
board has a row for each stage, settings are held against these names, and a stage gets no socket but those declared
for it. To add a stage: its module, a row here, and a channel where it takes messages. Imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RING = "ring"
"""Not a socket: gray frames in shared memory, one writer, many readers."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A socket in the session's private directory; whoever consumes it binds it."""

    name: str
    carries: tuple[str, ...]
    """Names of messages in ``realtime.ipc.messages``."""
    guarantee: Literal["reliable", "lossy"]
    """PUSH/PULL: nothing is dropped silently. PUB/SUB: what does not fit is dropped and counted."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One process. Beside what stands here each stage answers orders on ``control-NAME``."""

    name: str
    consumes: tuple[str, ...] = ()
    """Channels, or the ring."""
    emits: tuple[str, ...] = ("reports",)
    dense_consumes: tuple[str, ...] = ()
    """What it takes besides where ``flow.dense`` is on."""
    dense_emits: tuple[str, ...] = ()
    start_rank: int
    """All load side by side; those that take longest are spawned first."""
    real_time: bool = False
    """Frames wait for it: ``runtime.fifo_priority`` is for this one."""
    prompt: bool = False
    """What it does takes a millisecond an event: ``runtime.event_priority`` is for this one."""
    optional: bool = False
    """Runs only where the settings ask for it, and the session goes on without it."""
    keeps: bool = False
    """What it does is to be whole: a session that ends waits for it to be done with the last frame."""
    holds_back: bool = False
    """A recording that is played again waits for it: it has a cursor in the ring."""

    def needs_ring(self, *, dense: bool) -> bool:
        """Whether it waits for the ring before it is ready."""
        return RING in (*self.consumes, *self.emits, *(self.dense_consumes if dense else ()))

    def may_use(self, channel: str) -> bool:
        """Whether the channel is declared for it."""
        declared = {*self.consumes, *self.emits, *self.dense_consumes, *self.dense_emits, control_of(self.name)}
        return channel in declared


CHANNELS = (
    Channel(name="motion", carries=("Spotted", "Ended"), guarantee="reliable"),
    Channel(name="classify", carries=("Coming", "Mapped", "Ended"), guarantee="reliable"),
    Channel(name="poses", carries=("Pose",), guarantee="lossy"),
    Channel(name="ticks", carries=("Tick", "Curves", "Dense", "Hello"), guarantee="lossy"),
    Channel(name="outlines", carries=("Outline",), guarantee="lossy"),
    Channel(name="page", carries=("Told",), guarantee="lossy"),
    Channel(name="curves", carries=("Rows", "Span", "Ended"), guarantee="lossy"),
    Channel(
        name="reports",
        carries=(
            "Opened", "Ready", "Progress", "Gap", "Notice", "Failed", "Ended", "Classified", "Unclassified", "Command",
        ),
        guarantee="reliable",
    ),
)  # fmt: skip
SUPERVISOR_CONSUMES = ("reports", "ticks")
SUPERVISOR_EMITS = ("page",)

STAGES = (
    Stage(name="capture", emits=(RING, "reports"), start_rank=3, real_time=True),
    Stage(
        name="spot",
        consumes=(RING,),
        emits=("motion", "ticks", "outlines", "curves", "reports"),
        dense_emits=("poses",),
        start_rank=1,
        real_time=True,
        holds_back=True,
    ),
    Stage(
        name="motion",
        consumes=("motion",),
        emits=("classify", "reports"),
        dense_consumes=("poses", RING),
        dense_emits=("ticks",),
        start_rank=2,
    ),
    Stage(name="classify", consumes=("classify",), start_rank=0, prompt=True),
    Stage(name="record", consumes=(RING, "curves"), start_rank=4, optional=True, keeps=True, holds_back=True),
    Stage(name="web", consumes=(RING, "outlines", "page"), start_rank=5, optional=True),
)
"""In the order of the data."""

NAMES = tuple(stage.name for stage in STAGES)
BY_NAME = {stage.name: stage for stage in STAGES}
SPOTTER = "spot"
"""Where events come from; it keeps the last ones, to send them again."""
EVENT_PATH = tuple(
    stage.name
    for stage in STAGES
    if any(channel.name in stage.consumes and channel.guarantee == "reliable" for channel in CHANNELS)
)
"""The stages that each event passes behind the spotter."""
PROMPT = (*(stage.name for stage in STAGES if stage.real_time), *EVENT_PATH)
"""Frames or events wait for these: ``runtime.slice_us`` is for them."""


def control_of(stage: str) -> str:
    """The channel on which a stage answers orders."""
    return f"control-{stage}"


CURSORS = {stage.name: at for at, stage in enumerate(stage for stage in STAGES if stage.holds_back)}
"""Which cursor of a lossless ring is whose; the spotter's, which is always there, is the first."""


def stages_of(*, record: bool, web: bool = False) -> tuple[Stage, ...]:
    """The stages of a session, in the order of the data."""
    asked = {"record": record, "web": web}
    return tuple(stage for stage in STAGES if asked.get(stage.name, True))


def start_order(names: tuple[str, ...]) -> list[str]:
    """The order in which to spawn them."""
    return sorted(names, key=lambda name: BY_NAME[name].start_rank)
