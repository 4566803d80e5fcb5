"""Frame -> difference per ROI -> event: the spotter's whole way, without process or socket.

``FaceMeter.process`` takes one frame. The face is anchored by landmarks and then followed by registration
(``registration.Anchor``); landmarks are found at a low rate in a thread of their own and only check the
anchor. A request made at frame k is used at frame k + lag and not before, so a recording gives the same events
each time. The reference (displacements and LBP histograms of the face at rest) rolls on while no event is open.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from realtime.config import SpotSettings
from realtime.errors import InputError, MerealtimeError
from realtime.types import SpotEvent
from realtime.vision.face.history import FaceHistory, KeptFace
from realtime.vision.face.landmarks import FaceMesh, to_68
from realtime.vision.face.regions import FACE_WIDTH_PX, RIGID, ROI_NAMES
from realtime.vision.face.registration import Anchor
from realtime.vision.features import FeatureSpec
from realtime.vision.features.crop import apply, compose, crop_transform, invert, mean_crop
from realtime.vision.spotting import Spotter, lbp
from realtime.vision.spotting.blinks import BlinkLog

_LOST_LANDMARKS = 2
"""So many searches without a face in a row, and it is lost."""
_STRAY_PX = 4.0
"""Landmarks and tracked face further apart than this (face image px): anchor again."""
_STRAY_ACTIVE_PX = 6.0
_TRAVEL_PX = 14.0
_TRAVEL_TURN = 0.06
_BLINK_MAX_S = 0.8
"""Eyes that differ from the template's for longer do not blink: the template is of shut eyes, or gaze has moved."""
_SNAP = 0.5
_TAIL, _TAIL_S = 0.3, 0.25
"""An event is closed before its fall is over: share of apex to offset that may still come, and at most so long."""
MIN_SIDE_PX = 32
"""Smaller pictures are refused: no face can be found or followed in them."""
_LBP_PX = 25.0
"""px that a change of LBP correlation by 1 is worth: their ratio at the apex of the tuning clips' movements."""
_LBP_SIGMAS = 3.0

_MeshResult = tuple[int, "NDArray[np.float32] | None"]


class Measurement(Struct):
    """What one frame showed."""

    face: bool
    difference: NDArray[np.float64]
    """(ROIs,) in the unit of the detector; zeros without a face."""
    notices: list[tuple[str, str]] = field(default_factory=list)
    """(what, detail) of what happened: face found or lost, anchored again."""


class FaceMeter:
    """Measures one face in a stream of frames and spots its movements. Not thread-safe; ``close`` it."""

    roi_names = ROI_NAMES

    def __init__(self, settings: SpotSettings | None = None, fps: float = 200.0, mesh: FaceMesh | None = None):
        """``mesh``: a landmark finder to use instead of an own one."""
        self.settings = settings or SpotSettings()
        self.spotter = Spotter(self.settings, fps)
        self.fps = float(fps)
        self._mesh = mesh or FaceMesh()
        self._pool = ThreadPoolExecutor(1, "landmarks")
        self._period = max(1, round(fps / self.settings.landmark_rate_hz))
        self._lag = max(1, self._period // 2)
        self._gain = 1.0 / max(2.0, self.settings.reference_window_s * fps)
        seconds = self.settings.max_duration_s + 1.5
        self._blinks = BlinkLog()
        self._history = FaceHistory(round(seconds * fps))
        self._spent = dict.fromkeys(("landmarks", "track", "lbp", "decide", "keep"), 0)
        self._difference = np.zeros(len(ROI_NAMES))
        self._lbp = np.zeros(len(ROI_NAMES))
        self._frames = 0
        self._forget()

    def _forget(self) -> None:
        self.anchor: Anchor | None = None
        self._request: tuple[int, Future[NDArray[np.float32] | None]] | None = None
        self._poses: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=self._lag + 2)
        self._misses = 0
        self._tail_end = -1
        self.spotter.reset()
        self._blinks.clear()
        self._cut: SpotEvent | None = None
        """The event that a lost face or a slipped anchor ended."""

    def process(self, gray: NDArray[np.uint8], number: int, t_ns: int) -> tuple[Measurement, SpotEvent | None]:
        """Measure one frame (H, W) uint8 and push it through the spotter."""
        measurement = self.measure(gray, number, t_ns)
        if self._cut is not None or not measurement.face:
            event, self._cut = self._cut, None
            return measurement, self._named(event)
        begun = time.perf_counter_ns()
        event = self.spotter.push(number, t_ns, measurement.difference)
        self._roll(event)
        self._spent["decide"] += time.perf_counter_ns() - begun
        return measurement, self._named(event)

    def flush(self) -> SpotEvent | None:
        """End of the source: the event under way, if any."""
        return self._named(self.spotter.flush())

    def _named(self, event: SpotEvent | None) -> SpotEvent | None:
        if event is None:
            return None
        unit = _LBP_PX if self.settings.detector == "lbp" else 1.0
        event = msgspec.structs.replace(event, rois=dict(zip(ROI_NAMES, event.rois.values(), strict=True)))
        return None if self._blinks.explains(event, unit) else event

    def reset(self) -> None:
        """Forget the face, the reference and the event under way."""
        if self._request is not None:
            self._request[1].result()
        self._forget()

    def close(self) -> None:
        """Stop the landmark thread and free its networks."""
        self._pool.shutdown(wait=True)
        self._mesh.close()

    def timings(self) -> dict[str, int]:
        """Time spent so far by step, ns; ``frames`` counts the frames."""
        return self._spent | {"frames": self._frames}

    def measure(self, gray: NDArray[np.uint8], number: int, t_ns: int) -> Measurement:
        """Follow the face into a frame and compare it with the reference; the spotter is left alone."""
        if gray.ndim != 2 or gray.dtype != np.uint8 or min(gray.shape) < MIN_SIDE_PX:
            raise InputError(f"a gray frame is (H, W) uint8, {MIN_SIDE_PX} px at least, not {gray.shape} {gray.dtype}")
        notices: list[tuple[str, str]] = []
        index, self._frames = self._frames, self._frames + 1
        if self.anchor is None:
            self._search(gray, index, number, t_ns, notices)
        else:
            begun = time.perf_counter_ns()
            self.anchor.update(gray)
            self._poses.append((index, self.anchor.to_frame))
            self._blinks.note(number, self.anchor.lids())
            self._spent["track"] += time.perf_counter_ns() - begun
            self._check(gray, index, number, t_ns, notices)
        if self.anchor is None or self.anchor.slipped:
            self._difference[:] = 0.0
            return Measurement(False, self._difference.copy(), notices)
        self._compare()
        begun = time.perf_counter_ns()
        self._history.keep(number, gray, self.anchor)
        self._spent["keep"] += time.perf_counter_ns() - begun
        return Measurement(True, self._difference.copy(), notices)

    # --- finding the face -------------------------------------------------------------------------------

    def _search(
        self, gray: NDArray[np.uint8], index: int, number: int, t_ns: int, notices: list[tuple[str, str]]
    ) -> None:
        """No face so far: look for one now and then, in this thread."""
        if index % self._period and index:
            return
        begun = time.perf_counter_ns()
        mesh = self._mesh.detect(gray, t_ns)
        self._spent["landmarks"] += time.perf_counter_ns() - begun
        if mesh is None:
            if index == 0:
                notices.append(("face lost", f"no face in frame {number}; looking on"))
            return
        self._anchor_at(gray, mesh)
        notices.append(("face found", f"frame {number}"))

    def _anchor_at(self, gray: NDArray[np.uint8], mesh: NDArray[np.float32]) -> None:
        """Make this frame the template, and what it shows the reference."""
        self.anchor = Anchor(gray, mesh)
        self._reference = self.anchor.displacement.copy()
        self._counts = np.zeros((len(self.anchor.layout.block_roi), lbp.BINS), np.float32)
        self._reference_counts = np.zeros_like(self._counts)
        self._seen = 0
        self._blinks.clear()
        self._lbp_level = np.zeros(len(ROI_NAMES))
        self._lbp_variance = np.zeros(len(ROI_NAMES))
        self._request = None
        self._poses.clear()

    def _check(
        self, gray: NDArray[np.uint8], index: int, number: int, t_ns: int, notices: list[tuple[str, str]]
    ) -> None:
        """Compare the tracked face with the landmarks asked for a while ago; ask for the next."""
        assert self.anchor is not None
        begun = time.perf_counter_ns()
        if self._request is not None and index - self._request[0] >= self._lag:
            asked, future = self._request
            self._request = None
            self._judge(gray, number, asked, future.result(), notices)
        elif self._request is None and index % self._period == 0:
            self._request = (index, self._pool.submit(self._mesh.detect, gray.copy(), t_ns))
        self._spent["landmarks"] += time.perf_counter_ns() - begun

    def _judge(
        self,
        gray: NDArray[np.uint8],
        number: int,
        asked: int,
        mesh: NDArray[np.float32] | None,
        notices: list[tuple[str, str]],
    ) -> None:
        """Keep the anchor, move it, or give the face up."""
        anchor = self.anchor
        assert anchor is not None
        if mesh is None:
            self._misses += 1
            if self._misses >= _LOST_LANDMARKS or anchor.slipped:
                notices.append(("face lost", f"frame {number}"))
                event = self.spotter.cut()
                self._forget()
                self._cut = event
            return
        self._misses = 0
        then = next((pose for at, pose in self._poses if at == asked), None)
        if then is None:
            return
        seen = apply(invert(then), mesh)[list(RIGID)]
        stray = float(np.median(np.linalg.norm(seen - anchor.layout.mesh[list(RIGID)], axis=1)))
        slipped = anchor.slipped or stray > 2.0 * _STRAY_PX
        shift, turn = anchor.travelled()
        travelled = shift > _TRAVEL_PX or turn > _TRAVEL_TURN
        other_eyes = self._blinks.lasting(number) > _BLINK_MAX_S * self.fps
        if not slipped and self._blinks.under_way and not other_eyes:
            return  # a template with shut eyes would take their opening for a movement
        # in a movement the template is kept as long as it can be: a new one would be of the moved face
        strayed = stray > (_STRAY_ACTIVE_PX if self.spotter.active else _STRAY_PX)
        if not (slipped or other_eyes or strayed or (travelled and not self.spotter.active)):
            return
        # the landmarks are of an earlier frame: carry them on by the head's motion since
        mesh_now = apply(compose(anchor.to_frame, invert(then)), mesh).astype(np.float32)
        self._anchor_again(gray, mesh_now, slipped)
        if slipped:
            notices.append(("face anchored again", f"frame {number}: tracking and landmarks had parted"))

    def _anchor_again(self, gray: NDArray[np.uint8], mesh: NDArray[np.float32], slipped: bool) -> None:
        """A new template; unless tracking had slipped, displacements go on from where they were."""
        old, reference = self.anchor, self._reference
        assert old is not None
        texture = self._lbp_level, self._lbp_variance
        self._anchor_at(gray, mesh)
        assert self.anchor is not None
        if slipped:
            self._cut = self.spotter.cut()
        else:
            self._lbp_level, self._lbp_variance = texture  # same face, same noise
            # the new template shows the face as it is: put the reference where the old one had it
            self._reference = reference - old.displacement

    # --- comparing with the reference -------------------------------------------------------------------

    def _compare(self) -> None:
        """Difference of each ROI in the unit of the detector."""
        anchor, detector = self.anchor, self.settings.detector
        assert anchor is not None
        begun = time.perf_counter_ns()
        if detector != "lbp":
            anchor.movement(self._reference, self._difference)
            self._spent["track"] += time.perf_counter_ns() - begun
        if detector == "motion":
            return
        begun = time.perf_counter_ns()
        lbp.histograms(anchor.image, anchor.layout.blocks, anchor.layout.spans, lbp.UNIFORM_BINS, self._counts)
        if self._seen == 0:
            self._reference_counts[:] = self._counts
        lbp.difference(self._counts, self._reference_counts, anchor.layout.block_roi, self._lbp)
        if detector == "lbp":
            self._difference[:] = self._lbp
        else:
            self._fuse()
        self._spent["lbp"] += time.perf_counter_ns() - begun

    def _fuse(self) -> None:
        """Displacement, lengthened by what the texture shows beyond its own noise; at rest it adds nothing."""
        sigma = np.sqrt(self._lbp_variance)
        beyond = np.maximum(self._lbp - self._lbp_level - _LBP_SIGMAS * sigma, 0.0)
        np.hypot(self._difference, _LBP_PX * beyond, out=self._difference)

    def _roll(self, closed: SpotEvent | None) -> None:
        """Let the reference follow the face while it is at rest. closed: the event that this frame completed."""
        anchor = self.anchor
        if anchor is None:
            return
        if closed is not None:
            rise = self._difference - self.spotter.level
            if (rise > _SNAP * self.spotter.threshold()).any():
                self._seen = 0  # the face rests elsewhere now, or the movement's last tenth is still to come
                self._tail_end = self._frames + self._tail_of(closed)
        if self._frames < self._tail_end:
            # a reference of a face not yet at rest would make the rest of its way a movement: go along with it
            self._reference[:] = anchor.displacement
            self.spotter.rebase()
        if self.spotter.active:
            return
        self._seen += 1
        gain = max(self._gain, 1.0 / self._seen)
        self._reference += np.float32(gain) * (anchor.displacement - self._reference)
        if self.settings.detector != "motion":
            self._reference_counts += np.float32(gain) * (self._counts - self._reference_counts)
            off = self._lbp - self._lbp_level
            self._lbp_level += gain * off
            self._lbp_variance += gain * (off * off - self._lbp_variance)

    def _tail_of(self, event: SpotEvent) -> int:
        """Frames for which the fall may go on after an event was closed; texture is too noisy to be followed so."""
        if self.settings.detector == "lbp":
            return 0
        return round(min(_TAIL_S, _TAIL * (event.offset_t_ns - event.apex_t_ns) / 1e9) * self.fps)

    # --- what an event needs ----------------------------------------------------------------------------

    def crops(
        self, event: SpotEvent, spec: FeatureSpec | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Onset and apex crop (crop_height, crop_width) uint8, head motion removed, and landmarks (68, 2) px in them.

        Each is the mean of the frames around it, as the spec says. Raises MerealtimeError where the event is older
        than the history.
        """
        spec = spec or FeatureSpec()
        near = spec.neighbours(self.fps)
        onset, apex = (self._kept_around(number, near) for number in (event.onset, event.apex))
        points = to_68(onset[0].mesh)
        landmarks = apply(crop_transform(points, spec), points).astype(np.float32)
        return self._mean(onset, spec), self._mean(apex, spec), landmarks

    def _kept_around(self, number: int, near: int) -> list[KeptFace]:
        """The face of frame ``number``, then those of its neighbours that were seen."""
        first = self._history.find(number)
        if first is None:
            raise MerealtimeError(f"frame {number} has left the spotter's history")
        others = [self._history.find(number + k) for k in range(-near, near + 1) if k]
        return [first, *(face for face in others if face is not None)]

    def _mean(self, faces: list[KeptFace], spec: FeatureSpec) -> NDArray[np.uint8]:
        return mean_crop(
            ((f.pixels, compose(crop_transform(to_68(f.mesh), spec), invert(f.to_pixels))) for f in faces), spec
        )

    def warm_up(self, height: int, width: int) -> None:
        """Load and compile everything on a flat picture, so that no frame waits for it."""
        picture = np.full((height, width), 128, np.uint8)
        self._mesh.warm_up(height, width)
        mesh = _plain_mesh(height, width)
        anchor = Anchor(picture, mesh)
        anchor.update(picture)
        counts = np.zeros((len(anchor.layout.block_roi), lbp.BINS), np.float32)
        lbp.histograms(anchor.image, anchor.layout.blocks, anchor.layout.spans, lbp.UNIFORM_BINS, counts)
        lbp.difference(counts, counts, anchor.layout.block_roi, self._lbp)
        anchor.movement(anchor.displacement, self._difference)
        self._difference[:] = 0.0


def _plain_mesh(height: int, width: int) -> NDArray[np.float32]:
    """Any 478 points with the extent of a face, to exercise the code without one."""
    rng = np.random.default_rng(0)
    mesh = rng.uniform(-0.5, 0.5, (478, 2)) * [FACE_WIDTH_PX, 1.2 * FACE_WIDTH_PX]
    mesh[[33, 133, 362, 263]] = [[-45, -25], [-20, -25], [20, -25], [45, -25]]
    mesh[[234, 454]] = [[-76, 0], [76, 0]]
    scale = min(height, width) / (2 * FACE_WIDTH_PX)
    return (mesh * scale + [width / 2, height / 2]).astype(np.float32)
