"""What a recording keeps of the frames: all, a clip of each event, or none (``output.record_frames``)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from realtime.config import OutputSettings
from realtime.errors import UserError
from realtime.ipc import messages
from realtime.ipc.ring import FrameHeader, RingReader
from realtime.session.clips import ClipRecorder
from realtime.session.write import Recorder, make_folder
from realtime.stages.runner import StageContext

Gray = npt.NDArray[np.uint8]


class Keeper(Protocol):
    """What becomes of frames."""

    @property
    def written(self) -> int:
        """Frames that are on disk."""

    @property
    def last_number(self) -> int:
        """Number of the last frame that a predecessor wrote; −1 where it is not known."""

    @property
    def is_behind(self) -> bool:
        """Whether it holds as much as it may; who can wait had better give it no more."""

    def keep(self, reader: RingReader, index: int) -> FrameHeader | None:
        """Take the frame at ``index``; None where it was overwritten. OSError where the disk does not take it."""

    def pause(self) -> None:
        """What comes is not to be kept until ``keep`` is asked again."""

    def want(self, span: messages.Span) -> None:
        """There was an event."""

    def missing(self) -> int:
        """Frames beyond those of the ring and the disk that should be there and are not."""

    def troubles(self) -> list[str]:
        """What else went wrong, once."""

    def close(self) -> int:
        """See all onto the disk; how many frames can be read there. OSError where that fails."""


def open_keeper(context: StageContext, folder: Path, order: messages.Control, reader: RingReader) -> Keeper:
    """As ``output.record_frames`` says. UserError where nothing can be written there."""
    output, info = context.settings.output, order.info
    assert info is not None
    if output.record_frames == "all":
        recorder = Recorder(str(folder.parent), folder.name, info, order.fps, output.record_format)
        return KeepAll(recorder, np.empty((reader.height, reader.width), np.uint8))
    try:
        make_folder(folder, info)
        if output.record_frames == "none":
            return KeepNone()
        seconds = context.settings.spot.known_s() + output.record_before_s
        most = output.clip_mib * 2**20 // (reader.height * reader.width)
        lossless = not info.live
        if most < seconds * order.fps:
            detail = f"output.clip_mib holds {most / order.fps:.1f} s; events that last longer lose their beginning"
            context.notice("clips shortened", detail)
        ahead = reader.slots if lossless else 0  # of a spotter that may be slower than we are
        most = min(most, round(seconds * order.fps) + ahead)
        clips = ClipRecorder(folder, info, order.fps, output.record_format, most=most, patient=lossless)
    except OSError as error:
        raise UserError(f"{output.record}: can't record there ({error.strerror})") from error
    return KeepClips(clips, output)


class KeepNone:
    """No frame."""

    written = 0
    last_number = -1
    is_behind = False
    """Nothing waits for the disk."""

    def keep(self, reader: RingReader, index: int) -> FrameHeader | None:
        """Never asked."""
        return None

    def pause(self) -> None:
        """There is nothing to cut off: a file goes on where it is."""

    def want(self, span: messages.Span) -> None:
        """Nothing is asked for: every frame is there, or none."""

    def missing(self) -> int:
        return 0

    def troubles(self) -> list[str]:
        return []

    def close(self) -> int:
        return 0


class KeepAll(KeepNone):
    """Every frame."""

    def __init__(self, recorder: Recorder, frame: Gray) -> None:
        self._recorder, self._frame = recorder, frame
        self.last_number = recorder.last_number

    @property
    def written(self) -> int:  # type: ignore[override]
        return self._recorder.written

    def keep(self, reader: RingReader, index: int) -> FrameHeader | None:
        header = reader.copy(index, self._frame)
        if header is not None:
            self._recorder.write(self._frame, header.number, header.t_ns, header.captured_ns)
        return header

    def close(self) -> int:
        return self._recorder.close()


class KeepClips:
    """A clip of each event."""

    last_number = -1

    def __init__(self, clips: ClipRecorder, output: OutputSettings) -> None:
        self._clips = clips
        self._before_ns, self._after_ns = (round(s * 1e9) for s in (output.record_before_s, output.record_after_s))

    @property
    def written(self) -> int:
        return self._clips.written

    @property
    def is_behind(self) -> bool:
        return self._clips.is_behind

    def keep(self, reader: RingReader, index: int) -> FrameHeader | None:
        frame = np.empty((reader.height, reader.width), np.uint8)
        header = reader.copy(index, frame)
        if header is not None:
            self._clips.add(frame, index, header.number, header.t_ns, header.captured_ns)
        return header

    def pause(self) -> None:
        self._clips.forget()

    def want(self, span: messages.Span) -> None:
        self._clips.want(span.id, span.onset_t_ns - self._before_ns, span.offset_t_ns + self._after_ns)

    def missing(self) -> int:
        return self._clips.missing

    def troubles(self) -> list[str]:
        return self._clips.troubles()

    def close(self) -> int:
        return self._clips.close()
