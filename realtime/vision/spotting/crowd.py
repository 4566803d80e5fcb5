"""Several faces at once: a ``FaceMeter`` each, one landmark finder for all.

``make_meter`` gives what ``spot.faces`` asks for; a ``Crowd`` is used just as a ``FaceMeter``. With one face it is the
``FaceMeter`` itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.types import SpotEvent
from realtime.vision.face.crowd_finder import CrowdFinder
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.face.regions import ROI_NAMES
from realtime.vision.face.registration import Anchor
from realtime.vision.features import FeatureSpec
from realtime.vision.spotting.face_meter import FaceMeter, Measurement, check_frame


class Measurements(Struct):
    """What one frame showed of several faces."""

    face: bool
    """Any."""
    faces: list[Measurement]
    """Of each face that is in view; without any, one that says so."""
    notices: list[tuple[str, str]]
    """(what, detail), with the face's number in the detail."""

    def each(self) -> list[Measurement]:
        return self.faces


class Crowd:
    """Measures the ``spot.faces`` largest faces, each as if it were alone. Not thread-safe; ``close`` it."""

    roi_names = ROI_NAMES

    def __init__(self, settings: SpotSettings, fps: float, mesh: FaceMesh | None = None) -> None:
        """``mesh``: networks to use instead of own ones."""
        self._finder = CrowdFinder(settings.faces, settings.landmark_rate_hz, mesh)
        self._meters = [FaceMeter(settings, fps, finder=share) for share in self._finder.shares]
        self._followers = [meter.follower for meter in self._meters]
        self._own = np.zeros((0, 0), np.uint8)
        self._looking_ns = 0
        self._frames = 0

    def process(
        self,
        gray: NDArray[np.uint8],
        number: int,
        t_ns: int,
        is_whole: Callable[[], bool] | None = None,
    ) -> tuple[Measurements | None, list[SpotEvent]]:
        """Measure one frame (H, W) uint8; the events that it completes, oldest first. As ``FaceMeter.process``."""
        check_frame(gray)
        if is_whole is not None:
            gray = self._copy(gray)  # so that all faces see the same frame, or none does
            if not is_whole():
                return None, []
        self._frames += 1
        begun = time.perf_counter_ns()
        self._finder.look(gray, t_ns, self._followers)
        self._looking_ns += time.perf_counter_ns() - begun
        found = [self._measure(face, gray, number, t_ns) for face in self._at_work()]
        faces = [measurement for measurement, _ in found if measurement.face]
        notices = [notice for measurement, _ in found for notice in measurement.notices]
        nobody = Measurement(False, np.zeros(len(ROI_NAMES)), number=0)
        return Measurements(bool(faces), faces or [nobody], notices), _in_order([told for _, told in found])

    def _at_work(self) -> list[int]:
        """Who has a face, or is to have one; the first, if nobody has, to say that there is none."""
        pairs = enumerate(zip(self._meters, self._finder.shares, strict=True))
        return [k for k, (meter, share) in pairs if meter.anchor is not None or share.newcomer is not None] or [0]

    def _measure(
        self, face: int, gray: NDArray[np.uint8], number: int, t_ns: int
    ) -> tuple[Measurement, list[SpotEvent]]:
        meter = self._meters[face]
        before = meter.anchor
        measurement, events = meter.process(gray, number, t_ns)
        assert measurement is not None  # without ``is_whole`` no frame is forgotten
        measurement.number = face
        if before is not None or meter.anchor is not None:
            measurement.notices = [(what, naming(face) + detail) for what, detail in measurement.notices]
        return measurement, _of(face, events)

    def _copy(self, gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._own.shape != gray.shape:
            self._own = np.empty_like(gray)
        np.copyto(self._own, gray)
        return self._own

    def flush(self) -> list[SpotEvent]:
        """End of the source: the events under way, if any."""
        return _in_order([_of(face, meter.flush()) for face, meter in enumerate(self._meters)])

    def rest(self) -> None:
        """As of ``FaceMeter``, of each face."""
        for meter in self._meters:
            meter.rest()

    def meters(self) -> list[FaceMeter]:
        """One each face, by its number; not all of them have one."""
        return self._meters

    @property
    def anchor(self) -> Anchor | None:
        """Of face 0, as it is followed now: what dense mode measures."""
        return self._meters[0].anchor

    @property
    def busy(self) -> bool:
        """A movement of face 0 is under way."""
        return self._meters[0].busy

    @property
    def open_since_ns(self) -> int | None:
        """As of a ``FaceMeter``, of all faces."""
        return min((t for meter in self._meters if (t := meter.open_since_ns) is not None), default=None)

    def crops(
        self, event: SpotEvent, spec: FeatureSpec | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Of the event's face; as ``FaceMeter.crops``."""
        return self._meters[event.face].crops(event, spec)

    def sensitivities(self) -> dict[str, dict[str, float]]:
        """The smallest movements that would be reported now; as ``FaceMeter.sensitivities``."""
        followed = ((face, meter) for face, meter in enumerate(self._meters) if meter.anchor is not None)
        return {naming(face): meter.sensitivity_px() for face, meter in followed}

    def timings(self) -> dict[str, int]:
        """Time spent so far by step, ns, of all faces together; ``frames`` counts the frames."""
        waited = self._finder.waited_ns
        spent = Counter({"landmarks": self._looking_ns - waited, "network": waited})
        for meter in self._meters:
            spent.update(meter.timings())
        return {**spent, "frames": self._frames}

    def warm_up(self, height: int, width: int) -> None:
        """Load and compile everything on a flat picture, so that no frame waits for it."""
        self._finder.warm_up(height, width)
        self._meters[0].warm_up(height, width)

    def close(self) -> None:
        """Stop the landmark thread and free its networks."""
        self._finder.close()


Meter = FaceMeter | Crowd


def make_meter(settings: SpotSettings, fps: float, mesh: FaceMesh | None = None) -> Meter:
    """What follows as many faces as the settings say. ``mesh``: networks to use instead of own ones."""
    return FaceMeter(settings, fps, mesh) if settings.faces == 1 else Crowd(settings, fps, mesh)


def naming(face: int) -> str:
    """How the detail of a notice begins that is about one of several faces, as in ``face 1: frame 312``."""
    return f"face {face}: "


def _of(face: int, events: list[SpotEvent]) -> list[SpotEvent]:
    return [structs.replace(event, face=face) for event in events]


def _in_order(events: list[list[SpotEvent]]) -> list[SpotEvent]:
    """All faces' events, by their onsets."""
    return sorted(chain.from_iterable(events), key=lambda event: (event.onset_t_ns, event.offset_t_ns))
