"""``--record-frames events``: a clip of each event, and no frame of anything else on disk.

That a movement was one is known when it is over, so the last seconds are kept in memory; with an event its frames go
to ``clips/event-<id>.mkv`` (+ ``.csv``), and those that follow too as long as they belong to it. A thread of its own
writes: a disk that is slow holds nothing up.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from realtime.session.read import readable_in
from realtime.session.write import FrameFile
from realtime.types import SourceInfo

Gray = npt.NDArray[np.uint8]
FOLDER = "clips"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A frame in memory; its pixels are never written to again."""

    gray: Gray
    index: int
    """Count of the source's frames before it: a hole is one that was not kept."""
    number: int
    t_ns: int
    captured_ns: int


@dataclass(slots=True)
class _Clip:
    id: int
    begin_ns: int
    end_ns: int
    missing: int = 0
    """Frames that belong into it and were gone, or not taken by the disk."""
    trouble: str = ""
    file: FrameFile | None = None
    """Of the writing thread alone, as the next."""
    written: int = 0


@dataclass(slots=True)
class _Counts:
    """What the writing thread tells."""

    written: int = 0
    missing: int = 0
    told: deque[str] = field(default_factory=deque)
    """A line for each clip that is not whole."""


class ClipRecorder:
    """``add`` each frame, ``want`` each event; both return at once."""

    def __init__(
        self, folder: Path, info: SourceInfo, fps: float, form: str, *, most: int, patient: bool = False
    ) -> None:
        """folder: of the session; most: frames in memory; patient: who adds frames waits while ``is_behind``, so that
        none is left out where the disk is slow. Raises OSError where nothing can be written there.
        """
        self.folder = folder / FOLDER
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._info, self._fps, self._form = info, fps, form
        self._past: deque[_Kept] = deque(maxlen=max(1, most))
        self._open: list[_Clip] = []
        self._most_waiting, self._patient = max(1, most), patient
        self._tasks: queue.SimpleQueue[tuple[_Clip, _Kept | None] | None] = queue.SimpleQueue()
        self._counts = _Counts(written=self.readable())
        self._begun_ns: int | None = -(2**62)
        """Frames before are of no clip; None: before the next one."""
        self._thread = threading.Thread(target=self._write_all, name="clips", daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Frames in clips so far; one that is in two counts twice."""
        return self._counts.written

    @property
    def missing(self) -> int:
        """Frames that belong into a clip and are in none."""
        return self._counts.missing

    @property
    def is_behind(self) -> bool:
        """Whether the disk is to catch up before more is added."""
        return self._tasks.qsize() >= self._most_waiting

    def troubles(self) -> list[str]:
        """A line for each clip that is not whole, once."""
        told = self._counts.told
        return [told.popleft() for _ in range(len(told))]

    def readable(self) -> int:
        """Frames of clips that can be read on disk."""
        return sum(readable_in(video) for video in self.folder.glob("event-*.mkv"))

    def add(self, gray: Gray, index: int, number: int, t_ns: int, captured_ns: int) -> None:
        """The next frame (H, W) uint8, which is ours from now on."""
        if self._begun_ns is None:
            self._begun_ns = t_ns
        kept = _Kept(gray, index, number, t_ns, captured_ns)
        before = self._past[-1].index if self._past else -1
        self._past.append(kept)
        for clip in list(self._open):
            if t_ns < clip.begin_ns:
                continue  # the event was known before we came to it
            if t_ns <= clip.end_ns:
                self._put(clip, kept, before)
            else:
                self._close(clip)

    def forget(self) -> None:
        """Recording pauses: what is in memory is of no clip any more, and clips under way end here."""
        self._past.clear()
        self._begun_ns = None
        for clip in list(self._open):
            self._close(clip)

    def want(self, number: int, begin_ns: int, end_ns: int) -> None:
        """A clip of the event of that id, with all frames of that time (exposure, ns)."""
        if self._begun_ns is None or end_ns < self._begun_ns:
            return
        begin_ns = max(begin_ns, self._begun_ns)
        clip = _Clip(number, begin_ns, end_ns)
        past = self._past
        self._open.append(clip)
        before = -1
        for kept in past:
            if begin_ns <= kept.t_ns <= end_ns:
                self._put(clip, kept, before)
            before = kept.index
        if past and past[-1].t_ns >= end_ns:
            self._close(clip)

    def _put(self, clip: _Clip, kept: _Kept, before: int) -> None:
        """before: index of the frame that was kept last."""
        since_begin = int((kept.t_ns - clip.begin_ns) * self._fps / 1e9)  # frames of the clip that may lie before
        clip.missing += max(0, min(kept.index - before - 1, since_begin))
        if self._patient or not self.is_behind:
            self._tasks.put((clip, kept))
        else:
            clip.missing += 1
            clip.trouble = clip.trouble or "the disk is too slow"

    def _close(self, clip: _Clip) -> None:
        self._open.remove(clip)
        self._tasks.put((clip, None))

    def close(self) -> int:
        """No frame follows: end every clip, see all onto the disk. How many frames can be read there."""
        for clip in list(self._open):
            self._close(clip)
        self._past.clear()
        self._tasks.put(None)
        self._thread.join()
        return self.readable()

    # --- the writing thread -----------------------------------------------------------------------------

    def _write_all(self) -> None:
        while (task := self._tasks.get()) is not None:
            clip, kept = task
            try:
                if kept is not None:
                    self._write(clip, kept)
            except OSError as error:
                clip.missing += 1
                clip.trouble = clip.trouble or str(error.strerror)
            if kept is None:
                self._end(clip)

    def _write(self, clip: _Clip, kept: _Kept) -> None:
        if clip.file is None:
            clip.file = self._start(clip)
        clip.file.write(kept.gray, kept.number, kept.t_ns, kept.captured_ns)
        clip.written += 1
        self._counts.written += 1

    def _start(self, clip: _Clip) -> FrameFile:
        video = self.folder / f"event-{clip.id}.mkv"
        for path in (video, video.with_suffix(".csv")):  # of a recorder that died over it
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return FrameFile(video, self._info, self._fps, self._form)

    def _end(self, clip: _Clip) -> None:
        counts = self._counts
        if clip.file is not None:
            try:
                readable = clip.file.close()
            except OSError as error:
                readable, clip.trouble = 0, str(error.strerror)
            clip.missing += clip.written - readable
            counts.written += readable - clip.written
            clip.file = None
        counts.missing += clip.missing
        if clip.missing:
            why = clip.trouble or "they were gone before they could be kept"
            counts.told.append(f"{self.folder}/event-{clip.id}.mkv: {clip.missing} frames are not in it: {why}")
