"""Frame -> measurement -> events: the spotter's whole way for one face, without process or socket.

``FaceMeter.process`` takes one frame: the face is followed (``face/follower.py``), a detector measures its regions
group by group (``detectors.py``), and what the groups see becomes events (``assemble.py``). Everything runs on the
frames' time stamps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from msgspec import Struct, field, structs
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.errors import InputError
from realtime.types import SpotEvent
from realtime.vision.face.finder import Finder, LandmarkFinder
from realtime.vision.face.follower import Change, Eyes, FaceFollower, Step
from realtime.vision.face.history import FaceHistory
from realtime.vision.face.landmarks import FaceMesh
from realtime.vision.face.regions import FACE_WIDTH_PX, ROI_NAMES
from realtime.vision.face.registration import Anchor
from realtime.vision.features import FeatureSpec
from realtime.vision.spotting import lbp
from realtime.vision.spotting.assemble import Assembler
from realtime.vision.spotting.blinks import BlinkLog
from realtime.vision.spotting.detectors import GROUPS, make_detector
from realtime.vision.spotting.steadiness import Jerks, Steadiness

MIN_SIDE_PX = 32
"""Smaller pictures are refused: no face can be found or followed in them."""
_HOLE_S = 0.1
"""Frames missing for longer: what moved meanwhile was not seen, so nothing may be spotted across it."""
_HEAD_TURN_DEG = 3.0
"""A head that turns further during an event is named in it."""
_RELIABLY = 1.33
"""A movement is found nine times in ten where its peak is so many times the least rise that opens an event, because it
must stay above that for a while: median of ``bench/check.py`` on its tuning seeds."""


class Measurement(Struct):
    """What one frame showed."""

    face: bool
    difference: NDArray[np.float64]
    """(ROIs,) in the unit of the detector; zeros without a face."""
    notices: list[tuple[str, str]] = field(default_factory=list)
    """(what, detail) of what happened: face found or lost, anchored again, speech."""
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Yaw, pitch, roll against the frame in which the face was found, degrees."""
    number: int | None = None
    """Which face it is, 0, 1, …; None where one is followed and no more."""

    def each(self) -> list[Measurement]:
        """One for each face that is in view; of several, ``crowd.Measurements``."""
        return [self]


class FaceMeter:
    """Measures one face in a stream of frames and spots its movements. Not thread-safe; ``close`` it."""

    roi_names = ROI_NAMES

    def __init__(
        self,
        settings: SpotSettings | None = None,
        fps: float = 200.0,
        mesh: FaceMesh | None = None,
        finder: Finder | None = None,
    ):
        """``mesh``: networks to use instead of own ones; ``finder``: what asks them, shared with other faces."""
        self.settings = settings or SpotSettings()
        self.fps = float(fps)
        self.follower = FaceFollower(finder or LandmarkFinder(self.settings.landmark_rate_hz, mesh))
        self.detector = make_detector(self.settings, self.fps)
        self._assembler = Assembler(self.detector.word)
        self._blinks = BlinkLog()
        self._steadiness = Steadiness()
        self._jerks = Jerks()
        self._history = FaceHistory(round(self.settings.known_s() * fps))
        self._spent = dict.fromkeys(("landmarks", "network", "track", "decide", "keep"), 0)
        self._frames = 0
        self._last_ns: int | None = None
        self._cut: list[SpotEvent] = []
        """Events that a lost face or a slipped anchor ended."""
        self._heads: list[tuple[int, tuple[float, float, float]]] = []
        self._roll0 = 0.0

    @property
    def anchor(self) -> Anchor | None:
        """The face as it is followed now."""
        return self.follower.anchor

    def meters(self) -> list[FaceMeter]:
        """Itself; of several faces, one each."""
        return [self]

    def threshold(self) -> NDArray[np.float64]:
        """(ROIs,) difference that would open an event now, in the detector's unit; 0 while unknown."""
        found = np.zeros(len(ROI_NAMES))
        for group, spotter in self.detector.spotters.items():
            least = spotter.least_rise()
            for name, value in zip(GROUPS[group], least if len(least) > 1 else least.repeat(3), strict=False):
                found[ROI_NAMES.index(name)] = value
        return found

    @property
    def blinking(self) -> bool:
        """The eyes are not as they are at rest."""
        return self._blinks.under_way

    @property
    def speaking(self) -> bool:
        """Speech is going on."""
        return self._assembler.speaking

    def rest(self) -> None:
        """The face is at rest now: what is under way ends here, and the next frame is what others are held against."""
        self._cut += self._cut_all()
        self._blinks.clear()
        for spotter in self.detector.spotters.values():
            spotter.let_go()

    @property
    def busy(self) -> bool:
        """A movement is under way in some region."""
        return any(spotter.active for spotter in self.detector.spotters.values())

    @property
    def open_since_ns(self) -> int | None:
        """When the oldest movement began that is under way, held or not reported yet; None: nothing is open."""
        began = (spotter.open_since_ns for spotter in self.detector.spotters.values())
        return min((t for t in (*began, self._assembler.waiting_since_ns) if t is not None), default=None)

    # --- a frame ----------------------------------------------------------------------------------------

    def process(
        self,
        gray: NDArray[np.uint8],
        number: int,
        t_ns: int,
        is_whole: Callable[[], bool] | None = None,
    ) -> tuple[Measurement | None, list[SpotEvent]]:
        """Measure one frame (H, W) uint8; the events that it completes, oldest first.

        is_whole: asked once the pixels have been read; where it says no (they were overwritten meanwhile), the frame
        is forgotten, as if it had been lost, and the measurement is None.
        """
        check_frame(gray)
        if self._last_ns is not None and not 0 <= t_ns - self._last_ns <= _HOLE_S * 1e9 + 3e9 / self.fps:
            self._cross_hole()
        followed = self._follow(gray, number, t_ns, is_whole)
        if followed is None:
            return None, []
        self._last_ns = t_ns
        self._frames += 1
        step = followed
        notices = step.notices
        self._react(step)
        events, self._cut = self._cut, []
        anchor = step.anchor
        if anchor is None or anchor.slipped:
            return Measurement(False, np.zeros(len(ROI_NAMES)), notices), self._named(events)
        begun = time.perf_counter_ns()
        found = self.detector.push(anchor, number, t_ns, steady=self._steadiness.steady)
        self._note_head(anchor, t_ns)
        jerk = self._jerks.note(t_ns, *self._head[:2])
        if jerk is not None:
            self.detector.jerked(jerk)
            self._assembler.jerked(jerk)
        rad = self.follower.facing_rad
        facing = None if rad is None else math.degrees(rad)
        what = self._steadiness.note(t_ns, *self._head[:2], facing)
        if what:
            axis = "" if facing is None else f", {abs(facing):.0f}° from the camera"
            notices.append((what, f"frame {number}: yaw {self._head[0]:.0f}°, pitch {self._head[1]:.0f}°{axis}"))
        told, states = self._assembler.push(t_ns, found, self.detector.spotters)
        events += told
        notices += [(what, f"frame {number}") for what in states]
        self._spent["decide"] += time.perf_counter_ns() - begun
        return Measurement(True, self.detector.difference.copy(), notices, self._head), self._named(events)

    def _follow(
        self, gray: NDArray[np.uint8], number: int, t_ns: int, is_whole: Callable[[], bool] | None
    ) -> Step | None:
        """Everything that reads pixels."""
        before = self.anchor
        state = before.state() if before is not None and is_whole is not None else None
        begun = time.perf_counter_ns()
        if before is not None:
            spotters = self.detector.spotters.values()
            far = any(spotter.is_far for spotter in spotters)
            moving = any(spotter.active or spotter.is_displaced for spotter in spotters)
            resting = self._steadiness.steady and not moving
            self.follower.update(gray, 1.0 / self.fps, far, resting)
        tracked = time.perf_counter_ns()
        if is_whole is not None and before is not None and state is not None and not is_whole():
            before.go_back(state)
            return None
        if before is not None:
            self._blinks.note(t_ns, before.lids())
        eyes = Eyes(self._blinks.under_way, self._blinks.lasting_s(t_ns))
        held = any(spotter.holding for spotter in self.detector.spotters.values())
        waited = self.follower.waited_ns
        step = self.follower.check(gray, number, t_ns, busy=self.busy, held=held, eyes=eyes)
        waited, checked = self.follower.waited_ns - waited, time.perf_counter_ns()
        if step.anchor is not None and not step.anchor.slipped:
            self._history.keep(number, gray, step.anchor)
        if is_whole is not None and not is_whole():
            self._history.drop(number)
            if step.change is not Change.NONE:
                self.reset()  # the template itself is of two frames
            elif before is not None and state is not None:
                before.go_back(state)
            return None
        self._spent["track"] += tracked - begun
        self._spent["landmarks"] += checked - tracked - waited
        self._spent["network"] += waited
        self._spent["keep"] += time.perf_counter_ns() - checked
        return step

    def _react(self, step: Step) -> None:
        """Tell the detector what has become of the face."""
        match step.change:
            case Change.FOUND:
                assert step.anchor is not None
                self._start(step.anchor)
            case Change.MOVED:
                assert step.anchor is not None and step.old is not None
                self.detector.go_on(step.anchor, step.old)
                self._blinks.clear()
            case Change.SLIPPED:
                assert step.anchor is not None
                self._cut += self._cut_all()
                self._start(step.anchor)
            case Change.LOST:
                self._cut += self._cut_all()
                self._blinks.clear()

    def _start(self, anchor: Anchor) -> None:
        self.detector.begin(anchor)
        self._assembler.clear()
        self._blinks.clear()
        self._heads.clear()
        self._steadiness.clear()
        self._jerks.clear()
        self._roll0 = anchor.roll_rad

    def _cross_hole(self) -> None:
        """Frames are missing: movements under way end here, rest is where the face is seen again."""
        self._cut += self._cut_all()
        if self.anchor is not None:
            self.anchor.stand_still()

    def _cut_all(self) -> list[SpotEvent]:
        groups = self.detector.spotters.items()
        return self._assembler.flush(
            [(name, event) for name, spotter in groups if (event := spotter.cut()) is not None]
        )

    def _note_head(self, anchor: Anchor, t_ns: int) -> None:
        yaw, pitch = map(math.degrees, self.detector.turn_rad)
        roll = math.degrees(anchor.roll_rad - self._roll0)
        self._head = (round(yaw, 2), round(pitch, 2), round((roll + 180.0) % 360.0 - 180.0, 2))
        if not self._heads or t_ns - self._heads[-1][0] >= 20_000_000:
            self._heads.append((t_ns, self._head))
            if t_ns - self._heads[0][0] > self.settings.known_s() * 1e9:
                del self._heads[: len(self._heads) // 4]

    def flush(self) -> list[SpotEvent]:
        """End of the source: the events under way, if any."""
        groups = self.detector.spotters.items()
        ended = [(name, event) for name, spotter in groups if (event := spotter.flush()) is not None]
        return self._named(self._assembler.flush(ended))

    def _named(self, events: list[SpotEvent]) -> list[SpotEvent]:
        """Every region by name, the head's pose, what else went on; without what a blink did."""
        unit = self.detector.unit_px
        named = []
        for event in events:
            rois = {name: event.rois.get(name, 0.0) for name in ROI_NAMES}
            event = structs.replace(event, rois=rois)
            if self._blinks.explains(event, self.settings.floor(), unit):
                continue
            during = list(event.during)
            poses = [pose for t, pose in self._heads if event.onset_t_ns <= t <= event.offset_t_ns]
            if poses and np.ptp(np.array(poses), axis=0).max() > _HEAD_TURN_DEG:
                during.append("head turn")
            if self._blinks.overlaps(event):
                during.append("blink")
            head = min(self._heads, key=lambda e: abs(e[0] - event.apex_t_ns), default=(0, self._head))[1]
            named.append(
                structs.replace(
                    event,
                    head=dict(zip(("yaw", "pitch", "roll"), head, strict=True)),
                    magnitude_px=round(max(rois.values()) * unit, 3),
                    during=during,
                )
            )
        return sorted(named, key=lambda e: (e.onset_t_ns, e.offset_t_ns))

    _head: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def sensitivity_px(self) -> dict[str, float]:
        """Per region the smallest movement that would be reported reliably now, px on a face 152 px wide."""
        found: dict[str, float] = {}
        for spotter in self.detector.spotters.values():
            if spotter.channels is not None and spotter.is_settled:
                level = spotter.least_rise() * self.detector.unit_px * _RELIABLY
                found.update(zip(spotter.channels.names, (round(float(v), 3) for v in level), strict=True))
        return {name: found[name] for name in ROI_NAMES if name in found}

    def sensitivities(self) -> dict[str, dict[str, float]]:
        """``sensitivity_px`` of each face that is followed, by how a notice about it begins."""
        return {"": self.sensitivity_px()}

    def reset(self) -> None:
        """Forget the face, the reference and the events under way."""
        self.follower.reset()
        for spotter in self.detector.spotters.values():
            spotter.reset()
        self._assembler.clear()
        self._blinks.clear()
        self._cut = []

    def close(self) -> None:
        """Stop the landmark thread and free its networks."""
        self.follower.close()

    def timings(self) -> dict[str, int]:
        """Time spent so far by step, ns; ``network``: waiting for landmarks. ``frames`` counts the frames."""
        return self._spent | {"frames": self._frames}

    # --- what an event needs ----------------------------------------------------------------------------

    def crops(
        self, event: SpotEvent, spec: FeatureSpec | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Onset and apex crop (crop_height, crop_width) uint8, and landmarks (68, 2) px in them.

        As ``FaceHistory.crops``; MerealtimeError where the event is older than the history.
        """
        spec = spec or FeatureSpec()
        return self._history.crops((event.onset, event.apex, event.offset), spec, spec.neighbours(self.fps))

    def warm_up(self, height: int, width: int) -> None:
        """Load and compile everything on a picture of noise, so that no frame waits for it."""
        picture = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)  # a flat one is nowhere followed
        self.follower.warm_up(height, width)
        anchor = Anchor(picture, _plain_mesh(height, width))
        anchor.update(picture)
        anchor.warm_up()
        anchor.lids()
        counts = np.zeros((len(anchor.layout.block_roi), lbp.BINS), np.float32)
        lbp.histograms(anchor.image, anchor.layout.blocks, anchor.layout.spans, lbp.UNIFORM_BINS, counts)
        lbp.difference(counts, counts, anchor.layout.block_roi, np.zeros(len(ROI_NAMES)))
        spare = make_detector(self.settings, self.fps)
        spare.begin(anchor)
        for k in range(round(0.5 * self.fps)):
            spare.push(anchor, k, round(k * 1e9 / self.fps))


def check_frame(gray: NDArray[np.uint8]) -> None:
    """InputError unless it is a frame in which a face can be followed."""
    if gray.ndim != 2 or gray.dtype != np.uint8 or min(gray.shape) < MIN_SIDE_PX:
        raise InputError(f"a gray frame is (H, W) uint8, {MIN_SIDE_PX} px at least, not {gray.shape} {gray.dtype}")


def _plain_mesh(height: int, width: int) -> NDArray[np.float32]:
    """Any 478 points with the extent of a face, to exercise the code without one."""
    rng = np.random.default_rng(0)
    mesh = rng.uniform(-0.5, 0.5, (478, 2)) * [FACE_WIDTH_PX, 1.2 * FACE_WIDTH_PX]
    mesh[[33, 133, 362, 263]] = [[-45, -25], [-20, -25], [20, -25], [45, -25]]
    mesh[[234, 454]] = [[-76, 0], [76, 0]]
    scale = min(height, width) / (2 * FACE_WIDTH_PX)
    return (mesh * scale + [width / 2, height / 2]).astype(np.float32)
