"""Who asks for landmarks, and when: in a thread of its own, on a schedule by the frames' own stamps.

A request made at one frame is answered a set time later by the stamps and not before, so that a recording gives the
same result however fast the thread is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.vision.face.landmarks import FaceMesh, FoundFace

Gray = NDArray[np.uint8]
T = TypeVar("T")


class Answer(Struct, frozen=True):
    """What an earlier frame showed of a face that is followed."""

    asked_ns: int
    """Stamp of that frame."""
    found: FoundFace | None
    crowded: bool = False
    """Another face is so near that the landmarks may be of both: they don't overrule tracking."""
    final: bool = False
    """Nothing was found of it, and it is not to be waited for."""


class Finder(Protocol):
    """Where a follower has its landmarks from."""

    patience_ns: int
    """How long an answer may take: one about an older frame is void."""

    @property
    def waited_ns(self) -> int:
        """How long frames have waited for the networks' thread: a recording is read faster than it runs."""

    def search(self, gray: Gray, t_ns: int) -> FoundFace | None:
        """No face is followed: one that is in this very frame (H, W), if it is time to look."""

    def consult(self, gray: Gray, t_ns: int) -> Answer | None:
        """A face is followed: the answer that is due now, if any. Asks about this frame if it is time to."""

    def forget(self) -> None:
        """The face has been given up: whatever was asked about it is void, and the next search is at once."""

    def wait(self) -> None:
        """Until what has been asked is found."""

    def warm_up(self, height: int, width: int) -> None:
        """Run the networks once."""

    def close(self) -> None:
        """Stop the thread and free the networks."""


class Schedule(Generic[T]):
    """Runs ``detect(gray, t_ns)`` so many times a second of the frames' stamps, in a thread or at once."""

    def __init__(self, rate_hz: float, detect: Callable[[Gray, int], T]) -> None:
        self.patience_ns = 4 * round(1e9 / rate_hz)
        self._detect = detect
        self._pool = ThreadPoolExecutor(1, "landmarks")
        self._period_ns = round(1e9 / rate_hz)
        self._lag_ns = self._period_ns // 2
        self._request: tuple[int, Gray, Future[T]] | None = None
        self._asked_ns: int | None = None
        self.waited_ns = 0

    def now(self, gray: Gray, t_ns: int) -> T | None:
        """In this thread, if the last time is a period ago."""
        if self._asked_ns is not None and 0 <= t_ns - self._asked_ns < self._period_ns:
            return None
        self._asked_ns = t_ns
        return self._detect(gray, t_ns)

    def later(self, gray: Gray, t_ns: int) -> tuple[int, Gray, T] | None:
        """The result that is due now, with the stamp and a copy of its frame; else asks, if the last time is a period
        ago.
        """
        if self._request is not None and t_ns - self._request[0] >= self._lag_ns:
            (asked_ns, asked, future), self._request = self._request, None
            return asked_ns, asked, self._result(future)
        if self._request is None and (self._asked_ns is None or t_ns - self._asked_ns >= self._period_ns):
            self._asked_ns = t_ns
            asked = gray.copy()
            self._request = (t_ns, asked, self._pool.submit(self._detect, asked, t_ns))
        return None

    def forget(self) -> None:
        """What was asked is void, and the next time is at once."""
        self._request = self._asked_ns = None

    def wait(self) -> None:
        """Until what has been asked is found."""
        if self._request is not None:
            self._result(self._request[2])

    def _result(self, future: Future[T]) -> T:
        begun = time.perf_counter_ns()
        try:
            return future.result()
        finally:
            self.waited_ns += time.perf_counter_ns() - begun

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(wait=True)


class LandmarkFinder:
    """The landmarks of one face. Not thread-safe; ``close`` it."""

    def __init__(self, rate_hz: float, mesh: FaceMesh | None = None) -> None:
        """``mesh``: a landmark finder to use instead of an own one."""
        self._mesh = mesh or FaceMesh()
        self._schedule = Schedule(rate_hz, self._detect)
        self.patience_ns = self._schedule.patience_ns
        self.forget, self.wait = self._schedule.forget, self._schedule.wait

    def _detect(self, gray: Gray, t_ns: int) -> FoundFace | None:
        mesh = self._mesh.detect(gray, t_ns)
        return None if mesh is None else FoundFace(mesh, getattr(self._mesh, "depth", None))

    @property
    def waited_ns(self) -> int:
        return self._schedule.waited_ns

    def search(self, gray: Gray, t_ns: int) -> FoundFace | None:
        return self._schedule.now(gray, t_ns)

    def consult(self, gray: Gray, t_ns: int) -> Answer | None:
        due = self._schedule.later(gray, t_ns)
        return None if due is None else Answer(due[0], due[2])

    def warm_up(self, height: int, width: int) -> None:
        self._mesh.warm_up(height, width)

    def close(self) -> None:
        self._schedule.close()
        self._mesh.close()
