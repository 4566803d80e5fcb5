"""What a spotter takes over from one that died: what was counted, what was sent, and where to begin.

Live it goes back into the ring, to the oldest frame that it needs to find what was under way and can still read: what
it sees a second time is neither counted nor told again. A recording is begun again from its first frame: the events of
its start are those of an undisturbed run only if everything has been seen since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.ipc import messages
from realtime.ipc.board import Row
from realtime.ipc.ring import RingReader
from realtime.ipc.sent import SentEvents
from realtime.types import SpotEvent

_SETTLE_S = 0.5
"""A spotter that starts so long before a movement finds it: half of that was enough for each tried."""


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """Frames up to number ``told`` have been counted; what they brought about has been told."""

    begin: int
    """Ring index of the first frame to look at."""
    counted: int
    """Ring index of the first frame that is not in the counters."""
    told: int = -1
    frames: int = 0
    next_id: int = 0
    sent: list[messages.Spotted] = field(default_factory=list)

    def has_told(self, event: SpotEvent) -> bool:
        """Whether the predecessor has sent that movement, as it saw it."""
        from realtime.vision.spotting.assemble import is_same

        if event.onset > self.told:
            return False
        return any(known.event.face == event.face and is_same(known.event, event) for known in self.sent)


def take_over(row: Row, reader: RingReader, order: messages.Control, kept: SentEvents | None) -> Takeover:
    """From the counters of a predecessor, and from what it kept; without one, the beginning."""
    live = order.info is None or order.info.live
    told, frames, counted = row.get("last_number"), row.get("frames"), row.get("next_index")
    if not live and order.first >= counted:
        reader.release(order.first - 1)
        return Takeover(begin=order.first, counted=order.first, told=told, frames=frames)
    if not frames:
        return Takeover(begin=reader.start, counted=reader.start)
    sent = kept.all() if kept is not None else []
    next_id = max([row.get("next_id"), *(message.id + 1 for message in sent)])
    row.put("next_id", next_id)  # one that was kept and not sent will be asked for
    begin = reader.catch_up(min(row.get("needed_index"), counted))
    return Takeover(begin=begin, counted=counted, told=told, frames=frames, next_id=next_id, sent=sent)


class Needed:
    """The oldest frame that a successor must see: before what moves, and before what moved a moment ago.

    Who begins in the midst of a fall takes the place that it falls from for rest, and sees a movement where it ends.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._since_ns: int | None = None
        self._moved_ns = 0

    def index(self, index: int, t_ns: int, open_since_ns: int | None) -> int:
        """index: of the next frame. t_ns: of the last one. open_since_ns: when the oldest movement began that is not
        over, None at rest.
        """
        if open_since_ns is not None:
            self._since_ns = min(open_since_ns, t_ns if self._since_ns is None else self._since_ns)
            self._moved_ns = t_ns
        elif self._since_ns is not None and t_ns - self._moved_ns > _SETTLE_S * 1e9:
            self._since_ns = None
        open_s = 0.0 if self._since_ns is None else max(0, t_ns - self._since_ns) / 1e9
        return max(0, index - 1 - round((open_s + _SETTLE_S) * self._fps))
